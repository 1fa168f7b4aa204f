//! Opening the file: who may read it, how SQLite treats it, and its schema.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::Context;
use super::with_suffix;
use crate::identity::secret_file;
use crate::store::{Result, StoreError};

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One file a schema version, in order.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_usage_event.sql"),
    include_str!("../migrations/0002_telemetry.sql"),
    include_str!("../migrations/0003_rollup.sql"),
];

/// Statements that a connection keeps prepared: more than there are.
const PREPARED_STATEMENTS: usize = 64;

/// Opens the file for writing; makes it, for its owner alone, and brings its schema up to date.
pub(super) fn writer(path: &Path) -> Result<Connection> {
    create(path).map_err(|source| StoreError::Unavailable { store: path.to_owned(), source: source.into() })?;
    let mut connection = connect(path).at(path)?;
    // WAL: readers and the writer do not wait for each other. NORMAL: a power cut may take the last events, which their
    // records still tell; a crash of the process takes none.
    connection.pragma_update(None, "journal_mode", "WAL").at(path)?;
    connection.pragma_update(None, "synchronous", "NORMAL").at(path)?;
    // What is deleted is overwritten, for a person may be forgotten later.
    connection.pragma_update(None, "secure_delete", true).at(path)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Opens the file for reading; neither makes it nor touches its schema.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    if !path.exists() {
        return Err(StoreError::Missing { store: path.to_owned() });
    }
    let connection = connect(path).at(path)?;
    // Rather than opening it read-only, which SQLite cannot do where the last writer has taken the WAL file away.
    connection.pragma_update(None, "query_only", true).at(path)?;
    match version(&connection).at(path)? {
        found if found == MIGRATIONS.len() => Ok(connection),
        found if found < MIGRATIONS.len() => {
            Err(StoreError::Older { store: path.to_owned(), found, known: MIGRATIONS.len() })
        }
        found => Err(newer(path, found)),
    }
}

/// Renames a damaged file to `<name>.corrupt-<timestamp>`, with its WAL. Gives its new path.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = with_suffix(path, &format!(".corrupt-{}", Utc::now().format("%Y%m%dT%H%M%S%.6fZ")));
    // The database last: a stop in between leaves a damaged file to set aside, not a WAL that belongs to nothing.
    for part in ["-shm", "-wal", ""] {
        match std::fs::rename(with_suffix(path, part), with_suffix(&aside, part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::Unavailable { store: path.to_owned(), source: error.into() });
            }
            _ => {}
        }
    }
    tracing::error!(path = %aside.display(), "a damaged usage store was set aside; a new one takes its place");
    Ok(aside)
}

fn create(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    secret_file::refuse_link(path)?;
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI: a path is a path. Without the mutex: a connection is in one thread's hands at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).at(path)?;
    let found = version(&transaction).at(path)?;
    let missing = MIGRATIONS.get(found..).ok_or_else(|| newer(path, found))?;
    for migration in missing {
        transaction.execute_batch(migration).at(path)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len()).at(path)?;
    transaction.commit().at(path)
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn newer(path: &Path, found: usize) -> StoreError {
    StoreError::Newer { store: path.to_owned(), found, known: MIGRATIONS.len() }
}
