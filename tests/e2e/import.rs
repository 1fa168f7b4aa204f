//! Moving over from the mitmproxy add-on: its folders through `copilens import`, and what other commands make of them then.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::support::{Site, Upstream, files_below, files_in, json, wait_until};

const DAY: &str = "2025-03-14";
const MARKER: &str = "canary-0123456789abcdef";

/// A record as the add-on's last version wrote it, number `number` of a user's day.
fn record(user: &str, is_chat: bool, number: usize) -> Value {
    let (url, content, event) = if is_chat {
        (
            "https://api.business.githubcopilot.com/chat/completions",
            json!({"model": "demo-chat", "messages": [{"role": "user", "content": format!("why {MARKER}?")}]}),
            json!({"model": "demo-chat", "choices": [{"index": 0, "delta": {"content": "Because."}}]}),
        )
    } else {
        (
            "https://proxy.business.githubcopilot.com/v1/engines/demo-engine/completions",
            json!({"prompt": "def area(", "extra": {"language": "python"}}),
            json!({"model": "demo-engine", "choices": [{"index": 0, "text": "w,h):"}]}),
        )
    };
    json!({
        "proxy-authorization": format!("{user}:{MARKER}"),
        "timestamp": format!("{DAY}T{:02}:{:02}:{:02}.000001", number / 3600, number / 60 % 60, number % 60),
        "proxy-time-consumed": "151.25ms",
        "request": {
            "url": url, "method": "POST", "content": content,
            "headers": {
                "authorization": format!("Bearer tid={MARKER};exp=1735400000;sku=x;st=dotcom:{MARKER}"),
                "editor-version": "vscode/1.90.0", "x-request-id": format!("{user}-{is_chat}-{number}"),
                "vscode-machineid": "a1b2c3d4e5f6", "openai-intent": "conversation-panel"
            }
        },
        "response": {"status_code": 200, "headers": {"content-type": "text/event-stream"}, "content": [event, ""]}
    })
}

pub(crate) fn write_records(root: &Path, user: &str, is_chat: bool, count: usize) {
    let action = if is_chat { "chat-panel" } else { "completions" };
    let folder = root.join("usage").join(user).join(action);
    fs::create_dir_all(&folder).unwrap();
    for number in 0..count {
        let record = record(user, is_chat, number);
        let stamp = record["timestamp"].as_str().unwrap().replace(':', "-");
        let name = format!("{stamp}_a1b2c3d4e5_192.0.2.7_vscode-1.90.0_{action}.json");
        fs::write(folder.join(name), serde_json::to_string_pretty(&record).unwrap()).unwrap();
    }
}

/// A day file of the add-on's last version: 4 completions and 3 turns of alice, of which some have no record any more.
fn day_file() -> Value {
    let chat = json!({"chat_turns": 3, "editor_version": {"vscode-1.90.0": {"count": 3, "models": {"demo-chat": 3}}}});
    let languages = json!({"count": 4, "languages": {"python": 3, "go": 1}});
    json!({
        "day": DAY, "total_chat_turns": 3, "total_completions_count": 4, "total_extension_count": 0,
        "usage": {"alice": {
            "chat_turns": 3, "chat": {"chat-panel": chat},
            "completions_count": 4, "completions": {"vscode-1.90.0": {"count": 4, "models": {"demo-engine": languages}}},
            "extension_count": 0, "extension": {}
        }}
    })
}

/// What the add-on left: 2 completions and a turn of alice, more of her in the day file, and what can be no user or no record.
fn add_on(site: &Site) {
    let root = site.path("old/auditlogs");
    write_records(&root, "alice", false, 2);
    write_records(&root, "alice", true, 1);
    write_records(&root, "rin", true, 1);
    fs::create_dir(root.join("metrics")).unwrap();
    fs::write(root.join(format!("metrics/copilot-usage_{DAY}.json")), day_file().to_string()).unwrap();
    let passwords = json!({"alice": MARKER, "BOB": MARKER, "rin": MARKER, "no name": MARKER});
    fs::write(root.join("user_auth.json"), passwords.to_string()).unwrap();
    fs::write(root.join("usage/alice/completions/torn.json"), "{\"proxy-authorization\": \"alice:canary").unwrap();
}

