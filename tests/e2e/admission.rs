//! Who may pass, on every way in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use copilens::sim::client::{ClientError, Connection, Credentials, ProxyClient};
use copilens::sim::copilot::{FakeCopilot, FakeOptions};
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use data_encoding::BASE64;
use http::header::PROXY_AUTHORIZATION;

use crate::support::wire::{self, Answer, Wire};
use crate::support::{COMPLETIONS_HOST, Copilens, PATIENCE, Site, Upstream, completion, files_in, wait_until};

const TARGET: &str = "proxy.enterprise.githubcopilot.com:443";
const CHALLENGE: &str = r#"Basic realm="copilens", charset="UTF-8""#;
const REFUSAL: &str = r#"{"error":{"code":"proxy_authentication_required","message":"copilens needs the user name and password that your administrator gave you, in the proxy setting."}}"#;

/// An upstream that notes every connection, whatever is spoken on it.
async fn watched_site() -> (RawOrigin, Site) {
    let origin = RawOrigin::start(None, vec![vec![Step::Hold]]).await.unwrap();
    let site = Site::to(origin.address(), &TestAuthority::new().unwrap());
    (origin, site)
}

fn assert_challenged(answer: &Answer, case: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (407, REFUSAL), "{case}: {}", answer.head);
    assert_eq!(answer.all("proxy-authenticate"), [CHALLENGE], "{case}");
    assert!(!answer.head.to_lowercase().contains("connection: close"), "{case}: {}", answer.head);
}

fn assert_untouched(copilens: &Copilens, origin: &RawOrigin) {
    assert_eq!(origin.received().len(), 0, "connections to upstream");
    assert!(files_in(&copilens.site.path("logs/usage")).is_empty(), "folders of users");
}

