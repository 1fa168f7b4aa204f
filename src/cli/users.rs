//! `copilens users`: the allowlist from the command line.

use std::io::Write;

use comfy_table::{Table, TableStyle};

use crate::config::allowlist_edit::{self, EditError};
use crate::config::{Allowlist, Error, Settings};
use crate::identity::{Account, Content, Password, Seed, UserName};

/// Shows who is on the allowlist: as a table, or as a JSON array of its entries.
///
/// # Errors
/// Every fault of the allowlist; that it cannot be read.
pub(crate) fn list(settings: &Settings, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let accounts = Allowlist::load(&settings.auth.allowlist)?.accounts;
    match json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&accounts)?)?,
        false => write_table(&accounts, out)?,
    }
    Ok(())
}

fn write_table(accounts: &[Account], out: &mut dyn Write) -> std::io::Result<()> {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header([
        "NAME",
        "TEAMS",
        "EMAIL",
        "GITHUB LOGIN",
        "GENERATION",
        "CONTENT",
        "STATE",
    ]);
    for account in accounts {
        let content = account.content.map(|content| if content == Content::Full { "full" } else { "metadata" });
        let state = if account.disabled { "disabled" } else { "enabled" };
        table.add_row([
            account.name.as_str(),
            &account.teams.join(", "),
            account.email.as_deref().unwrap_or_default(),
            account.github_login.as_deref().unwrap_or_default(),
            &account.password_generation.to_string(),
            content.unwrap_or_default(),
            state,
        ]);
    }
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim()))
}

/// Adds a user; makes the allowlist where there is none. Shows no password.
///
/// # Errors
/// When the name is none or taken, or the file has faults or cannot be written.
pub(crate) fn add(settings: &Settings, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let name: UserName = name.parse()?;
    allowlist_edit::add(&settings.auth.allowlist, &name)?;
    writeln!(out, "Added {name} to {}.", settings.auth.allowlist.display())?;
    writeln!(out, "The password:           copilens users password {name}")?;
    writeln!(out, "The editor's settings:  copilens env {name}")?;
    Ok(())
}

/// Removes a user, who is refused from then on.
///
/// # Errors
/// When there is no such user, or the file has faults or cannot be written.
pub(crate) fn remove(settings: &Settings, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    allowlist_edit::remove(&settings.auth.allowlist, name)?;
    writeln!(out, "Removed {name} from {}.", settings.auth.allowlist.display())?;
    Ok(())
}

/// Shows a user's password and nothing else.
///
/// # Errors
/// When there is no such user, or no seed to derive it from.
pub(crate) fn password(settings: &Settings, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}", password_of(settings, name)?.reveal())?;
    Ok(())
}

/// Gives a user a new password; the old one is refused from then on.
///
/// # Errors
/// When there is no such user, or the file has faults or cannot be written.
pub(crate) fn rotate(settings: &Settings, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    allowlist_edit::rotate(&settings.auth.allowlist, name)?;
    writeln!(out, "{name} has a new password; the old one is no longer accepted.")?;
    writeln!(out, "The password:           copilens users password {name}")?;
    writeln!(out, "The editor's settings:  copilens env {name}")?;
    Ok(())
}

