//! The store's promises, on files: what goes in comes out, once, and the SQL rollup is the fold of the events.

mod accounts;
mod migration;
mod telemetry;
mod telemetry_in_any_order;

use chrono::{TimeDelta, TimeZone};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use crate::usage::sample::{any_events, chat, completion, id, noise, noon, step};

struct TempStore {
    store: SqliteStore,
    path: PathBuf,
    _folder: TempDir,
}

impl std::ops::Deref for TempStore {
    type Target = SqliteStore;

    fn deref(&self) -> &SqliteStore {
        &self.store
    }
}

fn store_with(events: &[UsageEvent]) -> TempStore {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let store = SqliteStore::open(&path).unwrap();
    store.insert(events).unwrap();
    TempStore { store, path, _folder: folder }
}

fn today() -> NaiveDate {
    noon().date_naive()
}

fn tomorrow(event: UsageEvent) -> UsageEvent {
    UsageEvent { ended_at: event.ended_at + TimeDelta::days(1), ..event }
}

fn events_of(store: &SqliteStore, from: NaiveDate, to: NaiveDate, user: Option<&str>) -> Vec<UsageEvent> {
    let mut events = Vec::new();
    store
        .events(from, to, user, &mut |event| {
            events.push(event);
            ControlFlow::Continue(())
        })
        .unwrap();
    events
}

fn all_events(store: &SqliteStore) -> Vec<UsageEvent> {
    events_of(store, NaiveDate::default(), today() + TimeDelta::days(9), None)
}

fn fold<'a>(day: NaiveDate, events: impl IntoIterator<Item = &'a UsageEvent>) -> DayUsage {
    let mut usage = DayUsage::new(day);
    events.into_iter().filter(|event| event.day() == day).for_each(|event| usage.add(event));
    usage
}

/// Every optional field absent, another word for every enumeration, the odd microsecond.
fn bare() -> UsageEvent {
    UsageEvent {
        kind: Kind::Chat,
        outcome: Outcome::Failed,
        started_at: noon() - TimeDelta::microseconds(1),
        ended_at: chrono::Utc.with_ymd_and_hms(2025, 3, 14, 23, 59, 59).unwrap() + TimeDelta::microseconds(999_999),
        status: None,
        ide: None,
        editor: None,
        plugin: None,
        machine_id: None,
        session_id: None,
        account: None,
        language: None,
        model: None,
        model_version: None,
        request_id: None,
        interaction_id: None,
        streamed: false,
        first_byte_ms: None,
        duration_ms: 0.1 + 0.2,
        ..completion(90, "zoe")
    }
}

#[test]
fn events_come_back_as_they_went_in() {
    let canceled = UsageEvent { outcome: Outcome::Canceled, ..noise(3, "ada", "canceled") };
    let costly = UsageEvent {
        action: Some("agent".to_owned()),
        tokens: Tokens { cache_written: Some(7), reasoning: Some(8), ..Tokens::default() },
        nano_aiu: Some(3_100_000_000),
        edits: Edits { files: 1, lines_added: 2, lines_removed: 3 },
        ..step(5, "grace")
    };
    let events = [completion(1, "ada"), step(2, "ada"), canceled, chat(4, "grace"), costly, bare()];
    assert_eq!(all_events(&store_with(&events)), events);
}

#[test]
fn an_id_is_stored_once_and_its_first_event_stays() {
    let store = store_with(&[completion(1, "ada")]);
    let changed = UsageEvent { lines_suggested: 99, ..completion(1, "ada") };
    let new = store.insert(&[changed, completion(2, "ada"), completion(2, "ada")]).unwrap();
    assert_eq!(new.new, [false, true, false]);
    assert_eq!(all_events(&store), [completion(1, "ada"), completion(2, "ada")]);
}

