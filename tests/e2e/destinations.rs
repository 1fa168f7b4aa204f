//! Where a request may go.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use bytes::Bytes;
use copilens::sim::client::Credentials;
use copilens::sim::copilot::{FakeCopilot, FakeOptions};
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use http::Request;
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
    assert_eq!(origin.received().len(), 1);
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

/// Spellings of addresses that are never dialled.
const FORBIDDEN_HOSTS: [&str; 52] = [
    // This machine.
    "127.0.0.1",
    "127.0.0.1.",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0X7F000001",
    "2130706433",
    "017700000001",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001::80ff:fffe]",
    "0.0.0.0",
    "0",
    "0x0",
    "[::]",
    // Private networks.
    "10.0.0.1",
    "10.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "3232235777",
    "[fd00::1]",
    "[fc00::1]",
    "[::ffff:10.0.0.1]",
    "100.64.0.1",
    "100.127.255.254",
    // Link-local and metadata.
    "169.254.0.1",
    "169.254.169.254",
    "2852039166",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "168.63.129.16",
    // Neither here nor there.
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
];

/// With the watched origin's port on the list, so that whatever leads to this machine would reach it.
async fn site_of_one_port() -> (RawOrigin, Site, u16) {
    let (origin, site) = watched_site(&[CHAT_HOST]).await;
    let port = origin.address().port();
    (origin, site.set("intercept.ports", &format!("[443, {port}]")), port)
}

async fn assert_all_forbidden(copilens: &Copilens, hosts: &[&str], port: u16) {
    let alice = copilens.credentials("alice");
    for host in hosts {
        assert_forbidden(&connect(copilens, &alice, &format!("{host}:{port}")).await, host);
        assert_forbidden(&get(copilens, &alice, &format!("http://{host}:{port}/")).await, host);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_forbidden_address_is_dialled() {
    let (origin, site, port) = site_of_one_port().await;
    let copilens = site.start();
    assert_all_forbidden(&copilens, &FORBIDDEN_HOSTS, port).await;
    assert_eq!(origin.received().len(), 0, "nothing was dialled");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_forbidden_address_is_asked_of_a_parent_proxy() {
    let (origin, site, port) = site_of_one_port().await;
    let copilens = site.set("upstream.parent_proxy", &format!("\"http://{}\"", origin.address())).start();
    // Names are the parent's to resolve.
    let addresses: Vec<_> = FORBIDDEN_HOSTS
        .into_iter()
        .filter(|host| !host.eq_ignore_ascii_case("localhost") && *host != "localhost.")
        .collect();
    assert_all_forbidden(&copilens, &addresses, port).await;
    assert_eq!(origin.received().len(), 0, "the parent was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intercepted_name_that_leads_to_a_forbidden_address_is_not_dialled() {
    let (origin, site, port) = site_of_one_port().await;
    let copilens = site.set("intercept.hosts", "[\"localhost\", \"127.0.0.1\"]").start();
    let client = copilens.client("alice");
    for (host, alpn) in [("localhost", Alpn::Http1), ("localhost", Alpn::Http2), ("127.0.0.1", Alpn::Http1)] {
        let tunnel = client.tunnel(host, port, alpn).await.unwrap();
        let mut reply = tunnel.send(Request::get("/").body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), 403);
        assert_eq!(reply.bytes().await.unwrap(), FORBIDDEN);
    }
    assert_eq!(origin.received().len(), 0, "nothing was dialled");
}

/// An address of this machine that is not loopback, where there is one.
fn outer_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxys_own_ports_are_never_dialled_even_where_no_network_is_denied() {
    let (_origin, site) = watched_site(&[CHAT_HOST]).await;
    let site = site.set("listen", "\"0.0.0.0:0\"").set("intercept.deny_networks", "[]");
    let mut copilens = site.start();
    let ports = [copilens.proxy.port(), copilens.admin.port()];
    copilens.reload(|site| site.change("intercept.ports", &format!("[443, {}, {}]", ports[0], ports[1])));
    let outer = outer_address();
    let mut hosts = vec![
        "127.0.0.1",
        "127.1",
        "2130706433",
        "localhost",
        "0.0.0.0",
        "0",
        "127.0.0.2",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ];
    hosts.extend(outer.as_deref());
    if UdpSocket::bind("[::1]:0").is_ok() {
        hosts.extend(["[::1]", "[::]"]);
    }
    for port in ports {
        assert_all_forbidden(&copilens, &hosts, port).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_admin_names_is_dialled() {
    let (origin, site) = watched_site(&["localhost", OTHER_HOST]).await;
    let copilens = site.start();
    let alice = copilens.credentials("alice");
    for (number, host) in ["localhost", OTHER_HOST, "LOCALHOST."].iter().enumerate() {
        assert_eq!(connect(&copilens, &alice, &format!("{host}:443")).await.status, 200, "{host}");
        assert_eq!(origin.received().len(), number + 1);
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
    for (host, status, code) in [
        ("dead.example.com", 502, "bad_gateway"),
        ("no-such-host.invalid", 502, "bad_gateway"),
        ("silent.example.com", 504, "gateway_timeout"),
    ] {
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
