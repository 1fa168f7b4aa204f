//! The install page and the downloads, through the proxy and beside it.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use copilens::sim::client::{Connection, Credentials, ProxyClient, direct_plain};
use copilens::sim::tls::{Alpn, roots_from_pem};
use http::{HeaderMap, Method, Request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::*;

use crate::support::{COMPLETIONS_HOST, Copilens, PATIENCE, Site, Upstream, completion, files_in, outer_address};

/// Prefixes of URLs under which the pages are found through the proxy.
const NAMES: [&str; 4] = ["http://mitm.it", "http://copilens.local", "http://MITM.it:80", "http://mitm.it."];

struct Page {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }
}

async fn ask(connection: &Connection, method: Method, url: &str) -> Page {
    let request = Request::builder().method(method).uri(url).body(Bytes::new()).unwrap();
    let mut reply = connection.send(request).await.unwrap();
    let body = reply.bytes().await.unwrap();
    Page { status: reply.status().as_u16(), headers: reply.headers().clone(), body }
}

/// A client with the proxy set, but neither credentials nor the CA.
async fn newcomer(copilens: &Copilens) -> Connection {
    let client = ProxyClient::new(copilens.proxy, Credentials::Absent, rustls::RootCertStore::empty());
    client.plain().await.unwrap()
}

async fn admin(copilens: &Copilens) -> Connection {
    direct_plain(copilens.admin, &copilens.admin.to_string()).await.unwrap()
}

async fn start() -> (Upstream, Copilens) {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    (upstream, copilens)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_install_page_is_open_through_the_proxy_and_beside_it() {
    let (_upstream, copilens) = start().await;
    let newcomer = newcomer(&copilens).await;
    for name in NAMES {
        for path in ["/", "/install", ""] {
            let page = ask(&newcomer, Method::GET, &format!("{name}{path}")).await;
            assert_page(&copilens, &page);
        }
    }
    assert_page(&copilens, &ask(&admin(&copilens).await, Method::GET, "/install").await);
    let front = ask(&admin(&copilens).await, Method::GET, "/").await;
    assert_eq!((front.status, &front.headers["location"]), (303, &"/install".parse().unwrap()));
}

fn assert_page(copilens: &Copilens, page: &Page) {
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains(&copilens.proxy.to_string()), "the proxy's address is missing");
    assert!(text.contains(&fingerprint(copilens)), "the fingerprint is missing");
    assert!(!text.contains("mitm.it:"), "the page shows the name it was asked under");
    for link in ["/ca.pem", "/ca.cer", "/ca.p7b", "/ca.mobileconfig"] {
        assert!(text.contains(link), "{link} is missing");
    }
    for password in ["alice", "bob"].map(|user| copilens.site.password(user)) {
        assert!(!text.contains(&password), "a password is shown");
    }
}

