//! The store that the settings name, as every command opens it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FILE_NAME, PostgresStore, Result, SqliteStore, UsageStore, origin};
use crate::config::{Settings, StoreUrl};

/// Where the SQLite store of a log folder lies.
#[must_use]
pub fn sqlite_path(log_dir: &Path) -> PathBuf {
    log_dir.join(FILE_NAME)
}

/// For writing. A damaged SQLite file is set aside for a new one. A PostgreSQL server is asked nothing yet: it may be down.
///
/// # Errors
/// [`StoreError`](super::StoreError).
pub fn to_write(settings: &Settings) -> Result<Arc<dyn UsageStore>> {
    Ok(match &settings.store.url {
        StoreUrl::Sqlite => Arc::new(SqliteStore::open_or_renew(&sqlite_path(&settings.log_dir))?),
        StoreUrl::Postgres(url) => Arc::new(PostgresStore::new(url, origin::of(&settings.log_dir)?)),
    })
}

/// For reading, beside the process that writes it.
///
/// # Errors
/// [`StoreError`](super::StoreError).
pub fn to_read(settings: &Settings) -> Result<Arc<dyn UsageStore>> {
    Ok(match &settings.store.url {
        StoreUrl::Sqlite => Arc::new(SqliteStore::open_to_read(&sqlite_path(&settings.log_dir))?),
        StoreUrl::Postgres(url) => Arc::new(PostgresStore::open_to_read(url)?),
    })
}
