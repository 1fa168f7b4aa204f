//! What can go wrong with a store, told by what its user or its caller can do about it.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

pub(super) type Cause = Box<dyn Error + Send + Sync>;

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
    /// A database server did not do it.
    #[error("the usage store, {server}, {trouble} ({source}): {}", trouble.remedy())]
    Server {
        /// Database, host, port and user.
        server: String,
        /// What kind of trouble it is.
        trouble: ServerTrouble,
        /// What the server or the system said.
        source: Cause,
    },
    /// The database has no usage store yet, and reading does not make one.
    #[error("there is no usage store in {server}: `copilens run` makes it")]
    NoTables {
        /// Database, host, port and user.
        server: String,
    },
}

/// The kinds of trouble with a database server, by what its admin can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerTrouble {
    /// There is no connection, or no more.
    Unreachable,
    /// User or password is not accepted.
    Refused,
    /// There is no such database.
    NoDatabase,
    /// The user lacks a privilege.
    NotAllowed,
    /// It takes no changes.
    ReadOnly,
    /// Its disk is full.
    Full,
    /// It has no connection left.
    Crowded,
    /// It did not come to it in time.
    Busy,
    /// Anything else.
    Other,
}

impl fmt::Display for ServerTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "cannot be reached",
            Self::Refused => "does not let us in",
            Self::NoDatabase => "is not there",
            Self::NotAllowed => "does not allow what is needed",
            Self::ReadOnly => "is read-only",
            Self::Full => "has no room left",
            Self::Crowded => "has no connection left",
            Self::Busy => "did not answer in time",
            Self::Other => "failed",
        })
    }
}

impl ServerTrouble {
    /// What to do about it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => "start the server, or correct host, port and sslmode in store.url",
            Self::Refused => "correct user and password in store.url, or let this machine in (pg_hba.conf)",
            Self::NoDatabase => "make it (createdb), or correct its name in store.url",
            Self::NotAllowed => {
                "make the user the database's owner, or grant it CREATE on the schema and all on its tables"
            }
            Self::ReadOnly => "name the primary server in store.url, or end its default_transaction_read_only",
            Self::Full => "free some disk space on the server",
            Self::Crowded => "raise max_connections; a proxy takes up to five",
            Self::Busy => "it is tried again; see what holds the server up (pg_stat_activity)",
            Self::Other => "see the server's log",
        }
    }

    fn passes(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Full | Self::Crowded | Self::Busy)
    }
}

impl StoreError {
    /// Whether the same call may succeed later with nothing done here: the store was busy or full. After any other error
    /// [`UsageStore::reopen`](super::UsageStore::reopen) may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Full { .. } => true,
            Self::Server { trouble, .. } => trouble.passes(),
            _ => false,
        }
    }
}