/// As macOS shows it.
fn fingerprint(copilens: &Copilens) -> String {
    use sha2::Digest;
    let bytes = sha2::Sha256::digest(certificate(copilens));
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

/// The CA's certificate as its file has it.
fn certificate(copilens: &Copilens) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(copilens.site.path("certs/ca.pem")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_downloads_are_the_ca_in_each_form_and_hold_no_key() {
    let (_upstream, copilens) = start().await;
    let (newcomer, admin) = (newcomer(&copilens).await, admin(&copilens).await);
    for (path, content_type) in [
        ("/ca.pem", "application/x-pem-file"),
        ("/ca.cer", "application/x-x509-ca-cert"),
        ("/ca.p7b", "application/x-pkcs7-certificates"),
        ("/ca.mobileconfig", "application/x-apple-aspen-config"),
    ] {
        let beside = ask(&admin, Method::GET, path).await;
        assert_download(&copilens, path, content_type, &beside);
        for name in NAMES {
            let through = ask(&newcomer, Method::GET, &format!("{name}{path}")).await;
            assert_download(&copilens, path, content_type, &through);
            assert_eq!(through.body, beside.body);
        }
    }
}

fn assert_download(copilens: &Copilens, path: &str, content_type: &str, page: &Page) {
    assert_eq!((page.status, page.headers["content-type"].to_str().unwrap()), (200, content_type), "{path}");
    assert!(page.headers["content-disposition"].to_str().unwrap().contains("copilens-ca."), "{path}");
    let parsed = match path {
        "/ca.pem" => CertificateDer::from_pem_slice(&page.body).unwrap().to_vec(),
        "/ca.cer" => page.body.to_vec(),
        "/ca.p7b" => certificate_of_p7b(&page.body),
        _ => certificate_of_profile(&page.text()),
    };
    let (rest, ca) = X509Certificate::from_der(&parsed).unwrap();
    assert!(rest.is_empty() && ca.is_ca(), "{path}");
    assert_eq!(parsed, certificate(copilens).to_vec(), "{path}");
    assert_no_key(copilens, &page.body);
}

/// RFC 2315 section 9.1: ContentInfo, SignedData, and in it the certificates under tag [0].
fn certificate_of_p7b(p7b: &[u8]) -> Vec<u8> {
    use x509_parser::der_parser::parse_der;
    let (rest, info) = parse_der(p7b).unwrap();
    assert!(rest.is_empty());
    let info = info.as_sequence().unwrap();
    assert_eq!(info[0].as_oid().unwrap().to_id_string(), "1.2.840.113549.1.7.2");
    let (_, signed) = parse_der(info[1].as_slice().unwrap()).unwrap();
    let certificates = signed.as_sequence().unwrap()[3].as_slice().unwrap().to_vec();
    openssl_reads_p7b(p7b);
    certificates
}

/// Where OpenSSL is installed, it has to agree.
fn openssl_reads_p7b(p7b: &[u8]) {
    let mut command = Command::new("openssl");
    command.args(["pkcs7", "-inform", "DER", "-print_certs"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return };
    child.stdin.take().unwrap().write_all(p7b).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("BEGIN CERTIFICATE"));
}

fn certificate_of_profile(profile: &str) -> Vec<u8> {
    assert!(profile.contains("<string>com.apple.security.root</string>"));
    let (_, data) = profile.split_once("<data>").unwrap();
    let (data, _) = data.split_once("</data>").unwrap();
    STANDARD.decode(data.split_whitespace().collect::<String>()).unwrap()
}

/// Neither as DER nor as text, whole or in part.
fn assert_no_key(copilens: &Copilens, body: &[u8]) {
    let key = PrivateKeyDer::from_pem_file(copilens.site.path("certs/ca.key")).unwrap();
    let lines = fs::read_to_string(copilens.site.path("certs/ca.key")).unwrap();
    let text = String::from_utf8_lossy(body);
    assert!(!text.contains("PRIVATE KEY"));
    assert!(lines.lines().filter(|line| line.len() > 20 && !line.contains("---")).all(|line| !text.contains(line)));
    let secret = &key.secret_der()[36..68];
    assert!(!body.windows(secret.len()).any(|part| part == secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_installs_the_download_trusts_the_tunnels() {
    let (_upstream, copilens) = start().await;
    let pem = ask(&newcomer(&copilens).await, Method::GET, "http://mitm.it/ca.pem").await.text();
    let client = ProxyClient::new(copilens.proxy, copilens.credentials("alice"), roots_from_pem(&pem).unwrap());
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let tunnel = client.tunnel(COMPLETIONS_HOST, 443, alpn).await.unwrap();
        assert_eq!(tunnel.send(completion("def installed():")).await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_page_and_downloads_is_open() {
    let (upstream, copilens) = start().await;
    let newcomer = newcomer(&copilens).await;
    for path in [
        "/ca.key",
        "/ca.pem/",
        "/../certs/ca.key",
        "/%2e%2e/certs/ca.key",
        "/certs/ca.key",
        "/config/seed",
        "/livez",
        "/readyz",
        "/metrics",
        "/api/v1/users",
        "/favicon.ico",
        "/chat/completions",
    ] {
        let page = ask(&newcomer, Method::GET, &format!("http://mitm.it{path}")).await;
        assert_eq!((page.status, page.text().as_str()), (404, "not found\n"), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        assert_eq!(ask(&newcomer, method, "http://mitm.it/").await.status, 405);
    }
    let head = ask(&newcomer, Method::HEAD, "http://mitm.it/ca.pem").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for other in
        ["http://sub.mitm.it/", "http://mitm.it.example.com/", "http://notmitm.it/", "http://copilens.localhost/"]
    {
        assert_eq!(ask(&newcomer, Method::GET, other).await.status, 407, "{other}");
    }
    assert_eq!(upstream.fake.seen().connections, 0);
    assert!(files_in(&copilens.site.path("logs/usage")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_can_load_all_that_it_names() {
    let (_upstream, copilens) = start().await;
    let newcomer = newcomer(&copilens).await;
    let page = ask(&newcomer, Method::GET, "http://mitm.it/").await.text();
    let quoted = page.split('"').filter(|part| part.starts_with('/') && !part.contains(char::is_whitespace));
    let links: Vec<_> = quoted.collect();
    assert!(links.contains(&"/install.css"), "{links:?}");
    for link in links {
        assert_eq!(ask(&newcomer, Method::GET, &format!("http://mitm.it{link}")).await.status, 200, "{link}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configured_address_is_shown_instead_of_the_one_reached() {
    let (_upstream, mut copilens) = start().await;
    copilens.reload(|site| site.change("public_address", "\"proxy.example.com:3128\""));
    shown(&copilens, "proxy.example.com:3128").await;
    let through = ask(&newcomer(&copilens).await, Method::GET, "http://mitm.it/").await.text();
    let beside = ask(&admin(&copilens).await, Method::GET, "/install").await.text();
    let pac = ask(&admin(&copilens).await, Method::GET, "/proxy.pac").await.text();
    for page in [through, beside] {
        assert!(page.contains("http://NAME:PASSWORD@proxy.example.com:3128"));
        assert!(!page.contains(&copilens.proxy.to_string()));
    }
    assert!(pac.contains(r#"return "PROXY proxy.example.com:3128""#), "{pac}");
}

/// The page follows the settings a moment after they are in force.
async fn shown(copilens: &Copilens, address: &str) {
    let admin = admin(copilens).await;
    let follows = async {
        while !ask(&admin, Method::GET, "/install").await.text().contains(address) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, follows).await.expect("the page to follow the settings");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_for_all_addresses_shows_the_one_that_was_reached() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream).set("listen", "\"0.0.0.0:0\"").set("admin_listen", "\"0.0.0.0:0\"");
    let mut copilens = site.start();
    let port = copilens.proxy.port();
    copilens.admin.set_ip([127, 0, 0, 1].into());
    for reached in [Some([127, 0, 0, 1].into()), outer_address()].into_iter().flatten() {
        copilens.proxy.set_ip(reached);
        let through = ask(&newcomer(&copilens).await, Method::GET, "http://mitm.it/").await.text();
        assert!(through.contains(&format!("http://NAME:PASSWORD@{reached}:{port}")), "{reached}");
        assert!(!through.contains("0.0.0.0"));
    }
    let beside = direct_plain(copilens.admin, "proxy.example.com:8081").await.unwrap();
    let beside = ask(&beside, Method::GET, "/install").await.text();
    assert!(beside.contains(&format!("http://NAME:PASSWORD@proxy.example.com:{port}")));
    let hostile = direct_plain(copilens.admin, "x\"><script>").await.unwrap();
    assert!(!ask(&hostile, Method::GET, "/install").await.text().contains("<script>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_cannot_be_reached_through_the_proxy() {
    let (_upstream, mut copilens) = start().await;
    let port = copilens.admin.port();
    copilens.reload(|site| site.change("intercept.ports", &format!("[443, {port}]")));
    let alice = copilens.client("alice");
    let plain = alice.plain().await.unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "mitm.it.localhost"] {
        let page = ask(&plain, Method::GET, &format!("http://{host}:{port}/livez")).await;
        assert!([403, 502].contains(&page.status), "{host}: {}", page.status);
        assert!(alice.connect(&format!("{host}:{port}")).await.is_err(), "{host}");
    }
    let through_its_name = ask(&plain, Method::GET, &format!("http://mitm.it:{port}/livez")).await;
    assert_eq!(through_its_name.status, 404, "the pages for the proxy's name are not the admin's");
}
