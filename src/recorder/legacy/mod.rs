//! `import`: what a legacy add-on left, its record files and its day files, becomes records and events of ours.
//!
//! The add-on's versions differ in where they put things: `logs/<user>/<kind>/`, `logs/usage/<user>/<kind>/`,
//! `auditlogs/usage/<user>/<action>/`, and `metrics/copilot-usage_<day>.json` beside `usage`. So any folder is taken, and each file
//! is known by what is in it.
//!
//! Ids derive from contents, and a record file goes before its event, so all of it can be done again, also after a crash, and
//! nothing is lost or there twice.
//!
//! ```text
//! walk      every file below the folder, one at a time
//! record    a record of the add-on's -> Exchange -> understood like live traffic -> Record (repair: bodies that it damaged)
//! day_file  a day file of either shape -> counts
//! counts    what a day file counts and no record tells -> events without content
//! ```

mod counts;
mod day_file;
mod record;
mod repair;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use sha2::{Digest as _, Sha256};

use self::day_file::DayCounts;
use self::walk::{Found, Walk};
use super::days::write_day;
use super::files::{FileError, RecordFiles};
use super::record::RecordError;
use super::rollups::refresh_all;
use crate::exchange::ExchangeId;
use crate::identity::Content;
use crate::store::{StoreError, UsageStore};
use crate::usage::UsageEvent;

/// Records between two writings to the store.
const BATCH: usize = 256;
/// Likewise the bytes of their files: so much is held in memory.
const BATCH_BYTES: u64 = 32 << 20;
/// No add-on was there earlier.
const FIRST_YEAR: i32 = 2000;
/// Longest editor's label, in characters. No true one comes near.
const LONGEST_LABEL: usize = 256;

/// Why an import ended early. What it had done stays, and the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder lies in our own log folder.
    #[error(
        "{} lies in copilens' own log folder, where nothing is imported from; move the add-on's files out of it first",
        .0.display()
    )]
    Own(PathBuf),
    /// The folder cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record or a day file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record was made that tells no event.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What an import did and found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Files looked at.
    pub files: u64,
    /// Records that are new here.
    pub records: u64,
    /// Records that were here already.
    pub known: u64,
    /// Exchanges that only a day file tells of, and that are new here.
    pub counts: u64,
    /// Days with anything of the add-on's.
    pub days: BTreeSet<NaiveDate>,
    /// Users with anything of the add-on's.
    pub users: BTreeSet<String>,
    /// By day, exchanges that the records tell of beyond its day file.
    pub beyond: BTreeMap<NaiveDate, u64>,
    /// Names in the add-on's `user_auth.json`.
    pub names: BTreeSet<String>,
    /// Files of copilens' own among them, which are not imported.
    pub ours: u64,
    /// What could not be read.
    pub left_out: LeftOut,
}

/// What could not be read: how much, and the first of it with the reasons.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The first [`LeftOut::SHOWN`].
    pub first: Vec<(PathBuf, String)>,
    /// All of it.
    pub count: u64,
}

impl LeftOut {
    /// How many are kept with their reason.
    pub const SHOWN: usize = 20;

    fn add(&mut self, path: &Path, reason: &impl ToString) {
        self.count += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push((path.to_owned(), reason.to_string()));
        }
    }
}

/// Where an import goes, and what of it is kept.
pub struct Import<'a> {
    /// The record files.
    pub files: &'a RecordFiles,
    /// The events.
    pub store: &'a dyn UsageStore,
    /// Bytes to which a body is decoded.
    pub decode_limit: usize,
    /// What is kept of a user's texts.
    pub content_of: &'a dyn Fn(&str) -> Content,
}

impl std::fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").finish_non_exhaustive()
    }
}

