//! Any bytes as `Proxy-Authorization`: what is read is what was sent, shows nowhere, and opens the door to nobody but the
//! users whose password it is.

#![no_main]

use std::sync::LazyLock;

use copilens::identity::basic::Credentials;
use copilens::identity::{Account, Directory, Scheme, Seed};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 2] = ["satomic", "xuefeng"];

/// Two users and their passwords, of a scheme whose passwords are short enough to be guessed near.
static USERS: LazyLock<(Directory, [String; 2])> = LazyLock::new(|| {
    let seed = Seed::parse(Scheme::Legacy, "123456").expect("a seed");
    let passwords = NAMES.map(|name| seed.derive(&name.parse().expect("a name"), 1).reveal().to_owned());
    let accounts = NAMES.map(|name| Account::new(name.parse().expect("a name")));
    (Directory::new(accounts, &seed), passwords)
});

fuzz_target!(|value: &[u8]| {
    let Ok(credentials) = Credentials::parse(value) else { return };
    what_is_read_was_sent(value, &credentials);
    only_users_are_admitted(&credentials);
});

fn what_is_read_was_sent(value: &[u8], credentials: &Credentials) {
    assert!(!credentials.name.contains(':'));
    assert!(!credentials.name.contains(char::is_control) && !credentials.password.reveal().contains(char::is_control));
    assert!(credentials.name.len() + credentials.password.reveal().len() < value.len());
    assert!(format!("{credentials:?}").ends_with("password: *** }"));
    // Near the limit, the padding that a client left out would go beyond it.
    if value.len() < 1000 {
        assert_eq!(Credentials::parse(credentials.to_header_value().as_bytes()).as_ref(), Ok(credentials));
    }
}

fn only_users_are_admitted(credentials: &Credentials) {
    let (directory, passwords) = &*USERS;
    let place = NAMES.iter().position(|name| *name == credentials.name);
    let is_right = place.is_some_and(|place| credentials.password.reveal() == passwords[place]);
    let user = directory.authenticate(credentials);
    assert_eq!(user.is_some(), is_right);
    assert!(user.is_none_or(|user| user.name().as_str() == credentials.name));
}
