//! Records what an earlier run left in the spool, without a proxy: for commands that need all of it in its place.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use super::{LogFolder, StartError, start_recorder};
use crate::config::{Live, Loaded};
use crate::metrics::Metrics;
use crate::recorder::RecordFiles;
use crate::store::UsageStore;

/// Why exchanges still wait in the spool.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The recorder did not come to work.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The recorder could not do its work.
    #[error("{waiting} exchanges wait in the spool and cannot be recorded: {fault}; mend that and try again")]
    Waiting {
        /// How many.
        waiting: u64,
        /// What keeps the recorder from it.
        fault: String,
    },
}

/// Empties the spool into records, store and day files, as a running copilens would with this configuration.
///
/// # Errors
/// [`DrainError`]; what waits goes on waiting.
pub fn drain(loaded: Loaded, store: &Arc<dyn UsageStore>, _folder: &LogFolder) -> Result<(), DrainError> {
    let files = RecordFiles::open(&loaded.settings.log_dir).map_err(StartError::from)?;
    let metrics = Arc::new(Metrics::register(&mut Registry::default()));
    let (spool, mut recorder) = start_recorder(&Arc::new(Live::new(loaded)), store, files, metrics)?;
    spool.close();
    recorder.stop();
    spool.clear_up();
    match spool.status().entries_unsettled {
        0 => Ok(()),
        waiting => Err(DrainError::Waiting { waiting, fault: recorder.fault().unwrap_or_default() }),
    }
}