/// The password of a user on the allowlist. Makes the seed where there is none, as the first start does.
pub(super) fn password_of(settings: &Settings, name: &str) -> Result<Password, EditError> {
    let auth = &settings.auth;
    let allowlist = Allowlist::load(&auth.allowlist)?;
    let account = allowlist.find(&auth.allowlist, name)?;
    let seed = Seed::load_or_create(&auth.seed_file, auth.scheme).map_err(Error::from)?;
    Ok(seed.derive(&account.name, account.password_generation))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::identity::Scheme;

    struct Office {
        folder: tempfile::TempDir,
        settings: Settings,
    }

    impl Office {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut settings = Settings::default();
            settings.auth.allowlist = folder.path().join("allowlist.toml");
            settings.auth.seed_file = folder.path().join("seed");
            Self { folder, settings }
        }

        fn run(&self, command: impl FnOnce(&Settings, &mut dyn Write) -> anyhow::Result<()>) -> String {
            let mut out = Vec::new();
            let text = match command(&self.settings, &mut out) {
                Ok(()) => String::from_utf8(out).unwrap(),
                Err(error) => format!("error: {error}"),
            };
            text.replace(&format!("{}/", self.folder.path().display()), "")
        }
    }

    #[test]
    fn adding_says_how_to_go_on_and_shows_no_password() {
        let office = Office::new();
        insta::assert_snapshot!(office.run(|s, out| add(s, "mona", out)), @r"
        Added mona to allowlist.toml.
        The password:           copilens users password mona
        The editor's settings:  copilens env mona
        ");
        insta::assert_snapshot!(office.run(|s, out| add(s, "Mona", out)), @r#"error: allowlist.toml: user "mona" is already there"#);
        insta::assert_snapshot!(office.run(|s, out| add(s, "../x", out)), @"error: a user name consists of letters A-Z a-z, digits and . _ @ + - only, so '/' cannot be in it");
    }

    #[test]
    fn listing_as_table_and_as_json() {
        let office = Office::new();
        let text = "[[user]]\nname = 'octocat'\nteams = ['core', 'web']\ngithub_login = 'octo-cat'\n\
                    [[user]]\nname = 'mona'\nemail = 'mona@example.com'\npassword_generation = 2\ndisabled = true\n\
                    [[team]]\nname = 'web'\ncontent = 'metadata'\n";
        fs::write(&office.settings.auth.allowlist, text).unwrap();
        insta::assert_snapshot!(office.run(|s, out| list(s, false, out)), @r"
        NAME     TEAMS      EMAIL             GITHUB LOGIN  GENERATION  CONTENT   STATE
        octocat  core, web                    octo-cat      1           metadata  enabled
        mona                mona@example.com                2                     disabled
        ");
        let json: serde_json::Value = serde_json::from_str(&office.run(|s, out| list(s, true, out))).unwrap();
        assert_eq!(json[1]["name"], "mona");
        assert_eq!((&json[0]["content"], &json[1]["content"]), (&"metadata".into(), &serde_json::Value::Null));
        assert_eq!((&json[1]["disabled"], &json[1]["github_login"]), (&true.into(), &serde_json::Value::Null));
    }

    #[test]
    fn a_password_comes_alone_stays_the_same_and_changes_by_rotation() {
        let office = Office::new();
        office.run(|s, out| add(s, "mona", out));
        let first = office.run(|s, out| password(s, "mona", out));
        assert_eq!(first.len(), 25);
        assert_eq!(office.run(|s, out| password(s, "mona", out)), first);
        let said = office.run(|s, out| rotate(s, "mona", out));
        let second = office.run(|s, out| password(s, "mona", out));
        assert!(second != first && !said.contains(second.trim()), "{said}");
    }

    #[test]
    fn legacy_passwords_are_the_add_ons() {
        let mut office = Office::new();
        office.settings.auth.scheme = Scheme::Legacy;
        crate::identity::secret_file::create(&office.settings.auth.seed_file, "123456\n").unwrap();
        office.run(|s, out| add(s, "satomic", out));
        assert_eq!(office.run(|s, out| password(s, "satomic", out)), "961aa8753b\n");
    }

    #[test]
    fn an_unknown_user_is_told_with_a_near_name() {
        let office = Office::new();
        insta::assert_snapshot!(office.run(|s, out| remove(s, "mona", out)), @"error: allowlist.toml: no such file; `copilens users add NAME` makes it with a first user");
        office.run(|s, out| add(s, "mona", out));
        insta::assert_snapshot!(office.run(|s, out| password(s, "mnoa", out)), @r#"error: allowlist.toml: no user "mnoa"; did you mean "mona"?"#);
        assert_eq!(office.run(|s, out| remove(s, "mona", out)), "Removed mona from allowlist.toml.\n");
        assert_eq!(office.run(|s, out| list(s, false, out)).lines().count(), 1);
    }
}
