//! The store of usage events: what every report, metric and daily file is computed from.
//!
//! [`UsageStore`] speaks of usage, not of SQL, so that one proxy keeps its events in a file ([`SqliteStore`]) and a fleet
//! can keep them elsewhere. Its methods block: call them off the async threads.

mod account;
mod disguise;
mod error;
mod fact;
pub mod open;
mod origin;
mod postgres;
mod rollup;
mod sqlite;
mod sums;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, Utc};

pub use error::{ServerTrouble, StoreError};
pub use postgres::PostgresStore;
pub use sqlite::{FILE_NAME, SqliteStore};

use crate::copilot::observation::{Account, Notice, Quota};
use crate::exchange::ExchangeId;
use crate::usage::{
    Acceptance, Activity, Client, DayUsage, IdDigest, OrganizationDay, OrganizationSums, Totals, UsageEvent, UserDay,
};

/// The reason under which noise without a reason is counted.
pub const NO_REASON: &str = "unspecified";

/// The result of asking a store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What [`UsageStore::insert`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inserted {
    /// For each event whether it was new.
    pub new: Vec<bool>,
    /// Days whose acceptance changed, because suggestions were reported before their exchange came.
    pub rebooked: BTreeSet<NaiveDate>,
}

/// What [`UsageStore::take_notice`] did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taken {
    /// Days whose acceptance is other than before.
    pub days: BTreeSet<NaiveDate>,
    /// What is known now and was not before, one for each suggestion, chat action or session that was told of.
    pub gains: Vec<Gain>,
}

/// What became known of one suggestion, chat action or session.
#[derive(Debug, Clone, PartialEq)]
pub struct Gain {
    /// Allowlist name of the user.
    pub user: String,
    /// `Editor-Version` as in requests, where telemetry tells it.
    pub editor: Option<String>,
    /// Lower-case language id.
    pub language: Option<String>,
    /// Model as telemetry names it.
    pub model: Option<String>,
    /// The counts that came in addition.
    pub more: Acceptance,
}

/// What was told in passing, and by whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Noticed {
    /// Id of the request that told it.
    pub id: ExchangeId,
    /// Allowlist name of the tunnel's user, on whom it is booked.
    pub user: String,
    /// End of that request, by our clock.
    pub at: DateTime<Utc>,
    /// What was told.
    pub notice: Notice,
}

/// Which editor a user had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastEditor {
    /// See [`UsageEvent::editor`].
    pub editor: Option<String>,
    /// See [`UsageEvent::plugin`].
    pub plugin: Option<String>,
    /// See [`UsageEvent::machine_id`].
    pub machine_id: Option<String>,
}

/// A GitHub account that a user's requests used.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountUse {
    /// Allowlist name of the user.
    pub user: String,
    /// What is known of the account. Its key is always there: where only its login is known, `login:` and the login in lower
    /// case. It has no quotas: see [`UsageStore::quotas`].
    pub account: Account,
    /// Day on which it was first seen.
    pub first_day: NaiveDate,
    /// Day on which it was last seen.
    pub last_day: NaiveDate,
}

/// Keeps usage events and answers questions about them. All days are UTC days, ranges include both ends.
pub trait UsageStore: Send + Sync {
    /// Stores events, all or none, and says for each whether it was new. An id that is already there, or came earlier in
    /// `events`, changes nothing, so after an error the same call can be made again. Suggestions that were reported before
    /// their exchange are booked on its day; [`UsageStore::acceptance`] of both days is other than before then.
    ///
    /// # Errors
    /// See [`StoreError::is_temporary`] for those worth another try, and [`UsageStore::reopen`] for the others.
    fn insert(&self, events: &[UsageEvent]) -> Result<Inserted>;

    /// For each event whether one of its id is there, whoever it is booked on.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn knows(&self, events: &[UsageEvent]) -> Result<Vec<bool>>;

    /// Stores events in the place of those with the same id, such as a completion that waited and is a turn now, and says for
    /// each whether its class was another before, or there was none. One whose id is not there is stored as by
    /// [`UsageStore::insert`].
    ///
    /// # Errors
    /// See [`StoreError`].
    fn replace(&self, events: &[UsageEvent]) -> Result<Vec<bool>>;

    /// Takes in what clients and GitHub told in passing, all or none. What is known already changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn take_notice(&self, notices: &[Noticed]) -> Result<Taken>;

    /// Whether telemetry told that a suggestion of this request of the user was shown, or accepted, which takes its being
    /// shown.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn was_shown(&self, user: &str, request_id: &str) -> Result<bool>;

