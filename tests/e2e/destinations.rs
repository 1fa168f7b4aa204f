//! Where a request may go.

mod forbidden;

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use copilens::sim::client::Credentials;
use copilens::sim::copilot::{FakeCopilot, FakeOptions};
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::TestAuthority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::wire::{self, Answer, Wire};
use crate::support::{CHAT_HOST, Copilens, PATIENCE, Site, completion, files_in};

/// A host that is not intercepted.
const OTHER_HOST: &str = "pages.example.com";
const FORBIDDEN: &str = r#"{"error":{"code":"destination_forbidden","message":"copilens does not connect to this destination. Ask your administrator."}}"#;

/// An upstream that notes every connection, and a site where `hosts` lead to it.
async fn watched_site(hosts: &[&str]) -> (RawOrigin, Site) {
    let origin = RawOrigin::start(None, vec![vec![Step::Hold]]).await.unwrap();
    let site = Site::to(origin.address(), &TestAuthority::new().unwrap());
    let site = site.set("upstream.resolve", &leading_to(origin.address(), hosts));
    (origin, site)
}

fn leading_to(address: SocketAddr, hosts: &[&str]) -> String {
    let entries: Vec<_> = hosts.iter().map(|host| format!("\"{host}\" = \"{address}\"")).collect();
    format!("{{ {} }}", entries.join(", "))
}

async fn connect(copilens: &Copilens, credentials: &Credentials, authority: &str) -> Answer {
    Wire::to(copilens.proxy).await.connect(authority, credentials).await
}

async fn get(copilens: &Copilens, credentials: &Credentials, url: &str) -> Answer {
    Wire::to(copilens.proxy).await.ask(wire::get(url, credentials, "")).await
}

