//! Roll-ups in a store: kept in step with the events, and asked. What a kind of store does of it is to read and write [`Rows`].

pub(super) mod packed;
mod questions;
mod refresh;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use chrono::{Datelike as _, NaiveDate};

pub(super) use questions::{activity, last_seen, organization_days, organization_sums, totals, user_days};
#[cfg(feature = "sim")]
pub(super) use refresh::put;
pub(super) use refresh::{refresh, renew};

use crate::usage::{Client, OrganizationDay, OrganizationSums, Surface, Totals, UserDay};

/// Before and after any day on record. Four digits, for days are compared as text.
pub(super) const FIRST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(1, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};
pub(super) const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

/// The first day and the last one.
pub(super) type DayRange = (NaiveDate, NaiveDate);

/// Takes a user and what is known of some of the user's days, oldest first.
pub(super) type EachDated<'a, T> = &'a mut dyn FnMut(&str, &[(NaiveDate, T)]);

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

    /// Their stored sums.
    fn organization_sums(
        &mut self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<BTreeMap<NaiveDate, OrganizationSums>, Self::Error>;

    /// The days of a range that have a stored day of any user, oldest first.
    fn days(&mut self, from: NaiveDate, to: NaiveDate) -> Result<Vec<NaiveDate>, Self::Error>;

    /// The months of a range, by their first days, that have a stored month of any user, oldest first.
    fn months(&mut self, from: NaiveDate, to: NaiveDate) -> Result<Vec<NaiveDate>, Self::Error>;

    /// Likewise the years.
    fn years(&mut self, from: NaiveDate, to: NaiveDate) -> Result<Vec<NaiveDate>, Self::Error>;

    /// The stored months of a year whose first days are within a range, of everybody: a user's at once.
    fn each_of_year(
        &mut self,
        year: NaiveDate,
        range: DayRange,
        each: EachDated<'_, MonthSum>,
    ) -> Result<(), Self::Error>;

    /// The stored days of a month within a range, of everybody: a user's at once.
    fn each_of_month(
        &mut self,
        month: NaiveDate,
        range: DayRange,
        each: EachDated<'_, Totals>,
    ) -> Result<(), Self::Error>;

    /// One user's stored days of a month.
    fn month(&mut self, month: NaiveDate, user: &str) -> Result<Month, Self::Error>;

    /// One user's stored months of a year.
    fn year(&mut self, year: NaiveDate, user: &str) -> Result<Year, Self::Error>;

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

    /// Stores everybody's day, and its sums.
    fn put_organization_day(&mut self, day: NaiveDate, sum: &OrganizationDay) -> Result<(), Self::Error>;

    /// Stores a month of a user.
    fn put_month(&mut self, month: NaiveDate, user: &str, days: &Month) -> Result<(), Self::Error>;

    /// Stores a year of a user.
    fn put_year(&mut self, year: NaiveDate, user: &str, months: &Year) -> Result<(), Self::Error>;

    /// Stores the last client of a user.
    fn put_client(&mut self, user: &str, client: Option<&Client>) -> Result<(), Self::Error>;
}

/// The first day of a day's month.
pub(super) fn month_of(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// The first day of a day's year.
pub(super) fn year_of(day: NaiveDate) -> NaiveDate {
    day.with_ordinal(1).unwrap_or(day)
}

/// What is known of some days, oldest first; of those of which there is nothing, nothing is in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dated<T>(Vec<(NaiveDate, T)>);

/// What a user did on the days of one month.
pub(super) type Month = Dated<Totals>;

/// What a user did in the months of one year, by their first days: a year of everybody is asked for at once.
pub(super) type Year = Dated<MonthSum>;

impl<T> Default for Dated<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Dated<T> {
    /// What there is.
    pub(super) fn each(&self) -> impl DoubleEndedIterator<Item = &(NaiveDate, T)> {
        self.0.iter()
    }

    /// Takes what is known of a day in the place of what was.
    pub(super) fn set(&mut self, day: NaiveDate, known: Option<T>) {
        let at = self.0.partition_point(|(other, _)| *other < day);
        if self.0.get(at).is_some_and(|(other, _)| *other == day) {
            self.0.remove(at);
        }
        if let Some(known) = known {
            self.0.insert(at, (day, known));
        }
    }

    /// Whether there is nothing of any day.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Month {
    /// Puts a day in the place of what is known of it.
    pub(super) fn put(&mut self, day: NaiveDate, known: &UserDay) {
        self.set(day, (!known.is_empty()).then(|| known.totals()));
    }

    /// The sum of the days within a range.
    pub(super) fn sum(&self, (from, to): DayRange) -> Totals {
        let mut sum = Totals::default();
        self.each().filter(|(day, _)| (from..=to).contains(day)).for_each(|(_, totals)| sum.add(totals));
        sum
    }
}

impl Year {
    /// Puts a month in the place of what is known of it.
    pub(super) fn put(&mut self, month: NaiveDate, days: &Month) {
        self.set(month, (!days.is_empty()).then(|| MonthSum::of(days)));
    }
}

impl<T> FromIterator<(NaiveDate, T)> for Dated<T> {
    /// From days in their order.
    fn from_iter<I: IntoIterator<Item = (NaiveDate, T)>>(days: I) -> Self {
        Self(days.into_iter().collect())
    }
}

/// What a user did in a month.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct MonthSum {
    /// The sum of its days.
    pub(super) totals: Totals,
    /// Days with any count: bit 0 is the first of the month.
    pub(super) active: u32,
    /// Days by [`Surface`], in the order of [`Surface::ALL`].
    pub(super) surfaces: [u32; 5],
}

impl MonthSum {
    /// Of the days of one month.
    pub(super) fn of(days: &Month) -> Self {
        let mut sum = Self::default();
        for (day, totals) in days.each() {
            sum.totals.add(totals);
            if totals.counts.is_none() {
                continue;
            }
            let bit = 1 << day.day0();
            sum.active |= bit;
            for (days, surface) in sum.surfaces.iter_mut().zip(Surface::ALL) {
                *days |= if totals.surfaces.has(surface) { bit } else { 0 };
            }
        }
        sum
    }
}
