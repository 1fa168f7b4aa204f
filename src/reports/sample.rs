//! Reports on events that tests make up.

use std::sync::Arc;

use tempfile::TempDir;

use super::{Reports, Roster, Scope};
use crate::config::Unknown;
use crate::identity::Account;
use crate::store::{FILE_NAME, SqliteStore, UsageStore as _};
use crate::usage::{UsageEvent, sample};

/// Reports on a store with these events, and the folder that it is in.
pub(super) fn reports_on(events: &[UsageEvent]) -> (Reports, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join(FILE_NAME)).unwrap();
    store.insert(events).unwrap();
    let roster = Arc::new(Roster::of(&[] as &[Account], &store).unwrap());
    let reports =
        Reports { store: Arc::new(store), roster, organization: "octo-org".to_owned(), unknown: Unknown::Zero };
    (reports, folder)
}

/// All that [`reports_on`] has, noise included.
pub(super) fn everything() -> Scope {
    let day = sample::noon().date_naive();
    Scope { from: day, to: day.succ_opt().unwrap(), user: None, noise: true }
}

/// A reader that has had enough after some bytes.
pub(super) struct Satisfied {
    pub(super) after: usize,
}

impl std::io::Write for Satisfied {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.after = self.after.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
