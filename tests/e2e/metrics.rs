//! `/metrics`: who may read it, and whether its numbers are what has happened.

use std::path::Path;

use bytes::Bytes;
use copilens::sim::client::{Credentials, direct_plain};
use copilens::sim::copilot::{NOTHING_TO_ADD, control};
use copilens::sim::tls::Alpn;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Request};

use crate::asking::Ask;
use crate::prometheus::promtool;
use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens, Site, Upstream};

const OPEN_METRICS: &str = "application/openmetrics-text";

struct Page {
    status: u16,
    headers: HeaderMap,
    text: String,
}

async fn get(copilens: &Copilens, authorization: Option<&str>, accept: &str) -> Page {
    get_from(copilens, "/metrics", authorization, accept).await
}

async fn get_from(copilens: &Copilens, path: &str, authorization: Option<&str>, accept: &str) -> Page {
    let connection = direct_plain(copilens.admin, "localhost").await.unwrap();
    let request = Request::get(path).header(ACCEPT, accept);
    let request = authorization.iter().fold(request, |request, value| request.header(AUTHORIZATION, *value));
    let mut reply = connection.send(request.body(Bytes::new()).unwrap()).await.unwrap();
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    Page { status, headers, text: String::from_utf8(reply.bytes().await.unwrap().to_vec()).unwrap() }
}

pub(crate) fn token(copilens: &Copilens) -> String {
    std::fs::read_to_string(copilens.site.path("config/admin-token")).unwrap().trim().to_owned()
}

pub(crate) async fn scrape(copilens: &Copilens) -> String {
    scrape_page(copilens, "/metrics").await
}

/// A page as Prometheus reads it.
pub(crate) async fn scrape_page(copilens: &Copilens, path: &str) -> String {
    page(copilens, path, OPEN_METRICS).await
}

/// A page in the older format.
pub(crate) async fn text_page(copilens: &Copilens, path: &str) -> String {
    page(copilens, path, "text/plain").await
}

async fn page(copilens: &Copilens, path: &str, accept: &str) -> String {
    let page = get_from(copilens, path, Some(&format!("Bearer {}", token(copilens))), accept).await;
    assert_eq!(page.status, 200, "{}", page.text);
    page.text
}

/// The value of a series, written as in the text but with its labels in the order of this list: `name{a="1",b="2"}`.
pub(crate) fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

