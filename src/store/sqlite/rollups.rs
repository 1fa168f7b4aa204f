//! Roll-ups as rows and back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use chrono::NaiveDate;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::row::Columns;
use super::{facts, questions};
use crate::store::rollup::packed::{self, Packed, each_between};
use crate::store::rollup::{self, DayOf, DayRange, EachDated, Month, MonthSum, WriteRows, Year};
use crate::usage::{Client, Fold, OrganizationDay, OrganizationSums, Totals, UserDay};

/// There are few: what was written since the last refresh.
const STALE: &str = "SELECT day, user FROM stale WHERE day BETWEEN ?1 AND ?2";

const MARK: &str = "INSERT INTO stale (day, user) VALUES (?1, ?2) ON CONFLICT (day, user) DO NOTHING";

const STALE_BY_AGE: &str = "SELECT seq, day, user FROM stale ORDER BY seq LIMIT ?1";

const USER_DAY: &str = "SELECT data FROM user_day WHERE day = ?1 AND user = ?2";

const USER_DAYS: &str = "SELECT user, data FROM user_day WHERE day = ?1 ORDER BY user";

const ORGANIZATION_DAYS: &str = "SELECT day, data FROM organization_day WHERE day BETWEEN ?1 AND ?2";

const ORGANIZATION_SUMS: &str = "SELECT day, data FROM organization_sums WHERE day BETWEEN ?1 AND ?2";

const DAYS: &str = "SELECT day FROM organization_day WHERE day BETWEEN ?1 AND ?2 ORDER BY day";

/// From each month to the next one in the index, rather than through all rows.
const MONTHS: &str = "
    WITH RECURSIVE used (month) AS (
        SELECT MIN(month) FROM user_month WHERE month >= ?1
        UNION ALL
        SELECT (SELECT MIN(month) FROM user_month WHERE month > used.month) FROM used WHERE used.month < ?2
    )
    SELECT month FROM used WHERE month <= ?2";

const YEARS: &str = "
    WITH RECURSIVE used (year) AS (
        SELECT MIN(year) FROM user_year WHERE year >= ?1
        UNION ALL
        SELECT (SELECT MIN(year) FROM user_year WHERE year > used.year) FROM used WHERE used.year < ?2
    )
    SELECT year FROM used WHERE year <= ?2";

const MONTH: &str = "SELECT days FROM user_month WHERE month = ?1 AND user = ?2";

const MONTH_OF_ALL: &str = "SELECT user, days FROM user_month WHERE month = ?1";

const YEAR: &str = "SELECT months FROM user_year WHERE year = ?1 AND user = ?2";

const YEAR_OF_ALL: &str = "SELECT user, months FROM user_year WHERE year = ?1";

/// One row a user.
const CLIENTS: &str = "SELECT user, client FROM user_client";

const CLIENT: &str = "SELECT client FROM user_client WHERE user = ?1";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 13] = [
    STALE,
    USER_DAY,
    USER_DAYS,
    ORGANIZATION_DAYS,
    ORGANIZATION_SUMS,
    DAYS,
    MONTHS,
    YEARS,
    MONTH,
    MONTH_OF_ALL,
    YEAR,
    YEAR_OF_ALL,
    CLIENT,
];

/// Notes that what follows from events and telemetry of these days is to be made anew.
pub(super) fn mark_stale(connection: &Connection, days: &BTreeSet<DayOf>) -> rusqlite::Result<()> {
    let mut mark = connection.prepare_cached(MARK)?;
    days.iter().try_for_each(|(day, user)| mark.execute(params![day.to_string(), user]).map(drop))
}

/// The rows of a store, as a connection sees them in its transaction.
pub(super) struct Rows<'c>(pub(super) &'c Connection);

