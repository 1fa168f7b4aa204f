//! Roll-ups as rows and back. What a refresh reads and writes goes over in a few round trips, however many days it makes anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use chrono::NaiveDate;
use postgres::types::{ToSql, Type};
use postgres::{Row, Transaction};
use serde::Serialize;

use super::error::Answer;
use super::json::{self, bytes_or_null};
use super::row::Columns;
use super::{acceptance, facts, questions};
use crate::store::error::Cause;
use crate::store::rollup::packed::{Packed, each_between};
use crate::store::rollup::{
    self, DayOf, DayRange, EachDated, FIRST_DAY, LAST_DAY, Month, MonthSum, WriteRows, Year, month_of, year_of,
};
use crate::usage::{Client, Fold, OrganizationDay, OrganizationSums, Totals, UserDay};

/// There are few: what was written since the last refresh.
const STALE: &str = "SELECT DISTINCT day, user_name FROM stale WHERE day BETWEEN $1 AND $2";

/// The oldest, with all that was noted of the same days since. Others' come later, even under smaller numbers.
const TAKE_STALE: &str = "
    WITH oldest AS (
        SELECT DISTINCT day, user_name FROM (SELECT day, user_name FROM stale ORDER BY seq LIMIT $1) AS first
    ), taken AS (
        DELETE FROM stale USING oldest WHERE stale.day = oldest.day AND stale.user_name = oldest.user_name
    )
    SELECT day, user_name FROM oldest";

const ANY_STALE: &str = "SELECT day FROM stale LIMIT 1";

const USER_DAYS: &str = "
    SELECT user_day.day, user_day.user_name, data FROM user_day
    JOIN json_to_recordset($1::json) AS asked (day DATE, user_name TEXT)
    ON user_day.day = asked.day AND user_day.user_name = asked.user_name";

const OF_DAY: &str = "SELECT user_name, data FROM user_day WHERE day = $1 ORDER BY user_name";

const ORGANIZATION_DAYS: &str = "SELECT day, data FROM organization_day WHERE day BETWEEN $1 AND $2";

const ORGANIZATION_SUMS: &str = "SELECT day, data FROM organization_sums WHERE day BETWEEN $1 AND $2";

const DAYS: &str = "SELECT day FROM organization_day WHERE day BETWEEN $1 AND $2 ORDER BY day";

/// From each month to the next one in the index, rather than through all rows.
const MONTHS: &str = "
    WITH RECURSIVE used (month) AS (
        SELECT MIN(month) FROM user_month WHERE month >= $1
        UNION ALL
        SELECT (SELECT MIN(month) FROM user_month WHERE month > used.month) FROM used WHERE used.month < $2
    )
    SELECT month FROM used WHERE month <= $2";

const YEARS: &str = "
    WITH RECURSIVE used (year) AS (
        SELECT MIN(year) FROM user_year WHERE year >= $1
        UNION ALL
        SELECT (SELECT MIN(year) FROM user_year WHERE year > used.year) FROM used WHERE used.year < $2
    )
    SELECT year FROM used WHERE year <= $2";

const USER_MONTHS: &str = "
    SELECT user_month.month, user_month.user_name, days FROM user_month
    JOIN json_to_recordset($1::json) AS asked (day DATE, user_name TEXT)
    ON month = asked.day AND user_month.user_name = asked.user_name";

const OF_MONTH: &str = "SELECT user_name, days FROM user_month WHERE month = $1";

const USER_YEARS: &str = "
    SELECT user_year.year, user_year.user_name, months FROM user_year
    JOIN json_to_recordset($1::json) AS asked (day DATE, user_name TEXT)
    ON year = asked.day AND user_year.user_name = asked.user_name";

const OF_YEAR: &str = "SELECT user_name, months FROM user_year WHERE year = $1";

/// One row a user.
const CLIENTS: &str = "SELECT user_name, client FROM user_client";

const CLIENTS_OF: &str = "SELECT user_name, client FROM user_client WHERE user_name = ANY($1)";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 12] = [
    STALE,
    USER_DAYS,
    OF_DAY,
    ORGANIZATION_DAYS,
    ORGANIZATION_SUMS,
    MONTHS,
    YEARS,
    USER_MONTHS,
    OF_MONTH,
    USER_YEARS,
    OF_YEAR,
    CLIENTS_OF,
];

