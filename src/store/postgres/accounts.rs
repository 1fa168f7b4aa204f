//! GitHub accounts and what is left of their allowances, as rows and back.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, SubsecRound as _, Utc};
use postgres::types::Type;
use postgres::{GenericClient, Row};
use serde::Serialize;

use super::error::Answer;
use super::json::{self, Table};
use super::row::Columns;
use crate::copilot::observation::{Account, Quota};
use crate::exchange::ExchangeId;
use crate::store::AccountUse;
use crate::store::account::{Known, uses};
use crate::store::fact::digest;
use crate::usage::UsageEvent;

const ACCOUNT: Table =
    Table { name: "account", key: &["user_name", "account"], others: &["first_day", "last_day", "facts"] };

const QUOTA: Table = Table {
    name: "quota",
    key: &["user_name", "name"],
    others: &["seen_at", "seen_in", "entitlement", "percent_remaining", "overage", "overage_permitted", "resets_at"],
};

const KNOWN: &str = "
    SELECT account.user_name, account.account, first_day, last_day, facts FROM account
    JOIN json_to_recordset($1::json) AS asked (user_name TEXT, account TEXT)
    ON account.user_name = asked.user_name AND account.account = asked.account";

/// All accounts of the users who used any within the range: what is known of one may stand beside another.
const ACCOUNTS: &str = "
    SELECT user_name, account, first_day, last_day, facts FROM account
    WHERE user_name IN (SELECT user_name FROM account WHERE last_day >= $1 AND first_day <= $2)";

const QUOTAS: &str = "
    SELECT user_name, name, entitlement, percent_remaining, overage, overage_permitted, resets_at
    FROM quota ORDER BY user_name, name";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 2] = [KNOWN, ACCOUNTS];

#[derive(Serialize)]
struct AccountRow<'a> {
    user_name: &'a str,
    account: &'a str,
    first_day: NaiveDate,
    last_day: NaiveDate,
    facts: String,
}

#[derive(Serialize)]
struct QuotaRow<'a> {
    user_name: &'a str,
    name: &'a str,
    seen_at: DateTime<Utc>,
    #[serde(with = "digest")]
    seen_in: [u8; 16],
    entitlement: Option<f64>,
    percent_remaining: Option<f64>,
    overage: Option<f64>,
    overage_permitted: Option<bool>,
    resets_at: Option<&'a str>,
}

/// When and by which exchange an allowance was told.
type Seen = (DateTime<Utc>, ExchangeId);

/// What is told of accounts and allowances, to be written at once.
#[derive(Default)]
pub(super) struct Told {
    accounts: BTreeMap<(String, String), Known>,
    quotas: BTreeMap<(String, String), (Seen, Quota)>,
}

impl Told {
    /// Takes in the account and the allowances that an event tells.
    pub(super) fn take_event(&mut self, event: &UsageEvent) {
        let account = Account { key: event.account.clone(), quotas: event.quotas.clone(), ..Account::default() };
        self.take(&event.user, event.ended_at, event.id, &account);
    }

    /// Takes in what exchange `id` of `user`, which ended at `at`, told of an account. Of one allowance, what came last stays; of
    /// what came in the same exchange, the first.
    pub(super) fn take(&mut self, user: &str, at: DateTime<Utc>, id: ExchangeId, account: &Account) {
        let seen = (at.trunc_subsecs(6), id);
        for quota in &account.quotas {
            let key = (user.to_owned(), quota.name.clone());
            if self.quotas.get(&key).is_none_or(|(before, _)| *before < seen) {
                self.quotas.insert(key, (seen, quota.clone()));
            }
        }
        if let Some(told) = Known::of(account, at) {
            let key = (user.to_owned(), told.key.clone());
            match self.accounts.get_mut(&key) {
                Some(known) => known.merge(told),
                None => drop(self.accounts.insert(key, told)),
            }
        }
    }

    /// Writes what was not known.
    pub(super) fn write(mut self, client: &mut impl GenericClient) -> Answer<()> {
        let asked = rows(&self.accounts)?;
        let found = json::query(client, KNOWN, &asked)?;
        drop(asked);
        for (user, before) in found.iter().map(read).collect::<Answer<Vec<_>>>()? {
            let key = (user, before.key.clone());
            if let Some(told) = self.accounts.get_mut(&key) {
                told.merge(before.clone());
                if *told == before {
                    self.accounts.remove(&key);
                }
            }
        }
        ACCOUNT.put(client, &rows(&self.accounts)?, "")?;
        let quotas: Vec<_> = self.quotas.iter().map(quota_row).collect();
        QUOTA.put(client, &quotas, "(EXCLUDED.seen_at, EXCLUDED.seen_in) > (quota.seen_at, quota.seen_in)")
    }
}

fn rows(accounts: &BTreeMap<(String, String), Known>) -> Answer<Vec<AccountRow<'_>>> {
    accounts.iter().map(|((user_name, account), known)| Ok(account_row(user_name, account, known)?)).collect()
}

fn account_row<'a>(user_name: &'a str, account: &'a str, known: &Known) -> serde_json::Result<AccountRow<'a>> {
    let facts = serde_json::to_string(&known.facts)?;
    Ok(AccountRow { user_name, account, first_day: known.first_day, last_day: known.last_day, facts })
}

fn quota_row<'a>(
    ((user_name, _), ((seen_at, seen_in), quota)): (&'a (String, String), &'a (Seen, Quota)),
) -> QuotaRow<'a> {
    QuotaRow {
        user_name,
        name: &quota.name,
        seen_at: *seen_at,
        seen_in: *seen_in.as_bytes(),
        entitlement: quota.entitlement,
        percent_remaining: quota.percent_remaining,
        overage: quota.overage,
        overage_permitted: quota.overage_permitted,
        resets_at: quota.resets_at.as_deref(),
    }
}

fn read(row: &Row) -> Answer<(String, Known)> {
    let mut columns = Columns::of(row);
    let user = columns.next()?;
    let known = Known {
        key: columns.next()?,
        first_day: columns.next()?,
        last_day: columns.next()?,
        facts: serde_json::from_str(columns.next()?)?,
    };
    Ok((user, known))
}

/// The accounts seen in a range of days, by user and account.
pub(super) fn of_days(client: &mut impl GenericClient, from: NaiveDate, to: NaiveDate) -> Answer<Vec<AccountUse>> {
    let mut users: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    for row in client.query_typed(ACCOUNTS, &[(&from, Type::DATE), (&to, Type::DATE)])? {
        let (user, known) = read(&row)?;
        users.entry(user).or_default().push(known);
    }
    Ok(users.into_iter().flat_map(|(user, known)| uses(&user, known, from, to)).collect())
}

/// What is left of each user's allowances, by user and name.
pub(super) fn quotas(client: &mut impl GenericClient) -> Answer<Vec<(String, Quota)>> {
    let quota = |row: &Row| {
        let mut columns = Columns::of(row);
        let user = columns.next()?;
        let quota = Quota {
            name: columns.next()?,
            entitlement: columns.next()?,
            percent_remaining: columns.next()?,
            overage: columns.next()?,
            overage_permitted: columns.next()?,
            resets_at: columns.next()?,
        };
        Ok((user, quota))
    };
    client.query_typed(QUOTAS, &[])?.iter().map(quota).collect()
}
