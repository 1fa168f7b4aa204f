//! The day files: a projection of the store, written behind the recorder's work.
//!
//! A change is visible within a second or so. Writing never takes more than a twentieth of the recorder's time, so a day
//! with many users is written less often instead of slowing the recording down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};

use super::files::{FileError, RecordFiles};
use crate::store::{StoreError, UsageStore};
use crate::usage::{DayUsage, UsageEvent};

/// The least time between two writings.
const PAUSE: Duration = Duration::from_secs(1);
/// Of the time passed, at most one part in this many is spent on writing.
const SHARE: u32 = 20;
/// Days held in memory besides those with changes: today, and yesterday around midnight.
const DAYS_KEPT: usize = 2;

/// Why a day file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DayFileError {
    /// The disk said no.
    #[error(transparent)]
    File(#[from] FileError),
    /// What it should say cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct Day {
    usage: DayUsage,
    changed: bool,
    /// Telemetry came since its acceptance was read.
    stale: bool,
}

/// Keeps `metrics/copilot-usage_<day>.json` in step with the store.
pub struct DayFiles {
    store: Arc<dyn UsageStore>,
    files: RecordFiles,
    days: BTreeMap<NaiveDate, Day>,
    next: Instant,
}

impl DayFiles {
    /// Nothing is read or written yet.
    #[must_use]
    pub fn new(store: Arc<dyn UsageStore>, files: RecordFiles) -> Self {
        Self { store, files, days: BTreeMap::new(), next: Instant::now() }
    }

    /// Begins anew with what the store has, and writes its newest days in any case: a crash may have come between the
    /// store and the file, or the file was damaged.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn catch_up(&mut self) -> Result<(), StoreError> {
        self.days.clear();
        let days = self.store.days()?;
        for day in days.into_iter().rev().take(DAYS_KEPT) {
            self.days.insert(day, self.load(day)?);
        }
        Ok(())
    }

    /// Takes in events that the store has by now; `new` tells those that it did not have before.
    ///
    /// # Errors
    /// Where a day must be read from the store and cannot be.
    pub fn add(&mut self, events: &[UsageEvent], new: &[bool]) -> Result<(), StoreError> {
        let dates: BTreeSet<NaiveDate> = events.iter().map(UsageEvent::day).collect();
        let unknown = dates.into_iter().filter(|date| !self.days.contains_key(date));
        // These have the events from the store. Read before anything is changed: after an error all of it is done again.
        let loaded = unknown.map(|date| Ok((date, self.load(date)?))).collect::<Result<Vec<_>, StoreError>>()?;
        for (event, is_new) in events.iter().zip(new) {
            if let Some(day) = self.days.get_mut(&event.day()) {
                day.changed = true;
                if *is_new {
                    day.usage.add(event);
                }
            }
        }
        self.days.extend(loaded);
        Ok(())
    }

    fn load(&self, date: NaiveDate) -> Result<Day, StoreError> {
        Ok(Day { usage: self.store.day(date)?, changed: true, stale: false })
    }

    /// What became of suggestions of these days has changed in the store. It is read again when the files are written.
    ///
    /// # Errors
    /// Where a day must be read from the store and cannot be.
    pub fn look_again(&mut self, dates: impl IntoIterator<Item = NaiveDate>) -> Result<(), StoreError> {
        for date in dates {
            match self.days.get_mut(&date) {
                Some(day) => (day.changed, day.stale) = (true, true),
                None => drop(self.days.insert(date, self.load(date)?)),
            }
        }
        Ok(())
    }

    /// Reads today and yesterday again, for other proxies write to the store, too.
    ///
    /// # Errors
    /// Where the store cannot be read; nothing is other than before.
    pub fn look_at_fleet(&mut self, today: NaiveDate) -> Result<(), StoreError> {
        let newest = [Some(today), today.pred_opt()].into_iter().flatten();
        let days = newest.map(|date| Ok((date, self.load(date)?))).collect::<Result<Vec<_>, StoreError>>()?;
        for (date, day) in days {
            let is_known = match self.days.get(&date) {
                Some(known) => known.usage == day.usage,
                None => day.usage.users.is_empty(),
            };
            if !is_known {
                self.days.insert(date, day);
            }
        }
        Ok(())
    }

    /// Writes what has changed, if it is time. What cannot be written is tried again next time.
    pub fn write_if_due(&mut self) -> Option<Result<(), DayFileError>> {
        let begun = Instant::now();
        if begun < self.next || !self.days.values().any(|day| day.changed) {
            return None;
        }
        let written = self.write();
        self.next = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
        Some(written)
    }

    /// Writes what has changed now.
    ///
    /// # Errors
    /// The first file that could not be written; it is tried again next time.
    pub fn write(&mut self) -> Result<(), DayFileError> {
        for (date, day) in self.days.iter_mut().filter(|(_, day)| day.changed) {
            if day.stale {
                day.usage.set_acceptance(self.store.acceptance(*date)?);
                day.stale = false;
            }
            write_day(&self.files, *date, &day.usage)?;
            day.changed = false;
        }
        let today = Utc::now().date_naive();
        while self.days.len() > DAYS_KEPT
            && let Some(oldest) = self.days.keys().find(|date| **date != today).copied()
        {
            self.days.remove(&oldest);
        }
        Ok(())
    }
}

