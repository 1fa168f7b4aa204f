//! Reads the allowlist: who may pass.

use std::collections::HashMap;
use std::path::Path;

use super::fault::Error;
use super::reader::{Document, Environment, Section};
use crate::identity::{ANONYMOUS, Account, Content, UserName};

/// The accounts of an allowlist, in its order, with names that differ in more than case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowlist {
    /// Its `[[user]]` entries.
    pub accounts: Vec<Account>,
    /// Its `[[team]]` entries; a team without one is as good.
    pub teams: Vec<Team>,
}

/// What the allowlist says of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// As in users' `teams`, case included.
    pub name: String,
    /// What is kept of its users' exchanges.
    pub content: Option<Content>,
}

impl Allowlist {
    /// Reads an allowlist's text; `path` names it in faults.
    ///
    /// # Errors
    /// Every fault of the text.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let environment = Environment::default();
        let allowlist = Document::read(path, text, &environment, |root| {
            let (mut accounts, mut teams) = (Vec::new(), Vec::new());
            let mut known = HashMap::new();
            root.tables("team", |entry| teams.extend(read_team(entry, &mut known)));
            known.clear();
            root.tables("user", |entry| accounts.extend(read_account(entry, &mut known, &teams)));
            Self { accounts, teams }
        });
        allowlist.map_err(Error::Faults)
    }

    /// Reads an allowlist's file.
    ///
    /// # Errors
    /// Every fault of its text; that it is missing or unreadable.
    pub fn load(path: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::of_file(path, "no such file; `copilens users add NAME` makes it with a first user"))
            }
            Err(error) => Err(Error::io(path, error)),
        }
    }

    /// The account of this name, case included.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name.as_str() == name)
    }

    /// Teams with an entry of their own and no user: most likely misspelt, and then what they say holds for nobody.
    pub fn teams_without_users(&self) -> impl Iterator<Item = &Team> {
        self.teams.iter().filter(|team| !self.accounts.iter().any(|account| account.teams.contains(&team.name)))
    }
}

/// One team; `known` has the place of every name that came before.
fn read_team(entry: &mut Section<'_, '_>, known: &mut HashMap<String, usize>) -> Option<Team> {
    let name = entry.required("name", Ok::<String, String>);
    let content = entry.optional("content", Ok::<Content, String>);
    let name = name?;
    if let Some(offset) = known.insert(name.clone(), entry.offset()) {
        let line = entry.line_of(offset);
        entry.fault(format!("team \"{}\" is already on line {line}", name.escape_default()));
    }
    Some(Team { name, content })
}

/// One user; `known` has the place of every name, in lower case, that came before.
fn read_account(entry: &mut Section<'_, '_>, known: &mut HashMap<String, usize>, of_teams: &[Team]) -> Option<Account> {
    let name = entry.required("name", user_name);
    let teams = entry.value("teams", Vec::new());
    let email = entry.value("email", String::new());
    let github_login = entry.value("github_login", String::new());
    let password_generation = entry.parse("password_generation", 1, generation);
    let disabled = entry.value("disabled", false);
    let content = entry.optional("content", Ok::<Content, String>).or_else(|| most_private(&teams, of_teams));
    let name = name?;
    if let Some(offset) = known.insert(name.folded(), entry.offset()) {
        let line = entry.line_of(offset);
        entry.fault(format!("user \"{name}\" is already on line {line}; names must differ in more than case"));
    }
    Some(Account {
        name,
        teams,
        email: Some(email).filter(|email| !email.is_empty()),
        github_login: Some(github_login).filter(|login| !login.is_empty()),
        password_generation,
        disabled,
        content,
    })
}

/// What teams say of their users' texts; where they do not agree, the one that keeps less.
fn most_private(teams: &[String], of_teams: &[Team]) -> Option<Content> {
    of_teams.iter().filter(|team| teams.contains(&team.name)).filter_map(|team| team.content).max()
}

#[expect(clippy::needless_pass_by_value, reason = "what Section::parse hands over")]
fn user_name(text: String) -> Result<UserName, String> {
    let name: UserName = text.parse().map_err(|error| format!("\"{}\": {error}", text.escape_default()))?;
    if name.folded() == ANONYMOUS {
        return Err(format!("\"{name}\" is what exchanges without credentials are booked on; choose another name"));
    }
    Ok(name)
}