impl Rows<'_> {
    fn each_dated<T: Packed>(
        &self,
        sql: &str,
        of: NaiveDate,
        range: DayRange,
        each: EachDated<'_, T>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([of.to_string()])?;
        let mut days = Vec::new();
        while let Some(row) = rows.next()? {
            let (user, packed) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_blob()?);
            days.clear();
            each_between(packed, range, &mut |day, known| days.push((day, known))).map_err(|error| broken(1, error))?;
            each(user, &days);
        }
        Ok(())
    }

    fn one<T: Packed>(&self, sql: &str, of: impl rusqlite::Params) -> rusqlite::Result<Option<T>> {
        self.0.prepare_cached(sql)?.query_row(of, |row| unpacked(row, 0)).optional()
    }

    fn by_day<T: Packed>(&self, sql: &str, from: NaiveDate, to: NaiveDate) -> rusqlite::Result<BTreeMap<NaiveDate, T>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let days = statement.query_map([from, to].map(|day| day.to_string()), |row| {
            Ok((Columns::of(row).word()?, unpacked(row, 1)?))
        })?;
        days.collect()
    }

    fn days_between(&self, sql: &str, from: NaiveDate, to: NaiveDate) -> rusqlite::Result<Vec<NaiveDate>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let days = statement.query_map([from.to_string(), to.to_string()], |row| Columns::of(row).word())?;
        days.collect()
    }

    fn put(&self, sql: &str, of: &[&dyn rusqlite::ToSql], value: &impl Packed) -> rusqlite::Result<()> {
        let packed = value.pack().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let values: Vec<_> = of.iter().copied().chain([&packed as &dyn rusqlite::ToSql]).collect();
        self.0.prepare_cached(sql)?.execute(&*values).map(drop)
    }

    fn remove(&self, sql: &str, of: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        self.0.prepare_cached(sql)?.execute(of).map(drop)
    }
}

fn unpacked<T: Packed>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    T::unpack(row.get_ref(column)?.as_blob()?).map_err(|error| broken(column, error))
}

fn broken(column: usize, error: packed::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, error.into())
}

