//! Who stands behind an allowlist's name: the login, id and teams that reports tell.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use sha2::{Digest as _, Sha256};

use crate::identity::Account;
use crate::store::{Result, UsageStore};
use crate::usage::github::Identity;

/// Later than any day on record; four digits, as stores compare days.
const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

/// A person as reports name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// Allowlist name.
    pub name: String,
    /// GitHub login: the allowlist's `github_login`, else the one seen last, else the name.
    pub login: String,
    /// GitHub's number of the account, where an answer of GitHub told it.
    pub github_id: Option<u64>,
    /// The allowlist's mail address.
    pub email: Option<String>,
    /// The allowlist's teams.
    pub teams: Vec<String>,
    /// Whether the allowlist lets the user pass.
    pub enabled: bool,
    /// GitHub's name of the account's plan, as it was told last.
    pub plan: Option<String>,
}

/// Everybody on the allowlist, by name; who is not on it any more is known by name and what was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    people: BTreeMap<String, Person>,
}

impl Roster {
    /// Of the allowlist's accounts and the GitHub accounts that the store has seen.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn of<'a>(accounts: impl IntoIterator<Item = &'a Account>, store: &dyn UsageStore) -> Result<Self> {
        let mut people: BTreeMap<String, Person> = BTreeMap::new();
        for account in accounts {
            let name = account.name.as_str().to_owned();
            let login = account.github_login.clone().unwrap_or_default();
            let (email, teams, enabled) = (account.email.clone(), account.teams.clone(), !account.disabled);
            people.insert(name.clone(), Person { name, login, email, teams, enabled, ..Person::default() });
        }
        let mut uses = store.accounts(NaiveDate::default(), LAST_DAY)?;
        uses.sort_by_key(|used| used.last_day);
        let told: BTreeMap<String, bool> =
            people.iter().map(|(name, person)| (name.clone(), !person.login.is_empty())).collect();
        for used in uses {
            let is_told = told.get(&used.user).copied().unwrap_or_default();
            let person =
                people.entry(used.user.clone()).or_insert_with(|| Person { name: used.user, ..Person::default() });
            match used.account.login {
                Some(login) if is_told && !login.eq_ignore_ascii_case(&person.login) => continue,
                Some(login) if !is_told => person.login = login,
                _ => {}
            }
            person.github_id = used.account.github_id.or(person.github_id);
            person.plan = used.account.plan.or(person.plan.take());
        }
        for person in people.values_mut().filter(|person| person.login.is_empty()) {
            person.login.clone_from(&person.name);
        }
        Ok(Self { people })
    }

    /// The person behind a name, be it on the allowlist or not.
    #[must_use]
    pub fn person(&self, name: &str) -> Person {
        let unknown = || Person { name: name.to_owned(), login: name.to_owned(), ..Person::default() };
        self.people.get(name).cloned().unwrap_or_else(unknown)
    }

    /// Everybody known, by name.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }

    /// The names of a team's members, by the team's slug; none where the allowlist has no such team.
    #[must_use]
    pub fn team(&self, slug: &str) -> Option<BTreeSet<String>> {
        let is_in = |person: &&Person| person.teams.iter().any(|team| team_slug(team) == slug);
        let members: BTreeSet<String> = self.people().filter(is_in).map(|person| person.name.clone()).collect();
        Some(members).filter(|members| !members.is_empty())
    }
}

impl Person {
    /// Login and number, as GitHub's records name the person.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        Identity { login: &self.login, id: self.github_id }
    }

    /// Slug and name of the person's teams, in the allowlist's order and each once.
    #[must_use]
    pub fn teams_by_slug(&self) -> Vec<(String, &str)> {
        let mut teams: Vec<(String, &str)> = Vec::new();
        for name in &self.teams {
            let slug = team_slug(name);
            if !slug.is_empty() && teams.iter().all(|(known, _)| *known != slug) {
                teams.push((slug, name));
            }
        }
        teams
    }
}

/// A team's name as GitHub writes it in addresses: in lower case, with one `-` for whatever is no letter, digit or `_`. Letters
/// of other scripts stay as they are, which GitHub would transliterate.
#[must_use]
pub fn team_slug(name: &str) -> String {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let parts = name.split(|character| !is_part(character)).filter(|part| !part.is_empty());
    parts.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// The number of a team in reports: GitHub's are not known here, and readers group by it. Made of the team's name, so it stays
/// the same; above 2^31, where GitHub has none yet.
#[must_use]
pub fn team_id(slug: &str) -> u64 {
    let digest = Sha256::digest(slug);
    let number = digest.iter().take(4).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    (1 << 31) + number
}
