//! Facts from telemetry: all that a batch tells is put together, read in one go, merged with what is there, and written where
//! that changed it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use postgres::{GenericClient, Row};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Answer;
use super::json::{self, Table};
use super::rollups::DayRow;
use super::row::Columns;
use crate::copilot::observation::Observation;
use crate::copilot::vocabulary::{Class, Kind};
use crate::store::fact::{Action, Booked, Booking, Fact, Session, Suggestion, digest};
use crate::store::rollup::DayOf;
use crate::store::sums::Changes;
use crate::usage::{IdDigest, Told as ToldOfDay, UsageEvent, id_digest};

const DAYS_OF_REQUESTS: &str = "
    SELECT asked.user_name, asked.id, MIN(day) FROM usage_event
    JOIN json_to_recordset($1::json) AS asked (user_name TEXT, id TEXT)
    ON usage_event.user_name = asked.user_name AND request_id = asked.id
        AND hashtextextended(request_id, 0) = hashtextextended(asked.id COLLATE \"C\", 0)
    WHERE request_id IS NOT NULL
    GROUP BY asked.user_name, asked.id";

const DAYS_OF_INTERACTIONS: &str = "
    SELECT asked.user_name, asked.id, MIN(day) FROM usage_event
    JOIN json_to_recordset($1::json) AS asked (user_name TEXT, id TEXT)
    ON usage_event.user_name = asked.user_name AND interaction_id = asked.id
        AND hashtextextended(interaction_id, 0) = hashtextextended(asked.id COLLATE \"C\", 0)
    WHERE interaction_id IS NOT NULL AND class = 'turn' AND kind = 'chat'
    GROUP BY asked.user_name, asked.id";

const SHOWN: &str = "
    SELECT DISTINCT suggestion.user_name, request FROM suggestion
    JOIN json_to_recordset($1::json) AS asked (user_name TEXT, id BYTEA)
    ON suggestion.user_name = asked.user_name AND request = asked.id
    WHERE request IS NOT NULL AND (shown OR accepted)";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) fn all() -> Vec<String> {
    let of_tables = [of_ids(&Suggestion::TABLE), of_ids(&Action::TABLE), of_ids(&Session::TABLE)];
    let booked =
        [of_exchanges(&Suggestion::TABLE, Suggestion::EXCHANGE), of_exchanges(&Action::TABLE, Action::EXCHANGE)];
    let days = [DAYS_OF_REQUESTS, DAYS_OF_INTERACTIONS, SHOWN].map(str::to_owned);
    of_tables.into_iter().chain(booked).chain(days).collect()
}

fn of_ids(table: &Table) -> String {
    let name = table.name;
    format!(
        "SELECT row_to_json({name})::text FROM {name}
         JOIN json_to_recordset($1::json) AS asked (user_name TEXT, id BYTEA)
         ON {name}.user_name = asked.user_name AND {name}.id = asked.id"
    )
}

fn of_exchanges(table: &Table, column: &str) -> String {
    let name = table.name;
    format!(
        "SELECT row_to_json({name})::text FROM {name}
         JOIN json_to_recordset($1::json) AS asked (user_name TEXT, id BYTEA)
         ON {name}.user_name = asked.user_name AND {name}.{column} = asked.id
         WHERE {name}.{column} IS NOT NULL"
    )
}

/// In the order of their ids.
fn of_days(table: &Table) -> String {
    let name = table.name;
    format!(
        "SELECT row_to_json({name})::text FROM {name}
         JOIN json_to_recordset($1::json) AS asked (day DATE, user_name TEXT)
         ON {name}.day = asked.day AND {name}.user_name = asked.user_name
         ORDER BY {name}.id"
    )
}

/// A fact as a row of its table.
trait Stored: Fact + Serialize + DeserializeOwned {
    const TABLE: Table;
}

/// A fact that belongs to an exchange.
trait OfExchange: Stored + Booked {
    /// The column with the digest of the exchange's id.
    const EXCHANGE: &'static str;

    fn exchange(&self) -> Option<IdDigest>;
}

impl Stored for Suggestion {
    const TABLE: Table = Table {
        name: "suggestion",
        key: &["user_name", "id"],
        others: &[
            "request",
            "day",
            "is_booked",
            "is_next_edit",
            "shown",
            "accepted",
            "accepted_fully",
            "rejected",
            "lines_shown",
            "lines_accepted",
            "characters_shown",
            "characters_accepted",
            "kept_s",
            "lost_s",
            "language",
            "model",
            "editor",
        ],
    };
}

impl OfExchange for Suggestion {
    const EXCHANGE: &'static str = "request";

    fn exchange(&self) -> Option<IdDigest> {
        self.request
    }
}

impl Stored for Action {
    const TABLE: Table = Table {
        name: "chat_action",
        key: &["user_name", "id"],
        others: &["exchange", "day", "is_booked", "kind", "lines", "characters", "language", "model"],
    };
}

impl OfExchange for Action {
    const EXCHANGE: &'static str = "exchange";

    fn exchange(&self) -> Option<IdDigest> {
        self.exchange
    }
}

impl Stored for Session {
    const TABLE: Table = Table {
        name: "cli_session",
        key: &["user_name", "id"],
        others: &["day", "lines_added", "lines_removed", "files_modified", "premium_requests", "nano_aiu"],
    };
}

/// A user and the digest of an id.
type Key = (String, IdDigest);

type Facts<F> = BTreeMap<Key, F>;

#[derive(Serialize)]
struct KeyRow<'a> {
    user_name: &'a str,
    #[serde(with = "digest")]
    id: IdDigest,
}