#[test]
fn a_count_beyond_belief_neither_fails_nor_overflows_the_day() {
    let lie = |n| UsageEvent { tokens: Tokens { input: Some(u64::MAX), ..Tokens::default() }, ..completion(n, "ada") };
    let store = store_with(&[lie(1), lie(2), lie(3)]);
    assert_eq!(store.day(today()).unwrap().users["ada"].tokens.input, Some(3 << 40));
}

#[test]
fn an_earlier_answer_is_found_by_user_request_status_and_end() {
    let failed =
        |n| UsageEvent { status: Some(503), request_id: Some("retried".to_owned()), ..noise(n, "ada", "status") };
    let answered = UsageEvent { status: Some(200), ..failed(2) };
    let store = store_with(&[failed(1), answered.clone(), failed(3)]);
    let asked = |user, request, after: TimeDelta, n| {
        store.was_answered(user, request, (answered.ended_at + after, id(n))).unwrap()
    };
    let (none, one) = (TimeDelta::zero(), TimeDelta::microseconds(1));
    assert!(asked("ada", "retried", one, 0), "noise is an answer too");
    assert!(!asked("ada", "retried", -one, 9), "a later one is not an earlier one");
    assert!(!asked("ada", "retried", none, 2), "itself is not an earlier one");
    assert!(asked("ada", "retried", none, 3), "ids break ties");
    assert!(!asked("ada", "retried", none, 1), "ids break ties");
    assert!(!asked("grace", "retried", one, 0), "another user's is another's");
    assert!(!asked("ada", "another", one, 0));
}

#[test]
fn days_are_those_with_events() {
    let store = store_with(&[tomorrow(noise(1, "ada", "no_text")), completion(2, "ada"), completion(3, "ada")]);
    assert_eq!(store.days().unwrap(), [today(), today() + TimeDelta::days(1)]);
    assert!(store_with(&[]).days().unwrap().is_empty());
}

#[test]
fn events_are_chosen_by_day_and_user() {
    let (first, second, third) = (completion(1, "ada"), chat(2, "grace"), tomorrow(chat(3, "ada")));
    let store = store_with(&[third.clone(), second.clone(), first.clone()]);
    let next_day = third.day();
    assert_eq!(events_of(&store, today(), today(), None), [first.clone(), second]);
    assert_eq!(events_of(&store, today(), next_day, Some("ada")), [first, third.clone()]);
    assert_eq!(events_of(&store, next_day, next_day, None), [third]);
}

#[test]
fn noise_is_counted_by_reason() {
    let events = [
        noise(1, "ada", "no_text"),
        noise(2, "ada", "no_text"),
        noise(3, "grace", "status"),
        tomorrow(noise(4, "ada", "status")),
        UsageEvent { reason: None, ..noise(5, "ada", "") },
        step(6, "ada"),
    ];
    let store = store_with(&events);
    let counts = |user| store.noise_counts(today(), today(), user).unwrap();
    let by_reason = |counts: &[(&str, u64)]| counts.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect();
    assert_eq!(counts(None), by_reason(&[("no_text", 2), ("status", 1), ("unspecified", 1)]));
    assert_eq!(counts(Some("grace")), by_reason(&[("status", 1)]));
}

#[test]
fn replaced_days_keep_their_noise_and_the_other_days() {
    let old_noise = noise(3, "ada", "no_text");
    let kept = tomorrow(completion(5, "ada"));
    let store =
        store_with(&[completion(1, "ada"), step(2, "ada"), old_noise.clone(), noise(4, "ada", "a"), kept.clone()]);
    let new = [chat(1, "ada"), noise(4, "ada", "b")];
    store.replace_days(&[today()], &mut new.clone().into_iter()).unwrap();
    assert_eq!(all_events(&store), [new[0].clone(), old_noise, new[1].clone(), kept]);
}