fn assert_forbidden(answer: &Answer, case: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (403, FORBIDDEN), "{case}: {}", answer.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_to_a_host_that_is_not_intercepted_pass_unseen() {
    let upload: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let download: Vec<u8> = upload.iter().rev().copied().collect();
    let script = vec![
        Step::write("220 the server speaks first\r\n"),
        Step::Read(upload.len()),
        Step::Write(Bytes::from(download.clone())),
        Step::Hold,
        Step::write("after the client's end"),
    ];
    let origin = RawOrigin::start(None, vec![script]).await.unwrap();
    let site = Site::to(origin.address(), &TestAuthority::new().unwrap());
    let copilens = site.set("upstream.resolve", &leading_to(origin.address(), &[OTHER_HOST])).start();
    let mut stream = copilens.client("alice").connect(&format!("{OTHER_HOST}:443")).await.unwrap();
    let mut greeting = [0; 29];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220 the server speaks first\r\n");
    stream.write_all(&upload).await.unwrap();
    let mut got = vec![0; download.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert!(got == download, "bytes from the server differ");
    stream.shutdown().await.unwrap();
    assert_eq!(Wire::over(stream).rest().await, b"after the client's end");
    assert!(origin.received()[0] == upload, "bytes to the server differ");
    assert!(files_in(&copilens.site.path("logs/usage")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_go_on_sending_after_the_servers_end() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let site = Site::to(server.local_addr().unwrap(), &TestAuthority::new().unwrap());
    let copilens = site.set("upstream.resolve", &leading_to(server.local_addr().unwrap(), &[OTHER_HOST])).start();
    let client = copilens.client("alice");
    let authority = format!("{OTHER_HOST}:443");
    let (mut stream, accepted) = tokio::join!(client.connect(&authority), server.accept());
    let (stream, mut accepted) = (stream.as_mut().unwrap(), accepted.unwrap().0);
    accepted.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    stream.write_all(b"still here").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(Wire::over(accepted).rest().await, b"still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_sends_along_with_connect_is_part_of_the_tunnel() {
    let (origin, site) = watched_site(&[OTHER_HOST]).await;
    let copilens = site.start();
    let mut wire = Wire::to(copilens.proxy).await;
    let request = wire::connect(&format!("{OTHER_HOST}:443"), &copilens.credentials("alice"));
    assert_eq!(wire.ask(request + "early bytes").await.status, 200);
    assert!(origin.wait_for(|got| got.iter().any(|bytes| bytes == "early bytes"), PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_can_be_denied_or_listed() {
    const LISTED: &str = "a.allowed.example.com";
    let (origin, site) = watched_site(&[OTHER_HOST, LISTED, "allowed.example.com"]).await;
    let mut copilens = site.set("intercept.other_hosts", "\"deny\"").start();
    let alice = copilens.credentials("alice");
    for host in [OTHER_HOST, LISTED] {
        assert_forbidden(&connect(&copilens, &alice, &format!("{host}:443")).await, host);
        assert_forbidden(&get(&copilens, &alice, &format!("http://{host}/")).await, host);
    }
    for like in ["evilgithubcopilot.com", "githubcopilot.com", "api.githubcopilot.com.example.com", "api.github.com.x"]
    {
        assert_forbidden(&connect(&copilens, &alice, &format!("{like}:443")).await, like);
    }
    for listed in ["api.githubcopilot.com", "API.Business.GitHubCopilot.COM", "api.github.com."] {
        assert_eq!(connect(&copilens, &alice, &format!("{listed}:443")).await.status, 200, "{listed}");
    }
    assert_eq!(origin.received().len(), 0, "nothing was dialled");

    copilens.reload(|site| site.change("intercept.other_hosts", "[\"*.allowed.example.com\"]"));
    assert_eq!(connect(&copilens, &alice, &format!("{LISTED}:443")).await.status, 200);
    for host in [OTHER_HOST, "allowed.example.com"] {
        assert_forbidden(&connect(&copilens, &alice, &format!("{host}:443")).await, host);
        assert_forbidden(&get(&copilens, &alice, &format!("http://{host}/")).await, host);
    }
    assert!(origin.wait_for(|got| got.len() == 1, PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_ports_and_port_80_in_clear_text_can_be_asked_for() {
    let (origin, site) = watched_site(&[OTHER_HOST, CHAT_HOST]).await;
    let mut copilens = site.start();
    let alice = copilens.credentials("alice");
    for port in [1, 22, 25, 80, 442, 444, 3306, 8080, 8443, 65535] {
        for host in [OTHER_HOST, CHAT_HOST] {
            let case = format!("{host}:{port}");
            assert_forbidden(&connect(&copilens, &alice, &case).await, &case);
            if port != 80 {
                assert_forbidden(&get(&copilens, &alice, &format!("http://{case}/")).await, &case);
            }
        }
    }
    assert_eq!(origin.received().len(), 0, "nothing was dialled");
    assert_eq!(connect(&copilens, &alice, &format!("{OTHER_HOST}:443")).await.status, 200);

    copilens.reload(|site| site.change("intercept.ports", "[443, 8443]"));
    assert_eq!(connect(&copilens, &alice, &format!("{OTHER_HOST}:8443")).await.status, 200);
    assert_forbidden(&connect(&copilens, &alice, &format!("{OTHER_HOST}:80")).await, "80");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_admin_names_is_dialled() {
    let (origin, site) = watched_site(&["localhost", OTHER_HOST]).await;
    let copilens = site.start();
    let alice = copilens.credentials("alice");
    for (number, host) in ["localhost", OTHER_HOST, "LOCALHOST."].iter().enumerate() {
        assert_eq!(connect(&copilens, &alice, &format!("{host}:443")).await.status, 200, "{host}");
        assert!(origin.wait_for(|got| got.len() == number + 1, PATIENCE).await, "{host}");
    }
    assert_forbidden(&connect(&copilens, &alice, "127.0.0.1:443").await, "the address itself is not named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_makes_no_sense_is_a_bad_request_once_the_sender_is_known() {
    let (origin, site) = watched_site(&[OTHER_HOST]).await;
    let copilens = site.start();
    let alice = copilens.credentials("alice");
    let long = format!("{}.example.com:443", "a".repeat(64));
    let targets = [
        "pages.example.com",
        "pages.example.com:",
        "pages.example.com:0",
        "pages.example.com:99999",
        "me@pages.example.com:443",
        "pages..example.com:443",
        ".example.com:443",
        "pages.example.com..:443",
        "pages%2eexample.com:443",
        "pages_example!.com:443",
        "[::1:443",
        "[fe80::1%25eth0]:443",
        "[127.0.0.1]:443",
        "256.256.256.256:443",
        "0x1ffffffff:443",
        "1.2.3.4.5:443",
        "http://pages.example.com:443/",
        "/",
        &long,
    ];
    for target in targets {
        let line =
            |credentials: &Credentials| wire::connect(target, credentials).replace(&format!("Host: {target}\r\n"), "");
        let known = Wire::to(copilens.proxy).await.ask(line(&alice)).await;
        assert_eq!(known.status, 400, "CONNECT {target}: {}", known.head);
        assert!(!known.body.contains("example"), "{}", known.body);
        // What is no URI at all is refused by the parser, before anybody can look at credentials.
        let unknown = Wire::to(copilens.proxy).await.ask(line(&Credentials::Absent)).await;
        let is_uri = target.parse::<http::Uri>().is_ok();
        assert_eq!(unknown.status, if is_uri { 407 } else { 400 }, "CONNECT {target} by nobody");
    }
    for target in ["/", "*", "https://pages.example.com/", "ftp://pages.example.com/", "http://a@pages.example.com/"] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: pages.example.com\r\n");
        let authorized = format!("{request}Proxy-Authorization: {}\r\n\r\n", alice.header().unwrap());
        assert_eq!(Wire::to(copilens.proxy).await.ask(authorized).await.status, 400, "OPTIONS {target}");
        assert_eq!(Wire::to(copilens.proxy).await.ask(request + "\r\n").await.status, 407, "OPTIONS {target}");
    }
    assert_eq!(origin.received().len(), 0, "nothing was dialled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_cannot_be_had_is_refused_and_not_broken() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (silent, _filler) = silent_address().await;
    let (_origin, site) = watched_site(&[]).await;
    let entries = format!("{{ \"dead.example.com\" = \"{dead}\", \"silent.example.com\" = \"{silent}\" }}");
    let copilens = site.set("upstream.resolve", &entries).set("upstream.connect_timeout", "\"1s\"").start();
    let alice = copilens.credentials("alice");
    for (host, status, code) in
        [("dead.example.com", 502, "bad_gateway"), ("silent.example.com", 504, "gateway_timeout")]
    {
        let mut wire = Wire::to(copilens.proxy).await;
        let answer = wire.connect(&format!("{host}:443"), &alice).await;
        assert_eq!(answer.status, status, "{host}");
        assert!(answer.body.contains(code) && !answer.body.contains(&dead.to_string()), "{}", answer.body);
        let again = wire.connect(&format!("{host}:443"), &alice).await;
        assert_eq!(again.status, status, "the connection stays open");
    }
}

/// An address that never answers, for as long as the connections that fill its queue are kept.
async fn silent_address() -> (SocketAddr, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Never accepts; closed with the process.
    std::mem::forget(socket);
    let mut filler = Vec::new();
    while let Ok(Ok(stream)) = timeout(std::time::Duration::from_millis(300), TcpStream::connect(address)).await {
        filler.push(stream);
    }
    (address, filler)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clear_text_request_names_the_host_of_its_url_and_no_other() {
    let script = vec![Step::read_head(), Step::write("HTTP/1.1 204 No Content\r\n\r\n"), Step::Hold];
    let origin = RawOrigin::start(None, vec![script]).await.unwrap();
    let site = Site::to(origin.address(), &TestAuthority::new().unwrap());
    let copilens = site.set("upstream.resolve", &leading_to(origin.address(), &[OTHER_HOST])).start();
    let authorization = copilens.credentials("alice").header().unwrap();
    let request = format!(
        "GET http://{OTHER_HOST}/x?y=1 HTTP/1.1\r\nX-First: 1\r\nHost: elsewhere.example.com\r\nHost: {OTHER_HOST}\r\n\
         X-Last: 2\r\nProxy-Authorization: {authorization}\r\n\r\n"
    );
    assert_eq!(Wire::to(copilens.proxy).await.ask(request).await.status, 204);
    let head = String::from_utf8(origin.received()[0].to_vec()).unwrap();
    assert_eq!(head, format!("GET /x?y=1 HTTP/1.1\r\nX-First: 1\r\nHost: {OTHER_HOST}\r\nX-Last: 2\r\n\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_exchanges_with_intercepted_hosts_are_recorded() {
    let fake = FakeCopilot::start(FakeOptions::default()).await.unwrap();
    let site = Site::to(fake.address(), &TestAuthority::new().unwrap());
    let copilens = site.set("upstream.resolve", &leading_to(fake.address(), &[OTHER_HOST, CHAT_HOST])).start();
    let connection = copilens.client("alice").plain().await.unwrap();
    for host in [OTHER_HOST, CHAT_HOST] {
        let mut request = completion(&format!("# to {host}"));
        *request.uri_mut() = format!("http://{host}{}", request.uri().path()).parse().unwrap();
        request.headers_mut().remove("host");
        connection.send(request).await.unwrap().bytes().await.unwrap();
    }
    let records = copilens.wait_for_records("alice", "completions", 1);
    assert_eq!(records[0]["request"]["content"]["prompt"], format!("# to {CHAT_HOST}"));
    assert_eq!(fake.seen().request_count, 2);
}
