//! No secret in any output: not in a file, not in the log at its most talkative, not on a page.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use copilens::sim::client::{ClientError, Credentials};
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use serde_json::json;

use crate::asking::Ask;
use crate::support::{CHAT_HOST, Copilens, HOSTS, Site, Upstream, files_in, wait_until};

/// Files that hold secrets because that is what they are for.
const KEPT: [&str; 3] = ["config/seed", "config/admin-token", "certs/ca.key"];

const GITHUB_TOKEN: &str = "gho_CanaryOne0123456789abcdefABCDEF01";
const PERSONAL_TOKEN: &str = "ghp_CanaryTwo0123456789abcdefABCDEF02";
const COPILOT_TOKEN: &str =
    "tid=canary03canary03canary03;ol=canary04canary04;exp=1767225600;sku=business_seat;st=dotcom:canary05canary05";
const COOKIE: &str = "CanaryCookie0123456789";
const SET_COOKIE: &str = "CanarySetCookie0123456789";
const QUERY_TOKEN: &str = "CanaryQuery0123456789abcdef";
const BODY_TOKEN: &str = "CanaryBody0123456789abcdef-without-a-shape";
const CODED_TOKEN: &str = "CanaryCoded0123456789abcdef-in-a-coded-body";
const ANSWER_TOKEN: &str = "CanaryAnswer0123456789abcdef-in-the-answer";
const WRONG_PASSWORD: &str = "CanaryWrongPassword0123456789";

/// The parts of a secret that are worth something.
fn sent_secrets() -> Vec<&'static str> {
    let parts = ["canary03canary03canary03", "canary04canary04", "canary05canary05"];
    let whole = [
        GITHUB_TOKEN,
        PERSONAL_TOKEN,
        COOKIE,
        SET_COOKIE,
        QUERY_TOKEN,
        BODY_TOKEN,
        CODED_TOKEN,
        ANSWER_TOKEN,
        WRONG_PASSWORD,
    ];
    [parts.as_slice(), &whole].concat()
}

/// The text, and what base64 makes of it wherever in its input it stands.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let coded = (0..3).map(|before| {
        let text = [vec![b' '; before], secret.as_bytes().to_vec()].concat();
        let coded = BASE64_STANDARD.encode(text);
        // The first and the last characters depend on what stands around it.
        coded.as_bytes()[(before * 8).div_ceil(6)..coded.len() - 4].to_vec()
    });
    std::iter::once(secret.as_bytes().to_vec()).chain(coded).collect()
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    spellings(secret).iter().any(|spelling| memchr::memmem::find(bytes, spelling).is_some())
}

/// Every file below, but for those that are to hold secrets.
fn files(site: &Site, folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for path in files_in(folder) {
        if path.is_dir() {
            found.extend(files(site, &path));
        } else if !KEPT.iter().any(|kept| site.path(kept) == path) {
            // A file may be gone between the two looks.
            found.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
        }
    }
    found
}

/// Looks for the secrets in all files, in all output and on all pages.
async fn assert_nowhere(copilens: &Copilens, secrets: &[impl AsRef<str>]) {
    assert!(copilens.log().contains("\"TRACE\""), "the log is at its most talkative");
    let mut places = files(&copilens.site, &copilens.site.path(""));
    places.push(("the log".to_owned(), copilens.log().into_bytes()));
    for page in ["/", "/install", "/livez", "/readyz", "/ca.pem", "/ca.cer", "/ca.p7b", "/ca.mobileconfig", "/metrics"]
    {
        places.push((page.to_owned(), page_bytes(copilens, page).await));
    }
    for secret in secrets {
        let secret = secret.as_ref();
        let found: Vec<_> = places.iter().filter(|(_, bytes)| holds(bytes, secret)).map(|(name, _)| name).collect();
        assert!(found.is_empty(), "{secret} is in {found:?}: {}", context(&places, found[0], secret));
    }
}

async fn page_bytes(copilens: &Copilens, page: &str) -> Vec<u8> {
    let connection = copilens::sim::client::direct_plain(copilens.admin, "localhost").await.unwrap();
    let request = http::Request::get(page).body(Bytes::new()).unwrap();
    connection.send(request).await.unwrap().bytes().await.unwrap().to_vec()
}

