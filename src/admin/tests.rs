//! The routes as a client sees them: what they serve, to whom they show which address, and what they never serve.

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::certs::{CaCertificate, CaFiles};
use crate::config::{HostPort, Live, Loaded, ReachedAt, Tokens};
use crate::reports::{ReportSource, UsagePage};
use crate::store::SqliteStore;

fn new_ca() -> CaCertificate {
    let dir = tempfile::tempdir().unwrap();
    CaFiles::open_or_create(dir.path()).unwrap().certificate().clone()
}

fn default_onboarding() -> Onboarding {
    Onboarding {
        ca: new_ca(),
        listen: "0.0.0.0:8080".parse().unwrap(),
        public_address: None,
        intercept_hosts: vec!["*.githubcopilot.com".to_owned(), "api.github.com".to_owned()],
        prompts_kept: true,
        prompts_differ: false,
        telemetry_read: true,
        retention_days: 90,
    }
}

/// Texts that begin with `!` are notes.
fn admin_with(onboarding: Onboarding, problems: &'static [&'static str]) -> Router {
    let health: Health = Arc::new(move || {
        let texts = |marked: bool| problems.iter().filter(move |text| text.starts_with('!') == marked);
        let owned = |text: &&str| text.trim_start_matches('!').to_owned();
        Condition { problems: texts(false).map(owned).collect(), notes: texts(true).map(owned).collect() }
    });
    let token_file = tempfile::tempdir().unwrap().path().join("token");
    let tokens = Arc::new(Tokens::beside(&token_file));
    let access = Access::new(AdminToken::read_or_create(&token_file).unwrap(), tokens);
    let onboarding = Arc::new(ArcSwap::from_pointee(onboarding));
    let store = SqliteStore::open_or_renew(&tempfile::tempdir().unwrap().path().join("usage.sqlite3")).unwrap();
    let source = Arc::new(ReportSource::new(Arc::new(Live::new(Loaded::default())), Arc::new(store)));
    let usage = UsageMetrics { registry: Arc::default(), page: Arc::new(UsagePage::new(Arc::clone(&source))) };
    let desk = Arc::new(Desk::new(source).unwrap());
    router(AdminState { onboarding, health, metrics: Arc::default(), usage, access, desk })
}

fn admin() -> Router {
    admin_with(default_onboarding(), &[])
}

fn through_proxy(onboarding: Onboarding) -> Router {
    onboarding_router(Arc::new(ArcSwap::from_pointee(onboarding)))
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &axum::http::HeaderName) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

async fn send(router: Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
}

fn get_from(host: &str, path: &str) -> Request<Body> {
    Request::get(path).header(HOST, host).body(Body::empty()).unwrap()
}

async fn get_page(router: Router, path: &str) -> Answer {
    send(router, get_from("proxy.example.com:8081", path)).await
}

#[tokio::test]
async fn the_front_page_leads_to_the_install_page() {
    let answer = get_page(admin(), "/").await;
    assert_eq!((answer.status, answer.header(&LOCATION)), (StatusCode::SEE_OTHER, "/install"));
    assert_eq!(get_page(admin(), "/install").await.header(&CONTENT_TYPE), "text/html; charset=utf-8");
}

#[tokio::test]
async fn the_page_text_for_one_address() {
    let onboarding = default_onboarding();
    let ca = onboarding.ca.clone();
    let page = get_page(admin_with(onboarding, &[]), "/install").await;
    let text = visible_text(page.text())
        .replace(&ca.fingerprint(), "[fingerprint]")
        .replace(&ca.fingerprint_with(" "), "[spaced fingerprint]")
        .replace(&ca.fingerprint_with("").to_lowercase(), "[plain fingerprint]")
        .replace(ca.common_name(), "[name]")
        .replace(&ca.not_after().format("%-d %B %Y, %H:%M:%S UTC").to_string(), "[expiry]");
    insta::assert_snapshot!("install_page", text);
}

