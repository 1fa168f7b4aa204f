//! `copilens forget`: nothing that a person wrote or was answered is left, everybody else's is, and the totals stay.

use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use copilens::sim::tls::Alpn;
use serde_json::Value;

use crate::asking::Ask;
use crate::metadata::{files_with, talk_as, tell};
use crate::support::{Copilens, Site, Upstream, files_below, files_in, wait_until};

/// What a command said, and its exit code.
fn said(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    let output = site.output(arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn day_files(site: &Site) -> String {
    files_in(&site.path("logs/metrics")).iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn report(site: &Site) -> Value {
    serde_json::from_str(&site.stdout(&["report", "--json"])).unwrap()
}

fn assert_nowhere(site: &Site, secret: &[String]) {
    for text in secret {
        assert_eq!(files_with(&site.path("logs"), text), Vec::<String>::new(), "{text}");
    }
}

/// Two people at work, of whom one will be forgotten; gives the texts of each.
async fn work(copilens: &Copilens) -> [Vec<String>; 2] {
    let mut alices = talk_as(copilens, "alice", |ask| ask).await;
    // What waits to be seen, telemetry, the account, and a prompt on a WebSocket.
    alices.extend(tell(copilens).await);
    let bobs = talk_as(copilens, "bob", |ask| ask).await;
    // The model may have told both the same.
    alices.retain(|text| !bobs.contains(text));
    [alices, bobs]
}

/// What a command says on a terminal where somebody types; `None` without script(1).
fn said_on_a_terminal(site: &Site, arguments: &str, typed: &str) -> Option<(Option<i32>, String)> {
    let shell = format!("{} {arguments}", env!("CARGO_BIN_EXE_copilens"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &shell, "/dev/null"]).current_dir(site.path(""));
    let started = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut script) = started else {
        let _ = writeln!(io::stderr(), "skipped: forget on a terminal: script(1) is not on this machine");
        return None;
    };
    script.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    Some((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_person_is_in_no_file_and_the_totals_stay() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let [alices, bobs] = work(&copilens).await;
    wait_until("an empty spool", || files_in(&copilens.site.path("logs/spool")).is_empty().then_some(()));
    assert!(!files_in(&copilens.site.path("logs/pending/alice")).is_empty());
    copilens.wait_for_day(|day| day["total_completions_count"].as_u64() >= Some(2));
    let (code, text) = said(&copilens.site, &["forget", "alice", "--yes"]);
    assert!(code == Some(75) && text.contains("another copilens"), "{text}");
    let (_, site) = copilens.stop();
    fs::write(site.path("logs/spool/0000000000000007.damaged"), &alices[0]).unwrap();
    if let Some((code, text)) = said_on_a_terminal(&site, "forget alice", "bob\n") {
        assert!(
            code == Some(64) && text.contains("Type alice to go on") && text.contains("nothing was removed"),
            "{text}"
        );
    }
    assert!(!files_with(&site.path("logs"), &alices[0]).is_empty());
    let before = report(&site);

    let (code, text) = said(&site, &["forget", "alice"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 records that waited") && text.contains("1 unreadable spool segments"), "{text}");
    assert!(text.contains("alice is still on the allowlist"), "{text}");
    assert_nowhere(&site, &alices);
    for folder in ["usage/alice", "pending/alice", ".unfinished"] {
        assert_eq!(files_below(&site.path("logs").join(folder)), Vec::<std::path::PathBuf>::new());
    }
    assert!(bobs.iter().all(|text| !files_with(&site.path("logs/usage/bob"), text).is_empty()));
    let after = report(&site);
    assert_eq!(after["total"], before["total"]);
    assert!(!after.to_string().contains("alice") && after.to_string().contains("forgotten-"), "{after}");
    let days = day_files(&site);
    assert!(!days.contains("alice") && days.contains("forgotten-") && days.contains("\"bob\""), "{days}");

    // Nor does making the days anew lose the counts or bring back the name.
    site.stdout(&["rebuild"]);
    assert_eq!(report(&site)["total"], before["total"]);
    assert_eq!(day_files(&site), days);
    site.stdout(&["users", "remove", "alice"]);
    assert_eq!(said(&site, &["forget", "alice", "--yes"]), (Some(0), "There is nothing of alice.\n".to_owned()));
    assert_eq!(said(&site, &["forget", "../alice", "--yes"]).0, Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_waits_in_the_spool_is_recorded_first_and_then_forgotten() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    fs::create_dir(site.path("logs")).unwrap();
    fs::write(site.path("logs/usage"), "in the way").unwrap();
    let copilens = site.start();
    let alices = talk_as(&copilens, "alice", |ask| ask).await;
    let ask = Ask::completion();
    ask.finish(&copilens.tunnel("bob", ask.host, Alpn::Http1).await).await;
    wait_until("the recorder's complaint", || copilens.log().contains("the recorder is held up").then_some(()));
    let site = copilens.kill();
    let (code, text) = said(&site, &["forget", "alice", "--yes"]);
    assert!(code == Some(74) && text.contains("3 exchanges wait in the spool"), "{text}");
    fs::remove_file(site.path("logs/usage")).unwrap();
    let (code, text) = said(&site, &["forget", "alice", "--yes"]);
    assert!(code == Some(0) && text.contains("2 record files"), "{text}");
    assert_nowhere(&site, &alices);
    assert_eq!(files_below(&site.path("logs/usage/bob")).len(), 1);
    assert_eq!(report(&site)["total"]["completions"], 2);
}

/// A day file that a legacy add-on left is all that knows its day.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_only_its_file_knows_keeps_its_numbers_under_a_pseudonym() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    fs::create_dir_all(site.path("logs/metrics")).unwrap();
    let path = site.path("logs/metrics/copilot-usage_2024-12-30.json");
    let text = r#"{"day": "2024-12-30", "total_chat_turns": 3, "usage": {"alice": {"chat_turns": 1}, "bob": {"chat_turns": 2}}}"#;
    fs::write(&path, text).unwrap();
    site.stdout(&["check"]);
    let copilens = site.start();
    let (_, site) = copilens.stop();
    site.stdout(&["forget", "alice", "--yes"]);
    let day = crate::support::json(&path);
    let users = day["usage"].as_object().unwrap();
    assert!(users.keys().next().unwrap().starts_with("forgotten-"), "{day}");
    assert_eq!(users.values().map(|user| user["chat_turns"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(day["total_chat_turns"], 3);
}
