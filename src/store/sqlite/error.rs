//! SQLite's error codes as the store's errors.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::{Result, StoreError};

/// Says which file an SQLite error is about.
pub(super) trait Context<T> {
    /// The error as one of the store at `path`.
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> Context<T> for rusqlite::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| store_error(path, error))
    }
}

fn store_error(path: &Path, error: rusqlite::Error) -> StoreError {
    let store = path.to_owned();
    let code = error.sqlite_error_code();
    // The file beside the store that readers and writers share cannot grow.
    let is_full = error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    let source = error.into();
    match code {
        _ if is_full => StoreError::Full { store, source },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { store, source },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { store, source },
        Some(ErrorCode::DiskFull) => StoreError::Full { store, source },
        Some(
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied,
        ) => StoreError::Unavailable { store, source },
        _ => StoreError::Failed { store, source },
    }
}
