//! The sync thread: makes what was written safe from a power loss, at intervals and away from those who wait. It clears up
//! behind them, too.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::shared::Shared;

/// Runs until the writer has ended, and once more after that.
pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        let last = shared.wait_for_stop(shared.options.sync_interval);
        sync(shared);
        shared.dispose_left_over();
        if last {
            return;
        }
    }
}

/// Syncs what was written since the last time; what fails is tried again at the next.
fn sync(shared: &Shared) {
    let mut state = shared.lock();
    let files = state.ledger.take_unsynced();
    let folder = std::mem::take(&mut state.folder_unsynced);
    drop(state);
    if files.is_empty() && !folder {
        return;
    }
    let folder_synced = if folder { sync_folder(&shared.dir) } else { Ok(()) };
    let failed: Vec<_> =
        files.into_iter().filter_map(|(seq, file)| file.sync_data().err().map(|error| (seq, file, error))).collect();
    let folder_error = folder_synced.as_ref().err().map(ToString::to_string);
    let error = failed.first().map(|(_, _, error)| error.to_string()).or(folder_error);
    let mut state = shared.lock();
    state.folder_unsynced |= folder_synced.is_err();
    for (seq, file, _) in failed {
        state.ledger.still_unsynced(seq, file);
    }
    let before = std::mem::replace(&mut state.sync_error, error.clone());
    drop(state);
    if let (None, Some(error)) = (before, error) {
        tracing::error!(error, dir = %shared.dir.display(), "the spool cannot be synced; a power loss may cost records");
    }
}

/// Makes the names in the folder safe. A folder that is gone has none; the writer makes it again.
#[cfg(unix)]
fn sync_folder(dir: &Path) -> io::Result<()> {
    match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        folder => folder?.sync_all(),
    }
}

/// Folders cannot be synced here.
#[cfg(not(unix))]
fn sync_folder(_dir: &Path) -> io::Result<()> {
    Ok(())
}
