//! Passwords: secret in every output, compared in constant time, and how they derive from the seed.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How passwords derive from the seed (`auth.scheme`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// HMAC-SHA256 (RFC 2104) over name and generation with a 256-bit seed.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// The legacy add-on's own derivation from an integer, for moving without new passwords. Weak: every user can find
    /// the integer's effect (one of 90,000) from the own password, and with it all other passwords.
    Legacy,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Legacy => "legacy",
        })
    }
}

/// A password. `Debug` shows `***`; only [`Password::reveal`] gives the text.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Wraps a text that must not be shown.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text itself: for the one who asked for it and for the wire, never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What comparison works on, so that neither length nor content of a password shows in its timing.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        #[cfg(test)]
        work::HASHES.set(work::HASHES.get() + 1);
        Fingerprint(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for Password {}

/// SHA-256 of a password; equality takes the same time for every pair.
#[derive(Clone, Copy)]
pub(super) struct Fingerprint([u8; 32]);

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        work::COMPARISONS.set(work::COMPARISONS.get() + 1);
        self.0.ct_eq(&other.0).into()
    }
}

/// What this thread's comparisons cost, for the test that it is the same for everybody: time itself is too noisy to tell.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local! {
        pub(in crate::identity) static HASHES: Cell<usize> = const { Cell::new(0) };
        pub(in crate::identity) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// Hashes made and comparisons done by `of`.
    pub(in crate::identity) fn counted(of: impl FnOnce()) -> (usize, usize) {
        let now = || (HASHES.get(), COMPARISONS.get());
        let before = now();
        of();
        (now().0 - before.0, now().1 - before.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_and_equality_is_by_content() {
        let password = Password::new("open sesame");
        assert_eq!(format!("{password:?}"), "***");
        assert!(password == Password::new("open sesame"));
        assert!(password != Password::new("open sesamE"));
        assert!(password != Password::new(""));
    }

    #[test]
    fn a_scheme_is_spelled_alike_in_toml_and_in_messages() {
        for scheme in [Scheme::HmacSha256, Scheme::Legacy] {
            assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.to_string());
        }
    }
}
