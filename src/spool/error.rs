//! What can go wrong with the spool, said so that an operator knows what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::exchange::ExchangeId;

/// Why the spool could not be opened, refused an exchange or could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// The folder or a file in it cannot be used at start.
    #[error("cannot open the spool at {path}: {source}; check that the folder belongs to copilens's user")]
    Open {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The spool has reached its limit; nothing was written.
    #[error(
        "the spool has reached its limit of {limit} bytes: find out why the recorder is behind, or raise capture.spool_limit"
    )]
    Full {
        /// The limit in bytes.
        limit: u64,
    },
    /// Too much waits in memory to be written: the disk hangs or is too slow. Nothing was written.
    #[error("the disk does not keep up: {queued} bytes wait to be written to the spool")]
    Backlogged {
        /// Bytes that wait.
        queued: u64,
    },
    /// The disk refused the exchange; the next one tries again.
    #[error("cannot write to the spool at {path}: {}", with_remedy(source))]
    Write {
        /// The segment file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// A segment file cannot be opened for reading now; trying again later may help.
    #[error("cannot read from the spool at {path}: {}", with_remedy(source))]
    Read {
        /// The segment file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// This exchange has no form on disk.
    #[error("exchange {id} cannot be spooled: {reason}")]
    Unspoolable {
        /// The exchange.
        id: ExchangeId,
        /// Why.
        reason: String,
    },
    /// The program ended, or failed, before the exchange was ready to be written.
    #[error("the exchange was given up before it was ready")]
    Abandoned,
    /// The spool was closed, or its writer ended by a fault of its own.
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    pub(super) fn open(path: &Path, source: io::Error) -> Self {
        Self::Open { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source: Arc::new(source) }
    }
}

/// A disk's error and what an operator can do about it.
pub(crate) fn with_remedy(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull => "free some disk space or inodes",
        io::ErrorKind::QuotaExceeded => "raise the quota or free some disk space",
        io::ErrorKind::FileTooLarge => "raise the limit on file sizes (ulimit -f)",
        io::ErrorKind::ReadOnlyFilesystem => "remount it read-write",
        io::ErrorKind::PermissionDenied => "let copilens's user write there",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "move away what is in its place",
        _ => "check the disk",
    };
    format!("{error}: {remedy}")
}
