//! The directory: who may pass, asked for every tunnel and every request, so it answers in constant time and never waits.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::basic::Credentials;
use super::password::Fingerprint;
use super::{Content, Password, Seed, UserName};

/// One entry of the allowlist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Unique without regard to case.
    pub name: UserName,
    /// Teams, for reports.
    pub teams: Vec<String>,
    /// Mail address, for reports.
    pub email: Option<String>,
    /// The user's name at GitHub, where it is known and differs from `name`.
    pub github_login: Option<String>,
    /// Begins at 1; raising it replaces the password.
    pub password_generation: u32,
    /// True where the entry stays but the user may not pass.
    pub disabled: bool,
    /// What is kept of the user's exchanges, where the allowlist says so for the user or, without that, for a team of the
    /// user's, the most private one; `None`: as `capture.content` says.
    pub content: Option<Content>,
}

impl Account {
    /// An entry with nothing but a name.
    #[must_use]
    pub fn new(name: UserName) -> Self {
        Self {
            name,
            teams: Vec::new(),
            email: None,
            github_login: None,
            password_generation: 1,
            disabled: false,
            content: None,
        }
    }
}

/// A user as the directory knows it: the account, and what its password is compared with.
#[derive(Clone, PartialEq)]
pub struct User {
    account: Account,
    fingerprint: Fingerprint,
}

impl User {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &UserName {
        &self.account.name
    }

    /// The allowlist's entry.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("User").field(&self.account).finish()
    }
}

/// All users and what their passwords compare with. Never changes; a reload builds a new one.
#[derive(Debug, PartialEq)]
pub struct Directory {
    users: HashMap<String, Arc<User>>,
    /// What the passwords of unknown users are compared with.
    nobody: User,
}

impl Directory {
    /// Derives every account's password.
    #[must_use]
    pub fn new(accounts: impl IntoIterator<Item = Account>, seed: &Seed) -> Self {
        let users = accounts.into_iter().map(|account| {
            let fingerprint = seed.derive(&account.name, account.password_generation).fingerprint();
            (account.name.as_str().to_owned(), Arc::new(User { account, fingerprint }))
        });
        Self { users: users.collect(), nobody: nobody() }
    }

    /// The user whose credentials these are: known, enabled, with the right password. Names are compared with their case.
    /// The work is the same for unknown names, for wrong passwords and for disabled users.
    #[must_use]
    pub fn authenticate(&self, credentials: &Credentials) -> Option<Arc<User>> {
        let found = self.users.get(&credentials.name);
        let expected = found.map_or(&self.nobody, AsRef::as_ref);
        let matches = expected.fingerprint == credentials.password.fingerprint();
        found.filter(|user| matches && !user.account.disabled).map(Arc::clone)
    }

    /// Whether a user admitted by an earlier directory would still be: on the list, enabled, with the same password.
    #[must_use]
    pub fn still_admits(&self, user: &User) -> bool {
        self.get(user.name().as_str())
            .is_some_and(|known| !known.account.disabled && known.fingerprint == user.fingerprint)
    }

    /// The user of this name, disabled ones included.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// All users in no particular order, disabled ones included.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// Whom exchanges are booked on where `auth.required` is false and a client sends no credentials. No allowlist may
    /// hold this name.
    #[must_use]
    pub fn anonymous(&self) -> Arc<User> {
        Arc::new(self.nobody.clone())
    }
}

/// The name that exchanges without credentials are booked on.
pub(crate) const ANONYMOUS: &str = "anonymous";