fn generation(number: u32) -> Result<u32, &'static str> {
    if number == 0 { Err("it begins at 1") } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn parse(text: &str) -> Result<Allowlist, String> {
        Allowlist::parse(Path::new("allowlist.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_committed_allowlist_has_one_example_user() {
        let allowlist = parse(include_str!("../../config/allowlist.toml")).unwrap();
        assert_eq!(allowlist.accounts.len(), 1);
        assert_eq!(allowlist.get("octocat").unwrap().teams, ["core"]);
        assert_eq!(allowlist.get("Octocat"), None);
    }

    #[test]
    fn every_key_is_read() {
        let text = "[[user]]\nname = 'mona'\nteams = ['a', 'b']\nemail = 'm@example.com'\ngithub_login = 'mona-l'\n\
                    password_generation = 3\ndisabled = true\ncontent = 'metadata'\n";
        let expected = Account {
            name: "mona".parse().unwrap(),
            teams: vec!["a".to_owned(), "b".to_owned()],
            email: Some("m@example.com".to_owned()),
            github_login: Some("mona-l".to_owned()),
            password_generation: 3,
            disabled: true,
            content: Some(Content::Metadata),
        };
        assert_eq!(parse(text).unwrap().accounts, [expected]);
        assert_eq!(parse("").unwrap().accounts, []);
    }

    #[test]
    fn a_users_own_word_goes_before_the_teams_and_of_teams_the_most_private_one_holds() {
        let text = "[[user]]\nname = 'own'\nteams = ['core']\ncontent = 'full'\n[[user]]\nname = 'both'\nteams = ['web', 'core']\n\
                    [[user]]\nname = 'open'\nteams = ['web', 'ops']\n[[user]]\nname = 'none'\nteams = ['Core']\n\
                    [[team]]\nname = 'core'\ncontent = 'metadata'\n[[team]]\nname = 'web'\ncontent = 'full'\n\
                    [[team]]\nname = 'ops'\n[[team]]\nname = 'crew'\ncontent = 'metadata'\n";
        let allowlist = parse(text).unwrap();
        let content = |name: &str| allowlist.get(name).unwrap().content;
        assert_eq!(["own", "both", "open"].map(content), [Content::Full, Content::Metadata, Content::Full].map(Some));
        assert_eq!(content("none"), None);
        let idle: Vec<_> = allowlist.teams_without_users().map(|team| team.name.as_str()).collect();
        assert_eq!(idle, ["crew"]);
        let faulty = "[[team]]\ncontent = 'some'\n[[team]]\nname = 'a'\n[[team]]\nname = 'a'\nmembers = []\n[[user]]\nname = 'b'\ncontent = 'none'\n";
        insta::assert_snapshot!(parse(faulty).unwrap_err(), @r#"
        allowlist.toml:1: a name is missing: write name = "..."
        allowlist.toml:2: content: unknown variant `some`, expected `full` or `metadata`
        allowlist.toml:5: team "a" is already on line 3
        allowlist.toml:7: unknown key "members" in [team]
        allowlist.toml:10: content: unknown variant `none`, expected `full` or `metadata`
        "#);
    }

    #[test]
    fn every_fault_at_once() {
        let text = r#"
[[user]]
name = "octocat"
team = ["core"]

[[user]]
name = "../etc"
password_generation = 0

[[user]]
email = "nobody@example.com"

[[user]]
name = "OctoCat"
disabled = "yes"

[[user]]
name = "anonymous"

[[users]]
name = "mona"
"#;
        insta::assert_snapshot!(parse(text).unwrap_err(), @r#"
        allowlist.toml:4: unknown key "team" in [user]; did you mean "teams"?
        allowlist.toml:7: name: "../etc": a user name consists of letters A-Z a-z, digits and . _ @ + - only, so '/' cannot be in it
        allowlist.toml:8: password_generation: it begins at 1
        allowlist.toml:10: a name is missing: write name = "..."
        allowlist.toml:13: user "OctoCat" is already on line 2; names must differ in more than case
        allowlist.toml:15: disabled: invalid type: string "yes", expected a boolean
        allowlist.toml:18: name: "anonymous" is what exchanges without credentials are booked on; choose another name
        allowlist.toml:20: unknown key "users"; did you mean "user"?
        "#);
        insta::assert_snapshot!(parse("user = ['mona']\n").unwrap_err(), @"allowlist.toml:1: begin each entry with [[user]]");
    }

    #[test]
    fn ten_thousand_users_are_read_quickly() {
        let text: String = (0..10_000).map(|n| format!("[[user]]\nname = \"user{n}\"\nteams = [\"a\"]\n")).collect();
        let begin = Instant::now();
        assert_eq!(parse(&text).unwrap().accounts.len(), 10_000);
        assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    }
}
