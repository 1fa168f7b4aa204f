//! The user name: one that exists is safe as a folder name on every system, so nobody below has to check it again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A user's name as the allowlist spells it: 1 to 64 of `[A-Za-z0-9._@+-]`, not beginning with `.` or `-`, not ending
/// with `.`, and no device name of Windows.
///
/// Compared with its case; two names on one allowlist must differ in more than case (see [`UserName::folded`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// Why a text is no user name. The message says which rule it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No character, or more than [`UserName::MAX_LEN`].
    #[error("a user name has 1 to {} characters", UserName::MAX_LEN)]
    Length,
    /// A character outside `[A-Za-z0-9._@+-]`.
    #[error("a user name consists of letters A-Z a-z, digits and . _ @ + - only, so {0:?} cannot be in it")]
    Character(char),
    /// Begins with `.` or `-`: hidden files and command-line options.
    #[error("a user name does not begin with . or -")]
    FirstCharacter,
    /// Ends with `.`, which Windows strips from file names.
    #[error("a user name does not end with .")]
    LastCharacter,
    /// A device name of Windows, such as `CON` or `nul.txt`.
    #[error("{0} is a reserved name on Windows; choose another, such as {0}-user")]
    Reserved(&'static str),
}

impl UserName {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 64;

    /// The name as the allowlist spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in lower case: names that are equal in it would share a folder on systems that ignore case.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.chars().count() > Self::MAX_LEN {
            return Err(NameError::Length);
        }
        if let Some(other) = text.chars().find(|c| !is_allowed(*c)) {
            return Err(NameError::Character(other));
        }
        if text.starts_with(['.', '-']) {
            return Err(NameError::FirstCharacter);
        }
        if text.ends_with('.') {
            return Err(NameError::LastCharacter);
        }
        match reserved_on_windows(text) {
            Some(device) => Err(NameError::Reserved(device)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '+' | '-')
}

/// The device that Windows opens for this file name, whatever its case and extension
/// (<https://learn.microsoft.com/windows/win32/fileio/naming-a-file>).
fn reserved_on_windows(name: &str) -> Option<&'static str> {
    const DEVICES: [&str; 24] = [
        "CON", "PRN", "AUX", "NUL", "COM0", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9",
        "LPT0", "LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
    ];
    let stem = name.split('.').next().unwrap_or(name);
    DEVICES.into_iter().find(|device| device.eq_ignore_ascii_case(stem))
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for UserName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_names() {
        for name in ["octocat", "a", "Mona.Lisa", "mona@example.com", "m+l", "a-b_c", "7", "_x", "console", "COM10"] {
            assert_eq!(name.parse::<UserName>().unwrap().as_str(), name);
        }
        assert!("a".repeat(64).parse::<UserName>().is_ok());
    }

    #[test]
    fn names_that_are_none() {
        let cases = [
            ("", NameError::Length),
            (&"a".repeat(65), NameError::Length),
            (".hidden", NameError::FirstCharacter),
            ("..", NameError::FirstCharacter),
            ("-rf", NameError::FirstCharacter),
            ("mona.", NameError::LastCharacter),
            ("a/b", NameError::Character('/')),
            ("a\\b", NameError::Character('\\')),
            ("a b", NameError::Character(' ')),
            ("a:b", NameError::Character(':')),
            ("a\0", NameError::Character('\0')),
            ("mönä", NameError::Character('ö')),
            ("con", NameError::Reserved("CON")),
            ("NUL.txt", NameError::Reserved("NUL")),
            ("Com1", NameError::Reserved("COM1")),
            ("lpt9.a.b", NameError::Reserved("LPT9")),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<UserName>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn deserialising_parses() {
        assert!(serde_json::from_str::<UserName>("\"octocat\"").is_ok());
        let error = serde_json::from_str::<UserName>("\"../x\"").unwrap_err().to_string();
        assert!(error.starts_with("a user name"), "{error}");
    }

    proptest! {
        #[test]
        fn a_name_is_one_normal_path_component(text in "[A-Za-z0-9._@+/\\\\: -]{0,66}|\\PC{0,8}") {
            if let Ok(name) = text.parse::<UserName>() {
                let mut components = Path::new(name.as_str()).components();
                prop_assert_eq!(components.next(), Some(Component::Normal(text.as_ref())));
                prop_assert_eq!(components.next(), None);
                prop_assert!(!name.as_str().contains(['\\', ':', '\0']));
                prop_assert_eq!(name.folded().parse::<UserName>().unwrap().folded(), name.folded());
            }
        }
    }
}
