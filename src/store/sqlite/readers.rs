//! Connections that only read, so that no question waits for the writer or for a longer question.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::open;
use crate::store::Result;

/// As many idle connections are kept; each holds up to 2 MB of the file in memory.
const KEPT: usize = 4;

/// Idle reading connections to one file.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// None is open yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default() }
    }

    /// Runs `question` on an idle connection, or on a new one. A connection that met an error is not used again.
    pub(super) fn with<T>(&self, question: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.lock().pop();
        let connection = idle.map_or_else(|| open::reader(&self.path), Ok)?;
        let answer = question(&connection)?;
        let mut idle = self.lock();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// Closes those that are idle.
    pub(super) fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
