//! Forgetting a person: what they wrote and were answered goes, and what they did is counted on without their name.
//!
//! The store comes first, so that no count is lost. At once after it the folders leave their place, so that no rebuild counts
//! anew what is in them; what a stop leaves of them then goes at the next start. Done again after a stop at any point, it
//! finishes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};

use super::days::{day_of_file, write_day};
use super::files::{FileError, RecordFiles, refuse_links};
use super::record::indented;
use crate::identity::UserName;
use crate::spool;
use crate::store::{StoreError, UsageStore};

/// What a pseudonym begins with.
const PREFIX: &str = "forgotten-";
/// Random bytes of a pseudonym, in hexadecimal after the prefix.
const RANDOM: usize = 4;

/// What was removed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Record files and archives.
    pub records: u64,
    /// Records of completions that nobody had seen yet.
    pub pending: u64,
    /// Segments that the spool had set aside as unreadable: nobody can tell whose exchanges are in them.
    pub set_aside: u64,
    /// Days that name the pseudonym instead of the user.
    pub days: BTreeSet<NaiveDate>,
}

/// Why a person is not, or not wholly, forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The store failed; nothing was removed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file or folder could not be read or removed.
    #[error("{}: {source}", .path.display())]
    Remove {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no random numbers.
    #[error("no random numbers for a pseudonym: {0}")]
    Random(#[from] getrandom::Error),
}

/// Takes a person out of store, day files, records, and what waits. Nothing else may use the log folder meanwhile, and nothing
/// may be left in the spool.
///
/// # Errors
/// [`ForgetError`]; do it again then.
pub fn forget(files: &RecordFiles, store: &dyn UsageStore, user: &UserName) -> Result<Forgotten, ForgetError> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random)?;
    let pseudonym = format!("{PREFIX}{}", HEXLOWER.encode(&random));
    let folders = [files.usage_dir(), files.pending_dir()];
    refuse_links([&folders[0], &folders[1]])?;
    let mut days = store.forget(user.as_str(), &pseudonym)?;
    let [records, pending] = folders.map(|folder| files.take_away(&folder.join(user.as_str())));
    days.extend(rename_in_day_files(files, store, user, &pseudonym, &days)?);
    Ok(Forgotten {
        records: remove_folder(records?.as_deref())?,
        pending: remove_folder(pending?.as_deref())?,
        set_aside: remove_set_aside(&files.spool_dir())?,
        days,
    })
}

/// Writes the files of these days anew, and those of other days that name the user still. Gives the latter.
fn rename_in_day_files(
    files: &RecordFiles,
    store: &dyn UsageStore,
    user: &UserName,
    pseudonym: &str,
    days: &BTreeSet<NaiveDate>,
) -> Result<BTreeSet<NaiveDate>, ForgetError> {
    for day in days {
        write_day(files, *day, &store.day(*day)?)?;
    }
    let stored: BTreeSet<NaiveDate> = store.days()?.into_iter().collect();
    let mut more = BTreeSet::new();
    for path in listed(&files.metrics_dir())? {
        let Some(day) = day_of_file(&path).filter(|day| !days.contains(day)) else { continue };
        let Some(renamed) = renamed(&path, user, pseudonym)? else { continue };
        if stored.contains(&day) {
            write_day(files, day, &store.day(day)?)?;
        } else {
            // A legacy add-on's: nothing else knows its numbers.
            files.replace(&path, renamed.as_bytes())?;
        }
        more.insert(day);
    }
    Ok(more)
}

/// The text of a day file under the pseudonym, where it names the user.
fn renamed(path: &Path, user: &UserName, pseudonym: &str) -> Result<Option<String>, ForgetError> {
    let text = fs::read(path).map_err(failed(path))?;
    let Ok(mut day) = serde_json::from_slice::<Value>(&text) else { return Ok(None) };
    let Some(users) = day.get_mut("usage").and_then(Value::as_object_mut) else { return Ok(None) };
    if !users.contains_key(user.as_str()) {
        return Ok(None);
    }
    let name = |name: String| if name == user.as_str() { pseudonym.to_owned() } else { name };
    *users = std::mem::take(users).into_iter().map(|(key, usage)| (name(key), usage)).collect::<Map<_, _>>();
    Ok(Some(indented(&day)))
}

/// Removes a folder with all that is in it; gives the number of files. Links in it are removed, not followed.
fn remove_folder(folder: Option<&Path>) -> Result<u64, ForgetError> {
    let Some(folder) = folder else { return Ok(0) };
    let mut removed = 0;
    for path in listed(folder)? {
        let is_folder = fs::symlink_metadata(&path).map_err(failed(&path))?.is_dir();
        if is_folder {
            removed += remove_folder(Some(&path))?;
        } else {
            fs::remove_file(&path).map_err(failed(&path))?;
            removed += 1;
        }
    }
    fs::remove_dir(folder).map_err(failed(folder))?;
    Ok(removed)
}

fn remove_set_aside(spool: &Path) -> Result<u64, ForgetError> {
    let mut removed = 0;
    for path in listed(spool)?.into_iter().filter(|path| spool::is_set_aside(path)) {
        fs::remove_file(&path).map_err(failed(&path))?;
        removed += 1;
    }
    Ok(removed)
}

/// What lies in a folder; nothing where there is none.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, ForgetError> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(failed(folder))?,
    };
    listed.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>().map_err(failed(folder))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ForgetError + '_ {
    |source| ForgetError::Remove { path: path.to_owned(), source }
}