/// The day of a day file; `None` for any other file.
pub(super) fn day_of_file(path: &Path) -> Option<NaiveDate> {
    path.file_name()?.to_str()?.strip_prefix("copilot-usage_")?.strip_suffix(".json")?.parse().ok()
}

/// Writes one day's file.
///
/// # Errors
/// [`FileError`]; the file before stays.
pub(super) fn write_day(files: &RecordFiles, date: NaiveDate, usage: &DayUsage) -> Result<(), FileError> {
    files.replace_day_file(&format!("copilot-usage_{date}.json"), &usage.to_json()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FILE_NAME, SqliteStore};
    use crate::usage::sample::{chat, completion, noon};

    fn day_files(folder: &std::path::Path) -> (Arc<SqliteStore>, DayFiles) {
        let store = Arc::new(SqliteStore::open(&folder.join(FILE_NAME)).unwrap());
        let files = RecordFiles::open(folder).unwrap();
        (Arc::clone(&store), DayFiles::new(store, files))
    }

    fn file(folder: &std::path::Path, date: NaiveDate) -> serde_json::Value {
        let text = std::fs::read_to_string(folder.join(format!("metrics/copilot-usage_{date}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_day_of_ten_thousand_users_has_them_all() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut days) = day_files(folder.path());
        let events: Vec<_> = (0..10_000).map(|number| completion(number, &format!("user{number}"))).collect();
        store.insert(&events).unwrap();
        days.catch_up().unwrap();
        let late = [chat(10_000, "user7")];
        let new = store.insert(&late).unwrap().new;
        days.add(&late, &new).unwrap();
        days.write().unwrap();
        let day = file(folder.path(), noon().date_naive());
        assert_eq!(day["usage"].as_object().unwrap().len(), 10_000);
        assert_eq!((&day["total_completions_count"], &day["total_chat_turns"]), (&10_000.into(), &1.into()));
        assert_eq!(
            (&day["usage"]["user7"]["completions_count"], &day["usage"]["user7"]["chat_turns"]),
            (&1.into(), &1.into())
        );
    }

    #[test]
    fn an_event_counts_once_whether_its_day_was_known_or_not_and_however_often_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut days) = day_files(folder.path());
        let next_day = |number| {
            let event = completion(number, "ada");
            UsageEvent { ended_at: event.ended_at + chrono::TimeDelta::days(1), ..event }
        };
        // The second day is met in the middle of a batch whose first day is known.
        for batch in
            [vec![completion(1, "ada")], vec![completion(2, "ada"), next_day(3), completion(4, "ada"), next_day(5)]]
        {
            for _ in 0..2 {
                let new = store.insert(&batch).unwrap().new;
                days.add(&batch, &new).unwrap();
            }
        }
        days.write().unwrap();
        let first = noon().date_naive();
        assert_eq!(file(folder.path(), first)["total_completions_count"], 3);
        assert_eq!(file(folder.path(), first + chrono::Days::new(1))["total_completions_count"], 2);
    }
}
