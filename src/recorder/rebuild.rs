//! `rebuild`: the exchange events of a day, and its day file, anew from the record files.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::days::write_day;
use super::files::{FileError, RecordFiles, day_of};
use super::record::Record;
use crate::store::{StoreError, UsageStore};
use crate::usage::UsageEvent;

/// What `rebuild` did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Days made anew.
    pub days: Vec<NaiveDate>,
    /// Records read.
    pub records: usize,
    /// Files that are no records of ours, with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Why nothing was rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A folder cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A day file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes the days of `from..=to` anew that have records of ours; other days are left alone.
///
/// # Errors
/// [`RebuildError`]; each day is changed wholly or not at all.
pub fn rebuild(
    files: &RecordFiles,
    store: &dyn UsageStore,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
) -> Result<Rebuilt, RebuildError> {
    let mut rebuilt = Rebuilt::default();
    let in_range = |day: &NaiveDate| from.is_none_or(|from| *day >= from) && to.is_none_or(|to| *day <= to);
    for (day, paths) in records_by_day(files)?.into_iter().filter(|(day, _)| in_range(day)) {
        let events: Vec<UsageEvent> = paths.iter().filter_map(|path| read_event(path, &mut rebuilt)).collect();
        if events.is_empty() {
            // A legacy add-on's files, or all of them gone meanwhile: its day file knows more than nothing.
            continue;
        }
        rebuilt.records += events.len();
        store.replace_days(&[day], &mut events.into_iter())?;
        write_day(files, day, &store.day(day)?)?;
        rebuilt.days.push(day);
    }
    Ok(rebuilt)
}

fn read_event(path: &Path, rebuilt: &mut Rebuilt) -> Option<UsageEvent> {
    match parse(path) {
        Ok(event) => event,
        Err(reason) => {
            rebuilt.unreadable.push((path.to_owned(), reason));
            None
        }
    }
}

/// `None` where the retention has removed the file meanwhile.
fn parse(path: &Path) -> Result<Option<UsageEvent>, String> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| error.to_string())?,
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    record.event().map(Some).map_err(|error| error.to_string())
}

/// All record files by the day in their name, in the order of their names. Links are not followed.
fn records_by_day(files: &RecordFiles) -> Result<BTreeMap<NaiveDate, Vec<PathBuf>>, RebuildError> {
    let mut days: BTreeMap<NaiveDate, Vec<PathBuf>> = BTreeMap::new();
    for user in entries(&files.usage_dir(), FileType::is_dir)? {
        for kind in entries(&user, FileType::is_dir)? {
            for path in entries(&kind, FileType::is_file)? {
                if let Some(day) = day_of(&path) {
                    days.entry(day).or_default().push(path);
                }
            }
        }
    }
    Ok(days)
}

/// What lies in a folder and is of this type, sorted; nothing where there is no folder.
fn entries(folder: &Path, wanted: fn(&FileType) -> bool) -> Result<Vec<PathBuf>, RebuildError> {
    let failed = |source| RebuildError::Read { path: folder.to_owned(), source };
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(vec![]);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in listed {
        let entry = entry.map_err(failed)?;
        if wanted(&entry.file_type().map_err(failed)?) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
