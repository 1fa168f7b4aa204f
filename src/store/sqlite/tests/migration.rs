//! A file of an earlier version is brought up to date where it is, with what it has.

use chrono::TimeDelta;

use super::*;
use crate::copilot::vocabulary::Tokens;
use crate::store::tests::{fold, shown_later, today};
use crate::usage::sample::{chat, id, noon};

/// The store's file as the first version made it, with one event.
fn first_version(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(include_str!("../../migrations/0001_usage_event.sql")).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    questions::mark_whole(&connection).unwrap();
    let event = completion(1, "ada");
    let insert = "INSERT INTO usage_event (id, day, user, started_us, ended_us, kind, class, outcome, status, feature, editor, \
                  request_id, host, streamed, input_tokens, generations, lines_suggested, characters_suggested, duration_ms, \
                  request_bytes, response_bytes) VALUES (?1, '2025-03-14', 'ada', ?2, ?3, 'completions', 'turn', 'completed', \
                  200, 'code_completion', 'vscode-1.99.0', 'request-1', 'proxy.example.com', 1, 30, 1, 2, 64, 188.354, 2048, 512)";
    let times = (event.started_at.timestamp_micros(), event.ended_at.timestamp_micros());
    connection.execute(insert, rusqlite::params![event.id.as_bytes(), times.0, times.1]).unwrap();
}

#[test]
fn a_store_of_the_first_version_keeps_its_events_and_takes_in_all_that_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    first_version(&path);
    assert!(matches!(SqliteStore::open_to_read(&path).err(), Some(StoreError::Older { found: 1, known: 3, .. })));

    let store = SqliteStore::open(&path).unwrap();
    assert!(store.is_whole().unwrap());
    let old = UsageEvent {
        ide: None,
        plugin: None,
        machine_id: None,
        session_id: None,
        account: None,
        language: None,
        model: None,
        model_version: None,
        tokens: Tokens { input: Some(30), ..Tokens::default() },
        first_byte_ms: None,
        ..completion(1, "ada")
    };
    assert_eq!(all_events(&store), std::slice::from_ref(&old));
    assert_eq!(store.day(today()).unwrap(), fold(today(), [&old]));
    assert_eq!(store.insert(&[completion(1, "ada"), chat(2, "ada")]).unwrap().new, [false, true]);
    assert!(store.was_answered("ada", "request-1", (noon() + TimeDelta::hours(1), id(9))).unwrap());
    assert!(store.had_turn("ada", "interaction-2", (noon() + TimeDelta::hours(1), id(9))).unwrap());

    store.take_notice(&[shown_later(1, "ada")]).unwrap();
    assert_eq!(store.acceptance(today()).unwrap()["ada"].completions.shown, 1);
    drop(store);
    let again = SqliteStore::open(&path).unwrap();
    assert_eq!(again.acceptance(today()).unwrap()["ada"].completions.shown, 1);
    assert_eq!(SqliteStore::open_to_read(&path).unwrap().days().unwrap(), [today(), today() + TimeDelta::days(1)]);
}
