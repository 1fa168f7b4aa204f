//! What is SQLite's own: the file, its schema and its plans.

mod migration;

use rusqlite::types::ValueRef;
use tempfile::TempDir;

use super::*;
use crate::copilot::vocabulary::{Class, Kind};
use crate::store::tests::{Engine, Place, all_events};
use crate::usage::sample::completion;

pub(in crate::store) const ENGINE: Engine = Engine(|| Box::new(Folder(tempfile::tempdir().unwrap())));

/// A folder with a store's file.
struct Folder(TempDir);

impl Folder {
    fn file(&self) -> PathBuf {
        self.0.path().join(FILE_NAME)
    }
}

impl Place for Folder {
    fn open(&self) -> Box<dyn UsageStore> {
        Box::new(SqliteStore::open(&self.file()).unwrap())
    }

    fn rows(&self, table: &str) -> Vec<String> {
        let connection = Connection::open(self.file()).unwrap();
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = 0..statement.column_count();
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.escape_ascii().to_string(),
            number_or_null => format!("{number_or_null:?}"),
        };
        let text = |row: &rusqlite::Row<'_>| {
            let values = columns.clone().map(|column| row.get_ref(column).map(text));
            values.collect::<rusqlite::Result<Vec<_>>>().map(|values| values.join(" "))
        };
        statement.query_map([], text).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }
}

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
const GROWING: [&str; 11] = [
    "usage_event",
    "suggestion",
    "chat_action",
    "cli_session",
    "acceptance",
    "account",
    "user_day",
    "organization_day",
    "organization_sums",
    "user_month",
    "user_year",
];

#[test]
fn each_question_goes_by_an_index() {
    let store = store_with(&[]);
    let others = [rollups::ALL.as_slice(), &acceptance::ALL, &super::accounts::ALL].concat();
    let others = others.into_iter().map(str::to_owned).collect();
    for sql in [questions::all(), facts::all(), others].concat() {
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
    assert_eq!(all_events(&*store).len(), 1, "all or none");
}

#[test]
fn classes_are_stored_by_the_names_that_the_questions_use() {
    let names = [Class::Turn, Class::Step, Class::Noise].map(Class::as_str);
    assert_eq!((names, Kind::Chat.as_str()), (["turn", "step", "noise"], "chat"));
}
