//! From an IDE's CONNECT to a record on disk and a number in the day's file: the main job, and where its files lie.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use copilens::sim::tls::Alpn;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::asking::Ask;
use crate::support::{Copilens, Site, Upstream, files_in};

fn record_files(copilens: &Copilens, user: &str, kind: &str) -> Vec<PathBuf> {
    files_in(&copilens.site.path(&format!("logs/usage/{user}/{kind}")))
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Every file and folder below, with its mode.
fn modes(folder: &Path) -> Vec<(PathBuf, bool, u32)> {
    let mut found = Vec::new();
    for path in files_in(folder) {
        let metadata = path.symlink_metadata().unwrap();
        found.push((path.clone(), metadata.is_dir(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

/// One completion and one chat, streamed and not, by each user over its own HTTP version.
async fn work(copilens: &Copilens, user: &str, alpn: Alpn) {
    for ask in [Ask::completion(), Ask::completion().whole(), Ask::chat(), Ask::chat().whole()] {
        let connection = copilens.tunnel(user, ask.host, alpn).await;
        let (status, body) = ask.finish(&connection).await;
        assert_eq!((status.as_u16(), body.is_empty()), (200, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_completions_and_chats_over_both_http_versions_become_records_and_counts() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    tokio::join!(work(&copilens, "alice", Alpn::Http1), work(&copilens, "bob", Alpn::Http2));

    for user in ["alice", "bob"] {
        for kind in ["completions", "chat"] {
            let records = copilens.wait_for_records(user, kind, 2);
            assert!(records.iter().all(|record| record["proxy-authorization"] == user));
            assert!(records.iter().all(|record| record["class"] == "turn"), "{records:?}");
            let streamed: Vec<_> = records.iter().map(|record| &record["streamed"]).collect();
            assert!(streamed.contains(&&json!(true)) && streamed.contains(&&json!(false)), "{streamed:?}");
        }
    }
    let day = copilens.wait_for_day(|day| day["total_completions_count"] == 4 && day["total_chat_turns"] == 4);
    for user in ["alice", "bob"] {
        let usage = &day["usage"][user];
        assert_eq!((&usage["completions_count"], &usage["chat_turns"]), (&json!(2), &json!(2)));
        assert_eq!(usage["completions"], json!({"vscode-1.96.2": {"python": 2}}));
        assert_eq!(usage["chat"], json!({"vscode-1.96.2": 2}));
        assert_eq!(usage["models"], json!({"gpt-41-copilot": 2, "gpt-4o": 2}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_interleaved_from_one_address_are_never_booked_on_each_other() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let work = ["alice", "bob"].map(|user| {
        let ask = move |number: usize| Ask::completion().prompt(&format!("# typed by {user}: {number}\n"));
        let copilens = &copilens;
        async move {
            let connection = copilens.tunnel(user, ask(0).host, Alpn::Http2).await;
            let asks: Vec<_> = (0..20).map(ask).collect();
            let answers = asks.iter().map(|ask| ask.finish(&connection));
            for answer in answers {
                assert_eq!(answer.await.0, 200);
            }
        }
    });
    let [alice, bob] = work;
    tokio::join!(alice, bob);
    for user in ["alice", "bob"] {
        for record in copilens.wait_for_records(user, "completions", 20) {
            let prompt = record["request"]["content"]["prompt"].as_str().unwrap();
            assert!(prompt.starts_with(&format!("# typed by {user}: ")), "{user} has {prompt:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_file_has_the_name_of_the_legacy_add_on_and_only_its_owner_reads_it() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let ask = Ask::completion().in_jetbrains();
    ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    let record = copilens.wait_for_records("alice", "completions", 1).remove(0);
    let timestamp = record["timestamp"].as_str().unwrap();
    assert_eq!(timestamp.len(), "2024-12-30T02:13:14.189603".len());
    let expected = format!("{}_5be04fd2a1_127.0.0.1_JetBrains-PC-243.22562.220.json", timestamp.replace(':', "-"));
    assert_eq!(file_name(&record_files(&copilens, "alice", "completions")[0]), expected);

    copilens.wait_for_day(|day| day["total_completions_count"] == 1);
    let logs = copilens.site.path("logs");
    for (path, is_folder, mode) in modes(&logs) {
        assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{}", path.display());
    }
    assert_eq!(logs.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_sends_chooses_a_path() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let long = "x".repeat(300);
    let hostile = ["../../x", "/etc/passwd", "..\\..\\x", "a:b*c?d", ".", "", "C:nul", &long, "naïve 日本"];
    for text in hostile {
        let ask = Ask::completion().with("editor-version", text).with("vscode-machineid", text);
        let connection = copilens.tunnel("alice", ask.host, Alpn::Http1).await;
        assert_eq!(ask.finish(&connection).await.0, 200);
    }
    let records = copilens.wait_for_records("alice", "completions", hostile.len());
    assert!(records.iter().any(|record| record["request"]["headers"]["editor-version"] == "../../x"));
    for path in record_files(&copilens, "alice", "completions") {
        let name = file_name(&path);
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{name}");
        assert!(name.len() < 160, "{name}");
        assert!(name.starts_with("20"), "{name}");
    }
    copilens.wait_for_day(|day| day["total_completions_count"] == hostile.len());
    let names = |folder: &str| -> Vec<String> {
        files_in(&copilens.site.path(folder)).iter().map(|path| file_name(path).to_owned()).collect()
    };
    assert_eq!(names(""), ["certs", "config", "logs", "upstream-ca.pem"]);
    assert_eq!(names("logs/usage"), ["alice"]);
    assert_eq!(names("logs/usage/alice"), ["completions"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_with_a_nul_is_refused_and_leaves_no_file() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let ask = Ask::completion();
    let mut tls = copilens.client("alice").tls(ask.host, 443, ask.host, Alpn::Http1).await.unwrap();
    let head = "POST /v1/engines/e/completions HTTP/1.1\r\nhost: proxy.enterprise.githubcopilot.com\r\n";
    tls.write_all(format!("{head}editor-version: a\0b\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    copilens.wait_for_records("alice", "completions", 1);
    assert_eq!(upstream.fake.seen().request_count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_exchange_with_a_model_is_not_recorded() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let connection = copilens.tunnel("alice", "api.github.com", Alpn::Http2).await;
    for path in ["/copilot_internal/v2/token", "/copilot_internal/user", "/models"] {
        let request = http::Request::get(path).body(bytes::Bytes::new()).unwrap();
        connection.send(request).await.unwrap().bytes().await.unwrap();
    }
    let ask = Ask::chat();
    ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
    copilens.wait_for_records("alice", "chat", 1);
    let day = copilens.wait_for_day(|day| day["total_chat_turns"] == 1);
    assert_eq!(day["total_completions_count"], Value::from(0));
    assert_eq!(files_in(&copilens.site.path("logs/usage/alice")).len(), 1);
}
