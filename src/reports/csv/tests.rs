//! The tables as readers get them: unknown, quoted, defused.

use chrono::Utc;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::copilot::vocabulary::Tokens;
use crate::reports::sample::{Satisfied, everything, reports_on};
use crate::reports::{ReportError, events::Line};
use crate::usage::sample::{any_events, chat, completion, noise, noon, step};
use crate::usage::{Cell, Counts, UsageEvent};

fn cell(ide: &str, feature: &str, language: &str, model: &str) -> Cell {
    Cell { ide: ide.into(), feature: feature.into(), language: language.into(), model: model.into() }
}

/// A day with a completion, a chat turn and an edit in VS Code, and a prompt in the CLI.
fn a_day(telemetry: bool) -> UserDay {
    let completion = Counts { requests: 3, turns: 3, generations: 3, lines_suggested: 5, ..Counts::default() };
    let accepted = if telemetry { Counts { acceptances: 2, lines_added: 4, ..completion } } else { completion };
    let chat = Counts { requests: 1, turns: 1, interactions: 1, input_tokens: 900, nano_aiu: 7, ..Counts::default() };
    let edits = Counts { generations: 2, lines_added: 9, lines_removed: 1, ..Counts::default() };
    let cells = [
        (cell("vscode", "code_completion", "python", "gpt-4o-copilot"), accepted),
        (cell("vscode", "chat_panel_ask_mode", "unknown", "gpt-4o"), chat),
        (cell("vscode", "agent_edit", "python", "gpt-4o"), edits),
        (cell("", "copilot_cli", "unknown", "unknown"), chat),
    ];
    UserDay { telemetry, cells: cells.into(), ..UserDay::default() }
}

fn table_of(days: Vec<(Person, UserDay)>) -> String {
    let columns = columns::of_usage();
    let mut out = Vec::new();
    let mut table = Table::begin(&columns, &mut out).unwrap();
    for (person, usage) in days {
        write_day(&mut table, noon().date_naive(), person, usage).unwrap();
    }
    table.end().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_has_each_day_user_and_cell_and_nothing_where_it_is_unknown() {
    let teams = vec!["core".to_owned(), "web".to_owned()];
    let ada = Person { name: "ada".into(), login: "ada-l".into(), teams, ..Person::default() };
    let grace = Person { name: "grace".into(), login: "grace".into(), ..Person::default() };
    let table = table_of(vec![(ada, a_day(true)), (grace, a_day(false))]);
    assert_eq!(table.matches("\r\n").count(), table.lines().count());
    insta::assert_snapshot!(table.replace("\r\n", "\n"));
}

#[test]
fn events_have_a_line_each_and_noise_has_one_on_request() {
    let (reports, _folder) =
        reports_on(&[completion(1, "ada"), chat(2, "ada"), step(3, "ada"), noise(4, "ada", "repeat")]);
    let mut out = Vec::new();
    assert_eq!(reports.events_csv(&everything(), &mut out).unwrap(), 4);
    insta::assert_snapshot!(String::from_utf8(out).unwrap().replace("\r\n", "\n"));
    let counted = Scope { noise: false, ..everything() };
    assert_eq!(reports.events_csv(&counted, &mut io::sink()).unwrap(), 3);
}

#[test]
fn what_a_spreadsheet_might_run_gets_an_apostrophe() {
    let dangerous = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\0=1",
        "\tx",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "\"=1",
        "  =1",
        "\u{a0}=1",
        "\u{feff}=1",
        "' =1",
        "'",
        "=cmd|' /C calc'!A0",
    ];
    for text in dangerous {
        assert_eq!(defused(text.into()), format!("'{text}"), "{text:?}");
    }
    for text in ["", "vscode-1.99.0", "a=b", "x+y", "1-2", "me@example.com", " x", "\"x\"", "-".repeat(0).as_str()] {
        assert_eq!(defused(text.into()), text);
    }
}

