//! The tables: made and brought up to date by whichever proxy comes first.

use postgres::{Client, GenericClient};

use super::error::Answer;
use super::locks;
use crate::config::PostgresUrl;
use crate::store::StoreError;

/// One file a schema version, in order.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/postgres/0001_usage.sql")];

/// The tables that are written, but for the one with the version.
pub(super) const TABLES: [&str; 15] = [
    "origin",
    "usage_event",
    "suggestion",
    "chat_action",
    "cli_session",
    "acceptance",
    "account",
    "quota",
    "user_day",
    "organization_day",
    "organization_sums",
    "user_month",
    "user_year",
    "user_client",
    "stale",
];

/// Brings the schema up to date; in an empty database it makes the tables.
pub(super) fn migrate(client: &mut Client, url: &PostgresUrl) -> Answer<()> {
    if version(client)? == Some(MIGRATIONS.len()) {
        return Ok(());
    }
    let mut transaction = client.transaction()?;
    transaction.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")?;
    locks::for_migration(&mut transaction)?;
    // Another proxy may have been first.
    let found = version(&mut transaction)?;
    let missing = MIGRATIONS.get(found.unwrap_or(0)..).ok_or_else(|| newer(url, found.unwrap_or(0)))?;
    for migration in missing {
        transaction.batch_execute(migration)?;
    }
    if !missing.is_empty() {
        let known = MIGRATIONS.len();
        let note = format!("DELETE FROM copilens_schema; INSERT INTO copilens_schema (version) VALUES ({known})");
        transaction.batch_execute(&note)?;
    }
    Ok(transaction.commit()?)
}

/// Makes sure that the schema is the one that is known here, and changes nothing.
pub(super) fn expect(client: &mut Client, url: &PostgresUrl) -> Answer<()> {
    match version(client)? {
        Some(found) if found == MIGRATIONS.len() => Ok(()),
        Some(found) if found < MIGRATIONS.len() => {
            Err(StoreError::Older { store: url.to_string().into(), found, known: MIGRATIONS.len() }.into())
        }
        Some(found) => Err(newer(url, found).into()),
        None => Err(StoreError::NoTables { server: url.to_string() }.into()),
    }
}

/// The schema's version; `None` where there is none of ours.
fn version(client: &mut impl GenericClient) -> Answer<Option<usize>> {
    // Not by `to_regclass`, which remembers that there was none.
    let there = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'copilens_schema' AND pg_table_is_visible(oid))";
    if !client.query_one(there, &[])?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let version: Option<i32> = client.query_one("SELECT max(version) FROM copilens_schema", &[])?.try_get(0)?;
    Ok(version.map(|version| usize::try_from(version).unwrap_or(0)))
}

fn newer(url: &PostgresUrl, found: usize) -> StoreError {
    StoreError::Newer { store: url.to_string().into(), found, known: MIGRATIONS.len() }
}
