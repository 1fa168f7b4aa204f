//! An invented day, and what GitHub's formats make of it.

mod closed;
mod fields;
mod identities;
mod records;
mod seats;
mod teams;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

use super::*;
use crate::usage::{Cell, Client, Counts, OrganizationDay, OrganizationSums, UserDay};

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 12).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    day().and_hms_opt(9, 0, 0).unwrap().and_utc() + TimeDelta::seconds(seconds)
}

fn value(record: &impl Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap()
}

fn cell([ide, feature, language, model]: [&str; 4]) -> Cell {
    let [ide, feature, language, model] = [ide, feature, language, model].map(str::to_owned);
    Cell { ide, feature, language, model }
}

fn client(editor: &str, version: &str, plugin: Option<&str>, seconds: i64) -> Client {
    let (editor, version, plugin) = (Some(editor.to_owned()), Some(version.to_owned()), plugin.map(str::to_owned));
    Client { version, plugin, editor, seen_at: at(seconds) }
}

fn clients() -> BTreeMap<String, Client> {
    BTreeMap::from([
        ("vscode".to_owned(), client("vscode-1.119.0", "1.119.0", Some("copilot-chat/0.47.2"), 5)),
        ("intellij".to_owned(), client("JetBrains-IC-2026.1", "2026.1", None, 60)),
        ("others".to_owned(), client("Helix-25.1", "25.1", Some("helix-copilot/1"), 70)),
        ("copilot_cli".to_owned(), client("copilot-1.0.102", "1.0.102", None, 90)),
    ])
}

/// A day with every surface, of a user whose editors tell what became of suggestions.
fn ada() -> UserDay {
    let completions = Counts {
        requests: 12,
        turns: 12,
        generations: 10,
        acceptances: 4,
        lines_suggested: 25,
        lines_added: 9,
        ..Counts::default()
    };
    let agent = Counts {
        requests: 7,
        turns: 2,
        interactions: 2,
        generations: 3,
        acceptances: 2,
        lines_suggested: 40,
        lines_added: 12,
        copied: 1,
        inserted: 1,
        input_tokens: 9000,
        output_tokens: 700,
        nano_aiu: 1_500_000_000,
        ..Counts::default()
    };
    let edits = Counts { generations: 5, lines_added: 120, lines_removed: 30, ..Counts::default() };
    let asked = Counts { requests: 1, turns: 1, interactions: 1, ..Counts::default() };
    let cli = Counts {
        requests: 8,
        turns: 3,
        interactions: 3,
        generations: 2,
        lines_added: 6,
        lines_removed: 1,
        input_tokens: 3800,
        output_tokens: 200,
        nano_aiu: 250_000_000,
        ..Counts::default()
    };
    let app = Counts { requests: 2, turns: 1, interactions: 1, input_tokens: 500, output_tokens: 100, ..asked };
    UserDay {
        telemetry: true,
        cells: BTreeMap::from([
            (cell(["vscode", "code_completion", "python", "gpt-41-copilot"]), completions),
            (cell(["vscode", "chat_panel_agent_mode", "unknown", "claude-sonnet-4.6"]), agent),
            (cell(["vscode", "agent_edit", "rust", "claude-sonnet-4.6"]), edits),
            (cell(["intellij", "chat_inline", "java", "gpt-5.4"]), asked),
            (cell(["others", "chat_panel_ask_mode", "unknown", "gpt-5.4"]), asked),
            (cell(["", "copilot_cli", "unknown", "gpt-5.4"]), cli),
            (cell(["", "copilot_app", "unknown", "unknown"]), app),
        ]),
        cli_sessions: 2,
        app_sessions: 1,
        clients: clients(),
    }
}

/// The same day of a user whose editors tell nothing: what telemetry alone tells is not there.
fn without_telemetry() -> UserDay {
    let mut usage = UserDay { telemetry: false, ..ada() };
    for (cell, counts) in &mut usage.cells {
        (counts.acceptances, counts.copied, counts.inserted) = (0, 0, 0);
        if cell.feature == "code_completion" || cell.feature.starts_with("chat_") {
            counts.lines_added = 0;
        }
    }
    usage
}

fn identity() -> Identity<'static> {
    Identity { login: "ada-l", id: Some(815) }
}

fn record_of(usage: &UserDay, gaps: Gaps) -> Value {
    value(&user(identity(), (None, day()), usage, phase(None, 0), gaps))
}

fn organization_of<'a>(users: impl IntoIterator<Item = &'a UserDay>, gaps: Gaps) -> Value {
    let usage = OrganizationSums::of(&OrganizationDay::of(users));
    value(&organization(day(), &usage, Audience::default(), None, gaps))
}

/// A record a field a line, lists an item a line.
fn shown(record: &Value) -> String {
    let line = |(name, value): (&String, &Value)| match value.as_array() {
        Some(items) => items.iter().fold(format!("{name}:\n"), |lines, item| format!("{lines}  {item}\n")),
        None => format!("{name}: {value}\n"),
    };
    record.as_object().unwrap().iter().map(line).collect()
}
