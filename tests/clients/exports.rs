//! Exports as DuckDB reads them: the same values and sensible types in every format.

use std::io::Write as _;
use std::process::{Command, Stdio};

use chrono::TimeDelta;
use copilens::usage::UsageEvent;
use serde_json::{Value, json};

use crate::programs::duckdb;
use crate::support::usage::{chat, completion, store};
use crate::support::{Site, Upstream};

/// What events have in common with their tables, told from [`UsageEvent`]'s fields.
const SELECTED: &str = "\"user\", class, status, ide, editor, model, language, streamed, generations, first_byte_ms, \
                        CAST(day AS VARCHAR), epoch_us(started_at), epoch_us(ended_at)";

/// The rows of each statement; `None` where DuckDB is not there.
fn ask(statements: &[String]) -> Option<Vec<Value>> {
    let mut duckdb: Command = match duckdb() {
        Ok(duckdb) => duckdb,
        Err(missing) => {
            // Past cargo's capture, which hides what a passing test prints.
            let _ = writeln!(std::io::stderr(), "skipped: exports in DuckDB: {missing}");
            return None;
        }
    };
    let output = duckdb.args(statements).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{statements:?}: {}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).unwrap();
    Some(rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Events with all that makes tables hard: unknown values, separators, quotes, line ends, formulas and other scripts.
fn events() -> Vec<UsageEvent> {
    let texts =
        ["a,b", "\"quoted\"", "two\nlines", "=1+1", "'=1+1", " @x", "naïve ✓ 模型", "semi;colon", "tab\tx", "\u{2028}"];
    let mut events = vec![chat(1, "ada"), completion(2, "ada")];
    for (n, text) in (3..).zip(texts) {
        let mut event = if n % 2 == 0 { completion(n, "ada") } else { chat(n, "bob@example.com") };
        (event.model, event.editor) = (Some(text.to_owned()), Some(text.chars().rev().collect()));
        (event.ide, event.status, event.first_byte_ms) = (None, None, None);
        events.push(event);
    }
    events
}

/// The row of [`SELECTED`].
fn row(event: &UsageEvent) -> Value {
    json!([
        event.user,
        event.class.as_str(),
        event.status,
        event.ide,
        event.editor,
        event.model,
        event.language,
        event.streamed,
        event.generations,
        event.first_byte_ms,
        event.day().to_string(),
        event.started_at.timestamp_micros(),
        event.ended_at.timestamp_micros(),
    ])
}

/// A site with these events, and each format as DuckDB takes it.
fn exported(site: &Site, formats: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let path = |format: &str| site.path(format).display().to_string();
    formats
        .iter()
        .map(|(format, reader)| {
            site.stdout(&["export", "--format", format, "--from", "2026-03-01", "--to", "2026-03-31", "-o", format]);
            (*format, format!("{reader}('{}')", path(format)))
        })
        .collect()
}

const READERS: [(&str, &str); 3] = [("events", "read_ndjson"), ("events-csv", "read_csv"), ("parquet", "read_parquet")];

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_its_values_in_every_format() {
    let site = Site::new(&Upstream::start().await);
    let mut events = events();
    store(&site, &events);
    let tables = exported(&site, &READERS);
    let statement = |(format, table): &(&str, String)| match *format {
        // A text loses the one apostrophe that it begins with.
        "events-csv" => {
            let text = |name: &str| format!("regexp_replace({name}, '^''', '') AS {name}");
            format!(
                "SELECT {SELECTED} FROM (SELECT * REPLACE ({}, {}) FROM {table}) ORDER BY id",
                text("model"),
                text("editor")
            )
        }
        _ => format!("SELECT {SELECTED} FROM {table} ORDER BY id"),
    };
    let Some(found) = ask(&tables.iter().map(statement).collect::<Vec<_>>()) else { return };
    events.sort_by_key(|event| event.id);
    let expected: Vec<Value> = events.iter().map(row).collect();
    for ((format, _), found) in tables.iter().zip(found) {
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{format}");
        found.iter().zip(&expected).for_each(|(found, expected)| assert_eq!(found, expected, "{format}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_have_their_types_and_sums() {
    let site = Site::new(&Upstream::start().await);
    store(&site, &events());
    let tables = exported(&site, &READERS);
    let describe = |table: &str| format!("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {table})");
    let types: Vec<String> = tables.iter().map(|(_, table)| describe(table)).collect();
    let Some(types) = ask(&types) else { return };
    for ((format, _), found) in tables.iter().zip(types) {
        let found = found.as_array().unwrap();
        let of = |name: &str| found.iter().find(|row| row[0] == name).unwrap()[1].as_str().unwrap();
        for (name, kind) in [
            ("day", "DATE"),
            ("started_at", "TIMESTAMP"),
            ("ended_at", "TIMESTAMP"),
            ("user", "VARCHAR"),
            ("status", "BIGINT"),
            ("streamed", "BOOLEAN"),
            ("generations", "BIGINT"),
            ("first_byte_ms", "DOUBLE"),
            ("duration_ms", "DOUBLE"),
            ("request_bytes", "BIGINT"),
        ] {
            assert!(of(name).starts_with(kind), "{format}: {name} is {}", of(name));
        }
        if *format == "parquet" {
            assert_eq!(of("ended_at"), "TIMESTAMP WITH TIME ZONE");
        }
    }
    let tokens = |(format, table): &(&str, String)| {
        let (input, reasoning) = match *format {
            "events" => ("tokens.input", "NULL"),
            _ => ("tokens_input", "tokens_reasoning"),
        };
        format!("SELECT count(*), count({input}), CAST(sum({input}) AS BIGINT), count({reasoning}) FROM {table}")
    };
    // Six chat turns; what is unknown is null and not 0.
    let sums = ask(&tables.iter().map(tokens).collect::<Vec<_>>()).unwrap();
    sums.iter().for_each(|sum| assert_eq!(*sum, json!([[12, 6, 5400, 0]])));
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_usage_has_the_sums_of_its_events() {
    let site = Site::new(&Upstream::start().await);
    let mut events = events();
    events.iter_mut().skip(6).for_each(|event| {
        event.started_at += TimeDelta::days(1);
        event.ended_at += TimeDelta::days(1);
    });
    store(&site, &events);
    let tables = exported(&site, &[("csv", "read_csv"), ("parquet", "read_parquet")]);
    let sums = [
        "\"user\", day, CAST(sum(requests) AS BIGINT), CAST(sum(turns) AS BIGINT), CAST(sum(generations) AS BIGINT), \
         CAST(sum(lines_suggested) AS BIGINT), CAST(sum(input_tokens) AS BIGINT), count(acceptances)",
        "\"user\", day, count(*), count(*), CAST(sum(generations) AS BIGINT), CAST(sum(lines_suggested) AS BIGINT), \
         CAST(sum(tokens_input) AS BIGINT), 0",
    ];
    let grouped = |((_, table), sums): (&(&str, String), &str)| {
        format!("SELECT {sums} FROM {table} GROUP BY \"user\", day ORDER BY \"user\", day")
    };
    let Some(found) = ask(&tables.iter().zip(sums).map(grouped).collect::<Vec<_>>()) else { return };
    assert_eq!(found[0].as_array().unwrap().len(), 4);
    assert_eq!(found[0], found[1]);
}