/// Days of users that are folded at once: what they hold is in memory meanwhile.
const FOLDED_AT_ONCE: usize = 50;

/// A day or a month of a user, as a parameter.
#[derive(Serialize)]
pub(super) struct DayRow<'a> {
    day: NaiveDate,
    user_name: &'a str,
}

impl<'a> DayRow<'a> {
    pub(super) fn of((day, user): &'a DayOf) -> Self {
        Self { day: *day, user_name: user }
    }
}

/// Notes that what follows from events and telemetry of these days is to be made anew.
pub(super) fn mark_stale(transaction: &mut Transaction<'_>, days: &BTreeSet<DayOf>) -> Answer<()> {
    let mark = "
        INSERT INTO stale (day, user_name)
        SELECT day, user_name FROM json_to_recordset($1::json) AS changed (day DATE, user_name TEXT)";
    json::query(transaction, mark, &days.iter().map(DayRow::of).collect::<Vec<_>>()).map(drop)
}

/// The rows of a store, as a transaction sees them.
pub(super) struct Rows<'t, 'c> {
    transaction: &'t mut Transaction<'c>,
    /// Months, years and clients that were read ahead, for a refresh asks for one after the other.
    months: BTreeMap<DayOf, Month>,
    years: BTreeMap<DayOf, Year>,
    clients: BTreeMap<String, Option<Client>>,
    changes: Changes,
}

/// What a refresh writes at its end. What is `None` is taken away.
#[derive(Default)]
struct Changes {
    days: BTreeMap<DayOf, Option<Vec<u8>>>,
    organization_days: BTreeMap<NaiveDate, Option<Vec<u8>>>,
    organization_sums: BTreeMap<NaiveDate, Option<Vec<u8>>>,
    months: BTreeMap<DayOf, Option<Vec<u8>>>,
    years: BTreeMap<DayOf, Option<Vec<u8>>>,
    clients: BTreeMap<String, Option<Vec<u8>>>,
}

impl<'t, 'c> Rows<'t, 'c> {
    pub(super) fn new(transaction: &'t mut Transaction<'c>) -> Self {
        let (months, years, clients) = Default::default();
        Self { transaction, months, years, clients, changes: Changes::default() }
    }

    /// Makes up to `limit` stale days anew; true where more are left.
    pub(super) fn refresh(mut self, limit: usize) -> Answer<bool> {
        let (days, more) = self.take_stale(limit)?;
        self.renew(&days)?;
        Ok(more)
    }

    /// Makes these days anew, and all that is a sum of them.
    pub(super) fn renew(mut self, days: &BTreeSet<DayOf>) -> Answer<()> {
        self.read_ahead(days)?;
        rollup::renew(&mut self, days)?;
        self.changes.write(self.transaction)
    }

    /// Stores these days as they are, and all that is a sum of them.
    #[cfg(feature = "sim")]
    pub(super) fn put(mut self, days: BTreeMap<DayOf, UserDay>) -> Answer<()> {
        let keys = days.keys().cloned().collect();
        self.read_ahead(&keys)?;
        rollup::put(&mut self, &keys, days)?;
        self.changes.write(self.transaction)
    }

    fn read_ahead(&mut self, days: &BTreeSet<DayOf>) -> Answer<()> {
        self.months = self.all_of_users(USER_MONTHS, days.iter().map(|(day, user)| (month_of(*day), user.clone())))?;
        self.years = self.all_of_users(USER_YEARS, days.iter().map(|(day, user)| (year_of(*day), user.clone())))?;
        let users: BTreeSet<&str> = days.iter().map(|(_, user)| &**user).collect();
        let asked: Vec<&str> = users.iter().copied().collect();
        self.clients = users.iter().map(|user| ((*user).to_owned(), None)).collect();
        for row in self.transaction.query_typed(CLIENTS_OF, &[(&asked, Type::TEXT_ARRAY)])? {
            let (user, client) = named(&row)?;
            self.clients.insert(user, Some(client));
        }
        Ok(())
    }

