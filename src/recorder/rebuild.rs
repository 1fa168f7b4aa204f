//! `rebuild`: the exchange events of a day, and its day file, anew from the record files. What is counted of exchanges whose
//! records are gone, be it by `[records]` or because a person is forgotten, stays: nothing but the store has it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, FileType};
use std::io;
use std::iter;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::archive::{self, Lines};
use super::days::write_day;
use super::files::{FileError, RecordFiles, day_of};
use super::record::Record;
use crate::exchange::ExchangeId;
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
    let mut days = Vec::new();
    let (records, unreadable) = (Cell::new(0), Unreadable::default());
    let in_range = |day: &NaiveDate| from.is_none_or(|from| *day >= from) && to.is_none_or(|to| *day <= to);
    for (day, folders) in records_by_day(files)?.into_iter().filter(|(day, _)| in_range(day)) {
        let of_folder =
            |(folder, plain): (PathBuf, Vec<PathBuf>)| folder_events(archive::path(&folder, day), &plain, &unreadable);
        let mut events = folders.into_iter().flat_map(of_folder).inspect(|_| records.set(records.get() + 1)).peekable();
        if events.peek().is_none() {
            // A legacy add-on's files, or all of them gone meanwhile: its day file knows more than nothing.
            continue;
        }
        store.replace_all(&mut events)?;
        write_day(files, day, &store.day(day)?)?;
        days.push(day);
    }
    Ok(Rebuilt { days, records: records.get(), unreadable: unreadable.0.into_inner() })
}

/// Files that are no records of ours, with the reason.
#[derive(Default)]
struct Unreadable(RefCell<Vec<(PathBuf, String)>>);

impl Unreadable {
    /// What was read, if anything; keeps the reason why not.
    fn sift<T>(&self, path: &Path, read: Result<Option<T>, String>) -> Option<T> {
        read.unwrap_or_else(|reason| {
            self.0.borrow_mut().push((path.to_owned(), reason));
            None
        })
    }
}

/// The events of one user, kind and day: first of the record files, then of the archive, less what the files have.
fn folder_events<'a>(
    archive: PathBuf,
    plain: &[PathBuf],
    unreadable: &'a Unreadable,
) -> impl Iterator<Item = UsageEvent> + use<'a> {
    let of_files: Vec<UsageEvent> = plain.iter().filter_map(|path| unreadable.sift(path, read_event(path))).collect();
    let known: HashSet<ExchangeId> = of_files.iter().map(|event| event.id).collect();
    // Opened after the files were read: one that was compacted meanwhile is in it.
    let opened = Lines::open(&archive).map_err(|error| error.to_string());
    let mut lines = unreadable.sift(&archive, opened);
    let of_archive = iter::from_fn(move || {
        loop {
            let line = match lines.as_mut()?.next()? {
                Ok(line) => line,
                Err(error) => {
                    lines = None;
                    return unreadable.sift(&archive, Err(error.to_string()));
                }
            };
            let read =
                archive::record_of(&line).map_err(|error| error.to_string()).and_then(|record| event_of(&record));
            match unreadable.sift(&archive, read.map(Some)) {
                Some(event) if !known.contains(&event.id) => return Some(event),
                _ => {}
            }
        }
    });
    of_files.into_iter().chain(of_archive)
}

/// `None` where the file is gone: the retention has removed it meanwhile, or it is in the archive.
fn read_event(path: &Path) -> Result<Option<UsageEvent>, String> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| error.to_string())?,
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    event_of(&record).map(Some)
}

fn event_of(record: &Record) -> Result<UsageEvent, String> {
    record.event().map_err(|error| error.to_string())
}

/// Record files by the day in their name and by folder, in the order of their names; a folder that has but an archive of the
/// day is there without files. Links are not followed.
fn records_by_day(files: &RecordFiles) -> Result<BTreeMap<NaiveDate, BTreeMap<PathBuf, Vec<PathBuf>>>, RebuildError> {
    let mut days: BTreeMap<NaiveDate, BTreeMap<PathBuf, Vec<PathBuf>>> = BTreeMap::new();
    for user in entries(&files.usage_dir(), FileType::is_dir)? {
        for kind in entries(&user, FileType::is_dir)? {
            for path in entries(&kind, FileType::is_file)? {
                if let Some(day) = day_of(&path) {
                    days.entry(day).or_default().entry(kind.clone()).or_default().push(path);
                } else if let Some(day) = archive::day_of(&path) {
                    days.entry(day).or_default().entry(kind.clone()).or_default();
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
