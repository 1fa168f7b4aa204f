//! `copilens demo`, and what it shows of the accounting: what was sent, what was recorded and what the files say is one.
#![cfg(feature = "sim")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use copilens::sim::copilot::FakeOptions;
use copilens::sim::ide::{Developer, EditorProfile, Person, Tally, Workday};
use copilens::sim::tls::Alpn;
use serde_json::Value;
use support::{Copilens, Site, Upstream, files_in, json};
use tempfile::TempDir;

/// A demo that ran in a folder where nothing is, with its own folder below `temp`.
struct Demo {
    temp: TempDir,
    stdout: String,
}

impl Demo {
    fn run(arguments: &[&str]) -> Self {
        let (work, temp) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_copilens"))
            .arg("demo")
            .args(arguments)
            .current_dir(work.path())
            .env("TMPDIR", temp.path())
            .env("COPILENS_LOG_DIR", work.path().join("elsewhere"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert!(!stderr.contains("\"level\""), "the log is not quiet: {stderr}");
        assert_eq!(files_in(work.path()), Vec::<PathBuf>::new(), "the working directory is left alone");
        Self { temp, stdout: String::from_utf8(output.stdout).unwrap() }
    }

    /// What stands behind the line's first word or words.
    fn line(&self, begin: &str) -> &str {
        let mut lines = self.stdout.lines().filter_map(|line| line.trim_start().strip_prefix(begin));
        lines.next().unwrap_or_else(|| panic!("no line with {begin:?} in:\n{}", self.stdout)).trim()
    }

    fn logs(&self) -> PathBuf {
        self.line("Written to ").trim_end_matches(':').into()
    }

    /// The number in the table's last row, in the column whose title begins so.
    fn total(&self, title: &str) -> u64 {
        let mut titles = self.line("│ User ").split('┆').map(str::trim);
        let column =
            titles.position(|found| found == title).unwrap_or_else(|| panic!("no {title} in:\n{}", self.stdout));
        let cell = self.line("│ total ").split('┆').nth(column).unwrap();
        cell.trim().replace(',', "").parse().unwrap()
    }
}

#[test]
fn a_demo_ends_with_numbers_that_its_files_bear_out() {
    let demo = Demo::run(&["--users", "3", "--seconds", "3"]);
    let logs = demo.logs();
    assert!(logs.starts_with(demo.temp.path()), "{}", logs.display());
    let days: Vec<Value> = files_in(&logs.join("metrics")).iter().map(|path| json(path)).collect();
    let sum = |key: &str| days.iter().map(|day| day[key].as_u64().unwrap()).sum::<u64>();
    let (completions, chats) = (sum("total_completions_count"), sum("total_chat_turns"));
    assert!(completions > 0, "{}", demo.stdout);
    assert_eq!([demo.total("Completions"), demo.total("Chat")], [completions, chats]);
    assert_eq!(demo.line("Sent:"), demo.line("Recorded:"));
    assert!(demo.line("Recorded:").starts_with(&format!("completions {completions}, chat turns {chats}, ")));
    let steps = demo.total("Steps");
    assert_eq!(records(&logs, "completions"), completions);
    assert_eq!(records(&logs, "chat"), chats + steps);
}

#[test]
fn a_demo_names_files_that_are_there() {
    let demo = Demo::run(&["--users", "2", "--seconds", "4"]);
    let logs = demo.logs();
    let record = json(&logs.join(demo.line("a completion ")));
    assert_eq!((&record["kind"], &record["class"]), (&"completions".into(), &"turn".into()));
    let day = demo.line("the day ");
    assert_eq!(day, format!("metrics/copilot-usage_{}.json", json(&logs.join(day))["day"].as_str().unwrap()));
    let again: Vec<_> = demo.line("The table once more:").split_whitespace().collect();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_copilens")).args(&again[1..]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(demo.stdout.starts_with(&table), "{table}\n{}", demo.stdout);
}

fn records(logs: &Path, kind: &str) -> u64 {
    let users = files_in(&logs.join("usage"));
    users.iter().map(|user| files_in(&user.join(kind)).len() as u64).sum()
}

fn person(name: &str, password: String, editor: EditorProfile) -> Person {
    Person { name: name.to_owned(), password, editor, languages: Vec::new(), telemetry: true, seed: 7 }
}

/// Eighty actions of one developer; every answer is read to its end or given up on purpose.
async fn work(copilens: &Copilens, name: &str, editor: EditorProfile) -> Tally {
    let person = person(name, copilens.site.password(name), editor);
    let mut day = Workday::new(Developer::new(person, copilens.proxy, copilens.roots()), Duration::ZERO);
    for _ in 0..80 {
        day.act().await;
    }
    let tally = day.finish().await;
    assert!(day.last_error().is_none(), "{:?}", day.last_error());
    assert!(tally.completions > 0 && tally.chats > 0 && tally.steps > 0 && tally.noise() > 0, "{tally:?}");
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_developers_did_is_what_copilens_counts() {
    let upstream = Upstream::for_editors(FakeOptions::default(), Alpn::Both).await;
    let copilens = Site::for_editors(&upstream).start();
    let (alice, bob) = tokio::join!(
        work(&copilens, "alice", EditorProfile::vscode()),
        work(&copilens, "bob", EditorProfile::pycharm())
    );
    let (code, site) = copilens.stop();
    assert_eq!(code, Some(0));
    let report: Value = serde_json::from_str(&site.stdout(&["report", "--json"])).unwrap();
    for (name, tally) in [("alice", alice), ("bob", bob)] {
        let line = report["users"].as_array().unwrap().iter().find(|line| line["user"] == name).unwrap();
        let counted = ["completions", "chat_turns", "steps"].map(|key| line[key].as_u64().unwrap());
        assert_eq!(counted, [tally.completion_turns(), tally.chats, tally.steps], "{name}");
        let told = ["shown", "accepted", "lines_accepted"].map(|key| line[key].as_u64().unwrap());
        assert_eq!(told, [tally.shown, tally.accepted, tally.accepted_lines], "{name}");
    }
    let all = |count: fn(&Tally) -> u64| count(&alice) + count(&bob);
    assert_eq!(report["noise"]["empty_completion"], all(|tally| tally.empty));
    assert_eq!(report["noise"]["canceled"], all(|tally| tally.canceled));
    assert_eq!(report["noise"]["speculative"], all(|tally| tally.prefetched));
    assert_eq!(report["noise"]["forced_tool"], bob.follow_ups);
    let noise = report["noise"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(noise, all(|tally| tally.noise() + tally.prefetched) + bob.follow_ups);
}