    fn of_users<T: Packed>(&mut self, sql: &str, asked: &BTreeSet<DayOf>) -> Answer<BTreeMap<DayOf, T>> {
        let asked: Vec<_> = asked.iter().map(DayRow::of).collect();
        let rows = json::query(self.transaction, sql, &asked)?;
        let known = |row: &Row| {
            let mut columns = Columns::of(row);
            Ok(((columns.next()?, columns.next()?), T::unpack(columns.next()?)?))
        };
        rows.iter().map(known).collect()
    }

    /// As [`Rows::of_users`], with nothing where none is stored.
    fn all_of_users<T: Packed + Default>(
        &mut self,
        sql: &str,
        asked: impl Iterator<Item = DayOf>,
    ) -> Answer<BTreeMap<DayOf, T>> {
        let asked: BTreeSet<DayOf> = asked.collect();
        let mut stored = self.of_users::<T>(sql, &asked)?;
        Ok(asked.into_iter().map(|of| (of.clone(), stored.remove(&of).unwrap_or_default())).collect())
    }

    fn each_dated<T: Packed>(
        &mut self,
        sql: &str,
        of: NaiveDate,
        range: DayRange,
        each: EachDated<'_, T>,
    ) -> Answer<()> {
        let mut days = Vec::new();
        for row in self.of(sql, of)? {
            let mut columns = Columns::of(&row);
            let user = columns.next()?;
            days.clear();
            each_between(columns.next()?, range, &mut |day, known| days.push((day, known)))?;
            each(user, &days);
        }
        Ok(())
    }

    fn of(&mut self, sql: &str, day: NaiveDate) -> Answer<Vec<Row>> {
        Ok(self.transaction.query_typed(sql, &[(&day, Type::DATE)])?)
    }

    fn by_day<T: Packed>(&mut self, sql: &str, from: NaiveDate, to: NaiveDate) -> Answer<BTreeMap<NaiveDate, T>> {
        self.between(sql, from, to)?.iter().map(dated).collect()
    }

    fn between(&mut self, sql: &str, from: NaiveDate, to: NaiveDate) -> Answer<Vec<Row>> {
        // As far as PostgreSQL's days go.
        let (from, to) = (from.max(FIRST_DAY), to.min(LAST_DAY));
        let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::DATE), (&to, Type::DATE)];
        Ok(self.transaction.query_typed(sql, &asked)?)
    }
}

/// A day and what is packed.
fn dated<T: Packed>(row: &Row) -> Answer<(NaiveDate, T)> {
    let mut columns = Columns::of(row);
    Ok((columns.next()?, T::unpack(columns.next()?)?))
}

/// A user and what is packed.
fn named<T: Packed>(row: &Row) -> Answer<(String, T)> {
    let mut columns = Columns::of(row);
    Ok((columns.next()?, T::unpack(columns.next()?)?))
}

impl rollup::Rows for Rows<'_, '_> {
    type Error = Cause;

    fn stale(&mut self, from: NaiveDate, to: NaiveDate) -> Answer<BTreeSet<DayOf>> {
        self.between(STALE, from, to)?.iter().map(day_of).collect()
    }

    fn folded(&mut self, days: &BTreeSet<DayOf>) -> Answer<BTreeMap<DayOf, UserDay>> {
        let all: Vec<&DayOf> = days.iter().collect();
        let mut folded = BTreeMap::new();
        for some in all.chunks(FOLDED_AT_ONCE) {
            let asked: Vec<_> = some.iter().map(|of| DayRow::of(of)).collect();
            let mut told = facts::told(self.transaction, &asked)?;
            for of in acceptance::with_telemetry(self.transaction, &asked)? {
                told.entry(of).or_default().telemetry = true;
            }
            let mut folds: BTreeMap<DayOf, Fold> = BTreeMap::new();
            for of in some {
                folds.insert((*of).clone(), Fold::new(told.remove(*of).unwrap_or_default()));
            }
            questions::each_of_days(self.transaction, &asked, &mut |event| {
                if let Some(fold) = folds.get_mut(&(event.day(), event.user.clone())) {
                    fold.add(&event);
                }
            })?;
            folded.extend(folds.into_iter().map(|(of, fold)| (of, fold.finish())));
        }
        Ok(folded)
    }