    /// Those of these requests of which [`UsageStore::was_shown`] holds, for what other proxies were told; each by its user and the
    /// digest of its id. A store that is not shared says none.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn were_shown(&self, requests: &BTreeSet<(String, IdDigest)>) -> Result<BTreeSet<(String, IdDigest)>> {
        let _ = requests;
        Ok(BTreeSet::new())
    }

    /// Whether a chat turn of this user with this `X-Interaction-Id` ended before `before`, as in
    /// [`UsageStore::was_answered`].
    ///
    /// # Errors
    /// See [`StoreError`].
    fn had_turn(&self, user: &str, interaction_id: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<bool>;

    /// The editor of the user's last exchange that told it and ended before `before`, on its day or the one before. The last
    /// one is that with the greatest id. A user whose last thousand exchanges told none has none.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn last_editor(&self, user: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<Option<LastEditor>>;

    /// What became of suggestions on a day, by user; users whose clients sent no telemetry are absent.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn acceptance(&self, day: NaiveDate) -> Result<BTreeMap<String, Acceptance>>;

    /// GitHub accounts seen in a range of days, by user and account.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn accounts(&self, from: NaiveDate, to: NaiveDate) -> Result<Vec<AccountUse>>;

    /// What is left of each user's allowances, as last seen, by user and name.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn quotas(&self) -> Result<Vec<(String, Quota)>>;

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
    /// were stored. Within [`UsageStore::replace_all`] it is that of the state before.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn was_answered(&self, user: &str, request_id: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<bool>;

    /// The rollup of one day: the same as folding its events and setting [`UsageStore::acceptance`].
    ///
    /// # Errors
    /// See [`StoreError`].
    fn day(&self, day: NaiveDate) -> Result<DayUsage>;

    /// The days with any event, be it noise, or with anything in [`UsageStore::acceptance`], oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn days(&self) -> Result<Vec<NaiveDate>>;

    /// Hands the events of a range of days, of one user or of all, to `each` until that breaks: by day, then by user, then by
    /// id. They come without their quotas, of which the newest alone are kept: see [`UsageStore::quotas`].
    ///
    /// # Errors
    /// See [`StoreError`].
    fn events(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        user: Option<&str>,
        each: &mut dyn FnMut(UsageEvent) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The noise of a range of days, of one user or of all, by reason code ([`NO_REASON`] where it has none).
    ///
    /// # Errors
    /// See [`StoreError`].
    fn noise_counts(&self, from: NaiveDate, to: NaiveDate, user: Option<&str>) -> Result<BTreeMap<String, u64>>;

    /// Stores events in the place of those with the same id, however many, all or nothing. Others stay, and so does all that was
    /// told in passing.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn replace_all(&self, events: &mut dyn Iterator<Item = UsageEvent>) -> Result<()>;

    /// Brings the roll-ups of up to `limit` days of users in step with their events; true where more are left. Questions are
    /// answered rightly in any case, and the faster the less is left.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn refresh(&self, limit: usize) -> Result<bool>;

    /// Hands the days of users, of these or of all, to `each` until that breaks: by day, then by user.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn user_days(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        users: Option<&BTreeSet<String>>,
        each: &mut dyn FnMut(NaiveDate, &str, UserDay) -> ControlFlow<()>,
    ) -> Result<()>;

    /// Everybody's days of a range; those without any count are absent.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn organization_days(&self, from: NaiveDate, to: NaiveDate) -> Result<BTreeMap<NaiveDate, OrganizationDay>>;

    /// Their sums, which cost less; days without any count are absent.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn organization_sums(&self, from: NaiveDate, to: NaiveDate) -> Result<BTreeMap<NaiveDate, OrganizationSums>>;

    /// What each user did in a range of days. Costs by months rather than by days.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn totals(&self, from: NaiveDate, to: NaiveDate) -> Result<BTreeMap<String, Totals>>;

    /// On which of the 64 days that end with `to` each user was active; those who were not are absent.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn activity(&self, to: NaiveDate) -> Result<Vec<Activity>>;

    /// The client that each user was last seen with.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn last_seen(&self) -> Result<BTreeMap<String, Client>>;

    /// Takes a person out: everything of `user` is booked on `pseudonym` from now on, without what points at the person
    /// (machine, session, account, ids of requests). Counts stay as they are. Gives the days that name the pseudonym now.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn forget(&self, user: &str, pseudonym: &str) -> Result<BTreeSet<NaiveDate>>;

    /// Whether other proxies write to it, too.
    fn is_shared(&self) -> bool;
}
