//! Why the recorder could not finish its work.

use super::files::FileError;
use super::rebuild::RebuildError;
use super::record::RecordError;
use crate::store::StoreError;

/// Why a batch could not be finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

impl Fault {
    /// The store's error, where only opening it anew may help.
    pub(super) fn of_store(self) -> Result<StoreError, Self> {
        match self {
            Self::Store(error) | Self::Rebuild(RebuildError::Store(error)) if !error.is_temporary() => Ok(error),
            other => Err(other),
        }
    }
}