    fn stored(&mut self, days: &BTreeSet<DayOf>) -> Answer<BTreeMap<DayOf, UserDay>> {
        self.of_users(USER_DAYS, days)
    }

    fn each_stored(
        &mut self,
        day: NaiveDate,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(&str, UserDay) -> ControlFlow<()>,
    ) -> Answer<()> {
        for row in self.of(OF_DAY, day)? {
            let mut columns = Columns::of(&row);
            let user = columns.next()?;
            if wanted(user) && each(user, UserDay::unpack(columns.next()?)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn organization_days(&mut self, from: NaiveDate, to: NaiveDate) -> Answer<BTreeMap<NaiveDate, OrganizationDay>> {
        self.by_day(ORGANIZATION_DAYS, from, to)
    }

    fn organization_sums(&mut self, from: NaiveDate, to: NaiveDate) -> Answer<BTreeMap<NaiveDate, OrganizationSums>> {
        self.by_day(ORGANIZATION_SUMS, from, to)
    }

    fn days(&mut self, from: NaiveDate, to: NaiveDate) -> Answer<Vec<NaiveDate>> {
        self.between(DAYS, from, to)?.iter().map(|row| Columns::of(row).next()).collect()
    }

    fn months(&mut self, from: NaiveDate, to: NaiveDate) -> Answer<Vec<NaiveDate>> {
        self.between(MONTHS, from, to)?.iter().map(|row| Columns::of(row).next()).collect()
    }

    fn years(&mut self, from: NaiveDate, to: NaiveDate) -> Answer<Vec<NaiveDate>> {
        self.between(YEARS, from, to)?.iter().map(|row| Columns::of(row).next()).collect()
    }

    fn each_of_year(&mut self, year: NaiveDate, range: DayRange, each: EachDated<'_, MonthSum>) -> Answer<()> {
        self.each_dated(OF_YEAR, year, range, each)
    }

    fn each_of_month(&mut self, month: NaiveDate, range: DayRange, each: EachDated<'_, Totals>) -> Answer<()> {
        self.each_dated(OF_MONTH, month, range, each)
    }

    fn month(&mut self, month: NaiveDate, user: &str) -> Answer<Month> {
        let of = (month, user.to_owned());
        if let Some(known) = self.months.get(&of) {
            return Ok(known.clone());
        }
        Ok(self.of_users(USER_MONTHS, &BTreeSet::from([of.clone()]))?.remove(&of).unwrap_or_default())
    }

    fn year(&mut self, year: NaiveDate, user: &str) -> Answer<Year> {
        let of = (year, user.to_owned());
        if let Some(known) = self.years.get(&of) {
            return Ok(known.clone());
        }
        Ok(self.of_users(USER_YEARS, &BTreeSet::from([of.clone()]))?.remove(&of).unwrap_or_default())
    }

    fn clients(&mut self) -> Answer<BTreeMap<String, Client>> {
        self.transaction.query_typed(CLIENTS, &[])?.iter().map(named).collect()
    }

    fn client(&mut self, user: &str) -> Answer<Option<Client>> {
        if let Some(known) = self.clients.get(user) {
            return Ok(known.clone());
        }
        let rows = self.transaction.query_typed(CLIENTS_OF, &[(&vec![user], Type::TEXT_ARRAY)])?;
        Ok(rows.first().map(named).transpose()?.map(|(_, client): (String, _)| client))
    }
}

fn day_of(row: &Row) -> Answer<DayOf> {
    let mut columns = Columns::of(row);
    Ok((columns.next()?, columns.next()?))
}

impl WriteRows for Rows<'_, '_> {
    fn take_stale(&mut self, limit: usize) -> Answer<(BTreeSet<DayOf>, bool)> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let taken = self.transaction.query_typed(TAKE_STALE, &[(&most, Type::INT8)])?;
        let more = self.transaction.query_typed(ANY_STALE, &[])?;
        Ok((taken.iter().map(day_of).collect::<Answer<_>>()?, !more.is_empty()))
    }

    fn put_day(&mut self, of: &DayOf, day: &UserDay) -> Answer<()> {
        let data = if day.is_empty() { None } else { Some(day.pack()?) };
        self.changes.days.insert(of.clone(), data);
        Ok(())
    }

    fn put_organization_day(&mut self, day: NaiveDate, sum: &OrganizationDay) -> Answer<()> {
        let (mut data, mut sums) = (None, None);
        if *sum != OrganizationDay::default() {
            (data, sums) = (Some(sum.pack()?), Some(OrganizationSums::of(sum).pack()?));
        }
        self.changes.organization_days.insert(day, data);
        self.changes.organization_sums.insert(day, sums);
        Ok(())
    }

    fn put_month(&mut self, month: NaiveDate, user: &str, days: &Month) -> Answer<()> {
        let data = if days.is_empty() { None } else { Some(days.pack()?) };
        self.changes.months.insert((month, user.to_owned()), data);
        Ok(())
    }

    fn put_year(&mut self, year: NaiveDate, user: &str, months: &Year) -> Answer<()> {
        let data = if months.is_empty() { None } else { Some(months.pack()?) };
        self.changes.years.insert((year, user.to_owned()), data);
        Ok(())
    }

    fn put_client(&mut self, user: &str, client: Option<&Client>) -> Answer<()> {
        let data = client.map(Packed::pack).transpose()?;
        self.changes.clients.insert(user.to_owned(), data);
        Ok(())
    }
}

/// A row of any of the tables; in some it is of everybody, or of all days.
#[derive(Serialize)]
struct ChangedRow<'a> {
    day: Option<NaiveDate>,
    user_name: Option<&'a str>,
    #[serde(serialize_with = "bytes_or_null")]
    data: Option<&'a [u8]>,
}

impl<'a> ChangedRow<'a> {
    fn of_user_and_day(((day, user), data): (&'a DayOf, &'a Option<Vec<u8>>)) -> Self {
        Self { day: Some(*day), user_name: Some(user), data: data.as_deref() }
    }
}

/// A table, the column of its day or month, whether it has one for the user, and the column of what is packed.
type Target = (&'static str, Option<&'static str>, bool, &'static str);

impl Changes {
    fn write(&self, transaction: &mut Transaction<'_>) -> Answer<()> {
        for (target, rows) in [
            (("user_day", Some("day"), true, "data"), &self.days),
            (("user_month", Some("month"), true, "days"), &self.months),
            (("user_year", Some("year"), true, "months"), &self.years),
        ] {
            write(transaction, target, rows.iter().map(ChangedRow::of_user_and_day).collect())?;
        }
        for (table, days) in
            [("organization_day", &self.organization_days), ("organization_sums", &self.organization_sums)]
        {
            let days = days.iter();
            let days = days.map(|(day, data)| ChangedRow { day: Some(*day), user_name: None, data: data.as_deref() });
            write(transaction, (table, Some("day"), false, "data"), days.collect())?;
        }
        let clients = self.clients.iter();
        let clients =
            clients.map(|(user, data)| ChangedRow { day: None, user_name: Some(user), data: data.as_deref() });
        write(transaction, ("user_client", None, true, "client"), clients.collect())
    }
}

fn write(transaction: &mut Transaction<'_>, target: Target, rows: Vec<ChangedRow<'_>>) -> Answer<()> {
    const CHANGED: &str = "json_to_recordset($1::json) AS changed (day DATE, user_name TEXT, data BYTEA)";
    let (table, day, has_user, column) = target;
    let keys: Vec<(&str, &str)> =
        day.map(|day| (day, "day")).into_iter().chain(has_user.then_some(("user_name", "user_name"))).collect();
    let key = keys.iter().map(|(column, _)| *column).collect::<Vec<_>>().join(", ");
    let values = keys.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(", ");
    let same: Vec<_> = keys.iter().map(|(column, value)| format!("{table}.{column} = changed.{value}")).collect();
    let (gone, kept): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.data.is_none());
    json::query(transaction, &format!("DELETE FROM {table} USING {CHANGED} WHERE {}", same.join(" AND ")), &gone)?;
    let put = format!(
        "INSERT INTO {table} ({key}, {column}) SELECT {values}, data FROM {CHANGED}
         ON CONFLICT ({key}) DO UPDATE SET {column} = EXCLUDED.{column}"
    );
    json::query(transaction, &put, &kept).map(drop)
}
