//! What became of suggestions, by day and user: sums that are kept in step with the facts they count; and which roll-ups a change
//! makes stale.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::rollups;
use super::row::Columns;
use crate::store::Gain;
use crate::store::fact::Fact;
use crate::store::rollup::DayOf;
use crate::usage::Acceptance;

/// The order of the counts is that of [`Acceptance::counters`].
const OF_USER: &str = "SELECT * FROM acceptance WHERE day = ?1 AND user = ?2";

const OF_DAY: &str = "SELECT * FROM acceptance WHERE day = ?1";

const FORGET: &str = "DELETE FROM acceptance WHERE day = ?1 AND user = ?2";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 2] = [OF_USER, OF_DAY];

/// One user's day, where telemetry came on it or told of something that is booked on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    telemetry: bool,
    facts: u64,
    counts: Acceptance,
}

impl Sums {
    /// The counts, and whether only the CLI told: of sessions, then, and of nothing else.
    fn known(self) -> Acceptance {
        Acceptance { is_of_cli_alone: !self.telemetry && self.facts == self.counts.sessions.count, ..self.counts }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<(String, Self)> {
        let mut columns = Columns::of(row);
        let _day: String = columns.next()?;
        let user = columns.next()?;
        let mut sums = Self { telemetry: columns.next()?, facts: columns.next()?, counts: Acceptance::default() };
        for count in sums.counts.counters() {
            *count = columns.next()?;
        }
        Ok((user, sums))
    }

    fn write(mut self, connection: &Connection, day: NaiveDate, user: String) -> rusqlite::Result<()> {
        let mut values = vec![Value::Text(day.to_string()), Value::Text(user), integer(self.telemetry.into())];
        values.push(integer(self.facts));
        values.extend(self.counts.counters().map(|count| integer(*count)));
        let sql = format!("INSERT OR REPLACE INTO acceptance VALUES (?{})", ", ?".repeat(values.len() - 1));
        connection.prepare_cached(&sql)?.execute(params_from_iter(values)).map(drop)
    }
}

fn integer(count: u64) -> Value {
    Value::Integer(count.try_into().unwrap_or(i64::MAX))
}

/// What a transaction does to the sums and to what follows from events and facts.
#[derive(Debug, Default)]
pub(super) struct Changes {
    sums: BTreeMap<DayOf, Change>,
    stale: BTreeSet<DayOf>,
    gains: Vec<Gain>,
}

#[derive(Debug, Default)]
struct Change {
    telemetry: bool,
    more: Sums,
    less: Sums,
}

impl Changes {
    /// Telemetry of this user came on this day.
    pub(super) fn telemetry_came(&mut self, user: &str, day: NaiveDate) {
        self.of(user, day).telemetry = true;
    }

    /// Events of this user and day are others than before.
    pub(super) fn events_changed(&mut self, user: &str, day: NaiveDate) {
        self.stale.insert((day, user.to_owned()));
    }

    /// What came to be known.
    pub(super) fn take_gains(&mut self) -> Vec<Gain> {
        std::mem::take(&mut self.gains)
    }

    /// A fact takes the place of what was known before.
    pub(super) fn replace<F: Fact>(&mut self, user: &str, before: Option<&F>, after: &F) {
        self.gains.extend(after.gain(before, user));
        self.stale.extend(before.into_iter().chain([after]).map(|fact| (fact.day(), user.to_owned())));
        if let Some(before) = before {
            let less = &mut self.of(user, before.day()).less;
            less.facts += 1;
            before.count_in(&mut less.counts);
        }
        let more = &mut self.of(user, after.day()).more;
        more.facts += 1;
        after.count_in(&mut more.counts);
    }

    fn of(&mut self, user: &str, day: NaiveDate) -> &mut Change {
        self.sums.entry((day, user.to_owned())).or_default()
    }

    /// Brings the sums in step. Gives the days on which they are other than before.
    pub(super) fn apply(mut self, connection: &Connection) -> rusqlite::Result<BTreeSet<NaiveDate>> {
        let mut days = BTreeSet::new();
        for ((day, user), change) in self.sums {
            let before = of_user(connection, day, &user)?.unwrap_or_default();
            let after = change.applied_to(before.clone());
            if after == before {
                continue;
            }
            if after.telemetry != before.telemetry {
                self.stale.insert((day, user.clone()));
            }
            if after.is_empty() || before.is_empty() || after.clone().known() != before.known() {
                days.insert(day);
            }
            if after.is_empty() {
                let mut forget = connection.prepare_cached(FORGET)?;
                forget.execute(params![day.to_string(), user])?;
            } else {
                after.write(connection, day, user)?;
            }
        }
        rollups::mark_stale(connection, &self.stale)?;
        Ok(days)
    }
}

impl Change {
    fn applied_to(&self, mut sums: Sums) -> Sums {
        sums.telemetry |= self.telemetry;
        sums.facts = (sums.facts + self.more.facts).saturating_sub(self.less.facts);
        sums.counts.add(&self.more.counts);
        sums.counts.subtract(&self.less.counts);
        sums
    }
}

fn of_user(connection: &Connection, day: NaiveDate, user: &str) -> rusqlite::Result<Option<Sums>> {
    let mut statement = connection.prepare_cached(OF_USER)?;
    let sums = statement.query_row(params![day.to_string(), user], Sums::read).optional()?;
    Ok(sums.map(|(_, sums)| sums))
}

/// What became of suggestions on a day, by user.
pub(super) fn of_day(connection: &Connection, day: NaiveDate) -> rusqlite::Result<BTreeMap<String, Acceptance>> {
    let mut statement = connection.prepare_cached(OF_DAY)?;
    let users = statement.query_map([day.to_string()], Sums::read)?;
    users.map(|row| row.map(|(user, sums)| (user, sums.known()))).collect()
}

/// Whether telemetry of an editor came from a user on a day.
pub(super) fn telemetry_came(connection: &Connection, day: NaiveDate, user: &str) -> rusqlite::Result<bool> {
    Ok(of_user(connection, day, user)?.is_some_and(|sums| sums.telemetry))
}

/// Books the sums of a day on another name, too, and takes the first one out.
pub(super) fn rename(connection: &Connection, day: NaiveDate, [user, other]: [&str; 2]) -> rusqlite::Result<()> {
    let Some(mut sums) = of_user(connection, day, user)? else { return Ok(()) };
    if let Some(known) = of_user(connection, day, other)? {
        sums.telemetry |= known.telemetry;
        sums.facts += known.facts;
        sums.counts.add(&known.counts);
    }
    sums.write(connection, day, other.to_owned())?;
    let mut forget = connection.prepare_cached(FORGET)?;
    forget.execute(params![day.to_string(), user]).map(drop)
}