async fn connect_status(client: &ProxyClient) -> u16 {
    match client.connect(TARGET).await {
        Ok(_) => 200,
        Err(ClientError::Refused { answer, .. }) => answer.status,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_asks_for_credentials() {
    let (origin, site) = watched_site().await;
    let copilens = site.start();
    let plain = format!("http://{COMPLETIONS_HOST}/v1/engines/x/completions");
    let upgrade =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n";
    for request in [
        wire::connect(TARGET, &Credentials::Absent),
        wire::connect("no-such-host.invalid:443", &Credentials::Absent),
        wire::connect("127.0.0.1:22", &Credentials::Absent),
        wire::get(&plain, &Credentials::Absent, ""),
        wire::get(&plain, &Credentials::Absent, upgrade),
        wire::get(&plain, &Credentials::Absent, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),
        format!("POST {plain} HTTP/1.1\r\nHost: {COMPLETIONS_HOST}\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", copilens.proxy),
        format!("OPTIONS * HTTP/1.1\r\nHost: {}\r\n\r\n", copilens.proxy),
    ] {
        let mut wire = Wire::to(copilens.proxy).await;
        assert_challenged(&wire.ask(&request).await, &request);
        // Chromium repeats its request on the same connection.
        assert_challenged(&wire.ask(&request).await, &request);
    }
    assert_untouched(&copilens, &origin);
}

/// `Proxy-Authorization` lines that admit nobody.
fn malformed(right: &str, password: &str) -> Vec<(&'static str, String)> {
    let line = |value: &str| format!("Proxy-Authorization: {value}\r\n");
    let basic = |text: &[u8]| line(&format!("Basic {}", BASE64.encode(text)));
    vec![
        ("no scheme", line(right.trim_start_matches("Basic "))),
        ("another scheme", line(&right.replace("Basic", "Bearer"))),
        ("scheme alone", line("Basic")),
        ("not base64", line("Basic alice:secret")),
        ("base64 of the URL alphabet", line("Basic _-__")),
        ("not UTF-8", basic(b"alice:\xff\xfe")),
        ("no colon", basic(b"alice")),
        ("a control character", basic(format!("alice:{password}\n").as_bytes())),
        ("64 KiB", basic(&[b'a'; 48 * 1024])),
        ("64 KiB after the right name and a colon", basic(&[b"alice:".as_slice(), &[b'a'; 48 * 1024]].concat())),
        ("twice the right ones", line(right).repeat(2)),
        ("the right ones and others", line(right) + &basic(b"bob:x")),
        ("empty", line("")),
        ("empty name and password", basic(b":")),
        ("empty password", basic(b"alice:")),
        ("another case of the name", basic(format!("Alice:{password}").as_bytes())),
        ("another case of the password", basic(format!("alice:{}", password.to_uppercase()).as_bytes())),
        ("a part of the password", basic(format!("alice:{}", &password[1..]).as_bytes())),
        ("more than the password", basic(format!("alice:{password}a").as_bytes())),
        ("the password of another", basic(format!("bob:{password}").as_bytes())),
        ("an unknown name", basic(format!("mallory:{password}").as_bytes())),
        ("the name for nobody", basic(b"anonymous:")),
        ("a path as name", basic(b"../../etc:x")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_credentials_are_refused_and_the_right_ones_then_pass_on_the_same_connection() {
    let (origin, site) = watched_site().await;
    let copilens = site.start();
    let password = copilens.site.password("alice");
    let right = copilens.credentials("alice");
    for (case, line) in malformed(&right.header().unwrap(), &password) {
        let mut wire = Wire::to(copilens.proxy).await;
        let request = format!("CONNECT {TARGET} HTTP/1.1\r\nHost: {TARGET}\r\n{line}\r\n");
        assert_challenged(&wire.ask(&request).await, case);
        assert_eq!(wire.connect(TARGET, &right).await.status, 200, "{case}");
    }
    assert_untouched(&copilens, &origin);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_password_schemes_admit() {
    let (_origin, site) = watched_site().await;
    let copilens = site.start();
    assert_eq!(connect_status(&copilens.client("alice")).await, 200);

    let (_origin, site) = watched_site().await;
    let site = site.set("auth.scheme", "\"legacy\"");
    site.write_users(&["satomic", "xuefeng"]);
    fs::write(site.path("config/seed"), "123456\n").unwrap();
    fs::set_permissions(site.path("config/seed"), fs::Permissions::from_mode(0o600)).unwrap();
    let copilens = site.start();
    for (name, password, status) in [
        ("satomic", "961aa8753b", 200),
        ("xuefeng", "1b3ecfa5aa", 200),
        ("satomic", "1b3ecfa5aa", 407),
        ("xuefeng", "961aa8753b", 407),
    ] {
        let client = copilens.client_with(Credentials::basic(name, password));
        assert_eq!(connect_status(&client).await, status, "{name}:{password}");
    }
}

async fn complete(connection: &Connection, prompt: &str) {
    let mut reply = connection.send(completion(prompt)).await.unwrap();
    assert_eq!(reply.status(), 200);
    reply.bytes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_required_credentials_a_stranger_is_anonymous_and_a_user_is_still_known() {
    let upstream = Upstream::start().await;
    let mut copilens = Site::new(&upstream).set("auth.required", "false").start();
    let stranger = copilens.client_with(Credentials::Absent);
    let tunnel = stranger.tunnel(COMPLETIONS_HOST, 443, Alpn::Http1).await.unwrap();
    complete(&tunnel, "def a_stranger():").await;
    let wrong = copilens.client_with(Credentials::basic("alice", "wrong"));
    complete(&wrong.tunnel(COMPLETIONS_HOST, 443, Alpn::Http1).await.unwrap(), "def a_stranger():").await;
    complete(&copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http1).await, "def alice():").await;
    for record in copilens.wait_for_records("anonymous", "completions", 2) {
        assert_eq!(record["request"]["content"]["prompt"], "def a_stranger():");
    }
    assert_eq!(copilens.wait_for_records("alice", "completions", 1)[0]["request"]["content"]["prompt"], "def alice():");

    copilens.reload(|site| site.change("auth.required", "true"));
    assert_eq!(tunnel.send(completion("x")).await.unwrap().status(), 403);
    assert_eq!(connect_status(&stranger).await, 407);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_on_one_connection_are_judged_each_alone() {
    let authority = TestAuthority::new().unwrap();
    let fake = FakeCopilot::start(FakeOptions::default()).await.unwrap();
    let copilens = Site::to(fake.address(), &authority).start();
    let connection = copilens.client_with(Credentials::Absent).plain().await.unwrap();
    let ask = async |credentials: Credentials, prompt: &str| {
        let mut request = completion(prompt);
        let path = request.uri().path().to_owned();
        *request.uri_mut() = format!("http://{COMPLETIONS_HOST}{path}").parse().unwrap();
        if let Some(value) = credentials.header() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value.parse().unwrap());
        }
        let mut reply = connection.send(request).await.unwrap();
        reply.bytes().await.unwrap();
        reply.status().as_u16()
    };
    let (alice, bob) = (copilens.credentials("alice"), copilens.credentials("bob"));
    assert_eq!(ask(alice.clone(), "def alice():").await, 200);
    assert_eq!(ask(Credentials::Absent, "def nobody():").await, 407);
    assert_eq!(ask(bob, "def bob():").await, 200);
    assert_eq!(ask(Credentials::basic("bob", "wrong"), "def nobody():").await, 407);
    assert_eq!(ask(alice, "def alice():").await, 200);
    for (user, count) in [("alice", 2), ("bob", 1)] {
        for record in copilens.wait_for_records(user, "completions", count) {
            assert_eq!(record["request"]["content"]["prompt"], format!("def {user}():"));
        }
    }
    assert_eq!(fake.seen().request_count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_behind_one_address_are_never_mixed_up() {
    const TUNNELS: usize = 50;
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let clients = ["alice", "bob"].map(|user| (user, copilens.client(user)));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..TUNNELS {
        for (user, client) in clients.clone() {
            let alpn = if number % 2 == 0 { Alpn::Http1 } else { Alpn::Http2 };
            tasks.spawn(async move {
                let tunnel = client.tunnel(COMPLETIONS_HOST, 443, alpn).await.unwrap();
                complete(&tunnel, &format!("# canary of {user} in tunnel {number}")).await;
            });
        }
    }
    tasks.join_all().await;
    for user in ["alice", "bob"] {
        let records = copilens.wait_for_records(user, "completions", TUNNELS);
        let mut prompts: Vec<_> =
            records.iter().map(|record| record["request"]["content"]["prompt"].as_str().unwrap().to_owned()).collect();
        let mut expected: Vec<_> =
            (0..TUNNELS).map(|number| format!("# canary of {user} in tunnel {number}")).collect();
        prompts.sort();
        expected.sort();
        assert_eq!(prompts, expected);
        assert!(records.iter().all(|record| record["proxy-authorization"] == user));
    }
}

const FOUR_USERS: &str =
    "[[user]]\nname = \"ann\"\n[[user]]\nname = \"ben\"\n[[user]]\nname = \"cleo\"\n[[user]]\nname = \"dan\"\n";
/// Ann is removed, Ben is disabled, Cleo has a new password, Dan is as before.
const ONE_LEFT: &str = "[[user]]\nname = \"ben\"\ndisabled = true\n[[user]]\nname = \"cleo\"\npassword_generation = 2\n[[user]]\nname = \"dan\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_access_is_refused_at_the_next_request() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    fs::write(site.path("config/allowlist.toml"), FOUR_USERS).unwrap();
    let mut copilens = site.start();
    let clients = ["ann", "ben", "cleo", "dan"].map(|user| (user, copilens.client(user)));
    let mut tunnels = Vec::new();
    for (user, client) in &clients {
        for alpn in [Alpn::Http1, Alpn::Http2] {
            let tunnel = client.tunnel(COMPLETIONS_HOST, 443, alpn).await.unwrap();
            complete(&tunnel, "def before():").await;
            tunnels.push((*user, tunnel));
        }
    }
    copilens.reload(|site| fs::write(site.path("config/allowlist.toml"), ONE_LEFT).unwrap());
    let before = upstream.fake.seen().request_count;
    for (user, tunnel) in &tunnels {
        let mut reply = tunnel.send(completion("def after():")).await.unwrap();
        if *user == "dan" {
            assert_eq!(reply.status(), 200);
            reply.bytes().await.unwrap();
            continue;
        }
        assert_eq!(reply.status(), 403, "{user}");
        assert!(reply.bytes().await.unwrap().starts_with(br#"{"error":{"code":"access_revoked""#));
        closed(tunnel).await;
    }
    assert_eq!(upstream.fake.seen().request_count, before + 2, "requests of Dan alone");
    for (user, client) in &clients {
        assert_eq!(connect_status(client).await, if *user == "dan" { 200 } else { 407 }, "{user}");
    }
    assert_eq!(connect_status(&copilens.client("cleo")).await, 200, "Cleo with her new password");
    copilens.wait_for_records("dan", "completions", 4);
    copilens.wait_for_records("ann", "completions", 2);
}

async fn closed(tunnel: &Connection) {
    let wait = async {
        while !tunnel.is_closed().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the tunnel to be closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_failures_is_two_lines_and_locks_nobody_out() {
    let (origin, site) = watched_site().await;
    let copilens = site.start();
    let wrong = copilens.client_with(Credentials::basic("alice", "canary-of-a-wrong-password"));
    let (alice, bob) = (copilens.client("alice"), copilens.client("bob"));
    let mut burst = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let wrong = wrong.clone();
        burst.spawn(async move { connect_status(&wrong).await });
    }
    let statuses = burst.join_all().await;
    assert_eq!(statuses, [407; 40]);
    assert_eq!(connect_status(&bob).await, 200);
    assert_eq!(connect_status(&alice).await, 200);
    let lines = |log: &str| log.lines().filter(|line| line.contains("wrong proxy credentials")).count();
    assert_eq!(lines(&copilens.log()), 1);
    let log = wait_until("the line that sums up", || Some(copilens.log()).filter(|log| log.contains(r#""more":39"#)));
    assert_eq!(lines(&log), 2);
    assert!(!log.contains("canary-of-a-wrong-password"));
    assert_untouched(&copilens, &origin);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_remembered_only_where_that_is_on_and_for_one_user_alone() {
    let (_origin, site) = watched_site().await;
    let mut copilens = site.start();
    let (alice, bob) = (copilens.client("alice"), copilens.client("bob"));
    let (none, wrong) =
        (copilens.client_with(Credentials::Absent), copilens.client_with(Credentials::basic("alice", "wrong")));
    assert_eq!(connect_status(&alice).await, 200);
    assert_eq!(connect_status(&none).await, 407, "off by default");

    copilens.reload(|site| site.change("auth.remember_address", "\"1h\""));
    assert_eq!(connect_status(&none).await, 407, "nobody was seen since it is on");
    assert_eq!(connect_status(&alice).await, 200);
    assert_eq!(connect_status(&none).await, 200);
    assert_eq!(connect_status(&wrong).await, 407, "wrong credentials are not absent ones");
    assert_eq!(connect_status(&bob).await, 200);
    assert_eq!(connect_status(&none).await, 407, "there are two users behind the address");
    assert_eq!(connect_status(&alice).await, 200);
    assert_eq!(connect_status(&none).await, 407, "and there still are");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_user_of_an_address_is_booked_for_requests_without_credentials() {
    let upstream = Upstream::start().await;
    let mut copilens = Site::new(&upstream).set("auth.remember_address", "\"1h\"").start();
    let none = copilens.client_with(Credentials::Absent);
    assert_eq!(connect_status(&copilens.client("alice")).await, 200);
    let tunnel = none.tunnel(COMPLETIONS_HOST, 443, Alpn::Http1).await.unwrap();
    complete(&tunnel, "def alice():").await;
    copilens.wait_for_records("alice", "completions", 1);

    copilens.reload(|site| site.write_users(&["bob"]));
    assert_eq!(connect_status(&none).await, 407, "the user is gone");
    assert_eq!(tunnel.send(completion("x")).await.unwrap().status(), 403);
}
