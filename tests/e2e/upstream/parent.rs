//! A proxy beyond this one (`upstream.parent_proxy`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use copilens::sim::client::ClientError;
use copilens::sim::tls::{Alpn, TestAuthority};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::{ask, assert_fails};
use crate::support::{CHAT_HOST, Site, Upstream, wait_until};

const PASSWORD: &str = "hunter2";
/// `corp:hunter2` as Basic credentials.
const CREDENTIALS: &str = "Basic Y29ycDpodW50ZXIy";
const REFUSAL: &str =
    "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"corp\"\r\nContent-Length: 0\r\n\r\n";

/// A proxy that knows CONNECT alone, and leads everybody to one server.
struct Parent {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Parent {
    /// Answers with `refusal` where there is one.
    async fn start(server: SocketAddr, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, server, refusal, Arc::clone(&seen)));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Nothing is resolved by copilens itself here: only the parent knows where a name leads.
    fn site(&self, authority: &TestAuthority) -> Site {
        let parent = format!("\"http://corp:{PASSWORD}@{}\"", self.address);
        Site::to(self.address, authority).set("upstream.resolve", "{}").set("upstream.parent_proxy", &parent)
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, refusal: Option<&str>, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    seen.lock().unwrap().push(String::from_utf8(head).unwrap());
    if let Some(refusal) = refusal {
        return client.write_all(refusal.as_bytes()).await.unwrap();
    }
    let mut server = TcpStream::connect(server).await.unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_go_to_the_parent_unresolved_and_with_its_credentials() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let upstream = Upstream::with(Default::default(), alpn).await;
        let parent = Parent::start(upstream.fake.address(), None).await;
        let copilens = parent.site(&upstream.authority).start();
        assert_eq!(ask(&copilens).await.unwrap().status(), 200);
        let heads = parent.heads();
        assert_eq!(heads.len(), 1);
        assert!(heads[0].starts_with(&format!("CONNECT {CHAT_HOST}:443 HTTP/1.1\r\n")), "{heads:?}");
        let credentials = heads[0]
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
        assert_eq!(credentials.map(|(_, value)| value).collect::<Vec<_>>(), [CREDENTIALS]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_to_other_hosts_go_through_the_parent_as_well() {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let parent = Parent::start(echo.local_addr().unwrap(), None).await;
    let copilens = parent.site(&TestAuthority::new().unwrap()).start();
    let mut tunnel = copilens.client("alice").connect("files.example.com:443").await.unwrap();
    let (mut server, _) = echo.accept().await.unwrap();
    tunnel.write_all(b"up").await.unwrap();
    server.write_all(b"down").await.unwrap();
    let (mut up, mut down) = ([0; 2], [0; 4]);
    server.read_exact(&mut up).await.unwrap();
    tunnel.read_exact(&mut down).await.unwrap();
    assert_eq!((&up, &down), (b"up", b"down"));
    assert!(parent.heads()[0].starts_with("CONNECT files.example.com:443 HTTP/1.1\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_vetted_although_the_parent_would_dial_them() {
    let upstream = Upstream::start().await;
    let parent = Parent::start(upstream.fake.address(), None).await;
    let copilens = parent.site(&upstream.authority).start();
    let alice = copilens.client("alice");
    for address in ["127.0.0.1:443", "10.1.2.3:443", "169.254.169.254:443", "[::1]:443", "[::ffff:10.0.0.1]:443"] {
        let refused = alice.connect(address).await;
        assert!(
            matches!(&refused, Err(ClientError::Refused { answer, .. }) if answer.status == 403),
            "{address} {refused:?}"
        );
    }
    assert_eq!(parent.heads(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_refuses_is_a_502_and_the_log_says_why_without_the_password() {
    let upstream = Upstream::start().await;
    let parent = Parent::start(upstream.fake.address(), Some(REFUSAL)).await;
    let copilens = parent.site(&upstream.authority).start();
    let cause = "`upstream.parent_proxy` answered 407 Proxy Authentication Required to CONNECT; check its user name and password";
    assert_fails(&copilens, 502, "bad_gateway", cause).await;
    let refused = copilens.client("alice").connect("files.example.com:443").await;
    assert!(matches!(&refused, Err(ClientError::Refused { answer, .. }) if answer.status == 502), "{refused:?}");
    wait_until("both causes", || (copilens.log().matches(cause).count() == 2).then_some(()));
    assert!(!copilens.log().contains(PASSWORD) && !copilens.log().contains(&CREDENTIALS[6..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_away_is_a_502() {
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let parent = Parent { address: away, heads: Arc::default() };
    let copilens = parent.site(&TestAuthority::new().unwrap()).start();
    assert_fails(&copilens, 502, "bad_gateway", "refused").await;
}
