//! The day files: a projection of the store, written behind the recorder's work.
//!
//! A change is visible within a second or so. Writing never takes more than a twentieth of the recorder's time, so a day
//! with many users is written less often instead of slowing the recording down.

use std::collections::{BTreeMap, BTreeSet};
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

struct Day {
    usage: DayUsage,
    changed: bool,
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

    /// Marks the newest days of the store as changed: a crash may have come between the store and the file.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn catch_up(&mut self) -> Result<(), StoreError> {
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
        Ok(Day { usage: self.store.day(date)?, changed: true })
    }

    /// Writes what has changed, if it is time.
    pub fn write_if_due(&mut self) {
        if Instant::now() >= self.next && self.days.values().any(|day| day.changed) {
            let begun = Instant::now();
            if let Err(error) = self.write() {
                tracing::error!(%error, "a day file could not be written; trying again");
            }
            self.next = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
        }
    }

    /// Writes what has changed now.
    ///
    /// # Errors
    /// The first file that could not be written; it is tried again next time.
    pub fn write(&mut self) -> Result<(), FileError> {
        for (date, day) in self.days.iter_mut().filter(|(_, day)| day.changed) {
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

/// Writes one day's file.
///
/// # Errors
/// [`FileError`]; the file before stays.
pub(super) fn write_day(files: &RecordFiles, date: NaiveDate, usage: &DayUsage) -> Result<(), FileError> {
    files.replace_day_file(&format!("copilot-usage_{date}.json"), &usage.to_json()).map(drop)
}
