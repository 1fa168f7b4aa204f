//! What can go wrong with a store, told by what its user or its caller can do about it.

use std::error::Error;
use std::path::PathBuf;

type Cause = Box<dyn Error + Send + Sync>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store yet, and reading does not make one.
    #[error("there is no usage store at {}: `copilens run` makes it", store.display())]
    Missing {
        /// Where it was looked for.
        store: PathBuf,
    },
    /// A later version of copilens made the store.
    #[error("the usage store {} has schema version {found}, this copilens knows up to {known}: run the version that made it, or a later one", store.display())]
    Newer {
        /// The store.
        store: PathBuf,
        /// Its schema version.
        found: usize,
        /// The latest schema version known here.
        known: usize,
    },
    /// An earlier version of copilens made the store, and reading does not change it.
    #[error("the usage store {} has schema version {found}, this copilens needs {known}: start `copilens run` of this version once, it brings the store up to date", store.display())]
    Older {
        /// The store.
        store: PathBuf,
        /// Its schema version.
        found: usize,
        /// The schema version needed.
        known: usize,
    },
    /// The store is damaged or is something else.
    #[error("the usage store {} is damaged ({source}): `copilens run` sets the file aside and makes a new one from the records; while it is stopped, `copilens rebuild` does", store.display())]
    Corrupt {
        /// The store.
        store: PathBuf,
        /// What was found.
        source: Cause,
    },
    /// The file was removed or replaced while it was open: what is written to it is lost.
    #[error("the usage store {} was removed while in use: `copilens run` makes it anew from the records", store.display())]
    Gone {
        /// The store.
        store: PathBuf,
    },
    /// Another process kept the store locked for longer than we wait.
    #[error("the usage store {} is in use by another process ({source}): events wait until that one lets go of it", store.display())]
    Busy {
        /// The store.
        store: PathBuf,
        /// What was tried.
        source: Cause,
    },
    /// No room is left.
    #[error("no room for the usage store {} ({source}): free some disk space", store.display())]
    Full {
        /// The store.
        store: PathBuf,
        /// What was tried.
        source: Cause,
    },
    /// The store cannot be reached: the disk fails, or the file cannot be opened.
    #[error("the usage store {} cannot be read or written ({source}): check the disk and the permissions of the folder", store.display())]
    Unavailable {
        /// The store.
        store: PathBuf,
        /// What was tried.
        source: Cause,
    },
    /// Anything else; trying again does not help.
    #[error("the usage store {} failed: {source}", store.display())]
    Failed {
        /// The store.
        store: PathBuf,
        /// What was tried.
        source: Cause,
    },
}

impl StoreError {
    /// Whether the same call may succeed later with nothing done here: the store was busy or full. After any other error
    /// [`UsageStore::reopen`](super::UsageStore::reopen) may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Full { .. })
    }
}