#[test]
fn questions_are_answered_from_the_state_before_while_days_are_replaced() {
    let first = completion(1, "ada");
    let store = store_with(std::slice::from_ref(&first));
    let mut answers = Vec::new();
    let mut events = [completion(2, "ada")].into_iter().inspect(|event| {
        answers.push(store.was_answered("ada", "request-1", (event.ended_at, event.id)).unwrap());
    });
    store.replace_days(&[today()], &mut events).unwrap();
    assert_eq!(answers, [true]);
    assert!(!store.was_answered("ada", "request-1", (first.ended_at + TimeDelta::days(1), first.id)).unwrap());
}

#[test]
fn a_panic_while_days_are_replaced_changes_nothing() {
    let store = store_with(&[completion(1, "ada")]);
    let replacing = std::panic::AssertUnwindSafe(|| {
        store.replace_days(&[today()], &mut std::iter::once_with(|| panic!("a record is odd")))
    });
    assert!(std::panic::catch_unwind(replacing).is_err());
    assert_eq!(all_events(&store), [completion(1, "ada")]);
    assert_eq!(store.insert(&[completion(2, "ada")]).unwrap().new, [true]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_rollup_is_the_fold_of_the_events(events in any_events()) {
        let store = store_with(&events);
        for day in [today(), today() + TimeDelta::days(1)] {
            prop_assert_eq!(store.day(day).unwrap(), fold(day, &events));
        }
        let mut sorted = events;
        sorted.sort_by(|a, b| (&a.user, a.id).cmp(&(&b.user, b.id)));
        prop_assert_eq!(all_events(&store), sorted);
    }
}

#[test]
fn midnight_parts_the_days() {
    let last = bare();
    let first = UsageEvent { id: id(91), ended_at: last.ended_at + TimeDelta::microseconds(1), ..last.clone() };
    let store = store_with(&[last.clone(), first.clone()]);
    assert_eq!(store.days().unwrap(), [today(), today() + TimeDelta::days(1)]);
    assert_eq!(store.day(last.day()).unwrap(), fold(last.day(), [&last]));
    assert_eq!(store.day(first.day()).unwrap(), fold(first.day(), [&first]));
}

fn plan_of(store: &SqliteStore, sql: &str) -> String {
    let explain = |connection: &Connection| {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let steps =
            statement.raw_query().mapped(|row| row.get::<_, String>("detail")).collect::<rusqlite::Result<Vec<_>>>();
        steps.map(|steps| steps.join("\n"))
    };
    store.ask(explain).unwrap()
}

/// Tables that grow with what is recorded.
const GROWING: [&str; 6] = ["usage_event", "suggestion", "chat_action", "cli_session", "acceptance", "account"];

#[test]
fn each_question_goes_by_an_index() {
    let store = store_with(&[]);
    let others = [facts::ALL.as_slice(), &acceptance::ALL, &super::accounts::ALL].concat();
    for sql in questions::all().into_iter().chain(others.into_iter().map(str::to_owned)) {
        let plan = plan_of(&store, &sql);
        for table in GROWING {
            assert!(!plan.lines().any(|step| step == format!("SCAN {table}")), "{sql}: {plan}");
        }
        // The days are few, and come from two tables.
        let is_sorted = sql.contains("ORDER BY") && !sql.contains("UNION");
        assert!(!is_sorted || !plan.contains("TEMP B-TREE"), "{sql} is sorted: {plan}");
    }
}

#[test]
fn another_connection_reads_beside_the_writer() {
    let store = store_with(&[completion(1, "ada")]);
    let reader = SqliteStore::open_to_read(&store.path).unwrap();
    assert_eq!(all_events(&reader).len(), 1);
    store.insert(&[completion(2, "ada")]).unwrap();
    assert_eq!(all_events(&reader).len(), 2);
    let refused = reader.insert(&[completion(3, "ada")]).unwrap_err();
    assert!(matches!(refused, StoreError::Failed { .. }), "{refused}");
}

#[test]
fn what_was_stored_is_there_after_closing() {
    let TempStore { store, path, _folder } = store_with(&[completion(1, "ada")]);
    drop(store);
    assert_eq!(all_events(&SqliteStore::open_to_read(&path).unwrap()), [completion(1, "ada")]);
    assert_eq!(SqliteStore::open(&path).unwrap().insert(&[completion(1, "ada")]).unwrap().new, [false]);
}

#[cfg(unix)]
#[test]
fn its_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let store = store_with(&[completion(1, "ada")]);
    for suffix in ["", "-wal", "-shm"] {
        let mode = std::fs::metadata(with_suffix(&store.path, suffix)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[test]
fn reading_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    assert!(matches!(SqliteStore::open_to_read(&path).err(), Some(StoreError::Missing { .. })));
    assert!(!path.exists());
}

#[test]
fn a_newer_schema_is_refused_and_an_older_one_is_not_read() {
    let TempStore { store, path, _folder } = store_with(&[]);
    let version = |n: u32| store.write(|transaction| transaction.pragma_update(None, "user_version", n)).unwrap();
    version(99);
    let refused = SqliteStore::open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{refused}");
    assert!(matches!(SqliteStore::open_to_read(&path).err(), Some(StoreError::Newer { .. })));
    version(0);
    assert!(matches!(SqliteStore::open_to_read(&path).err(), Some(StoreError::Older { found: 0, .. })));
}

#[test]
fn a_file_that_is_no_database_is_named_with_the_remedy_and_can_be_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    std::fs::write(&path, "not a database, ".repeat(100)).unwrap();
    let refused = SqliteStore::open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    assert!(!refused.is_temporary());
    let message = refused.to_string();
    assert!(message.contains(path.to_str().unwrap()) && message.contains("copilens rebuild"), "{message}");

    let (store, aside) = SqliteStore::open_anew(&path).unwrap();
    assert_eq!(store.insert(&[completion(1, "ada")]).unwrap().new, [true]);
    assert!(std::fs::read(&aside).unwrap().starts_with(b"not a database"));
    assert!(aside.file_name().unwrap().to_str().unwrap().starts_with("usage.sqlite3.corrupt-2"), "{}", aside.display());
}

#[test]
fn damage_inside_is_found_by_the_check_and_its_wal_is_set_aside_too() {
    let events: Vec<_> = (0..500).map(|n| completion(n, "ada")).collect();
    let TempStore { store, path, _folder } = store_with(&events);
    store.check().unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    // The schema, without which it does not even open, is in the first half.
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(&path, bytes).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert!(matches!(store.check(), Err(StoreError::Corrupt { .. })));
    assert!(with_suffix(&path, "-wal").exists());
    let (new, aside) = SqliteStore::open_anew(&path).unwrap();
    assert!(all_events(&new).is_empty());
    assert!(with_suffix(&aside, "-wal").exists());
}

#[test]
fn a_locked_store_and_a_full_disk_can_be_tried_again() {
    let store = store_with(&[]);
    let other = Connection::open(&store.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.lock().as_ref().unwrap().connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    let busy = store.insert(&[completion(1, "ada")]).unwrap_err();
    assert!(matches!(busy, StoreError::Busy { .. }) && busy.is_temporary(), "{busy}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.insert(&[completion(1, "ada")]).unwrap().new, [true]);

    store.lock().as_ref().unwrap().connection.query_row("PRAGMA max_page_count = 8", [], |_| Ok(())).unwrap();
    let many: Vec<_> = (2..500).map(|n| completion(n, "ada")).collect();
    let full = store.insert(&many).unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }) && full.is_temporary(), "{full}");
    assert_eq!(all_events(&store).len(), 1, "all or none");
}

#[test]
fn classes_are_stored_by_the_names_that_the_questions_use() {
    let names = [Class::Turn, Class::Step, Class::Noise].map(Class::as_str);
    assert_eq!((names, Kind::Chat.as_str()), (["turn", "step", "noise"], "chat"));
}
