//! The sync thread: makes what was written safe from a power loss, at intervals and away from those who wait. It clears up
//! behind them, too.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::with_remedy;
use super::ledger::Retired;
use super::segment::Seq;
use super::shared::Shared;

/// Runs until the writer has ended, and once more after that.
pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        let last = shared.wait_for_stop(shared.options.sync_interval);
        sync(shared);
        if last {
            return;
        }
    }
}

/// Syncs what was written since the last time, and removes the segments that are finished; what fails is tried again at
/// the next.
pub(super) fn sync(shared: &Shared) {
    let mut state = shared.lock();
    let files = state.ledger.take_unsynced();
    let folder = std::mem::take(&mut state.folder_unsynced);
    let finished = std::mem::take(&mut state.finished);
    drop(state);
    if files.is_empty() && !folder && finished.is_empty() {
        return;
    }
    let outcomes = [
        sync_files(shared, files),
        if folder { sync_names(shared) } else { Ok(()) },
        if finished.is_empty() { Ok(()) } else { remove(shared, finished) },
    ];
    let error = outcomes.into_iter().find_map(Result::err);
    let before = std::mem::replace(&mut shared.lock().sync_error, error.clone());
    if let (None, Some(error)) = (before, error) {
        tracing::error!(error, "the spool is not kept in order; a power loss may cost records");
    }
}

fn sync_files(shared: &Shared, files: Vec<(Seq, Arc<File>)>) -> Result<(), String> {
    let mut outcome = Ok(());
    for (seq, file) in files {
        if let Err(error) = file.sync_data() {
            outcome = Err(format!("cannot sync {}: {}", shared.path(seq).display(), with_remedy(&error)));
            shared.lock().ledger.still_unsynced(seq, file);
        }
    }
    outcome
}

fn sync_names(shared: &Shared) -> Result<(), String> {
    sync_folder(&shared.dir).map_err(|error| {
        shared.lock().folder_unsynced = true;
        format!("cannot sync the folder {}: {}", shared.dir.display(), with_remedy(&error))
    })
}

/// These are the last copies of their exchanges: what was made of them must be as safe before they go.
fn remove(shared: &Shared, finished: Vec<Retired>) -> Result<(), String> {
    if let Some(results) = &shared.options.results
        && let Err(error) = sync_file_system(results)
    {
        shared.lock().finished.extend(finished);
        return Err(format!("cannot sync {}: {}", results.display(), with_remedy(&error)));
    }
    finished.into_iter().map(|segment| shared.remove(segment)).fold(Ok(()), Result::and)
}

/// Makes the names in the folder safe. A folder that is gone has none; the writer makes it again.
#[cfg(unix)]
fn sync_folder(dir: &Path) -> io::Result<()> {
    match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        folder => folder?.sync_all(),
    }
}

/// Makes all safe that was written to the file system of this folder. Syncing each of the files instead would cost more
/// than writing them (a record is a file).
#[cfg(target_os = "linux")]
fn sync_file_system(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        folder => Ok(rustix::fs::syncfs(folder?)?),
    }
}

/// There is no such call here.
#[cfg(not(target_os = "linux"))]
fn sync_file_system(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Folders cannot be synced here.
#[cfg(not(unix))]
fn sync_folder(_dir: &Path) -> io::Result<()> {
    Ok(())
}