impl<'a> KeyRow<'a> {
    fn of((user_name, id): &'a Key) -> Self {
        Self { user_name, id: *id }
    }
}

#[derive(Serialize, Deserialize)]
struct FactRow<F> {
    user_name: String,
    #[serde(with = "digest")]
    id: IdDigest,
    #[serde(flatten)]
    fact: F,
}

/// A user and a client's id.
type Named = (String, String);

#[derive(Serialize)]
struct NameRow<'a> {
    user_name: &'a str,
    id: &'a str,
}

/// Those of these requests with a suggestion that was shown.
pub(super) fn shown_of(client: &mut impl GenericClient, requests: &BTreeSet<Key>) -> Answer<BTreeSet<Key>> {
    let rows = json::query(client, SHOWN, &requests.iter().map(KeyRow::of).collect::<Vec<_>>())?;
    let key = |row| {
        let mut columns = Columns::of(row);
        Ok((columns.next()?, columns.digest()?))
    };
    rows.iter().map(key).collect()
}

/// What telemetry told that is booked on these days of users.
pub(super) fn told(client: &mut impl GenericClient, asked: &[DayRow<'_>]) -> Answer<BTreeMap<DayOf, ToldOfDay>> {
    let mut told: BTreeMap<DayOf, ToldOfDay> = BTreeMap::new();
    for (of, suggestion) in booked_on::<Suggestion>(client, asked)? {
        told.entry(of).or_default().suggestions.push(suggestion.told());
    }
    for (of, action) in booked_on::<Action>(client, asked)? {
        told.entry(of).or_default().actions.push(action.told());
    }
    Ok(told)
}

fn booked_on<F: Stored>(client: &mut impl GenericClient, asked: &[DayRow<'_>]) -> Answer<Vec<(DayOf, F)>> {
    let rows = json::values::<FactRow<F>>(&json::query(client, &of_days(&F::TABLE), asked)?)?;
    Ok(rows.into_iter().map(|row| ((row.fact.day(), row.user_name), row.fact)).collect())
}

/// An observation of a request of a user that ended on a day.
pub(super) type Told<'a> = (&'a str, NaiveDate, &'a Observation);

/// Takes in what a batch tells.
pub(super) fn take(client: &mut impl GenericClient, changes: &mut Changes, told: &[Told<'_>]) -> Answer<()> {
    let days = DaysOfExchanges::of(client, told)?;
    let (mut suggestions, mut actions, mut sessions) = (Facts::new(), Facts::new(), Facts::new());
    for (user, day, observation) in told {
        match observation {
            Observation::Suggestion(report) => {
                let booking = days.booking(user, *day, report.request_id.as_deref(), None);
                put_in(&mut suggestions, user, &report.suggestion_id, Suggestion::of(report, booking));
            }
            Observation::ChatAction(report) => {
                let (request_id, interaction_id) = (report.request_id.as_deref(), report.interaction_id.as_deref());
                let booking = days.booking(user, *day, request_id, interaction_id);
                put_in(&mut actions, user, &report.key, Action::of(report, booking));
            }
            Observation::Session(report) => {
                put_in(&mut sessions, user, &report.session_id, Session::of(report, *day));
            }
        }
    }
    put(client, changes, suggestions)?;
    put(client, changes, actions)?;
    put(client, changes, sessions)
}

/// Books suggestions and actions that were reported before their exchanges on the days of these.
pub(super) fn rebook<'a>(
    client: &mut impl GenericClient,
    changes: &mut Changes,
    events: impl Iterator<Item = &'a UsageEvent>,
) -> Answer<()> {
    let (mut requests, mut exchanges) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        let note = |days: &mut BTreeMap<Key, NaiveDate>, id: &str| {
            let day = days.entry((event.user.clone(), id_digest(id))).or_insert(event.day());
            *day = event.day().min(*day);
        };
        if let Some(request_id) = &event.request_id {
            note(&mut requests, request_id);
            note(&mut exchanges, request_id);
        }
        let is_turn = (event.kind, event.class) == (Kind::Chat, Class::Turn);
        if let Some(interaction_id) = event.interaction_id.as_ref().filter(|_| is_turn) {
            note(&mut exchanges, interaction_id);
        }
    }
    rebook_all::<Suggestion>(client, changes, &requests)?;
    rebook_all::<Action>(client, changes, &exchanges)
}

fn rebook_all<F: OfExchange>(
    client: &mut impl GenericClient,
    changes: &mut Changes,
    days: &BTreeMap<Key, NaiveDate>,
) -> Answer<()> {
    let asked: Vec<_> = days.keys().map(KeyRow::of).collect();
    let before = read::<F>(&json::query(client, &of_exchanges(&F::TABLE, F::EXCHANGE), &asked)?)?;
    let mut after = before.clone();
    for ((user, _), fact) in &mut after {
        let day = fact.exchange().and_then(|exchange| days.get(&(user.clone(), exchange)));
        if let Some(day) = day {
            fact.book(Booking { is_exchanges: true, day: *day });
        }
    }
    save(client, changes, &before, after)
}

/// The days of the exchanges that a batch tells of.
struct DaysOfExchanges {
    requests: BTreeMap<Named, NaiveDate>,
    interactions: BTreeMap<Named, NaiveDate>,
}

impl DaysOfExchanges {
    fn of(client: &mut impl GenericClient, told: &[Told<'_>]) -> Answer<Self> {
        let (mut requests, mut interactions) = (BTreeSet::new(), BTreeSet::new());
        for (user, _, observation) in told {
            let (request_id, interaction_id) = match observation {
                Observation::Suggestion(report) => (&report.request_id, &None),
                Observation::ChatAction(report) => (&report.request_id, &report.interaction_id),
                Observation::Session(_) => continue,
            };
            match (request_id, interaction_id) {
                (Some(id), _) => drop(requests.insert(named(user, id))),
                (None, Some(id)) => drop(interactions.insert(named(user, id))),
                (None, None) => {}
            }
        }
        Ok(Self {
            requests: days_of(client, DAYS_OF_REQUESTS, &requests)?,
            interactions: days_of(client, DAYS_OF_INTERACTIONS, &interactions)?,
        })
    }

    /// Where something is booked that a client tells of an exchange: by its request id, or by its interaction where that alone is
    /// told.
    fn booking(&self, user: &str, told: NaiveDate, request_id: Option<&str>, interaction_id: Option<&str>) -> Booking {
        let day = match (request_id, interaction_id) {
            (Some(id), _) => self.requests.get(&named(user, id)),
            (None, Some(id)) => self.interactions.get(&named(user, id)),
            (None, None) => None,
        };
        Booking { is_exchanges: day.is_some(), day: day.copied().unwrap_or(told) }
    }
}

fn named(user: &str, id: &str) -> Named {
    (user.to_owned(), json::text(id))
}

fn days_of(client: &mut impl GenericClient, sql: &str, names: &BTreeSet<Named>) -> Answer<BTreeMap<Named, NaiveDate>> {
    let asked: Vec<_> = names.iter().map(|(user_name, id)| NameRow { user_name, id }).collect();
    let rows = json::query(client, sql, &asked)?;
    let day = |row| {
        let mut columns = Columns::of(row);
        Ok(((columns.next()?, columns.next()?), columns.next()?))
    };
    rows.iter().map(day).collect()
}

fn put_in<F: Fact>(facts: &mut Facts<F>, user: &str, id: &str, told: F) {
    let key = (user.to_owned(), id_digest(id));
    match facts.get_mut(&key) {
        Some(known) => known.merge(&told),
        None => drop(facts.insert(key, told)),
    }
}

fn put<F: Stored>(client: &mut impl GenericClient, changes: &mut Changes, mut told: Facts<F>) -> Answer<()> {
    let asked: Vec<_> = told.keys().map(KeyRow::of).collect();
    let before = read::<F>(&json::query(client, &of_ids(&F::TABLE), &asked)?)?;
    for (key, before) in &before {
        if let Some(told) = told.get_mut(key) {
            told.merge(before);
        }
    }
    save(client, changes, &before, told)
}

fn read<F: Stored>(rows: &[Row]) -> Answer<Facts<F>> {
    let rows = json::values::<FactRow<F>>(rows)?;
    Ok(rows.into_iter().map(|row| ((row.user_name, row.id), row.fact)).collect())
}

/// Writes those that are other than before.
fn save<F: Stored>(
    client: &mut impl GenericClient,
    changes: &mut Changes,
    before: &Facts<F>,
    after: Facts<F>,
) -> Answer<()> {
    let mut rows = Vec::new();
    for ((user_name, id), fact) in after {
        let key = (user_name, id);
        let before = before.get(&key);
        if before != Some(&fact) {
            changes.replace(&key.0, before, &fact);
            rows.push(FactRow { user_name: key.0, id, fact });
        }
    }
    F::TABLE.put(client, &rows, "")
}