fn said(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn import(site: &Site) -> String {
    let (code, said) = said(&site.output(&["import", "old"]));
    assert_eq!(code, 0, "{said}");
    said
}

fn legacy_counts(site: &Site) -> Value {
    let day = json(&site.path(&format!("logs/metrics/copilot-usage_{DAY}.json")));
    let alice = &day["usage"]["alice"];
    json!([alice["chat_turns"], alice["completions_count"], alice["chat"], alice["completions"]])
}

fn expected() -> Value {
    json!([3, 4, {"vscode-1.90.0": 3}, {"vscode-1.90.0": {"go": 1, "python": 3}}])
}

fn reported(site: &Site) -> Value {
    serde_json::from_str(&site.stdout(&["report", "--from", DAY, "--to", DAY, "--json"])).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_imported_once_and_every_command_knows_its_numbers() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    add_on(&site);
    let first = import(&site);
    for line in [
        "4 records of 2 users imported, 0 were here already: 2025-03-14 to 2025-03-14",
        "4 exchanges without a record counted from day files",
        "torn.json: cut off (line 1, column",
        "BOB: the allowlist has bob;",
        "not on the allowlist: rin; to let in: copilens users add rin",
        "not on the allowlist: no name: a user name consists of",
    ] {
        assert!(first.contains(line), "no {line:?} in {first}");
    }
    assert_eq!(legacy_counts(&site), expected());
    let report = reported(&site);
    assert_eq!((&report["total"]["completions"], &report["total"]["chat_turns"]), (&json!(4), &json!(4)));

    let records = files_below(&site.path("logs/usage"));
    assert!(import(&site).contains("0 records of 2 users imported, 4 were here already"));
    assert_eq!((files_below(&site.path("logs/usage")), reported(&site)), (records, report.clone()));

    assert!(site.stdout(&["rebuild"]).contains("1 days from 4 records"));
    assert_eq!((legacy_counts(&site), reported(&site)), (expected(), report.clone()));

    // A store without all days is made anew at the start; what was counted from day files stays, and so does the past beside
    // what comes.
    let copilens = site.start();
    let ask = Ask::chat();
    ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
    copilens.wait_for_day(|day| day["total_chat_turns"] == 1);
    let (code, said) = said(&copilens.site.output(&["import", "old"]));
    assert_eq!(code, 75, "{said}");
    let (_, site) = copilens.stop();
    assert_eq!((legacy_counts(&site), &reported(&site)["total"]), (expected(), &report["total"]));
    import(&site);
    assert_eq!(legacy_counts(&site), expected());
    assert_no_secret(&site, &first);
}

/// The add-on's passwords and tokens, which a prompt may quote, are in no file and in nothing that was printed.
fn assert_no_secret(site: &Site, printed: &str) {
    assert!(!printed.contains("canary"), "{printed}");
    let files = files_below(&site.path("logs"));
    assert!(files.iter().any(|file| file.ends_with("usage.sqlite3")), "{files:?}");
    for file in files {
        let content = fs::read(&file).unwrap();
        assert!(!content.windows(6).any(|window| window == b"canary"), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_where_it_was() {
    const RECORDS: usize = 600;
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    write_records(&site.path("old/logs"), "alice", true, RECORDS);
    let written = |site: &Site| files_in(&site.path("logs/usage/alice/chat")).len();
    let mut killed_within = 0;
    for least in [1, 300] {
        let mut child = site.command(&["import", "old"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("some records", || (written(&site) >= least || child.try_wait().unwrap().is_some()).then_some(()));
        let _ = child.kill();
        child.wait().unwrap();
        killed_within += usize::from((1..RECORDS).contains(&written(&site)));
    }
    assert!(killed_within > 0, "each import was done before it could be killed");
    import(&site);
    assert_eq!(written(&site), RECORDS);
    let day = json(&site.path(&format!("logs/metrics/copilot-usage_{DAY}.json")));
    assert_eq!(
        (&day["total_chat_turns"], &day["usage"]["alice"]["chat"]),
        (&json!(RECORDS), &json!({"vscode-1.90.0": RECORDS}))
    );
    assert_eq!(reported(&site)["total"]["chat_turns"], json!(RECORDS));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_folders_are_told_from_wrong_use() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    assert_eq!(said(&site.output(&["import"])).0, 64);
    for missing in ["nowhere", "config/copilens.toml"] {
        let (code, said) = said(&site.output(&["import", missing]));
        assert!(code == 74 && said.contains(&format!("cannot read {missing}: ")), "{code}: {said}");
    }
    assert!(!site.path("logs").exists());
    fs::create_dir(site.path("empty")).unwrap();
    assert!(site.stdout(&["import", "empty"]).contains("nothing of the add-on's in 0 files"));
    for own in ["logs", "logs/.unfinished"] {
        let (code, said) = said(&site.output(&["import", own]));
        assert!(code == 64 && said.contains("move the add-on's files out of it"), "{code}: {said}");
    }
}