/// Scrapes until the series has the value, for what is counted after the client has its answer.
pub(crate) async fn scrape_until(copilens: &Copilens, series: &str, expected: f64) -> String {
    let begun = std::time::Instant::now();
    loop {
        let text = scrape(copilens).await;
        if value(&text, series) == expected {
            return text;
        }
        assert!(begun.elapsed() < crate::support::PATIENCE, "{series} is not {expected} in\n{text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn assert_values(text: &str, expected: &[(&str, f64)]) {
    for (series, expected) in expected {
        assert_eq!(value(text, series), *expected, "{series} in\n{text}");
    }
}

async fn ask(copilens: &Copilens, ask: Ask) {
    ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_holds_the_admin_token_may_read_the_metrics() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let token = token(&copilens);
    let (cut, basic, longer) = (&token[1..], format!("Basic {token}"), format!("Bearer {token}x"));
    let wrong = [None, Some("Bearer "), Some(cut), Some(&basic), Some(&longer), Some(&token)];
    for (path, wrong) in ["/metrics", "/metrics/usage"].into_iter().flat_map(|path| wrong.map(|wrong| (path, wrong))) {
        let page = get_from(&copilens, path, wrong, "*/*").await;
        assert_eq!(
            (page.status, page.headers[WWW_AUTHENTICATE].to_str().unwrap()),
            (401, r#"Bearer realm="copilens""#)
        );
        assert!(!page.text.contains("copilens_") && !page.text.contains(cut), "{}", page.text);
    }
    assert_eq!(get(&copilens, Some(&format!("Bearer {token}")), "*/*").await.status, 200);
    for open in ["/install", "/ca.pem", "/livez", "/readyz"] {
        assert_eq!(copilens.admin(open).await.0, 200, "{open}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let bearer = format!("Bearer {}", token(&copilens));
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let page = get(&copilens, Some(&bearer), prometheus).await;
    assert_eq!(page.headers[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(page.text.contains("# TYPE copilens_late_exchanges counter\n") && page.text.ends_with("# EOF\n"));
    let page = get(&copilens, Some(&bearer), "text/plain").await;
    assert_eq!(page.headers[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(page.text.contains("# TYPE copilens_late_exchanges_total counter\ncopilens_late_exchanges_total 0\n"));
    assert!(!page.text.contains("# EOF") && !page.text.contains("# UNIT"));
}

/// Every kind of thing that is counted, some twice.
async fn make_traffic(copilens: &Copilens) {
    for _ in 0..2 {
        ask(copilens, Ask::completion()).await;
    }
    ask(copilens, Ask::chat()).await;
    ask(copilens, Ask::chat().with("x-initiator", "agent")).await;
    ask(copilens, Ask::completion().prompt(NOTHING_TO_ADD)).await;
    ask(copilens, Ask::chat().with(control::STATUS, "429")).await;
    for credentials in [Credentials::basic("mallory\"}", "no"), Credentials::Absent, Credentials::Absent] {
        assert!(copilens.client_with(credentials).connect(&format!("{CHAT_HOST}:443")).await.is_err());
    }
    assert!(copilens.client("alice").connect("127.0.0.1:443").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_tell_what_has_happened() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    make_traffic(&copilens).await;
    let text = scrape_until(&copilens, r#"copilens_noise_exchanges_total{reason="status"}"#, 1.0).await;
    let closed = scrape_until(&copilens, r#"copilens_tunnels_open{route="intercept"}"#, 0.0).await;
    assert_values(
        &closed,
        &[
            (r#"copilens_tunnels_opened_total{route="intercept"}"#, 6.0),
            (r#"copilens_tunnels_opened_total{route="tunnel"}"#, 0.0),
            (r#"copilens_requests_total{type="connect",code="2xx"}"#, 6.0),
            (r#"copilens_requests_total{type="connect",code="4xx"}"#, 4.0),
            (r#"copilens_requests_total{type="intercepted",code="2xx"}"#, 5.0),
            (r#"copilens_requests_total{type="intercepted",code="4xx"}"#, 1.0),
            (r#"copilens_unauthenticated_requests_total{credentials="wrong"}"#, 1.0),
            (r#"copilens_unauthenticated_requests_total{credentials="missing"}"#, 2.0),
            (r#"copilens_upstream_errors_total{kind="forbidden"}"#, 1.0),
            ("copilens_commit_wait_seconds_count", 6.0),
            (r#"copilens_time_to_first_byte_seconds_bucket{le="+Inf"}"#, 6.0),
            ("copilens_panics_total", 0.0),
            (concat!("copilens_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
        ],
    );
    assert_values(
        &text,
        &[
            (r#"copilens_exchanges_total{kind="completions",class="turn"}"#, 2.0),
            (r#"copilens_exchanges_total{kind="completions",class="noise"}"#, 1.0),
            (r#"copilens_exchanges_total{kind="chat",class="turn"}"#, 1.0),
            (r#"copilens_exchanges_total{kind="chat",class="step"}"#, 1.0),
            (r#"copilens_exchanges_total{kind="chat",class="noise"}"#, 1.0),
            (r#"copilens_noise_exchanges_total{reason="empty_completion"}"#, 1.0),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_and_no_word_of_a_client_is_in_the_metrics() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let before = scrape(&copilens).await.lines().count();
    make_traffic(&copilens).await;
    ask(&copilens, Ask::completion().with("editor-version", "Zed/invented").query("word=invented")).await;
    let text = scrape_until(&copilens, r#"copilens_noise_exchanges_total{reason="status"}"#, 1.0).await;
    for word in ["alice", "bob", "mallory", "invented", "githubcopilot", "127.0.0.1", "vscode", "gpt"] {
        assert!(!text.contains(word), "{word} in\n{text}");
    }
    assert_eq!(text.lines().count(), before, "all series are there from the start, and traffic makes no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_tunnel_is_counted_until_it_ends() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let open = r#"copilens_tunnels_open{route="intercept"}"#;
    let tunnel = copilens.tunnel("alice", CHAT_HOST, Alpn::Http1).await;
    scrape_until(&copilens, open, 1.0).await;
    drop(tunnel);
    scrape_until(&copilens, open, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_servers_are_counted_by_their_kind() {
    let upstream = Upstream::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let resolve =
        format!("{{ \"{CHAT_HOST}\" = \"{closed}\", \"{COMPLETIONS_HOST}\" = \"{}\" }}", upstream.fake.address());
    let copilens = Site::new(&upstream).set("upstream.resolve", &resolve).start();
    ask(&copilens, Ask::chat()).await;
    let broken = Ask::completion().with(control::BREAK_OFF, "1");
    let connection = copilens.tunnel("alice", broken.host, Alpn::Http2).await;
    assert!(broken.send(&connection).await.bytes().await.is_err());
    let text = scrape_until(&copilens, r#"copilens_noise_exchanges_total{reason="broken_off"}"#, 1.0).await;
    assert_values(
        &text,
        &[
            (r#"copilens_upstream_errors_total{kind="connect"}"#, 1.0),
            (r#"copilens_upstream_errors_total{kind="broken_answer"}"#, 1.0),
            (r#"copilens_requests_total{type="intercepted",code="5xx"}"#, 1.0),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_is_held_up_shows_in_the_spool_and_its_lag() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream).set("capture.max_body", "\"20KB\"").set("capture.spool_limit", "\"20KB\"");
    std::fs::create_dir(site.path("logs")).unwrap();
    std::fs::write(site.path("logs/usage"), "in the way").unwrap();
    let copilens = site.start();
    let mut sent = 0;
    while value(&scrape(&copilens).await, "copilens_unrecorded_exchanges_total") == 0.0 {
        ask(&copilens, Ask::completion()).await;
        sent += 1;
        assert!(sent < 200, "20 kB hold more than 200 exchanges");
    }
    let text = scrape(&copilens).await;
    let waiting = f64::from(sent - 1);
    assert_values(&text, &[("copilens_spool_entries", waiting), ("copilens_spool_limit_bytes", 20_000.0)]);
    assert!(value(&text, "copilens_spool_bytes") >= 10_000.0 && value(&text, "copilens_recorder_lag_seconds") > 0.0);
    std::fs::remove_file(copilens.site.path("logs/usage")).unwrap();
    scrape_until(&copilens, "copilens_spool_entries", 0.0).await;
    let text = scrape_until(&copilens, "copilens_recorder_lag_seconds", 0.0).await;
    assert_values(&text, &[(r#"copilens_exchanges_total{kind="completions",class="turn"}"#, waiting)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_against_the_metrics() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    ask(&copilens, Ask::completion()).await;
    let text = text_page(&copilens, "/metrics").await;
    let Some((is_good, said)) = promtool(Path::new("."), &["check", "metrics"], &text) else { return };
    assert!(is_good && said.is_empty(), "{said}\n{text}");
}
