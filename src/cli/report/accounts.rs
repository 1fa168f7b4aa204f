//! The GitHub accounts that users used, and which of them look shared: GitHub blocks accounts that several people use.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::Serialize;

use super::sum::Line;
use crate::copilot::observation::Quota;
use crate::store::{AccountUse, Result, UsageStore};

/// Accounts and allowances as the store knows them.
pub(super) struct Used {
    accounts: Vec<AccountUse>,
    quotas: Vec<(String, Quota)>,
    /// Logins by the account's key, whoever's requests told them.
    logins: BTreeMap<String, String>,
}

/// An account of a user.
#[derive(Serialize)]
pub(super) struct UsedAccount {
    account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    github_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    organizations: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enhanced_telemetry: Option<bool>,
    first_day: NaiveDate,
    last_day: NaiveDate,
}

/// Before an account's key, where it stands for a login that is not known.
pub(super) const KEY_PREFIX: &str = "key:";

/// Accounts that look shared. They are named by login, or by key where the login is not known.
#[derive(Default, Serialize)]
pub(super) struct Sharing {
    /// Users of each account that has several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) accounts_with_several_users: BTreeMap<String, BTreeSet<String>>,
    /// Accounts of each user who has several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) users_with_several_accounts: BTreeMap<String, BTreeSet<String>>,
}

impl Used {
    /// The accounts of a range of days, and what is left of the allowances.
    pub(super) fn of(store: &dyn UsageStore, from: NaiveDate, to: NaiveDate) -> Result<Self> {
        let accounts = store.accounts(from, to)?;
        let known = accounts.iter().filter_map(|used| Some((used.account.key.clone()?, used.account.login.clone()?)));
        let logins = known.collect();
        Ok(Self { quotas: store.quotas()?, accounts, logins })
    }

    /// Adds each user's to the user's line.
    pub(super) fn add_to(&self, lines: &mut [Line]) {
        for line in lines {
            let Some(user) = line.user.as_deref() else { continue };
            let accounts = self.accounts.iter().filter(|used| used.user == user);
            line.accounts = accounts.map(UsedAccount::of).collect();
            let quotas = self.quotas.iter().filter(|(whose, _)| whose == user);
            line.quotas = quotas.map(|(_, quota)| quota.clone()).collect();
        }
    }

    /// What looks shared; with a `user`, what concerns this one.
    pub(super) fn sharing(&self, user: Option<&str>) -> Sharing {
        let mut users_of = BTreeMap::<String, BTreeSet<String>>::new();
        let mut accounts_of = BTreeMap::<&str, Vec<&AccountUse>>::new();
        for used in &self.accounts {
            users_of.entry(self.name(used)).or_default().insert(used.user.clone());
            accounts_of.entry(&used.user).or_default().push(used);
        }
        let concerns = |users: &BTreeSet<String>| user.is_none_or(|user| users.contains(user));
        users_of.retain(|_, users| users.len() > 1 && concerns(users));
        accounts_of.retain(|name, used| user.is_none_or(|user| user == *name) && self.are_several(used));
        let names = |used: Vec<&AccountUse>| used.into_iter().map(|used| self.name(used)).collect();
        Sharing {
            accounts_with_several_users: users_of,
            users_with_several_accounts: accounts_of
                .into_iter()
                .map(|(user, used)| (user.to_owned(), names(used)))
                .collect(),
        }
    }

    /// The login in lower case, for GitHub tells no cases apart; else the key.
    fn name(&self, used: &AccountUse) -> String {
        let key = || format!("{KEY_PREFIX}{}", used.account.key.as_deref().unwrap_or_default());
        self.login(used).map_or_else(key, str::to_lowercase)
    }

    fn login<'a>(&'a self, used: &'a AccountUse) -> Option<&'a str> {
        let of_key = || self.logins.get(used.account.key.as_deref()?).map(String::as_str);
        // The key's, if any, is the same for all users of it, whatever each one's requests told.
        of_key().or(used.account.login.as_deref())
    }

    /// Whether one user's accounts are certainly several. One that is known by its login alone may be the same as one whose
    /// login is not known.
    fn are_several(&self, used: &[&AccountUse]) -> bool {
        let names = |is_counted: &dyn Fn(&AccountUse) -> bool| {
            let counted = used.iter().filter(|used| is_counted(used));
            counted.map(|used| self.name(used)).collect::<BTreeSet<_>>().len()
        };
        names(&|used| self.login(used).is_some()) > 1 || names(&|used| !used.is_known_by_login_alone()) > 1
    }
}

impl UsedAccount {
    fn of(used: &AccountUse) -> Self {
        let account = used.account.clone();
        Self {
            account: account.key.unwrap_or_default(),
            login: account.login,
            github_id: account.github_id,
            plan: account.plan,
            organizations: account.organizations,
            enhanced_telemetry: account.enhanced_telemetry,
            first_day: used.first_day,
            last_day: used.last_day,
        }
    }
}
