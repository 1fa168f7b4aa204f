//! Taking a person out of the store, counts excepted.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use postgres::Transaction;
use postgres::types::{ToSql, Type};
use serde::Serialize;

use super::error::Answer;
use super::json;
use super::rollups::Rows;
use super::row::Columns;
use super::{acceptance, locks, questions};
use crate::store::disguise::Disguise;
use crate::store::fact::{digest, digest_or_null};
use crate::usage::IdDigest;

const DAYS: &str = "
    SELECT day FROM usage_event WHERE day = ANY($1) AND user_name = $2
    UNION SELECT day FROM acceptance WHERE day = ANY($1) AND user_name = $2";

const IDS_OF_DAY: &str =
    "SELECT id, request_id, interaction_id, session_id FROM usage_event WHERE day = $1 AND user_name = $2";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 2] = [DAYS, IDS_OF_DAY];

/// Tables of facts, with the column that names an exchange by a digest.
const FACTS: [(&str, Option<&str>); 3] =
    [("suggestion", Some("request")), ("chat_action", Some("exchange")), ("cli_session", None)];

/// Books all of `user` on `pseudonym`, with new ids. Gives the days that have anything of it.
pub(super) fn forget(
    transaction: &mut Transaction<'_>,
    [user, pseudonym]: [&str; 2],
    disguise: &Disguise,
) -> Answer<BTreeSet<NaiveDate>> {
    transaction.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")?;
    locks::for_everybody(transaction)?;
    locks::for_rollups(transaction)?;
    let days = days_of(transaction, user)?;
    for day in &days {
        rename_events(transaction, *day, [user, pseudonym], disguise)?;
    }
    acceptance::rename(transaction, &days, [user, pseudonym])?;
    for (table, link) in FACTS {
        rename_facts(transaction, table, link, [user, pseudonym], disguise)?;
    }
    for table in ["account", "quota"] {
        transaction.execute_typed(&format!("DELETE FROM {table} WHERE user_name = $1"), &[(&user, Type::TEXT)])?;
    }
    let mut changed = BTreeSet::new();
    for name in [user, pseudonym] {
        changed.extend(days.iter().map(|day| (*day, name.to_owned())));
    }
    let names = vec![user, pseudonym];
    let stale = "DELETE FROM stale WHERE user_name = ANY($1) RETURNING day, user_name";
    for row in transaction.query_typed(stale, &[(&names, Type::TEXT_ARRAY)])? {
        changed.insert((row.try_get(0)?, row.try_get(1)?));
    }
    Rows::new(transaction).renew(&changed)?;
    Ok(days)
}

fn days_of(transaction: &mut Transaction<'_>, user: &str) -> Answer<BTreeSet<NaiveDate>> {
    let all = questions::days(transaction)?;
    let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&all, Type::DATE_ARRAY), (&user, Type::TEXT)];
    transaction.query_typed(DAYS, &asked)?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// An event's new ids.
#[derive(Serialize)]
struct EventIds<'a> {
    #[serde(with = "digest")]
    id: [u8; 16],
    user_name: &'a str,
    request_id: Option<String>,
    interaction_id: Option<String>,
    session_id: Option<String>,
}

fn rename_events(
    transaction: &mut Transaction<'_>,
    day: NaiveDate,
    [user, pseudonym]: [&str; 2],
    disguise: &Disguise,
) -> Answer<()> {
    let new_ids = |row| {
        let mut columns = Columns::of(row);
        let id = columns.digest()?;
        let mut new = || columns.next::<Option<&str>>().map(|id| id.map(|id| disguise.id(id)));
        Ok(EventIds { id, user_name: pseudonym, request_id: new()?, interaction_id: new()?, session_id: new()? })
    };
    let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&day, Type::DATE), (&user, Type::TEXT)];
    let found = transaction.query_typed(IDS_OF_DAY, &asked)?;
    let ids = found.iter().map(new_ids).collect::<Answer<Vec<_>>>()?;
    let rename = "
        UPDATE usage_event SET user_name = new.user_name, request_id = new.request_id, interaction_id = new.interaction_id,
            session_id = new.session_id, machine_id = NULL, account = NULL
        FROM json_to_recordset($1::json) AS new (id BYTEA, user_name TEXT, request_id TEXT, interaction_id TEXT, session_id TEXT)
        WHERE usage_event.id = new.id";
    json::query(transaction, rename, &ids).map(drop)
}

/// A fact's new ids.
#[derive(Serialize)]
struct FactIds<'a> {
    user: &'a str,
    pseudonym: &'a str,
    #[serde(with = "digest")]
    old: IdDigest,
    #[serde(with = "digest")]
    new: IdDigest,
    #[serde(with = "digest_or_null")]
    link: Option<IdDigest>,
}

fn rename_facts(
    transaction: &mut Transaction<'_>,
    table: &str,
    link: Option<&str>,
    [user, pseudonym]: [&str; 2],
    disguise: &Disguise,
) -> Answer<()> {
    let select = format!("SELECT id, {} FROM {table} WHERE user_name = $1", link.unwrap_or("NULL::BYTEA"));
    let new_ids = |row| {
        let mut columns = Columns::of(row);
        let old = columns.digest()?;
        let link = columns.next::<Option<&[u8]>>()?.map(IdDigest::try_from).transpose()?;
        Ok(FactIds { user, pseudonym, old, new: disguise.digest(old), link: link.map(|link| disguise.digest(link)) })
    };
    let found = transaction.query_typed(&select, &[(&user, Type::TEXT)])?;
    let ids = found.iter().map(new_ids).collect::<Answer<Vec<_>>>()?;
    let linked = link.map(|link| format!(", {link} = renamed.link")).unwrap_or_default();
    let rename = format!(
        "UPDATE {table} SET user_name = renamed.pseudonym, id = renamed.new{linked}
         FROM json_to_recordset($1::json) AS renamed (\"user\" TEXT, pseudonym TEXT, old BYTEA, new BYTEA, link BYTEA)
         WHERE {table}.user_name = renamed.user AND {table}.id = renamed.old"
    );
    json::query(transaction, &rename, &ids).map(drop)
}
