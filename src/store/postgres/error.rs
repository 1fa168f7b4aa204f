//! PostgreSQL's error codes as the store's errors.

use std::error::Error;

use postgres::error::SqlState;

use crate::config::PostgresUrl;
use crate::store::error::{Cause, ServerTrouble};
use crate::store::{Result, StoreError};

/// What asking the server gives: an error of the server, of the way to it, or of what it answered.
pub(super) type Answer<T> = std::result::Result<T, Cause>;

/// Says which server an error is about.
pub(super) trait Context<T> {
    /// The error as one of the store at `url`.
    fn at(self, url: &PostgresUrl) -> Result<T>;
}

impl<T> Context<T> for Answer<T> {
    fn at(self, url: &PostgresUrl) -> Result<T> {
        self.map_err(|error| store_error(url, error))
    }
}

fn store_error(url: &PostgresUrl, error: Cause) -> StoreError {
    let error = match error.downcast::<StoreError>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let trouble = match error.downcast_ref::<postgres::Error>() {
        Some(error) => error.code().map_or_else(|| without_code(error), trouble),
        None if error.is::<std::io::Error>() => ServerTrouble::Unreachable,
        None => ServerTrouble::Other,
    };
    StoreError::Server { server: url.to_string(), trouble, source: told(error) }
}

/// An error that the server did not send: one of the connection, or of what goes over it.
fn without_code(error: &postgres::Error) -> ServerTrouble {
    let is_conversion = error.source().is_some_and(<dyn Error>::is::<postgres::types::WrongType>);
    if is_conversion { ServerTrouble::Other } else { ServerTrouble::Unreachable }
}

/// By SQLSTATE (PostgreSQL's manual, appendix A).
fn trouble(code: &SqlState) -> ServerTrouble {
    match *code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => ServerTrouble::Refused,
        SqlState::INVALID_CATALOG_NAME => ServerTrouble::NoDatabase,
        SqlState::INSUFFICIENT_PRIVILEGE => ServerTrouble::NotAllowed,
        SqlState::READ_ONLY_SQL_TRANSACTION => ServerTrouble::ReadOnly,
        SqlState::DISK_FULL => ServerTrouble::Full,
        SqlState::TOO_MANY_CONNECTIONS => ServerTrouble::Crowded,
        SqlState::QUERY_CANCELED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::INSUFFICIENT_RESOURCES
        | SqlState::OUT_OF_MEMORY
        | SqlState::CONFIGURATION_LIMIT_EXCEEDED => ServerTrouble::Busy,
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        | SqlState::CONNECTION_EXCEPTION
        | SqlState::CONNECTION_FAILURE
        | SqlState::CONNECTION_DOES_NOT_EXIST => ServerTrouble::Unreachable,
        _ => ServerTrouble::Other,
    }
}

/// The error with its causes in one text: the crate's own says little more than "db error". None of it holds a password.
fn told(error: Cause) -> Cause {
    let Some(known) = error.downcast_ref::<postgres::Error>() else { return error };
    let Some(cause) = known.source() else { return error };
    match known.as_db_error() {
        Some(refused) => refused.message().to_owned().into(),
        None => cause.to_string().into(),
    }
}
