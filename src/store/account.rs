//! What is known of a GitHub account, put together from what is told in passing, each thing as it was told last.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::AccountUse;
use crate::copilot::observation::Account;

/// Before the login (in lower case, for GitHub tells no cases apart) of an account whose key is not known.
const LOGIN_PREFIX: &str = "login:";

/// A value, with when it was told last.
type Told<T> = Option<(DateTime<Utc>, T)>;

/// What is known of an account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Told<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    github_id: Told<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Told<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organizations: Told<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enhanced_telemetry: Told<bool>,
}

impl Facts {
    fn of(account: &Account, at: DateTime<Utc>) -> Self {
        let organizations = Some(account.organizations.clone()).filter(|organizations| !organizations.is_empty());
        Self {
            login: account.login.clone().map(|login| (at, login)),
            github_id: account.github_id.map(|id| (at, id)),
            plan: account.plan.clone().map(|plan| (at, plan)),
            organizations: organizations.map(|organizations| (at, organizations)),
            enhanced_telemetry: account.enhanced_telemetry.map(|enhanced| (at, enhanced)),
        }
    }

    fn merge(&mut self, other: Self) {
        update(&mut self.login, other.login);
        update(&mut self.github_id, other.github_id);
        update(&mut self.plan, other.plan);
        update(&mut self.organizations, other.organizations);
        update(&mut self.enhanced_telemetry, other.enhanced_telemetry);
    }
}

/// The later one; of two told at the same time the greater one, so that the order in which they come does not matter.
fn update<T: Ord>(told: &mut Told<T>, other: Told<T>) {
    if *told < other {
        *told = other;
    }
}

/// One account of a user, as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    /// See [`AccountUse::account`].
    pub(super) key: String,
    pub(super) first_day: NaiveDate,
    pub(super) last_day: NaiveDate,
    pub(super) facts: Facts,
}

impl Known {
    /// What was told of an account; `None` where not even its login was.
    pub(super) fn of(account: &Account, at: DateTime<Utc>) -> Option<Self> {
        let by_login = || account.login.as_deref().map(key_of_login);
        let key = account.key.clone().or_else(by_login)?;
        let day = at.date_naive();
        Some(Self { key, first_day: day, last_day: day, facts: Facts::of(account, at) })
    }

    /// Puts in what was told another time.
    pub(super) fn merge(&mut self, other: Self) {
        self.first_day = self.first_day.min(other.first_day);
        self.last_day = self.last_day.max(other.last_day);
        self.facts.merge(other.facts);
    }

    fn has_key(&self) -> bool {
        !self.key.starts_with(LOGIN_PREFIX)
    }

    fn is_seen(&self, from: NaiveDate, to: NaiveDate) -> bool {
        self.first_day <= to && self.last_day >= from
    }

    fn into_use(self, user: &str) -> AccountUse {
        let account = Account {
            key: Some(self.key),
            login: value(self.facts.login),
            github_id: value(self.facts.github_id),
            plan: value(self.facts.plan),
            organizations: value(self.facts.organizations).unwrap_or_default(),
            enhanced_telemetry: value(self.facts.enhanced_telemetry),
            quotas: Vec::new(),
        };
        AccountUse { user: user.to_owned(), account, first_day: self.first_day, last_day: self.last_day }
    }
}

impl AccountUse {
    /// Whether the account's key is not known: it may be the same as one of the user's whose login is not known.
    #[must_use]
    pub fn is_known_by_login_alone(&self) -> bool {
        self.account.key.as_deref().is_some_and(|key| key.starts_with(LOGIN_PREFIX))
    }
}

fn value<T>(told: Told<T>) -> Option<T> {
    told.map(|(_, value)| value)
}

fn key_of_login(login: &str) -> String {
    format!("{LOGIN_PREFIX}{}", login.to_lowercase())
}

/// The accounts of one user that were seen in a range of days. What is known under a login alone goes to the account with
/// that login whose key is known; of several such, to the first by key.
pub(super) fn uses(user: &str, known: Vec<Known>, from: NaiveDate, to: NaiveDate) -> Vec<AccountUse> {
    let (keyed, by_login): (Vec<_>, Vec<_>) = known.into_iter().partition(Known::has_key);
    let mut accounts: BTreeMap<String, Known> = keyed.into_iter().map(|known| (known.key.clone(), known)).collect();
    for known in by_login {
        let has_login = |other: &&mut Known| {
            let login = other.facts.login.as_ref().map(|(_, login)| key_of_login(login));
            login.as_deref() == Some(&*known.key)
        };
        match accounts.values_mut().filter(|other| other.has_key()).find(has_login) {
            Some(keyed) => keyed.merge(known),
            None => drop(accounts.insert(known.key.clone(), known)),
        }
    }
    accounts.into_values().filter(|known| known.is_seen(from, to)).map(|known| known.into_use(user)).collect()
}
