//! What became of suggestions, by day and user: sums that are kept in step with the facts they count.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::row::Columns;
use crate::store::fact::Fact;
use crate::usage::Acceptance;

/// The order of the counts is that of [`Acceptance::counters`].
const OF_USER: &str = "SELECT * FROM acceptance WHERE day = ?1 AND user = ?2";

const OF_DAY: &str = "SELECT * FROM acceptance WHERE day = ?1";

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

/// What a transaction does to the sums.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<(NaiveDate, String), Change>);

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

    /// A fact takes the place of what was known before.
    pub(super) fn replace<F: Fact>(&mut self, user: &str, before: Option<&F>, after: &F) {
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
        self.0.entry((day, user.to_owned())).or_default()
    }

    /// Brings the sums in step. Gives the days on which they are other than before.
    pub(super) fn apply(self, connection: &Connection) -> rusqlite::Result<BTreeSet<NaiveDate>> {
        let mut days = BTreeSet::new();
        for ((day, user), change) in self.0 {
            let before = of_user(connection, day, &user)?.unwrap_or_default();
            let after = change.applied_to(before.clone());
            if after == before {
                continue;
            }
            if after.is_empty() || before.is_empty() || after.clone().known() != before.known() {
                days.insert(day);
            }
            if after.is_empty() {
                let mut forget = connection.prepare_cached("DELETE FROM acceptance WHERE day = ?1 AND user = ?2")?;
                forget.execute(params![day.to_string(), user])?;
            } else {
                after.write(connection, day, user)?;
            }
        }
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
