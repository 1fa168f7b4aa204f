//! Compaction: record files that arrived `records.compact_after_days` ago become one archive a user, kind and day.
//!
//! The archive is written beside, made safe and put in its place before the first file goes, so a stop at any point loses
//! nothing; what is then there twice counts once, and is found and removed by the next run. A day's files wait until all of
//! them are old enough, so that an archive is written once. Those that come later (imported, say) are taken into a new
//! archive of that day.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, Utc};

use super::archive::{self, Lines, Writer};
use super::files::{FileError, RecordFiles, day_of};
use super::record::Record;
use super::retention::{Swept, entries, folders};
use crate::exchange::ExchangeId;

/// Archives all days whose files had all arrived before `limit`, for as long as `go_on` says so: it is asked before each step.
pub(super) fn compact(files: &RecordFiles, limit: SystemTime, go_on: &dyn Fn() -> bool, swept: &mut Swept) {
    for user in folders(&files.usage_dir(), swept) {
        for kind in folders(&user.path(), swept) {
            compact_folder(files, &kind.path(), limit, go_on, swept);
            if !go_on() {
                return;
            }
        }
    }
}

fn compact_folder(files: &RecordFiles, folder: &Path, limit: SystemTime, go_on: &dyn Fn() -> bool, swept: &mut Swept) {
    // No file arrives before the end of its exchange, so most need no look at their metadata.
    let limit_day = DateTime::<Utc>::from(limit).date_naive();
    let mut days: BTreeMap<NaiveDate, Vec<PathBuf>> = BTreeMap::new();
    for path in entries(folder, swept).into_iter().map(|entry| entry.path()) {
        if let Some(day) = day_of(&path).filter(|day| *day <= limit_day) {
            days.entry(day).or_default().push(path);
        }
    }
    for (day, mut plain) in days {
        if !go_on() {
            return;
        }
        plain.sort();
        if let Some(bytes) = bytes_before(&plain, limit) {
            match compact_day(files, &archive::path(folder, day), &plain, bytes, go_on) {
                Ok(compacted) => swept.compacted += compacted,
                Err(error) => {
                    tracing::error!(%error, folder = %folder.display(), %day, "record files could not be compacted; they stay as they are");
                    swept.failed += 1;
                }
            }
        }
    }
}

/// How many bytes there are in these files; `None` unless all of them arrived before `limit`.
fn bytes_before(paths: &[PathBuf], limit: SystemTime) -> Option<u64> {
    let bytes = |path: &PathBuf| arrived(path).ok().filter(|at| at.0 < limit).map(|at| at.1);
    paths.iter().map(bytes).sum()
}

/// When the file came here, and its size; a link or a folder never did.
fn arrived(path: &Path) -> io::Result<(SystemTime, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_file() {
        Ok((metadata.modified()?, metadata.len()))
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Takes the day's files into its archive; gives their number. What is no record of ours stays as it is.
fn compact_day(
    files: &RecordFiles,
    archive: &Path,
    plain: &[PathBuf],
    bytes: u64,
    go_on: &dyn Fn() -> bool,
) -> Result<u64, FileError> {
    // What an archive has becomes many times as much again.
    let mut writer = Writer::begin(files, if archive.exists() { u64::MAX } else { bytes })?;
    let mut taken = Taken::default();
    for path in plain {
        if !go_on() {
            return Ok(0);
        }
        taken.add(path, &mut writer)?;
    }
    if taken.paths.is_empty() || !add_archived(archive, &mut taken, &mut writer, go_on)? || !go_on() {
        return Ok(0);
    }
    writer.finish(archive, taken.arrived)?;
    let mut removed = 0;
    for path in taken.paths {
        if !go_on() {
            break;
        }
        fs::remove_file(&path).map_err(|error| FileError::write(&path, error))?;
        removed += 1;
    }
    Ok(removed)
}

/// What a new archive has of the day's files.
struct Taken {
    paths: Vec<PathBuf>,
    ids: HashSet<ExchangeId>,
    /// The newest of them, by arrival.
    arrived: SystemTime,
}

impl Default for Taken {
    fn default() -> Self {
        Self { paths: Vec::new(), ids: HashSet::new(), arrived: UNIX_EPOCH }
    }
}

impl Taken {
    fn add(&mut self, path: &Path, writer: &mut Writer) -> Result<(), FileError> {
        let failed = |error| FileError::read(path, error);
        let (at, _) = arrived(path).map_err(failed)?;
        let text = fs::read(path).map_err(failed)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let record: serde_json::Result<Record> = serde_json::from_slice(&text);
        let (Ok(record), Some(line)) = (record, archive::line(name, &text)) else { return Ok(()) };
        writer.add(&line)?;
        self.ids.insert(record.id);
        self.arrived = self.arrived.max(at);
        self.paths.push(path.to_owned());
        Ok(())
    }
}

/// Adds what the archive before has and the files have not: a file is the newer one where both have an exchange. False where
/// it was broken off.
fn add_archived(
    archive: &Path,
    taken: &mut Taken,
    writer: &mut Writer,
    go_on: &dyn Fn() -> bool,
) -> Result<bool, FileError> {
    let failed = |error| FileError::read(archive, error);
    let Some(lines) = Lines::open(archive).map_err(failed)? else { return Ok(true) };
    taken.arrived = taken.arrived.max(arrived(archive).map_err(failed)?.0);
    for line in lines {
        let line = line.map_err(failed)?;
        if !archive::id_of(&line).is_some_and(|id| taken.ids.contains(&id)) {
            writer.add(&line)?;
        }
        if !go_on() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
