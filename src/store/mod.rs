//! The store of usage events: what every report, metric and daily file is computed from.
//!
//! [`UsageStore`] speaks of usage, not of SQL, so that one proxy keeps its events in a file ([`SqliteStore`]) and a fleet
//! can keep them elsewhere. Its methods block: call them off the async threads.

mod error;
mod sqlite;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

pub use error::StoreError;
pub use sqlite::{FILE_NAME, SqliteStore};

use crate::exchange::ExchangeId;
use crate::usage::{DayUsage, UsageEvent};

/// The reason under which noise without a reason is counted.
pub const NO_REASON: &str = "unspecified";

/// The result of asking a store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Keeps usage events and answers questions about them. All days are UTC days, ranges include both ends.
pub trait UsageStore: Send + Sync {
    /// Stores events, all or none, and says for each whether it was new. An id that is already there, or came earlier in
    /// `events`, changes nothing, so after an error the same call can be made again.
    ///
    /// # Errors
    /// See [`StoreError::is_temporary`] for those worth another try, and [`UsageStore::reopen`] for the others.
    fn insert(&self, events: &[UsageEvent]) -> Result<Vec<bool>>;

    /// Begins with the store's file or server anew after `error`. What is damaged is set aside, what is missing is made.
    ///
    /// # Errors
    /// See [`StoreError`]; the store is as before.
    fn reopen(&self, error: &StoreError) -> Result<()>;

    /// Whether the store has all that the records tell: not so from when it was made until [`UsageStore::mark_whole`].
    ///
    /// # Errors
    /// See [`StoreError`].
    fn is_whole(&self) -> Result<bool>;

    /// All days that have records were made from them; remembered across restarts.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn mark_whole(&self) -> Result<()>;

    /// Whether an exchange of this user with this `X-Request-Id` and a 2xx status, whatever its class, ended before
    /// `before` (its end, ties broken by id). The answer depends on the exchanges alone and not on the order in which they
    /// were stored. Within [`UsageStore::replace_days`] it is that of the state before.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn was_answered(&self, user: &str, request_id: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<bool>;

    /// The rollup of one day: the same as folding its events.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn day(&self, day: NaiveDate) -> Result<DayUsage>;

    /// The days with any event, be it noise, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn days(&self) -> Result<Vec<NaiveDate>>;

    /// Hands the events of a range of days, of one user or of all, to `each`: by day, then by user, then by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn events(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        user: Option<&str>,
        each: &mut dyn FnMut(UsageEvent),
    ) -> Result<()>;

    /// The noise of a range of days, of one user or of all, by reason code ([`NO_REASON`] where it has none).
    ///
    /// # Errors
    /// See [`StoreError`].
    fn noise_counts(&self, from: NaiveDate, to: NaiveDate, user: Option<&str>) -> Result<BTreeMap<String, u64>>;

    /// Forgets the turns and steps of these days and stores `events` in their place, all or nothing. An event whose id is
    /// there already takes the other's place; noise that `events` do not bring anew stays.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn replace_days(&self, days: &[NaiveDate], events: &mut dyn Iterator<Item = UsageEvent>) -> Result<()>;
}
