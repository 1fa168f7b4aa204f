//! What became of suggestions, by day and user, as rows and back.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use postgres::types::Type;
use postgres::{GenericClient, Transaction};
use serde::{Deserialize, Serialize};

use super::error::Answer;
use super::json::{self, Table};
use super::rollups::{self, DayRow};
use crate::store::rollup::DayOf;
use crate::store::sums::{Changes, Sums};
use crate::usage::Acceptance;

const ACCEPTANCE: Table =
    Table { name: "acceptance", key: &["day", "user_name"], others: &["telemetry", "facts", "counts"] };

const OF_USERS: &str = "
    SELECT row_to_json(acceptance)::text FROM acceptance
    JOIN json_to_recordset($1::json) AS asked (day DATE, user_name TEXT)
    ON acceptance.day = asked.day AND acceptance.user_name = asked.user_name";

const REMOVE: &str = "
    DELETE FROM acceptance USING json_to_recordset($1::json) AS asked (day DATE, user_name TEXT)
    WHERE acceptance.day = asked.day AND acceptance.user_name = asked.user_name";

const WITH_TELEMETRY: &str = "
    SELECT acceptance.day, acceptance.user_name FROM acceptance
    JOIN json_to_recordset($1::json) AS asked (day DATE, user_name TEXT)
    ON acceptance.day = asked.day AND acceptance.user_name = asked.user_name
    WHERE telemetry";

const OF_DAY: &str = "SELECT row_to_json(acceptance)::text FROM acceptance WHERE day = $1";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 3] = [OF_USERS, WITH_TELEMETRY, OF_DAY];

#[derive(Serialize, Deserialize)]
struct SumsRow {
    day: NaiveDate,
    user_name: String,
    telemetry: bool,
    facts: u64,
    counts: Vec<u64>,
}

impl SumsRow {
    fn of(((day, user_name), mut sums): (DayOf, Sums)) -> Self {
        let counts = sums.counts.counters().map(|count| (*count).min(i64::MAX.unsigned_abs())).collect();
        Self { day, user_name, telemetry: sums.telemetry, facts: sums.facts, counts }
    }

    fn sums(self) -> (DayOf, Sums) {
        let mut sums = Sums { telemetry: self.telemetry, facts: self.facts, counts: Acceptance::default() };
        sums.counts.counters().zip(self.counts).for_each(|(count, stored)| *count = stored);
        ((self.day, self.user_name), sums)
    }
}

/// Brings the sums in step, and notes which roll-ups are not. Gives the days on which sums are other than before.
pub(super) fn apply(transaction: &mut Transaction<'_>, changes: Changes) -> Answer<BTreeSet<NaiveDate>> {
    let before = of_users(transaction, changes.keys())?;
    let changed = changes.apply(&before);
    rollups::mark_stale(transaction, &changed.stale)?;
    write(transaction, changed.sums)?;
    Ok(changed.days)
}

fn of_users<'a>(
    client: &mut impl GenericClient,
    keys: impl Iterator<Item = &'a DayOf>,
) -> Answer<BTreeMap<DayOf, Sums>> {
    let rows = json::query(client, OF_USERS, &keys.map(DayRow::of).collect::<Vec<_>>())?;
    Ok(json::values::<SumsRow>(&rows)?.into_iter().map(SumsRow::sums).collect())
}

/// Stores sums; empty ones are removed.
fn write(client: &mut impl GenericClient, sums: BTreeMap<DayOf, Sums>) -> Answer<()> {
    let (empty, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = sums.into_iter().partition(|(_, sums)| sums.is_empty());
    json::query(client, REMOVE, &empty.keys().map(DayRow::of).collect::<Vec<_>>())?;
    ACCEPTANCE.put(client, &kept.into_iter().map(SumsRow::of).collect::<Vec<_>>(), "")
}

/// Books the sums of days on another name, too, and takes the first one out.
pub(super) fn rename(
    client: &mut impl GenericClient,
    days: &BTreeSet<NaiveDate>,
    [user, other]: [&str; 2],
) -> Answer<()> {
    let of = |name: &str| -> Vec<DayOf> { days.iter().map(|day| (*day, name.to_owned())).collect() };
    let mut sums = of_users(client, of(other).iter())?;
    for ((day, name), known) in of_users(client, of(user).iter())? {
        let sum = sums.entry((day, other.to_owned())).or_default();
        sum.telemetry |= known.telemetry;
        sum.facts += known.facts;
        sum.counts.add(&known.counts);
        sums.insert((day, name), Sums::default());
    }
    write(client, sums)
}

/// Those of these days of users on which telemetry of an editor came.
pub(super) fn with_telemetry(client: &mut impl GenericClient, asked: &[DayRow<'_>]) -> Answer<Vec<DayOf>> {
    let rows = json::query(client, WITH_TELEMETRY, asked)?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// What became of suggestions on a day, by user.
pub(super) fn of_day(client: &mut impl GenericClient, day: NaiveDate) -> Answer<BTreeMap<String, Acceptance>> {
    let rows = client.query_typed(OF_DAY, &[(&day, Type::DATE)])?;
    let users = json::values::<SumsRow>(&rows)?.into_iter().map(SumsRow::sums);
    Ok(users.map(|((_, user), sums)| (user, sums.known())).collect())
}