/// What stands before the first place that gives the secret away.
fn context(places: &[(String, Vec<u8>)], name: &str, secret: &str) -> String {
    let bytes = &places.iter().find(|(place, _)| place == name).unwrap().1;
    let place = spellings(secret).iter().find_map(|spelling| memchr::memmem::find(bytes, spelling)).unwrap();
    String::from_utf8_lossy(&bytes[place.saturating_sub(500)..bytes.len().min(place + 100)]).into_owned()
}

fn start_talkative(site: Site) -> Copilens {
    Copilens::start_with(site, |command| {
        command.env("RUST_LOG", "trace");
    })
}

/// In the way of the recorder, so that what was spooled stays there to be looked at.
fn hold_up(site: &Site) {
    fs::create_dir(site.path("logs")).unwrap();
    fs::write(site.path("logs/usage"), "in the way").unwrap();
}

fn let_go(copilens: &Copilens) {
    fs::remove_file(copilens.site.path("logs/usage")).unwrap();
}

/// Coded so that the text is still to be seen in it.
fn stored(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Requests with a secret in every place that a client has for one.
fn asks() -> Vec<Ask> {
    let said = format!("my token is {PERSONAL_TOKEN}, and {{\"token\": \"{BODY_TOKEN}\"}}");
    let coded = json!({"messages": [{"role": "user", "content": "hi"}], "access_token": CODED_TOKEN}).to_string();
    vec![
        Ask::chat().with("authorization", &format!("Bearer {COPILOT_TOKEN}")),
        Ask::chat().with("authorization", &format!("token {GITHUB_TOKEN}")).with("x-note", GITHUB_TOKEN),
        Ask::chat().with("cookie", &format!("session={COOKIE}")).with("x-api-key", COOKIE),
        Ask::chat().with("proxy-authorization", &format!("Basic {COOKIE}")),
        Ask::chat().query(&format!("api-version=1&access_token={QUERY_TOKEN}&sig={QUERY_TOKEN}")),
        Ask::chat().prompt(&said).field("client_secret", BODY_TOKEN),
        Ask::chat().body(stored(&coded)).with("content-encoding", "gzip"),
    ]
}

/// Answers every request with a cookie and a token, coded on every other connection.
async fn origin(authority: &TestAuthority, asks: &[Ask]) -> RawOrigin {
    let body = json!({"choices": [], "token": ANSWER_TOKEN}).to_string();
    let scripts = asks.iter().enumerate().map(|(number, ask)| {
        let (coding, body) = match number % 2 {
            0 => ("identity", body.clone().into_bytes()),
            _ => ("gzip", stored(&body)),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: a={SET_COOKIE}; Secure\r\n\
             content-encoding: {coding}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        vec![Step::ReadUntil(ask.body_bytes()), Step::write(head), Step::write(body), Step::Close]
    });
    let tls = authority.server(&HOSTS, Alpn::Http1).unwrap();
    RawOrigin::start(Some(tls), scripts.collect()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_and_servers_send_in_confidence_is_nowhere() {
    let authority = TestAuthority::new().unwrap();
    let asks = asks();
    let origin = origin(&authority, &asks).await;
    let site = Site::to(origin.address(), &authority);
    hold_up(&site);
    let copilens = start_talkative(site);
    let stranger = copilens.client_with(Credentials::basic("alice", WRONG_PASSWORD));
    assert!(matches!(stranger.connect("api.github.com:443").await, Err(ClientError::Refused { .. })));
    for (number, ask) in asks.iter().enumerate() {
        // Both HTTP versions, for they are parsed by different code.
        let alpn = [Alpn::Http1, Alpn::Http2][number % 2];
        let (status, body) = ask.finish(&copilens.tunnel("alice", CHAT_HOST, alpn).await).await;
        assert_eq!(status, 200);
        assert!(holds(&body, ANSWER_TOKEN), "the client gets what the server sent");
    }
    let received = origin.received().concat();
    for secret in [GITHUB_TOKEN, COPILOT_TOKEN, COOKIE, QUERY_TOKEN, BODY_TOKEN, CODED_TOKEN] {
        assert!(holds(&received, secret), "the server gets what the client sent: {secret}");
    }

    copilens.wait_for_readyz(503).await;
    assert!(files_in(&copilens.site.path("logs/spool")).iter().any(|path| path.metadata().unwrap().len() > 5000));
    assert_nowhere(&copilens, &sent_secrets()).await;
    let_go(&copilens);
    let records = copilens.wait_for_records("alice", "chat", asks.len());
    assert_nowhere(&copilens, &sent_secrets()).await;

    let header = |index: usize, name: &str| records[index]["request"]["headers"].get(name).cloned();
    assert_eq!(header(0, "authorization"), Some(json!("Bearer [redacted];exp=1767225600;sku=business_seat")));
    assert_eq!(header(1, "authorization"), Some(json!("token [redacted]")));
    assert_eq!((header(2, "cookie"), header(3, "proxy-authorization")), (None, None));
    assert_eq!(records[0]["response"]["headers"].get("set-cookie"), None);
    assert!(
        records[4]["request"]["url"].as_str().unwrap().contains("api-version=1&access_token=[redacted]&sig=[redacted]")
    );
    assert_eq!(records[6]["request"]["content"]["access_token"], "*".repeat(CODED_TOKEN.len()));
    assert_eq!(records[6]["response"]["content"][0]["token"], "*".repeat(ANSWER_TOKEN.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_keys_of_copilens_itself_are_nowhere_but_in_their_files() {
    let upstream = Upstream::start().await;
    let copilens = start_talkative(Site::new(&upstream));
    let ask = Ask::completion();
    ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
    copilens.wait_for_day(|day| day["total_completions_count"] == 1);

    let secrets_of = |name: &str| fs::read_to_string(copilens.site.path(name)).unwrap();
    let password = copilens.site.password("alice");
    let mut secrets = vec![format!("alice:{password}"), password];
    for kept in KEPT {
        let lines = secrets_of(kept);
        let lines = lines.lines().map(str::trim).filter(|line| line.len() > 15 && !line.starts_with(['#', '-']));
        secrets.extend(lines.map(str::to_owned));
    }
    assert!(secrets.len() >= 6, "{}", secrets.len());
    assert_nowhere(&copilens, &secrets).await;

    for arguments in
        [["check"].as_slice(), &["users", "list"], &["users", "list", "--json"], &["ca", "show"], &["report"]]
    {
        let output = copilens.site.output(arguments);
        let said = [output.stdout, output.stderr].concat();
        assert!(!secrets.iter().any(|secret| holds(&said, secret)), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copilots_own_token_passes_unseen() {
    let upstream = Upstream::start().await;
    let copilens = start_talkative(Site::new(&upstream));
    let connection = copilens.tunnel("alice", "api.github.com", Alpn::Http2).await;
    let request =
        http::Request::get("/copilot_internal/v2/token").header("authorization", format!("token {GITHUB_TOKEN}"));
    let mut reply = connection.send(request.body(Bytes::new()).unwrap()).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap();
    let token = body["token"].as_str().unwrap();
    let (_, signature) = token.rsplit_once(':').unwrap();
    assert_nowhere(&copilens, &[GITHUB_TOKEN, token, signature]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parent_proxys_credentials_are_nowhere_but_in_the_settings() {
    let authority = TestAuthority::new().unwrap();
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let parent =
        RawOrigin::start(None, vec![vec![Step::read_head(), Step::write(refusal), Step::Close]]).await.unwrap();
    let (user, password) = ("canary-parent-user", "CanaryParentPassword0123456789");
    let site = Site::to(parent.address(), &authority).set("upstream.resolve", "{}");
    let site = site.set("upstream.parent_proxy", &format!("\"http://{user}:{password}@{}\"", parent.address()));
    let copilens = start_talkative(site);
    let ask = Ask::chat();
    let (status, _) = ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
    assert_eq!(status, 502);
    let sent = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    assert!(String::from_utf8_lossy(&parent.received()[0]).contains(&sent));
    wait_until("the cause in the log", || copilens.log().contains("407").then_some(()));

    let faulty = format!("upstream.parent_proxy = \"https://{user}:{password}@nowhere:x\"\n");
    fs::write(copilens.site.path("config/copilens.toml"), faulty).unwrap();
    let fault = copilens.wait_for_readyz(503).await;
    assert!(fault.contains("parent_proxy") && !fault.contains("anary"), "{fault}");
    fs::remove_file(copilens.site.path("config/copilens.toml")).unwrap();
    assert_nowhere(&copilens, &[user, password]).await;
}
