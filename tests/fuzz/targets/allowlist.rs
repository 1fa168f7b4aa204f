//! Any text as the allowlist: users whose names differ, or faults that name a line; and an edit changes what it should and
//! nothing else, or leaves the file as it was.

#![no_main]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use copilens::config::allowlist_edit::{self, EditError};
use copilens::config::{Allowlist, Error};
use copilens::identity::Account;
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|text: &str| match Allowlist::parse(Path::new("users.toml"), text) {
    Ok(allowlist) => {
        names_differ(&allowlist);
        edits_do_what_they_say(text, &allowlist.accounts);
    }
    Err(error) => each_fault_has_its_place(&error, text),
});

fn names_differ(allowlist: &Allowlist) {
    let names: HashSet<_> = allowlist.accounts.iter().map(|account| account.name.folded()).collect();
    assert_eq!(names.len(), allowlist.accounts.len());
    for account in &allowlist.accounts {
        assert!(account.password_generation > 0 && account.name.folded() != "anonymous");
        assert_eq!(allowlist.get(account.name.as_str()), Some(account));
    }
}

fn edits_do_what_they_say(text: &str, accounts: &[Account]) {
    let new = "new-user".parse().expect("a name");
    let added = [accounts, &[Account::new(new)]].concat();
    edited(text, &added, |path| allowlist_edit::add(path, &added[accounts.len()].name));
    let Some((last, others)) = accounts.split_last() else { return };
    edited(text, others, |path| allowlist_edit::remove(path, last.name.as_str()));
    let rotated = Account { password_generation: last.password_generation.saturating_add(1), ..last.clone() };
    edited(text, &[others, &[rotated]].concat(), |path| allowlist_edit::rotate(path, last.name.as_str()));
}

fn edited(text: &str, expected: &[Account], edit: impl Fn(&Path) -> Result<(), EditError>) {
    let path: PathBuf = FOLDER.path().join("users.toml");
    fs::write(&path, text).expect("a file");
    let result = edit(&path);
    let after = fs::read_to_string(&path).expect("a file");
    match result {
        Ok(()) => assert_eq!(Allowlist::parse(&path, &after).expect("a good list").accounts, expected),
        Err(_) => assert_eq!(after, text, "a failed edit leaves the file alone"),
    }
}

fn each_fault_has_its_place(error: &Error, text: &str) {
    let Error::Faults(faults) = error else { panic!("no file was read: {error}") };
    assert!(!faults.is_empty() && error.exit_code() == 78);
    for fault in faults {
        assert!(fault.line.is_none_or(|line| (1..=text.split('\n').count()).contains(&line)), "{fault:?}");
        assert!(!fault.message.is_empty() && !fault.to_string().contains(char::is_control), "{fault:?}");
    }
}
