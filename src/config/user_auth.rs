//! The legacy add-on's `user_auth.json`: names and passwords in clear, for those whose scripts hand them out from there
//! (`auth.write_user_auth`, off by default).

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use super::load::Loaded;

/// Name of the file in `log_dir`.
const FILE: &str = "user_auth.json";

/// Writes the file if the settings want it, for its owner alone (mode 0600). Gives its path, where one was written.
///
/// # Errors
/// When it cannot be written; the file before stays.
pub fn write_user_auth(loaded: &Loaded) -> io::Result<Option<PathBuf>> {
    if !loaded.settings.auth.write_user_auth {
        return Ok(None);
    }
    let enabled = loaded.directory.users().map(|user| user.account()).filter(|account| !account.disabled);
    let passwords: BTreeMap<_, _> = enabled
        .map(|account| {
            let password = loaded.seed.derive(&account.name, account.password_generation);
            (account.name.as_str(), password.reveal().to_owned())
        })
        .collect();
    let folder = &loaded.settings.log_dir;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(serde_json::to_string_pretty(&passwords)?.as_bytes())?;
    let path = folder.join(FILE);
    file.persist(&path)?;
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::identity::{Account, Directory, Scheme, Seed};

    #[test]
    fn names_and_passwords_of_enabled_users_are_written_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let seed = Seed::parse(Scheme::Legacy, "123456").unwrap();
        let account = |name: &str, disabled| Account { disabled, ..Account::new(name.parse().unwrap()) };
        let accounts = [account("xuefeng", false), account("satomic", false), account("gone", true)];
        let mut settings = Settings { log_dir: folder.path().to_owned(), ..Settings::default() };
        let directory = || Directory::new(accounts.clone(), &seed);
        let load =
            |settings: &Settings| Loaded { settings: settings.clone(), directory: directory(), seed: seed.clone() };
        assert_eq!(write_user_auth(&load(&settings)).unwrap(), None);
        settings.auth.write_user_auth = true;
        let path = write_user_auth(&load(&settings)).unwrap().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let known: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(known, serde_json::json!({"satomic": "961aa8753b", "xuefeng": "1b3ecfa5aa"}));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