/// What a browser shows, roughly: no tags, the five entities read, one line a text line.
fn visible_text(html: &str) -> String {
    let mut text = String::new();
    for piece in html.split('<') {
        text.push_str(piece.split_once('>').map_or("", |(_, shown)| shown));
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&minus;", "-"), ("&#34;", "\""), ("&amp;", "&")];
    let text = entities.iter().fold(text, |text, (entity, plain)| text.replace(entity, plain));
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn directly_reached_it_shows_the_host_that_the_client_named() {
    for (host, shown) in [("proxy.example.com:8081", "proxy.example.com:8080"), ("[2001:db8::1]", "[2001:db8::1]:8080")]
    {
        let page = send(admin(), get_from(host, "/install")).await;
        assert!(page.text().contains(&format!("http://NAME:PASSWORD@{shown}")));
        let pac = send(admin(), get_from(host, "/proxy.pac")).await;
        assert!(pac.text().contains(&format!("\"PROXY {shown}\"")));
    }
}

#[tokio::test]
async fn a_hostile_host_header_is_not_shown() {
    for host in ["\"><script>alert(1)</script>", "$(id)", "x'y"] {
        for path in ["/install", "/proxy.pac"] {
            let page = send(admin(), get_from(host, path)).await;
            assert!(page.text().contains("127.0.0.1:8080") && !page.text().contains(host), "{}", page.text());
        }
    }
}

#[tokio::test]
async fn through_the_proxy_it_shows_the_address_that_the_client_reached() {
    for path in ["/", "/install", "/proxy.pac"] {
        let mut request = get_from("mitm.it", path);
        request.extensions_mut().insert(ReachedAt("10.1.2.3:3128".parse().unwrap()));
        let page = send(through_proxy(default_onboarding()), request).await;
        assert!(page.text().contains("10.1.2.3:3128"));
        assert!(!page.text().contains("mitm.it:"));
    }
    let page = send(through_proxy(default_onboarding()), get_from("mitm.it", "/")).await;
    assert!(page.text().contains("127.0.0.1:8080"));
}

#[tokio::test]
async fn the_configured_address_goes_before_what_was_reached() {
    let mut onboarding = default_onboarding();
    onboarding.public_address = "copilot.example.com:3128".parse::<HostPort>().as_ref().ok().map(Into::into);
    let mut request = get_from("mitm.it", "/install");
    request.extensions_mut().insert(ReachedAt("10.1.2.3:8080".parse().unwrap()));
    for page in [
        get_page(admin_with(onboarding.clone(), &[]), "/install").await,
        send(through_proxy(onboarding), request).await,
    ] {
        assert!(page.text().contains("http://NAME:PASSWORD@copilot.example.com:3128"));
        assert!(!page.text().contains(":8080"));
    }
}

#[tokio::test]
async fn a_swap_shows_at_the_next_request() {
    let onboarding = Arc::new(ArcSwap::from_pointee(default_onboarding()));
    let pages = onboarding_router(Arc::clone(&onboarding));
    let less = Onboarding { prompts_kept: false, telemetry_read: false, retention_days: 0, ..default_onboarding() };
    onboarding.store(Arc::new(less));
    let page = get_page(pages, "/").await;
    assert!(
        page.text().contains("The text of prompts and answers is not kept.") && !page.text().contains("some users")
    );
    assert!(page.text().contains("which GitHub account you use") && !page.text().contains("telemetry"));
    assert!(page.text().contains("until your administrator deletes them"));
}

#[tokio::test]
async fn where_users_differ_the_page_says_whom_to_ask() {
    for prompts_kept in [true, false] {
        let onboarding = Onboarding { prompts_kept, prompts_differ: true, ..default_onboarding() };
        let page = get_page(admin_with(onboarding, &[]), "/install").await;
        assert!(page.text().contains("ask yours whether your prompts and answers are kept"), "{}", page.text());
    }
}

#[tokio::test]
async fn downloads_have_their_types_and_names_and_no_key() {
    let onboarding = default_onboarding();
    let ca = onboarding.ca.clone();
    for (path, content_type, file) in [
        ("/ca.pem", "application/x-pem-file", "copilens-ca.pem"),
        ("/ca.cer", "application/x-x509-ca-cert", "copilens-ca.cer"),
        ("/ca.p7b", "application/x-pkcs7-certificates", "copilens-ca.p7b"),
        ("/ca.mobileconfig", "application/x-apple-aspen-config", "copilens-ca.mobileconfig"),
    ] {
        for router in [admin_with(onboarding.clone(), &[]), through_proxy(onboarding.clone())] {
            let answer = get_page(router, path).await;
            assert_eq!((answer.status, answer.header(&CONTENT_TYPE)), (StatusCode::OK, content_type));
            assert_eq!(answer.header(&CONTENT_DISPOSITION), format!("attachment; filename=\"{file}\""));
            assert!(!answer.body.windows(11).any(|part| part == b"PRIVATE KEY"));
        }
    }
    let der = get_page(admin_with(onboarding, &[]), "/ca.cer").await;
    assert_eq!(der.body, ca.der().to_vec());
}

#[tokio::test]
async fn no_path_serves_a_key_or_a_file() {
    for path in ["/ca.key", "/certs/ca.key", "/../certs/ca.key", "/%2e%2e/certs/ca.key", "/install/", "/nothing"] {
        for router in [admin(), through_proxy(default_onboarding())] {
            let answer = get_page(router, path).await;
            assert_eq!((answer.status, answer.text()), (StatusCode::NOT_FOUND, "not found\n"), "{path}");
        }
    }
}

#[tokio::test]
async fn through_the_proxy_there_are_no_pages_for_operators() {
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get_page(through_proxy(default_onboarding()), path).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn health_lists_one_problem_a_line() {
    let sick = || admin_with(default_onboarding(), &["spool is full", "store:\nno answer"]);
    assert_eq!(get_page(sick(), "/livez").await.text(), "ok\n");
    let answer = get_page(sick(), "/readyz").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::SERVICE_UNAVAILABLE, "spool is full\nstore: no answer\n"));
    let answer = get_page(admin(), "/readyz").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ready\n"));
    let noted = |texts| get_page(admin_with(default_onboarding(), texts), "/readyz");
    let answer = noted(&["!the end\nis near"]).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ready\nnote: the end is near\n"));
    let answer = noted(&["!the end is near", "spool is full"]).await;
    assert_eq!(answer.text(), "spool is full\nnote: the end is near\n");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    for path in ["/", "/install", "/install.js", "/ca.pem", "/proxy.pac", "/livez", "/metrics", "/nothing"] {
        let answer = get_page(admin(), path).await;
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store")]
        {
            assert_eq!(answer.headers.get(name).unwrap(), value, "{path}");
        }
        let policy = answer.headers.get("content-security-policy").unwrap().to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    }
}

#[tokio::test]
async fn the_page_asks_for_nothing_inline_or_from_elsewhere() {
    let page = get_page(admin(), "/install").await;
    let html = page.text();
    assert!(!html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick"));
    for attribute in ["src=\"", "href=\""] {
        for target in html.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(target.starts_with('/') || target.starts_with('#'), "{target}");
            if target.starts_with('/') {
                assert_eq!(get_page(admin(), target).await.status, StatusCode::OK, "{target}");
            } else {
                assert!(html.contains(&format!("id=\"{}\"", &target[1..])), "{target}");
            }
        }
    }
}

#[tokio::test]
async fn head_answers_without_a_body_and_post_is_refused() {
    for (method, status) in [(Method::HEAD, StatusCode::OK), (Method::POST, StatusCode::METHOD_NOT_ALLOWED)] {
        let mut request = get_from("proxy.example.com", "/ca.pem");
        *request.method_mut() = method;
        let answer = send(admin(), request).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
}

#[tokio::test]
async fn it_works_over_a_socket() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, admin()).await });
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"HEAD /install HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.is_empty(), "{answer}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let page = send(admin(), get_from("a.example", "/install")).await;
    assert_eq!(length, page.body.len().to_string());
    assert!(page.headers.get(CONTENT_LENGTH).is_none_or(|value| value == length));
    server.abort();
}
