//! Bearer tokens of the admin listener: what they open, and what is kept of them.

use std::fmt;
use std::io;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// What a token opens. Each scope opens what those before it open, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// For machines: `/metrics*`, and GitHub's report paths below `/orgs/` and `/enterprises/`, which name users.
    Metrics,
    /// For people: reading `/api/v1/*` and the dashboard, where they show no text of a prompt or an answer.
    Viewer,
    /// The text of prompts and answers as well.
    Auditor,
    /// Everything, changes among it. The scope of the admin token.
    Admin,
}

impl Scope {
    /// All, the smallest first.
    pub const ALL: [Self; 4] = [Self::Metrics, Self::Viewer, Self::Auditor, Self::Admin];

    /// The name on the command line and in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that is no scope's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one of metrics, viewer, auditor, admin")]
pub struct ScopeError;

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or(ScopeError)
    }
}

/// Random bytes of a new token.
const BYTES: usize = 32;
/// What tokens begin with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "cpl_";

/// A new token in clear. It is shown to who asked for it and kept nowhere.
pub struct Token(String);

impl Token {
    /// 256 random bits.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))))
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SHA-256 of a token: enough to know it again and of no use to who reads it, as there is nothing to guess in 256 random
/// bits. Equality takes the same time for every pair.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Of a token as a client sent it.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Of 64 hexadecimal digits.
    ///
    /// # Errors
    /// For any other text, which the message does not repeat.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("64 hexadecimal digits are needed, as `copilens tokens add` writes them")
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenDigest {}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for TokenDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_opens_what_those_before_it_open() {
        assert!(Scope::ALL.is_sorted());
        assert!(Scope::Admin > Scope::Auditor && Scope::Auditor > Scope::Viewer && Scope::Viewer > Scope::Metrics);
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!("Admin".parse::<Scope>(), Err(ScopeError));
    }

    #[test]
    fn tokens_are_long_marked_and_never_the_same() {
        let [one, other] = [(); 2].map(|()| Token::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert!(one.reveal().starts_with("cpl_") && one.reveal().len() == 47, "{}", one.reveal());
        assert_eq!(format!("{one:?} {:?}", TokenDigest::of(b"x")), "*** ***");
    }

    /// The digest comes from `printf abc | sha256sum`.
    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(serde_json::to_value(TokenDigest::of(b"abc")).unwrap(), hex);
        assert_eq!(TokenDigest::parse(hex), Ok(TokenDigest::of(b"abc")));
        for wrong in ["", "ba78", &hex[1..], &format!("{hex}00"), &hex.replace('b', "x")] {
            assert!(TokenDigest::parse(wrong).is_err(), "{wrong}");
        }
    }
}
