//! What `check` asks of a server: whether a proxy could write there, without writing.

use postgres::Client;
use postgres::types::Type;

use super::error::{Answer, Context as _};
use super::{PostgresStore, pool, schema};
use crate::config::PostgresUrl;
use crate::store::{Result, ServerTrouble, StoreError};

/// What is done to tables.
const NEEDED: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

impl PostgresStore {
    /// Connects, and looks whether a proxy may do all that it needs to. Gives what an admin may want to know: the server's version,
    /// whether the connection is encrypted, and what the first start will do.
    ///
    /// # Errors
    /// What a start would meet; [`ServerTrouble::NotAllowed`] names every privilege that is missing.
    pub fn examine(url: &PostgresUrl) -> Result<Vec<String>> {
        examine(url).at(url)
    }
}

fn examine(url: &PostgresUrl) -> Answer<Vec<String>> {
    let mut client = pool::connect(url)?;
    let refuse = |trouble, source: String| {
        Err(StoreError::Server { server: url.to_string(), trouble, source: source.into() }.into())
    };
    let read_only: String = client.query_one("SHOW transaction_read_only", &[])?.try_get(0)?;
    if read_only == "on" {
        return refuse(ServerTrouble::ReadOnly, "transaction_read_only is on".to_owned());
    }
    let mut remarks = vec![format!("{url}: PostgreSQL {}, {}", version(&mut client)?, encryption(&mut client)?)];
    let missing = match schema::expect(&mut client, url)
        .map_err(<dyn std::error::Error + Send + Sync>::downcast::<StoreError>)
    {
        Ok(()) => missing_on_tables(&mut client)?,
        Err(Ok(error)) => match *error {
            StoreError::NoTables { .. } => {
                remarks.push("the usage store's tables will be made by the first `copilens run`".to_owned());
                missing_on_schema(&mut client)?
            }
            StoreError::Older { .. } => {
                remarks
                    .push("the usage store's tables will be brought up to date by the next `copilens run`".to_owned());
                missing_for_change(&mut client)?
            }
            error => return Err(error.into()),
        },
        Err(Err(error)) => return Err(error),
    };
    if missing.is_empty() { Ok(remarks) } else { refuse(ServerTrouble::NotAllowed, missing.join(", ")) }
}

fn version(client: &mut Client) -> Answer<String> {
    let told: String = client.query_one("SHOW server_version", &[])?.try_get(0)?;
    // What follows is the distribution's.
    Ok(told.split(' ').next().unwrap_or_default().to_owned())
}

fn encryption(client: &mut Client) -> Answer<&'static str> {
    let encrypted = client.query_opt("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])?;
    let encrypted = encrypted.map(|row| row.try_get::<_, bool>(0)).transpose()?;
    Ok(if encrypted == Some(true) { "the connection is encrypted" } else { "the connection is not encrypted" })
}

fn missing_on_schema(client: &mut Client) -> Answer<Vec<String>> {
    let schema: Option<String> = client.query_one("SELECT current_schema()::text", &[])?.try_get(0)?;
    let Some(schema) = schema else { return Ok(vec!["no schema of the search_path is there".to_owned()]) };
    let may = "SELECT has_schema_privilege($1::text, 'CREATE')";
    let may: bool = client.query_typed_one(may, &[(&schema, Type::TEXT)])?.try_get(0)?;
    Ok(if may { Vec::new() } else { vec![format!("no CREATE on schema {schema}")] })
}

/// Tables are changed by their owner alone.
fn missing_for_change(client: &mut Client) -> Answer<Vec<String>> {
    let mut missing = missing_on_schema(client)?;
    let owner = "SELECT pg_get_userbyid(relowner)::text FROM pg_class
                 WHERE relname = 'copilens_schema' AND pg_table_is_visible(oid) AND NOT pg_has_role(relowner, 'USAGE')";
    if let Some(row) = client.query_opt(owner, &[])? {
        missing.push(format!("the tables belong to {}", row.try_get::<_, String>(0)?));
    }
    Ok(missing)
}

fn missing_on_tables(client: &mut Client) -> Answer<Vec<String>> {
    let missing = "
        SELECT privilege || ' on ' || string_agg(relname, ' ' ORDER BY relname)
        FROM unnest($1) WITH ORDINALITY AS needed (privilege, place)
        CROSS JOIN pg_class
        WHERE relname = ANY($2) AND pg_table_is_visible(oid) AND NOT has_table_privilege(oid, privilege)
        GROUP BY privilege, place ORDER BY place";
    let (needed, tables) = (NEEDED.as_slice(), schema::TABLES.as_slice());
    let rows = client.query_typed(missing, &[(&needed, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)])?;
    rows.iter().map(|row| Ok(format!("no {}", row.try_get::<_, String>(0)?))).collect()
}
