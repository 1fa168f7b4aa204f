//! A store that holds events as if they had been recorded.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use copilens::store::{SqliteStore, UsageStore as _};
use copilens::usage::UsageEvent;
use serde_json::json;

use super::Site;

/// 2026-03-14, noon, UTC.
pub fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 14, 12, 0, 0).unwrap()
}

/// A completion in Python, `n` seconds after [`noon`], of which nothing is unknown but what completions do not tell.
pub fn completion(n: u32, user: &str) -> UsageEvent {
    let ended_at = noon() + TimeDelta::seconds(n.into());
    let event = json!({
        "id": format!("00000000-0000-7000-8000-{n:012}"), "user": user, "started_at": ended_at - TimeDelta::milliseconds(120),
        "ended_at": ended_at, "kind": "completions", "class": "turn", "outcome": "completed", "status": 200,
        "feature": "code_completion", "ide": "vscode", "editor": "vscode-1.99.0", "plugin": "copilot/1.297.0",
        "machine_id": "m1", "session_id": "s1", "account": format!("{user}-account"), "language": "python",
        "model": "gpt-4o-copilot", "request_id": format!("request-{n}"), "host": "proxy.example.com", "streamed": true,
        "edits": {"files": 0, "lines_added": 0, "lines_removed": 0},
        "generations": 1, "lines_suggested": 2, "characters_suggested": 64, "first_byte_ms": 80.5, "duration_ms": 120.25,
        "request_bytes": 2048, "response_bytes": 512,
    });
    serde_json::from_value(event).unwrap()
}

/// A chat turn likewise.
pub fn chat(n: u32, user: &str) -> UsageEvent {
    let mut chat = serde_json::to_value(completion(n, user)).unwrap();
    let told = json!({
        "kind": "chat", "feature": "chat_panel_ask_mode", "language": null, "model": "gpt-4o", "generations": 0,
        "interaction_id": format!("interaction-{n}"), "tokens": {"input": 900, "output": 120, "cached": 512},
    });
    chat.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
    serde_json::from_value(chat).unwrap()
}

fn store_path(site: &Site) -> PathBuf {
    site.path("logs/usage.sqlite3")
}

/// Stores the events where `site` looks for them.
pub fn store(site: &Site, events: &[UsageEvent]) {
    SqliteStore::open(&store_path(site)).unwrap().insert(events).unwrap();
}

/// Copies each event of the site's store under so many other ids.
pub fn multiply(site: &Site, copies: u32) {
    let database = rusqlite::Connection::open(store_path(site)).unwrap();
    let mut statement =
        database.prepare("SELECT name FROM pragma_table_info('usage_event') WHERE name <> 'id'").unwrap();
    let columns: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let columns = columns.join(", ");
    let copy = format!(
        "WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < ?1)
         INSERT INTO usage_event (id, {columns}) SELECT randomblob(16), {columns} FROM copy, usage_event"
    );
    database.execute(&copy, [copies]).unwrap();
}
