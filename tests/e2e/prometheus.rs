//! What a real Prometheus makes of both pages, of the rules that are shipped, and of history from a file.

mod backfill;
mod server;
mod usage;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use copilens::copilot::observation::{Fate, Notice, Observation, SuggestionKind, SuggestionReport};
use copilens::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use copilens::exchange::ExchangeId;
use copilens::store::{Noticed, SqliteStore, UsageStore};
use copilens::usage::UsageEvent;

use crate::support::Site;

/// One of the programs of Debian's prometheus: where `tests/run` puts it, or the machine's own.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients/prometheus/usr/bin");
    let installed = folder.join(name);
    if installed.exists() { installed } else { name.into() }
}

/// Runs promtool with a text on its standard input. Gives whether it was content, and what it said; `None` where there is none.
pub(crate) fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let promtool = Command::new(program("promtool"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        println!("skipped: promtool: not installed (part of Debian's prometheus)");
        return None;
    };
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).unwrap()))
}

/// The last complete UTC day.
fn yesterday() -> NaiveDate {
    Utc::now().date_naive() - Days::new(1)
}

fn at(day: NaiveDate, seconds: u32) -> DateTime<Utc> {
    day.and_hms_opt(12, 0, 0).unwrap().and_utc() + TimeDelta::seconds(seconds.into())
}

/// Usage that is on record before a start.
struct History {
    events: Vec<UsageEvent>,
    notices: Vec<Noticed>,
}

impl History {
    fn new() -> Self {
        Self { events: Vec::new(), notices: Vec::new() }
    }

    /// Completions in Go, all of them shown, and of these so many accepted; without telemetry where `accepted` is `None`.
    fn completions(mut self, day: NaiveDate, user: &str, count: usize, accepted: Option<usize>) -> Self {
        let mut reports = Vec::new();
        for n in 0..count {
            let event = self.event(day, user);
            let request_id = event.request_id.clone();
            let report = |fate| {
                Observation::Suggestion(SuggestionReport {
                    suggestion_id: format!("suggestion-{}", event.id),
                    kind: SuggestionKind::Completion,
                    request_id: request_id.clone(),
                    fate,
                    lines: Some(3),
                    characters: Some(40),
                    language: Some("go".to_owned()),
                    model: Some("gpt-41-copilot".to_owned()),
                    editor_version: Some("vscode/1.96.2".to_owned()),
                    time: None,
                })
            };
            reports.push(report(Fate::Shown));
            if accepted.is_some_and(|accepted| n < accepted) {
                reports.push(report(Fate::Accepted { partially: false }));
            }
            self.events.push(event);
        }
        if accepted.is_some() {
            let notice = Notice::Telemetry(reports);
            self.notices.push(Noticed { id: ExchangeId::now(), user: user.to_owned(), at: at(day, 3600), notice });
        }
        self
    }

    /// Chat turns, each an interaction of its own.
    fn chats(mut self, day: NaiveDate, user: &str, count: usize) -> Self {
        for n in 0..count {
            let event = self.event(day, user);
            self.events.push(UsageEvent {
                kind: Kind::Chat,
                feature: "chat_panel_ask_mode".to_owned(),
                language: None,
                model: Some("gpt-4o".to_owned()),
                interaction_id: Some(format!("{user}-{day}-{n}")),
                tokens: Tokens { input: Some(900), output: Some(100), ..Tokens::default() },
                generations: 0,
                lines_suggested: 0,
                ..event
            });
        }
        self
    }

    fn event(&self, day: NaiveDate, user: &str) -> UsageEvent {
        let id = ExchangeId::now();
        let ended_at = at(day, u32::try_from(self.events.len()).unwrap());
        UsageEvent {
            id,
            user: user.to_owned(),
            started_at: ended_at,
            ended_at,
            kind: Kind::Completions,
            class: Class::Turn,
            reason: None,
            outcome: Outcome::Completed,
            status: Some(200),
            feature: "code_completion".to_owned(),
            ide: Some("vscode".to_owned()),
            editor: Some("vscode-1.96.2".to_owned()),
            plugin: None,
            machine_id: None,
            session_id: None,
            account: None,
            action: None,
            language: Some("go".to_owned()),
            model: Some("gpt-41-copilot".to_owned()),
            model_version: None,
            request_id: Some(format!("request-{id}")),
            interaction_id: None,
            host: "proxy.example.com".to_owned(),
            streamed: true,
            tokens: Tokens::default(),
            nano_aiu: None,
            edits: Edits::default(),
            quotas: Vec::new(),
            generations: 1,
            lines_suggested: 3,
            characters_suggested: 40,
            first_byte_ms: Some(100.0),
            duration_ms: 200.0,
            request_bytes: 1000,
            response_bytes: 500,
        }
    }

    /// Puts it in the store of a site.
    fn write(&self, site: &Site) -> SqliteStore {
        std::fs::create_dir_all(site.path("logs")).unwrap();
        let store = SqliteStore::open_or_renew(&site.path("logs/usage.sqlite3")).unwrap();
        store.insert(&self.events).unwrap();
        store.take_notice(&self.notices).unwrap();
        store.mark_whole().unwrap();
        store
    }
}

#[test]
fn the_shipped_rules_fire_when_they_should_and_only_then() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/deploy/prometheus");
    for arguments in [
        ["check", "rules", "copilens.rules.yml"].as_slice(),
        &["test", "rules", "copilens.test.yml"],
        &["check", "config", "--syntax-only", "prometheus.yml"],
    ] {
        let Some((is_good, said)) = promtool(&folder, arguments, "") else { return };
        assert!(is_good, "{arguments:?}: {said}");
    }
}
