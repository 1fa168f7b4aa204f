//! Roll-ups in a store: kept in step with the events, and asked. What a kind of store does of it is to read and write [`Rows`].

pub(super) mod packed;
mod questions;
mod refresh;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use chrono::{Datelike as _, NaiveDate};

pub(super) use questions::{activity, last_seen, organization_days, totals, user_days};
#[cfg(feature = "sim")]
pub(super) use refresh::put;
pub(super) use refresh::{refresh, renew};

use crate::usage::{Client, OrganizationDay, Totals, UserDay};

/// Before and after any day on record. Four digits, for days are compared as text.
pub(super) const FIRST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(1, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};
pub(super) const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

/// A day of a user.
pub(super) type DayOf = (NaiveDate, String);

/// What follows from events, and the roll-ups as they are stored, in one snapshot of a store.
pub(super) trait Rows {
    /// What can go wrong.
    type Error;

    /// The days of users within a range whose stored roll-ups may be other than what follows from the events.
    fn stale(&mut self, from: NaiveDate, to: NaiveDate) -> Result<BTreeSet<DayOf>, Self::Error>;

    /// These days as they follow from events and telemetry: see [`UserDay::of`]. Those of which there is nothing are empty.
    fn folded(&mut self, days: &BTreeSet<DayOf>) -> Result<BTreeMap<DayOf, UserDay>, Self::Error>;

    /// These days as they are stored; those that are not are absent.
    fn stored(&mut self, days: &BTreeSet<DayOf>) -> Result<BTreeMap<DayOf, UserDay>, Self::Error>;

    /// The stored days of the users wanted, by user, until `each` breaks.
    fn each_stored(
        &mut self,
        day: NaiveDate,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(&str, UserDay) -> ControlFlow<()>,
    ) -> Result<(), Self::Error>;

    /// Everybody's stored days of a range.
    fn organization_days(
        &mut self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<BTreeMap<NaiveDate, OrganizationDay>, Self::Error>;

    /// The days of a range that have a stored day of any user, oldest first.
    fn days(&mut self, from: NaiveDate, to: NaiveDate) -> Result<Vec<NaiveDate>, Self::Error>;

    /// The months of a range, by their first days, that have a stored month of any user, oldest first.
    fn months(&mut self, from: NaiveDate, to: NaiveDate) -> Result<Vec<NaiveDate>, Self::Error>;

    /// The stored sums of a month.
    fn each_total(&mut self, month: NaiveDate, each: &mut dyn FnMut(&str, Totals)) -> Result<(), Self::Error>;

    /// The stored days of a month.
    fn each_month(&mut self, month: NaiveDate, each: &mut dyn FnMut(&str, Month)) -> Result<(), Self::Error>;

    /// One user's stored days of a month.
    fn month(&mut self, month: NaiveDate, user: &str) -> Result<Month, Self::Error>;

    /// Everybody's last client.
    fn clients(&mut self) -> Result<BTreeMap<String, Client>, Self::Error>;

    /// One user's last client.
    fn client(&mut self, user: &str) -> Result<Option<Client>, Self::Error>;
}

/// [`Rows`] in a transaction that writes. What is `None` or empty is taken away.
pub(super) trait WriteRows: Rows {
    /// Takes up to `limit` stale days out, and says whether more are left.
    fn take_stale(&mut self, limit: usize) -> Result<(BTreeSet<DayOf>, bool), Self::Error>;

    /// Stores a day of a user.
    fn put_day(&mut self, of: &DayOf, day: &UserDay) -> Result<(), Self::Error>;

    /// Stores everybody's day.
    fn put_organization_day(&mut self, day: NaiveDate, sum: &OrganizationDay) -> Result<(), Self::Error>;

    /// Stores a month of a user, and its sum.
    fn put_month(&mut self, month: NaiveDate, user: &str, days: &Month) -> Result<(), Self::Error>;

    /// Stores the last client of a user.
    fn put_client(&mut self, user: &str, client: Option<&Client>) -> Result<(), Self::Error>;
}

/// The first day of a day's month.
pub(super) fn month_of(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// What a user did on the days of one month, oldest first; of a day of which there is nothing, nothing is in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Month(Vec<(NaiveDate, Totals)>);

impl Month {
    /// Its days.
    pub(super) fn days(&self) -> impl DoubleEndedIterator<Item = &(NaiveDate, Totals)> {
        self.0.iter()
    }

    /// Puts a day in the place of what is known of it.
    pub(super) fn put(&mut self, day: NaiveDate, known: &UserDay) {
        let at = self.0.partition_point(|(other, _)| *other < day);
        if self.0.get(at).is_some_and(|(other, _)| *other == day) {
            self.0.remove(at);
        }
        if !known.is_empty() {
            self.0.insert(at, (day, known.totals()));
        }
    }

    /// The sum of the days within a range.
    pub(super) fn sum(&self, from: NaiveDate, to: NaiveDate) -> Totals {
        let mut sum = Totals::default();
        self.0.iter().filter(|(day, _)| (from..=to).contains(day)).for_each(|(_, totals)| sum.add(totals));
        sum
    }

    /// Whether there is nothing of any day.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(NaiveDate, Totals)> for Month {
    /// From days in their order.
    fn from_iter<I: IntoIterator<Item = (NaiveDate, Totals)>>(days: I) -> Self {
        Self(days.into_iter().collect())
    }
}
