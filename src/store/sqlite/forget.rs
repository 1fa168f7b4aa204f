//! Taking a person out of the store, counts excepted.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use rusqlite::{Connection, params};

use super::rollups::Rows;
use super::row::Columns;
use super::{acceptance, questions};
use crate::store::disguise::Disguise;
use crate::store::rollup;
use crate::usage::IdDigest;

const IDS_OF_DAY: &str =
    "SELECT id, request_id, interaction_id, session_id FROM usage_event WHERE day = ?1 AND user = ?2";

/// There are few: what was written since the last refresh.
const STALE_DAYS: &str = "SELECT DISTINCT day FROM stale WHERE user = ?1";

/// Tables of facts, with the column that names an exchange by a digest.
const FACTS: [(&str, Option<&str>); 3] =
    [("suggestion", Some("request")), ("chat_action", Some("exchange")), ("cli_session", None)];

/// Books all of `user` on `pseudonym`, with new ids. Gives the days that have anything of it.
pub(super) fn forget(
    connection: &Connection,
    user: &str,
    pseudonym: &str,
    disguise: &Disguise,
) -> rusqlite::Result<BTreeSet<NaiveDate>> {
    let days = days_of(connection, user)?;
    for day in &days {
        rename_events(connection, *day, [user, pseudonym], disguise)?;
        acceptance::rename(connection, *day, [user, pseudonym])?;
    }
    for (table, link) in FACTS {
        rename_facts(connection, table, link.unwrap_or("NULL"), [user, pseudonym], disguise)?;
    }
    for table in ["account", "quota"] {
        connection.execute(&format!("DELETE FROM {table} WHERE user = ?1"), [user])?;
    }
    let mut changed = BTreeSet::new();
    for name in [user, pseudonym] {
        let stale = stale_days(connection, name)?;
        changed.extend(days.iter().chain(&stale).map(|day| (*day, name.to_owned())));
        connection.execute("DELETE FROM stale WHERE user = ?1", [name])?;
    }
    rollup::renew(&mut Rows(connection), &changed)?;
    Ok(days)
}

fn days_of(connection: &Connection, user: &str) -> rusqlite::Result<BTreeSet<NaiveDate>> {
    let mut days = BTreeSet::new();
    for day in questions::days(connection)? {
        if questions::has_day(connection, user, day)? {
            days.insert(day);
        }
    }
    Ok(days)
}

fn stale_days(connection: &Connection, user: &str) -> rusqlite::Result<Vec<NaiveDate>> {
    let mut statement = connection.prepare(STALE_DAYS)?;
    let days = statement.query_map([user], |row| Columns::of(row).word())?;
    days.collect()
}

fn rename_events(
    connection: &Connection,
    day: NaiveDate,
    [user, pseudonym]: [&str; 2],
    disguise: &Disguise,
) -> rusqlite::Result<()> {
    type Ids = ([u8; 16], [Option<String>; 3]);
    let events: Vec<Ids> = {
        let mut statement = connection.prepare_cached(IDS_OF_DAY)?;
        let ids = statement.query_map(params![day.to_string(), user], |row| {
            let mut columns = Columns::of(row);
            Ok((columns.next()?, [columns.next()?, columns.next()?, columns.next()?]))
        })?;
        ids.collect::<rusqlite::Result<_>>()?
    };
    let mut rename = connection.prepare_cached(
        "UPDATE usage_event
         SET user = ?2, request_id = ?3, interaction_id = ?4, session_id = ?5, machine_id = NULL, account = NULL
         WHERE id = ?1",
    )?;
    for (event, ids) in events {
        let [request, interaction, session] = ids.map(|id| id.map(|id| disguise.id(&id)));
        rename.execute(params![event, pseudonym, request, interaction, session])?;
    }
    Ok(())
}

fn rename_facts(
    connection: &Connection,
    table: &str,
    link: &str,
    [user, pseudonym]: [&str; 2],
    disguise: &Disguise,
) -> rusqlite::Result<()> {
    let facts: Vec<(IdDigest, Option<IdDigest>)> = {
        let mut statement = connection.prepare(&format!("SELECT id, {link} FROM {table} WHERE user = ?1"))?;
        let ids = statement.query_map([user], |row| Ok((row.get(0)?, row.get(1)?)))?;
        ids.collect::<rusqlite::Result<_>>()?
    };
    let linked = if link == "NULL" { String::new() } else { format!(", {link} = ?5") };
    let mut rename =
        connection.prepare(&format!("UPDATE {table} SET user = ?3, id = ?4{linked} WHERE user = ?1 AND id = ?2"))?;
    for (id, exchange) in facts {
        let (new, exchange) = (disguise.digest(id), exchange.map(|exchange| disguise.digest(exchange)));
        if linked.is_empty() {
            rename.execute(params![user, id, pseudonym, new])?;
        } else {
            rename.execute(params![user, id, pseudonym, new, exchange])?;
        }
    }
    Ok(())
}