impl Import<'_> {
    /// Imports all below `dir`; `progress` is told now and then how far it is.
    ///
    /// # Errors
    /// [`ImportError`]. A file that cannot be read is none: it is left out, and told.
    pub fn run(&self, dir: &Path, progress: &mut dyn FnMut(&Imported)) -> Result<Imported, ImportError> {
        let walk = Walk::new(dir, self.files.log_dir())?;
        let mut imported = Imported::default();
        let day_files = self.take_records(walk, &mut imported, progress)?;
        let told: BTreeSet<NaiveDate> = imported.days.iter().chain(day_files.keys()).copied().collect();
        for day in told {
            let counts = day_files.get(&day).and_then(|paths| counts_of(day, paths, &mut imported.left_out));
            counts::make_up(self.store, day, counts, &mut imported)?;
            progress(&imported);
        }
        for day in &imported.days {
            write_day(self.files, *day, &self.store.day(*day)?)?;
        }
        refresh_all(self.store)?;
        Ok(imported)
    }

    /// Takes the records, and gives the paths of the day files by day.
    fn take_records(
        &self,
        mut walk: Walk,
        imported: &mut Imported,
        progress: &mut dyn FnMut(&Imported),
    ) -> Result<BTreeMap<NaiveDate, Vec<PathBuf>>, ImportError> {
        let mut day_files = BTreeMap::<NaiveDate, Vec<PathBuf>>::new();
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(found) = walk.next(&mut imported.left_out) {
            imported.files += 1;
            match found {
                Found::Users(path) => match walk::names(&path) {
                    Ok(names) => imported.names.extend(names),
                    Err(reason) => imported.left_out.add(&path, &reason),
                },
                Found::DayFile(day, path) if !may_be(day) => imported.left_out.add(&path, &NO_DAY),
                Found::DayFile(day, path) => day_files.entry(day).or_default().push(path),
                Found::Record(path) => match record::read(&path, self.decode_limit) {
                    Ok(Some(record)) => batch.push(record),
                    Ok(None) => imported.ours += 1,
                    Err(reason) => imported.left_out.add(&path, &reason),
                },
            }
            let bytes: u64 = batch.iter().map(|taken: &record::Taken| taken.bytes).sum();
            if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                self.book(&mut batch, imported)?;
                progress(imported);
            }
        }
        self.book(&mut batch, imported)?;
        Ok(day_files)
    }

    /// Writes those records that the store does not have, then tells it of them. One that it has may have no file any more:
    /// that was removed after its time.
    fn book(&self, batch: &mut Vec<record::Taken>, imported: &mut Imported) -> Result<(), ImportError> {
        let events = batch.iter().map(|taken| taken.record.event()).collect::<Result<Vec<UsageEvent>, _>>()?;
        let known = self.store.knows(&events)?;
        for (taken, _) in batch.iter_mut().zip(&known).filter(|(_, known)| !**known) {
            taken.record.keep((self.content_of)(&taken.record.user));
            self.files.write(&taken.record, taken.client)?;
        }
        let new = self.store.insert(&events)?.new.into_iter().filter(|new| *new).count() as u64;
        imported.records += new;
        imported.known += events.len() as u64 - new;
        for event in events {
            imported.days.insert(event.day());
            imported.users.insert(event.user);
        }
        batch.clear();
        Ok(())
    }
}

/// Why what [`may_be`] refuses is left out.
const NO_DAY: &str = "its day is before the year 2000 or in the future";

/// Whether anything can have been recorded on this day: clocks elsewhere may be ahead, but by less than a day.
fn may_be(day: NaiveDate) -> bool {
    let today = Utc::now().date_naive();
    day.year() >= FIRST_YEAR && day <= today.succ_opt().unwrap_or(today)
}

/// The sum of a day's files, of which copies count once; none where none can be read. More than one is there where the add-on's
/// folder changed that day.
fn counts_of(day: NaiveDate, paths: &[PathBuf], left_out: &mut LeftOut) -> Option<DayCounts> {
    let mut counts = DayCounts::default();
    let mut seen = BTreeSet::new();
    let mut is_told = false;
    for path in paths {
        match walk::content(path) {
            Ok(text) if !seen.insert(Sha256::digest(&text)) => {}
            Ok(text) => is_told |= counts.add(day, path, &text, left_out),
            Err(reason) => left_out.add(path, &reason),
        }
    }
    is_told.then_some(counts)
}

/// An id that is the same whenever it is made of the same parts. It begins with the time, like those of live exchanges, and is
/// a UUIDv8 (RFC 9562 section 5.8).
fn derived_id(at: DateTime<Utc>, parts: &[&str]) -> ExchangeId {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let [_, _, time @ ..] = at.timestamp_millis().max(0).to_be_bytes();
    let mut bytes = [0; 16];
    for (byte, value) in bytes.iter_mut().zip(time.iter().chain(&digest)) {
        *byte = *value;
    }
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = *version & 0x0F | 0x80;
    *variant = *variant & 0x3F | 0x80;
    ExchangeId::from_bytes(bytes)
}

/// A language as day files and events name it: in lower case, none where the add-on knew none.
fn language(name: &str) -> Option<String> {
    let name = name.trim().to_lowercase();
    (!name.is_empty() && name != crate::usage::UNKNOWN && name.len() <= 64).then_some(name)
}

/// An editor's label, cut where it is none.
fn label(editor: &str) -> String {
    editor.replace('/', "-").chars().take(LONGEST_LABEL).collect()
}

#[cfg(test)]
mod tests;
