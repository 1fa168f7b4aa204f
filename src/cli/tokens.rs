//! `copilens tokens`: bearer tokens for the admin listener from the command line.

use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use comfy_table::{Table, TableStyle};
use serde::Serialize;

use crate::config::Settings;
use crate::config::tokens::{self, TokenEntry};
use crate::identity::{Scope, UserName};

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Make a token and print it: it is shown this once and works at once
    Add {
        /// What it is for; 1 to 64 of A-Z a-z 0-9 . _ @ + -
        name: String,
        /// What it opens: metrics (/metrics* and GitHub's report paths), viewer (people's usage as well), auditor (prompts
        /// and answers as well), or admin (everything)
        #[arg(long)]
        scope: Scope,
        /// Days after which it expires [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires: Option<u32>,
    },
    /// Show which tokens there are, and what they open
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a token, which opens nothing from now on
    Remove {
        /// The token's name
        name: String,
    },
}

impl Tokens {
    /// Runs the command at a time.
    ///
    /// # Errors
    /// When a name is none, taken or unknown; when the file has faults or cannot be read or written.
    pub(crate) fn run(self, settings: &Settings, now: DateTime<Utc>, out: &mut dyn Write) -> anyhow::Result<()> {
        let admin_token = &settings.admin.token_file;
        match self {
            Self::Add { name, scope, expires } => {
                let name: UserName = name.parse()?;
                let end = expires.map(|days| now + TimeDelta::days(days.into()));
                let token = tokens::add(admin_token, name, scope, (now, end))?;
                writeln!(out, "{}", token.reveal())?;
            }
            Self::List { json } => {
                let entries = tokens::load(&tokens::path(admin_token))?;
                if json { write_json(&entries, out)? } else { write_table(&entries, now, out)? }
            }
            Self::Remove { name } => {
                tokens::remove(admin_token, &name)?;
                writeln!(out, "Removed token {name} from {}.", tokens::path(admin_token).display())?;
            }
        }
        Ok(())
    }
}

fn write_table(entries: &[TokenEntry], now: DateTime<Utc>, out: &mut dyn Write) -> std::io::Result<()> {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(["NAME", "SCOPE", "CREATED", "EXPIRES"]);
    for entry in entries {
        let end = entry.expires_at.map_or_else(|| "never".to_owned(), |end| end.date_naive().to_string());
        let end = if entry.is_expired(now) { format!("expired {end}") } else { end };
        table.add_row([entry.name.as_str(), entry.scope.name(), &entry.created_at.date_naive().to_string(), &end]);
    }
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim()))
}

/// All but the digests, which are of no use to anybody.
fn write_json(entries: &[TokenEntry], out: &mut dyn Write) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Shown<'a> {
        name: &'a UserName,
        scope: Scope,
        created_at: DateTime<Utc>,
        expires_at: Option<DateTime<Utc>>,
    }
    let shown: Vec<_> = entries
        .iter()
        .map(|TokenEntry { name, scope, created_at, expires_at, .. }| Shown {
            name,
            scope: *scope,
            created_at: *created_at,
            expires_at: *expires_at,
        })
        .collect();
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Office {
        folder: tempfile::TempDir,
        settings: Settings,
    }

    impl Office {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut settings = Settings::default();
            settings.admin.token_file = folder.path().join("admin-token");
            Self { folder, settings }
        }

        fn run(&self, command: Tokens) -> String {
            let mut out = Vec::new();
            let text = match command.run(&self.settings, "2026-03-01T12:00:00Z".parse().unwrap(), &mut out) {
                Ok(()) => String::from_utf8(out).unwrap(),
                Err(error) => format!("error: {error}"),
            };
            text.replace(&format!("{}/", self.folder.path().display()), "")
        }
    }

    fn add(name: &str, scope: Scope, expires: Option<u32>) -> Tokens {
        Tokens::Add { name: name.to_owned(), scope, expires }
    }

    #[test]
    fn adding_prints_the_token_alone_and_listing_shows_none() {
        let office = Office::new();
        let said = office.run(add("prometheus", Scope::Metrics, None));
        let token = said.strip_suffix('\n').unwrap();
        assert!(token.starts_with("cpl_") && token.len() == 47 && !token.contains('\n'), "{said}");
        office.run(add("ci", Scope::Auditor, Some(30)));
        insta::assert_snapshot!(office.run(Tokens::List { json: false }), @r"
        NAME        SCOPE    CREATED     EXPIRES
        prometheus  metrics  2026-03-01  never
        ci          auditor  2026-03-01  2026-03-31
        ");
        insta::assert_snapshot!(office.run(Tokens::List { json: true }), @r#"
        [
          {
            "name": "prometheus",
            "scope": "metrics",
            "created_at": "2026-03-01T12:00:00Z",
            "expires_at": null
          },
          {
            "name": "ci",
            "scope": "auditor",
            "created_at": "2026-03-01T12:00:00Z",
            "expires_at": "2026-03-31T12:00:00Z"
          }
        ]
        "#);
    }

    #[test]
    fn an_expired_token_is_shown_as_such() {
        let office = Office::new();
        office.run(add("ci", Scope::Viewer, Some(1)));
        let entries = tokens::load(&tokens::path(&office.settings.admin.token_file)).unwrap();
        let mut out = Vec::new();
        write_table(&entries, "2026-03-02T12:00:00Z".parse().unwrap(), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("expired 2026-03-02"));
    }

    #[test]
    fn names_that_are_none_taken_or_unknown_are_told() {
        let office = Office::new();
        office.run(add("ci", Scope::Viewer, None));
        insta::assert_snapshot!(office.run(add("a b", Scope::Viewer, None)), @"error: a user name consists of letters A-Z a-z, digits and . _ @ + - only, so ' ' cannot be in it");
        insta::assert_snapshot!(office.run(add("CI", Scope::Viewer, None)), @r#"error: tokens.toml: token "ci" is already there; `copilens tokens remove ci` makes room for a new one"#);
        insta::assert_snapshot!(office.run(Tokens::Remove { name: "co".to_owned() }), @r#"error: tokens.toml: no token "co"; did you mean "ci"?"#);
        insta::assert_snapshot!(office.run(Tokens::Remove { name: "ci".to_owned() }), @"Removed token ci from tokens.toml.");
        assert_eq!(office.run(Tokens::List { json: true }), "[]\n");
    }
}