fn nobody() -> User {
    #[expect(clippy::expect_used, reason = "a constant that a test parses")]
    let name = ANONYMOUS.parse().expect("a user name");
    User { account: Account::new(name), fingerprint: Password::new("").fingerprint() }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::identity::Scheme;
    use crate::identity::password::work;

    fn seed() -> Seed {
        Seed::parse(Scheme::HmacSha256, &"0f".repeat(32)).unwrap()
    }

    fn account(name: &str) -> Account {
        Account::new(name.parse().unwrap())
    }

    fn credentials(name: &str, generation: u32) -> Credentials {
        Credentials { name: name.to_owned(), password: seed().derive(&name.parse().unwrap(), generation) }
    }

    #[test]
    fn only_the_right_password_of_an_enabled_user_passes() {
        let disabled = Account { disabled: true, ..account("hubot") };
        let rotated = Account { password_generation: 2, ..account("mona") };
        let directory = Directory::new([account("octocat"), disabled, rotated], &seed());
        assert_eq!(directory.authenticate(&credentials("octocat", 1)).unwrap().name().as_str(), "octocat");
        assert!(directory.authenticate(&credentials("mona", 2)).is_some());
        assert!(directory.authenticate(&credentials("mona", 1)).is_none());
        assert!(directory.authenticate(&credentials("hubot", 1)).is_none());
        assert!(directory.authenticate(&credentials("Octocat", 1)).is_none());
        assert!(directory.authenticate(&credentials("stranger", 1)).is_none());
        let of_another = Credentials { name: "octocat".to_owned(), ..credentials("mona", 2) };
        assert!(directory.authenticate(&of_another).is_none());
    }

    /// So a refusal's time tells nobody which names there are.
    #[test]
    fn a6_known_unknown_and_disabled_names_cost_one_hash_and_one_comparison() {
        let disabled = Account { disabled: true, ..account("hubot") };
        let directory = Directory::new([account("octocat"), disabled], &seed());
        let wrong = |name: &str| Credentials { name: name.to_owned(), password: Password::new("wrong") };
        let unknown = Credentials { name: "x".repeat(40_000), password: Password::new("") };
        for given in [
            credentials("octocat", 1),
            wrong("octocat"),
            credentials("hubot", 1),
            wrong("hubot"),
            credentials("stranger", 1),
            wrong("stranger"),
            wrong(""),
            wrong(ANONYMOUS),
            unknown,
        ] {
            assert_eq!(work::counted(|| drop(directory.authenticate(&given))), (1, 1), "{given:?}");
        }
    }

    #[test]
    fn nobody_passes_with_the_password_that_unknown_names_are_compared_with() {
        let directory = Directory::new([], &seed());
        for name in ["", ANONYMOUS, "stranger"] {
            let empty = Credentials { name: name.to_owned(), password: Password::new("") };
            assert!(directory.authenticate(&empty).is_none());
        }
        assert!(!directory.still_admits(&directory.anonymous()));
    }

    #[test]
    fn removal_disabling_and_rotation_end_admission() {
        let old = Directory::new([account("octocat")], &seed());
        let user = old.authenticate(&credentials("octocat", 1)).unwrap();
        let teams = Account { teams: vec!["core".to_owned()], ..account("octocat") };
        assert!(Directory::new([teams], &seed()).still_admits(&user));
        assert!(!Directory::new([account("mona")], &seed()).still_admits(&user));
        assert!(!Directory::new([Account { disabled: true, ..account("octocat") }], &seed()).still_admits(&user));
        assert!(
            !Directory::new([Account { password_generation: 2, ..account("octocat") }], &seed()).still_admits(&user)
        );
        assert!(!Directory::new([account("octocat")], &Seed::generate().unwrap()).still_admits(&user));
    }

    #[test]
    fn debug_shows_no_password_material() {
        let directory = Directory::new([account("octocat")], &seed());
        let shown = format!("{directory:?}");
        assert!(shown.contains("octocat") && !shown.contains("ingerprint"), "{shown}");
    }

    /// Far above what it takes even unoptimised, far below what a quadratic build would.
    #[test]
    fn ten_thousand_users_load_quickly() {
        let accounts: Vec<Account> = (0..10_000).map(|n| account(&format!("user{n}"))).collect();
        let begin = Instant::now();
        let directory = Directory::new(accounts, &seed());
        assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
        assert!(directory.authenticate(&credentials("user9999", 1)).is_some());
    }
}