#[test]
fn a_reader_that_has_had_enough_is_told_from_other_errors() {
    let (reports, _folder) = reports_on(&(0..2000).map(|n| completion(n, "ada")).collect::<Vec<_>>());
    for (after, rows) in [(0, 0), (100_000, 1)] {
        let refused = reports.events_csv(&everything(), &mut Satisfied { after }).unwrap_err();
        let ReportError::Write(error) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{rows}");
    }
}

fn json(event: &UsageEvent) -> Value {
    serde_json::to_value(Line::from(event)).unwrap()
}

/// The texts that clients choose.
fn with_texts(mut event: UsageEvent, texts: [Option<String>; 4]) -> UsageEvent {
    [event.editor, event.language, event.model, event.machine_id] = texts;
    event
}

/// One apostrophe less, as the module's page tells readers.
fn read_back(field: &str) -> &str {
    field.strip_prefix('\'').unwrap_or(field)
}

/// The value of a column in an event's JSON, `tokens_input` being that of `input` in `tokens`.
fn in_json<'v>(line: &'v Value, column: &str) -> Option<&'v Value> {
    let nested = ["tokens", "edits"].iter().find_map(|outer| {
        let inner = column.strip_prefix(outer)?.strip_prefix('_')?;
        line.get(outer)?.get(inner)
    });
    line.get(column).or(nested)
}

fn assert_same(name: &str, field: &str, told: Option<&Value>) {
    match told {
        None => assert_eq!(field, "", "{name}"),
        Some(Value::String(text)) if name.ends_with("_at") => {
            let [field, text] = [field, text].map(|time| time.parse::<chrono::DateTime<Utc>>().unwrap());
            assert_eq!(field, text, "{name}");
        }
        Some(Value::String(text)) => assert_eq!(read_back(field), text, "{name}"),
        Some(Value::Number(number)) => {
            assert_eq!(field.parse::<f64>().unwrap(), number.as_f64().unwrap(), "{name}");
        }
        Some(value) => assert_eq!(field, value.to_string(), "{name}"),
    }
}

proptest! {
    #[test]
    fn every_event_reads_back_as_it_is_in_json_and_runs_nowhere(
        events in any_events(),
        texts in prop::array::uniform4(prop::option::of("[ '\"=+@,\\t\\r\\n\\x00a-z＝\\-]{1,6}|\\PC{1,9}")),
    ) {
        let columns = columns::of_events();
        let events: Vec<_> = events.into_iter().map(|event| with_texts(event, texts.clone())).collect();
        let mut out = Vec::new();
        let mut table = Table::begin(&columns, &mut out).unwrap();
        events.iter().for_each(|event| table.write(event).unwrap());
        prop_assert_eq!(table.end().unwrap(), events.len() as u64);
        let mut rows = 0;
        for (record, event) in csv::Reader::from_reader(&*out).records().zip(&events) {
            let (record, line) = (record.unwrap(), json(event));
            prop_assert_eq!(record.len(), columns.len());
            for (column, field) in columns.iter().zip(&record) {
                assert_same(column.name, field, in_json(&line, column.name));
                prop_assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "{:?}", field);
            }
            rows += 1;
        }
        prop_assert_eq!(rows, events.len());
    }
}

#[test]
fn every_field_of_an_event_is_a_column() {
    let mut all = chat(1, "ada");
    all.tokens = Tokens { cache_written: Some(1), reasoning: Some(2), ..all.tokens };
    (all.reason, all.action, all.nano_aiu) = (Some("r".into()), Some("a".into()), Some(3));
    all.language = Some("go".into());
    let line = json(&all);
    let mut fields = Vec::new();
    for (name, value) in line.as_object().unwrap() {
        match value.as_object() {
            Some(inner) => fields.extend(inner.keys().map(|inner| format!("{name}_{inner}"))),
            None => fields.push(name.clone()),
        }
    }
    assert_eq!(columns::of_events().map(|column| column.name).to_vec(), fields);
}