impl rollup::Rows for Rows<'_> {
    type Error = rusqlite::Error;

    fn stale(&mut self, from: NaiveDate, to: NaiveDate) -> rusqlite::Result<BTreeSet<DayOf>> {
        let mut statement = self.0.prepare_cached(STALE)?;
        let days = statement.query_map([from.to_string(), to.to_string()], |row| {
            let mut columns = Columns::of(row);
            Ok((columns.word()?, columns.next()?))
        })?;
        days.collect()
    }

    fn folded(&mut self, days: &BTreeSet<DayOf>) -> rusqlite::Result<BTreeMap<DayOf, UserDay>> {
        let folded = days.iter().map(|of| {
            let mut fold = Fold::new(facts::told(self.0, &of.1, of.0)?);
            questions::fold(self.0, of.0, &of.1, &mut fold)?;
            Ok((of.clone(), fold.finish()))
        });
        folded.collect()
    }

    fn stored(&mut self, days: &BTreeSet<DayOf>) -> rusqlite::Result<BTreeMap<DayOf, UserDay>> {
        let mut known = BTreeMap::new();
        for of in days {
            if let Some(day) = self.one(USER_DAY, params![of.0.to_string(), of.1])? {
                known.insert(of.clone(), day);
            }
        }
        Ok(known)
    }

    fn each_stored(
        &mut self,
        day: NaiveDate,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(&str, UserDay) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached(USER_DAYS)?;
        let mut rows = statement.query([day.to_string()])?;
        while let Some(row) = rows.next()? {
            let user = row.get_ref(0)?.as_str()?;
            if wanted(user) && each(user, unpacked(row, 1)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn organization_days(
        &mut self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> rusqlite::Result<BTreeMap<NaiveDate, OrganizationDay>> {
        self.by_day(ORGANIZATION_DAYS, from, to)
    }

    fn organization_sums(
        &mut self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> rusqlite::Result<BTreeMap<NaiveDate, OrganizationSums>> {
        self.by_day(ORGANIZATION_SUMS, from, to)
    }

    fn days(&mut self, from: NaiveDate, to: NaiveDate) -> rusqlite::Result<Vec<NaiveDate>> {
        self.days_between(DAYS, from, to)
    }

    fn months(&mut self, from: NaiveDate, to: NaiveDate) -> rusqlite::Result<Vec<NaiveDate>> {
        self.days_between(MONTHS, from, to)
    }

    fn years(&mut self, from: NaiveDate, to: NaiveDate) -> rusqlite::Result<Vec<NaiveDate>> {
        self.days_between(YEARS, from, to)
    }

    fn each_of_year(
        &mut self,
        year: NaiveDate,
        range: DayRange,
        each: EachDated<'_, MonthSum>,
    ) -> rusqlite::Result<()> {
        self.each_dated(YEAR_OF_ALL, year, range, each)
    }

    fn each_of_month(
        &mut self,
        month: NaiveDate,
        range: DayRange,
        each: EachDated<'_, Totals>,
    ) -> rusqlite::Result<()> {
        self.each_dated(MONTH_OF_ALL, month, range, each)
    }

    fn month(&mut self, month: NaiveDate, user: &str) -> rusqlite::Result<Month> {
        Ok(self.one(MONTH, params![month.to_string(), user])?.unwrap_or_default())
    }

    fn year(&mut self, year: NaiveDate, user: &str) -> rusqlite::Result<Year> {
        Ok(self.one(YEAR, params![year.to_string(), user])?.unwrap_or_default())
    }

    fn clients(&mut self) -> rusqlite::Result<BTreeMap<String, Client>> {
        let mut statement = self.0.prepare_cached(CLIENTS)?;
        let clients = statement.query_map([], |row| Ok((row.get(0)?, unpacked(row, 1)?)))?;
        clients.collect()
    }

    fn client(&mut self, user: &str) -> rusqlite::Result<Option<Client>> {
        self.one(CLIENT, [user])
    }
}

impl WriteRows for Rows<'_> {
    fn take_stale(&mut self, limit: usize) -> rusqlite::Result<(BTreeSet<DayOf>, bool)> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(STALE_BY_AGE)?;
        let mut rows = statement.query([most])?;
        let (mut taken, mut last) = (BTreeSet::new(), None::<i64>);
        while let Some(row) = rows.next()? {
            let mut columns = Columns::of(row);
            last = Some(columns.next()?);
            taken.insert((columns.word()?, columns.next()?));
        }
        drop(rows);
        self.remove("DELETE FROM stale WHERE seq <= ?1", &[&last])?;
        let more = self.0.prepare_cached("SELECT 1 FROM stale")?.exists([])?;
        Ok((taken, more))
    }

    fn put_day(&mut self, of: &DayOf, day: &UserDay) -> rusqlite::Result<()> {
        let key: [&dyn rusqlite::ToSql; 2] = [&of.0.to_string(), &of.1];
        if day.is_empty() {
            return self.remove("DELETE FROM user_day WHERE day = ?1 AND user = ?2", &key);
        }
        self.put("INSERT OR REPLACE INTO user_day (day, user, data) VALUES (?1, ?2, ?3)", &key, day)
    }

    fn put_organization_day(&mut self, day: NaiveDate, sum: &OrganizationDay) -> rusqlite::Result<()> {
        let key: [&dyn rusqlite::ToSql; 1] = [&day.to_string()];
        if *sum == OrganizationDay::default() {
            self.remove("DELETE FROM organization_day WHERE day = ?1", &key)?;
            return self.remove("DELETE FROM organization_sums WHERE day = ?1", &key);
        }
        let sums = OrganizationSums::of(sum);
        self.put("INSERT OR REPLACE INTO organization_sums (day, data) VALUES (?1, ?2)", &key, &sums)?;
        self.put("INSERT OR REPLACE INTO organization_day (day, data) VALUES (?1, ?2)", &key, sum)
    }

    fn put_month(&mut self, month: NaiveDate, user: &str, days: &Month) -> rusqlite::Result<()> {
        let key: [&dyn rusqlite::ToSql; 2] = [&month.to_string(), &user];
        if days.is_empty() {
            return self.remove("DELETE FROM user_month WHERE month = ?1 AND user = ?2", &key);
        }
        self.put("INSERT OR REPLACE INTO user_month (month, user, days) VALUES (?1, ?2, ?3)", &key, days)
    }

    fn put_year(&mut self, year: NaiveDate, user: &str, months: &Year) -> rusqlite::Result<()> {
        let key: [&dyn rusqlite::ToSql; 2] = [&year.to_string(), &user];
        if months.is_empty() {
            return self.remove("DELETE FROM user_year WHERE year = ?1 AND user = ?2", &key);
        }
        self.put("INSERT OR REPLACE INTO user_year (year, user, months) VALUES (?1, ?2, ?3)", &key, months)
    }

    fn put_client(&mut self, user: &str, client: Option<&Client>) -> rusqlite::Result<()> {
        match client {
            Some(client) => {
                self.put("INSERT OR REPLACE INTO user_client (user, client) VALUES (?1, ?2)", &[&user], client)
            }
            None => self.remove("DELETE FROM user_client WHERE user = ?1", &[&user]),
        }
    }
}
