//! Days as an OpenMetrics file for backfilling: `promtool tsdb create-blocks-from openmetrics FILE DIR`.
//!
//! Each day is one sample, stamped with its last second. The names are those of `/metrics/usage` with `metrics.compat =
//! ["coralogix"]`, and our own of complete days, so one query finds both: what a page tells during a day is of the day before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write};
use std::ops::ControlFlow;

use chrono::{Days, NaiveDate};

use super::exposition::Sheet;
use super::github::days_between;
use super::{Reports, Result, coralogix, day_gauges};
use crate::usage::github::{Audience, Gaps, phase};

/// Days whose trailing months one look at the 64 days of activity covers.
const DAYS_AT_ONCE: u64 = 64 - 28 + 1;
/// Days of users that are in memory at once, at some 10 kB each.
const USER_DAYS_AT_ONCE: u64 = 8192;

impl Reports {
    /// Writes the days of a range, of everybody and of each user. Teams are those of the allowlist as it is.
    ///
    /// # Errors
    /// The store; a temporary file; `out`.
    pub fn openmetrics(&self, from: NaiveDate, to: NaiveDate, out: &mut dyn Write) -> Result<()> {
        let mut sheet = Sheet::default();
        let mut start = from;
        while start <= to {
            let end = start.checked_add_days(Days::new(DAYS_AT_ONCE - 1)).map_or(to, |end| end.min(to));
            self.add_days(&mut sheet, start, end)?;
            let Some(next) = end.succ_opt() else { break };
            start = next;
        }
        sheet.write(out)?;
        self.write_users(from, to, out)?;
        out.write_all(b"# EOF\n")?;
        Ok(out.flush()?)
    }

    fn add_days(&self, sheet: &mut Sheet, from: NaiveDate, to: NaiveDate) -> Result<()> {
        let days = self.store.organization_days(from, to)?;
        if days.is_empty() {
            return Ok(());
        }
        let activity = self.store.activity(to)?;
        for (date, day) in days {
            let audience = Audience::of(&activity, days_between(date, to));
            sheet.at(last_second(date));
            day_gauges::organization(sheet, &day, audience);
            let phases = self.phases(date, &activity, days_between(date, to), Gaps::Omit)?;
            coralogix::organization(sheet, &self.organization, (date, &day), audience, phases);
        }
        Ok(())
    }

    /// Families must not be mixed, and all of users' families are made in one go over their days, so each has a file of its own
    /// until it is its turn.
    fn write_users(&self, from: NaiveDate, to: NaiveDate, out: &mut dyn Write) -> Result<()> {
        let names: Vec<String> = self.store.totals(from, to)?.into_keys().collect();
        let days = u64::try_from((to - from).num_days().max(0)).unwrap_or(u64::MAX).saturating_add(1);
        let at_once = usize::try_from((USER_DAYS_AT_ONCE / days).max(1)).unwrap_or(1);
        let mut families = BTreeMap::<String, (Vec<u8>, File)>::new();
        for names in names.chunks(at_once) {
            for family in self.users_sheet(from, to, &names.iter().cloned().collect())?.take() {
                let (name, head, body) = family?;
                if !families.contains_key(&name) {
                    families.insert(name.clone(), (head, tempfile::tempfile()?));
                }
                if let Some((_, file)) = families.get_mut(&name) {
                    file.write_all(&body)?;
                }
            }
        }
        for (head, mut file) in families.into_values() {
            out.write_all(&head)?;
            file.seek(SeekFrom::Start(0))?;
            io::copy(&mut file, out)?;
        }
        Ok(())
    }

    fn users_sheet(&self, from: NaiveDate, to: NaiveDate, names: &BTreeSet<String>) -> Result<Sheet> {
        let mut sheet = Sheet::default();
        self.store.user_days(from, to, Some(names), &mut |date, name, day| {
            let person = self.roster.person(name);
            sheet.at(last_second(date));
            coralogix::user(&mut sheet, &self.organization, &person, (date, &day), phase(None, 0));
            coralogix::membership(&mut sheet, &self.organization, &person);
            ControlFlow::Continue(())
        })?;
        Ok(sheet)
    }
}

/// Of a UTC day, in seconds since 1970: what Coralogix stamps a day's values with.
pub(super) fn last_second(day: NaiveDate) -> i64 {
    day.and_hms_opt(23, 59, 59).map_or(0, |last| last.and_utc().timestamp())
}

#[cfg(test)]
mod tests;
