//! Who waits for whom: PostgreSQL's advisory locks, held to the end of a transaction.
//!
//! What is known of a user is read, put together with what is told, and written; so two proxies must not do that for the same
//! user at once. A transaction takes the locks of all its users first, in the order of their numbers, so that none waits in a
//! circle. One that replaces whole days keeps out all others instead.

use std::collections::BTreeSet;

use postgres::Transaction;
use postgres::types::Type;

use super::error::Answer;

/// "copilens" in ASCII and the next numbers, hashed with the schema's name: other programs that lock in the same database choose
/// other ones, most likely.
const EVERYBODY: i64 = 0x636f_7069_6c65_6e73;
const SCHEMA: i64 = EVERYBODY + 1;
const ROLLUPS: i64 = EVERYBODY + 2;
const USER: i64 = EVERYBODY + 3;

/// Keeps out other transactions that change what is known of these users.
pub(super) fn for_users<'a>(transaction: &mut Transaction<'_>, users: impl Iterator<Item = &'a str>) -> Answer<()> {
    let users: Vec<&str> = users.collect::<BTreeSet<_>>().into_iter().collect();
    transaction.query_typed(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema(), $1))
         UNION ALL SELECT pg_advisory_xact_lock(key) FROM (
             SELECT DISTINCT hashtextextended(current_schema() || '/' || name, $2) AS key FROM unnest($3) AS name ORDER BY key
         ) AS keys",
        &[(&EVERYBODY, Type::INT8), (&USER, Type::INT8), (&users, Type::TEXT_ARRAY)],
    )?;
    Ok(())
}

/// Keeps out all other transactions that write.
pub(super) fn for_everybody(transaction: &mut Transaction<'_>) -> Answer<()> {
    lock(transaction, EVERYBODY)
}

/// Keeps out others that make or change the tables.
pub(super) fn for_migration(transaction: &mut Transaction<'_>) -> Answer<()> {
    lock(transaction, SCHEMA)
}

/// Keeps out others that make roll-ups anew. False where another one is at it.
pub(super) fn try_for_rollups(transaction: &mut Transaction<'_>) -> Answer<bool> {
    let sql = "SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema(), $1))";
    Ok(transaction.query_typed_one(sql, &[(&ROLLUPS, Type::INT8)])?.try_get(0)?)
}

/// As [`try_for_rollups`], waiting for the other one.
pub(super) fn for_rollups(transaction: &mut Transaction<'_>) -> Answer<()> {
    lock(transaction, ROLLUPS)
}

fn lock(transaction: &mut Transaction<'_>, key: i64) -> Answer<()> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), $1))";
    transaction.query_typed(sql, &[(&key, Type::INT8)])?;
    Ok(())
}
