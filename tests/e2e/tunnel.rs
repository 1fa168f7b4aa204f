//! What happens inside an intercepted tunnel, and what must not.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copilens::sim::client::{ClientError, Connection, ProxyClient};
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{self, Alpn, TestAuthority};
use http::header::HOST;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::*;

use crate::support::wire::{self, Wire};
use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens, HOSTS, Site, Upstream, completion};

const USER_PATH: &str = "/copilot_internal/user";

async fn start() -> (Upstream, Copilens) {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    (upstream, copilens)
}

/// A request that is not recorded, by hand.
fn get_user(fields: &str) -> String {
    format!("GET {USER_PATH} HTTP/1.1\r\n{fields}x-sim-framing: length\r\n\r\n")
}

/// Still serving: nothing that was done before has hurt the process or this tunnel.
async fn assert_alive(tunnel: &Connection) {
    let mut reply = tunnel.send(completion("def still_here():")).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(reply.bytes().await.unwrap().ends_with(b"data: [DONE]\n\n"));
}

async fn handshake(copilens: &Copilens, host: &str, sni: Option<&str>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = Arc::unwrap_or_clone(tls::client(copilens.roots(), Alpn::Http1).unwrap());
    config.enable_sni = sni.is_some();
    let name = ServerName::try_from(sni.unwrap_or(host).to_owned()).unwrap();
    let socket = copilens.client("alice").connect(&format!("{host}:443")).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_in_two_pieces_is_intercepted_all_the_same() {
    let (_upstream, copilens) = start().await;
    let socket = copilens.client("alice").connect(&format!("{COMPLETIONS_HOST}:443")).await.unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(first_byte_alone(far, socket));
    let connector = TlsConnector::from(tls::client(copilens.roots(), Alpn::Http1).unwrap());
    let stream = connector.connect(ServerName::try_from(COMPLETIONS_HOST).unwrap(), near).await.unwrap();
    let answer = Wire::over(stream).ask(get_user(&format!("Host: {COMPLETIONS_HOST}\r\n"))).await;
    assert_eq!(answer.status, 200);
}

async fn first_byte_alone(mut from: tokio::io::DuplexStream, mut to: TcpStream) {
    let first = from.read_u8().await.unwrap();
    to.write_u8(first).await.unwrap();
    // Long enough for the proxy to read it alone; where it does not, the test proves less but holds.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tls_ends_the_tunnel_and_reaches_nobody() {
    let origin = RawOrigin::start(None, vec![vec![Step::Hold]]).await.unwrap();
    let copilens = Site::to(origin.address(), &TestAuthority::new().unwrap()).start();
    let client = copilens.client("alice");
    for clear in [
        "GET / HTTP/1.1\r\nHost: proxy.enterprise.githubcopilot.com\r\n\r\n",
        "POST /v1/engines/x/completions HTTP/1.1\r\nHost: proxy.enterprise.githubcopilot.com\r\nContent-Length: 2\r\n\r\n{}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\x16\x03",
        "\x16\x03\x01\x00\x05hello",
        "\x16\x03\x01\u{7f}\u{7f}",
        "\r\n",
    ] {
        let mut wire = Wire::over(client.connect(&format!("{COMPLETIONS_HOST}:443")).await.unwrap());
        wire.send(clear).await;
        let mut stream = wire.into_stream();
        stream.shutdown().await.unwrap();
        let rest = Wire::over(stream).rest().await;
        // At most a TLS alert.
        assert!(rest.is_empty() || rest.starts_with(&[0x15, 3]), "{clear:?}: {rest:?}");
    }
    assert_eq!(origin.received().len(), 0, "connections to upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_text_ends_the_tunnel_while_the_client_waits() {
    let (_upstream, copilens) = start().await;
    let mut wire = Wire::over(copilens.client("alice").connect(&format!("{CHAT_HOST}:443")).await.unwrap());
    wire.send("POST /chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&wire.rest().await).contains("HTTP"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_silent_after_connect_is_let_go() {
    let (_upstream, copilens) = start().await;
    let client = copilens.client("alice");
    let silent = async {
        let socket = client.connect(&format!("{CHAT_HOST}:443")).await.unwrap();
        assert!(Wire::over(socket).rest().await.is_empty());
    };
    let halfway = async {
        let mut socket = client.connect(&format!("{CHAT_HOST}:443")).await.unwrap();
        socket.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        Wire::over(socket).rest().await;
    };
    tokio::join!(silent, halfway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_name_other_than_the_tunnels_ends_it() {
    let (upstream, copilens) = start().await;
    for sni in [CHAT_HOST, "githubcopilot.com", "example.com"] {
        let error = handshake(&copilens, COMPLETIONS_HOST, Some(sni)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
    }
    assert_eq!(upstream.fake.seen().connections, 0);
}

fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    names.value.general_names.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_names_the_tunnels_host_alone_with_and_without_sni() {
    let (_upstream, copilens) = start().await;
    for sni in [Some(CHAT_HOST), Some("API.Enterprise.GitHubCopilot.COM"), None] {
        let stream = handshake(&copilens, CHAT_HOST, sni).await.unwrap();
        let chain = stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(names_of(&chain[0]), [format!("DNSName({CHAT_HOST})")]);
        let answer = Wire::over(stream).ask(get_user(&format!("Host: {CHAT_HOST}\r\n"))).await;
        assert_eq!(answer.status, 200, "{sni:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_on_the_intercept_list_gets_a_certificate_for_an_address() {
    let authority = TestAuthority::new().unwrap();
    let server = authority.server(&["127.0.0.1", "::1"], Alpn::Http1).unwrap();
    let answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let script = vec![Step::read_head(), Step::write(answer)];
    let origin = RawOrigin::start(Some(server), vec![script]).await.unwrap();
    let resolve = format!("{{ \"127.0.0.1\" = \"{0}\", \"::1\" = \"{0}\" }}", origin.address());
    let site = Site::to(origin.address(), &authority).set("upstream.resolve", &resolve);
    let copilens = site.set("intercept.hosts", "[\"127.0.0.1\", \"[::1]\"]").start();
    for (host, name, san) in [
        ("127.0.0.1", "127.0.0.1", "IPAddress(7f:00:00:01)"),
        ("127.1", "127.0.0.1", "IPAddress(7f:00:00:01)"),
        ("[::1]", "::1", "IPAddress(00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:01)"),
    ] {
        let socket = copilens.client("alice").connect(&format!("{host}:443")).await.unwrap();
        let connector = TlsConnector::from(tls::client(copilens.roots(), Alpn::Http1).unwrap());
        let stream = connector.connect(ServerName::try_from(name).unwrap(), socket).await.unwrap();
        let chain = stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(names_of(&chain[0]), [san]);
        assert_eq!(Wire::over(stream).ask(get_user(&format!("Host: {host}\r\n"))).await.status, 204, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_inside_a_tunnel_is_refused_and_hurts_nobody() {
    let (upstream, copilens) = start().await;
    let bystander = copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http1).await;
    assert_alive(&bystander).await;
    let seen = upstream.fake.seen().request_count;

    let stream = copilens.client("alice").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
    let mut wire = Wire::over(stream);
    for target in ["a:1", "127.0.0.1:22", &format!("{CHAT_HOST}:443")] {
        let answer = wire.ask(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
        assert_eq!(answer.status, 405, "{}", answer.head);
        assert!(!answer.all("allow").is_empty());
    }
    assert_eq!(wire.ask(get_user(&format!("Host: {CHAT_HOST}\r\n"))).await.status, 200, "the tunnel itself goes on");

    let mut h2 = raw_http2(&copilens, CHAT_HOST).await;
    for target in ["a:1", "127.0.0.1:22"] {
        let request = Request::connect(target).version(Version::HTTP_2).body(Full::default()).unwrap();
        assert_eq!(h2.send_request(request).await.unwrap().status(), 405);
    }
    let answer = ask_http2(&mut h2, &format!("https://{CHAT_HOST}{USER_PATH}"), None).await;
    assert_eq!(answer.status(), 200, "the tunnel itself goes on");
    assert_eq!(upstream.fake.seen().request_count, seen + 2);
    assert_alive(&bystander).await;
}

type Http2 = http2::SendRequest<Full<Bytes>>;

/// An HTTP/2 client that sends whatever scheme and authority it is told.
async fn raw_http2(copilens: &Copilens, host: &str) -> Http2 {
    let stream = copilens.client("alice").tls(host, 443, host, Alpn::Http2).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask_http2(h2: &mut Http2, url: &str, host: Option<&str>) -> Response<Incoming> {
    let mut request = Request::get(url).version(Version::HTTP_2).body(Full::default()).unwrap();
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host.parse().unwrap());
    }
    h2.ready().await.unwrap();
    h2.send_request(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_no_other_scheme_or_authority_is_asked() {
    let (upstream, copilens) = start().await;
    let mut h2 = raw_http2(&copilens, CHAT_HOST).await;
    let own = format!("https://{CHAT_HOST}{USER_PATH}");
    let admin = format!("http://{}/install", copilens.admin);
    for (url, host) in [
        (format!("https://{COMPLETIONS_HOST}{USER_PATH}"), None),
        (format!("https://{CHAT_HOST}:8443{USER_PATH}"), None),
        (format!("http://{CHAT_HOST}{USER_PATH}"), None),
        (format!("ftp://{CHAT_HOST}{USER_PATH}"), None),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), None),
        (admin.clone(), None),
        (admin.replace("http:", "https:"), None),
        ("http://mitm.it/".to_owned(), None),
        (own.clone(), Some(COMPLETIONS_HOST)),
        (own.clone(), Some("127.0.0.1")),
        (own.clone(), Some("")),
    ] {
        let answer = ask_http2(&mut h2, &url, host).await;
        assert_eq!(answer.status(), 421, "{url} {host:?}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(br#"{"error":{"code":"misdirected_request""#), "{body:?}");
    }
    assert_eq!(upstream.fake.seen().connections, 0);
    for (url, host) in [
        (own.clone(), None),
        (own.clone(), Some(CHAT_HOST)),
        (format!("https://{}:443{USER_PATH}", CHAT_HOST.to_uppercase()), None),
    ] {
        assert_eq!(ask_http2(&mut h2, &url, host).await.status(), 200, "{url} {host:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http1_no_other_host_is_asked() {
    let (upstream, copilens) = start().await;
    let stream = copilens.client("alice").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
    let mut wire = Wire::over(stream);
    let own = format!("Host: {CHAT_HOST}\r\n");
    let admin = format!("http://{}/install", copilens.admin);
    for (target, fields) in [
        (USER_PATH, format!("Host: {COMPLETIONS_HOST}\r\n")),
        (USER_PATH, "Host: 169.254.169.254\r\n".to_owned()),
        (USER_PATH, format!("Host: {CHAT_HOST}:8443\r\n")),
        (USER_PATH, "Host:\r\n".to_owned()),
        (USER_PATH, own.repeat(2)),
        (USER_PATH, own.clone() + "Host: example.com\r\n"),
        (&format!("https://{COMPLETIONS_HOST}{USER_PATH}"), own.clone()),
        (&format!("http://{CHAT_HOST}{USER_PATH}"), own.clone()),
        (&admin, own.clone()),
        ("http://mitm.it/", "Host: mitm.it\r\n".to_owned()),
    ] {
        let answer = wire.ask(format!("GET {target} HTTP/1.1\r\n{fields}\r\n")).await;
        assert_eq!(answer.status, 421, "{target} {fields:?}");
    }
    assert_eq!(upstream.fake.seen().connections, 0);
    for fields in [own.clone(), format!("Host: {CHAT_HOST}:443\r\n"), format!("Host: {}\r\n", CHAT_HOST.to_uppercase())]
    {
        assert_eq!(wire.ask(get_user(&fields)).await.status, 200, "{fields:?}");
    }
    let absolute = get_user(&own).replace(USER_PATH, &format!("https://{CHAT_HOST}{USER_PATH}"));
    assert_eq!(wire.ask(absolute).await.status, 200, "the tunnel's own URL in absolute form");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_asks_in_http_1_0_without_host() {
    let (_upstream, copilens) = start().await;
    let authorization = copilens.credentials("alice").header().unwrap();
    let mut wire = Wire::to(copilens.proxy).await;
    let target = format!("{CHAT_HOST}:443");
    let refused = wire.ask(format!("CONNECT {target} HTTP/1.0\r\n\r\n")).await;
    assert_eq!(refused.status, 407);
    let mut wire = Wire::to(copilens.proxy).await;
    let answer = wire.ask(format!("CONNECT {target} HTTP/1.0\r\nProxy-Authorization: {authorization}\r\n\r\n")).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    let connector = TlsConnector::from(tls::client(copilens.roots(), Alpn::Http1).unwrap());
    let stream = connector.connect(ServerName::try_from(CHAT_HOST).unwrap(), wire.into_stream()).await.unwrap();
    assert_eq!(Wire::over(stream).ask(get_user(&format!("Host: {CHAT_HOST}\r\n"))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_client_hello_may_come_at_once() {
    let (_upstream, copilens) = start().await;
    let connector = TlsConnector::from(tls::client(copilens.roots(), Alpn::Http1).unwrap());
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut wire = Wire::to(copilens.proxy).await;
    let request = wire::connect(&format!("{CHAT_HOST}:443"), &copilens.credentials("alice"));
    let relay = tokio::spawn(async move {
        let mut hello = vec![0; 4096];
        let length = far.read(&mut hello).await.unwrap();
        let answer = wire.ask([request.as_bytes(), &hello[..length]].concat()).await;
        let mut socket = wire.into_stream();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut socket).await });
        answer.status
    });
    let stream = connector.connect(ServerName::try_from(CHAT_HOST).unwrap(), near).await.unwrap();
    assert_eq!(relay.await.unwrap(), 200);
    assert_eq!(Wire::over(stream).ask(get_user(&format!("Host: {CHAT_HOST}\r\n"))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_in_clear_text_on_the_proxys_port_admits_nobody() {
    let (upstream, copilens) = start().await;
    let authorization = copilens.credentials("alice").header().unwrap();
    let socket = TcpStream::connect(copilens.proxy).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let url = format!("http://{CHAT_HOST}{USER_PATH}");
    for request in [
        Request::connect(format!("{CHAT_HOST}:443")).header("proxy-authorization", &authorization),
        Request::get(&url).header("proxy-authorization", &authorization),
        Request::get(&url),
        Request::get("http://mitm.it/"),
    ] {
        sender.ready().await.unwrap();
        let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 505);
    }
    assert_eq!(upstream.fake.seen().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_trust_the_ca_hurts_nobody() {
    let (_upstream, copilens) = start().await;
    let bystander = copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await;
    let stranger = TestAuthority::new().unwrap().roots();
    let client = ProxyClient::new(copilens.proxy, copilens.credentials("alice"), stranger);
    for host in HOSTS {
        let refused = client.tunnel(host, 443, Alpn::Both).await;
        assert!(matches!(refused, Err(ClientError::Handshake { .. })), "{refused:?}");
    }
    assert_alive(&bystander).await;
}
