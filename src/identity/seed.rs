//! The seed that all passwords derive from, so that proxies of a fleet share no state but their configuration.

use std::fmt;
use std::io;
use std::path::Path;

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::legacy::Prefix;
use super::secret_file::{self, Problem, SecretError};
use super::{Password, Scheme, UserName};

/// A seed for one scheme. `Debug` shows the scheme alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed {
    /// Key of every HMAC.
    key: [u8; 32],
    /// Present in scheme `legacy`, where it takes the key's place for passwords.
    prefix: Option<Prefix>,
}

const NO_LEGACY_SEED: &str = "no such file; write the add-on's integer seed into it, readable for its owner alone";

fn remedy(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::HmacSha256 => {
            "not a seed of 64 hexadecimal digits; restore it from a backup, or delete it: the next start makes a new one, \
             and with it new passwords for all (an integer goes with auth.scheme = \"legacy\")"
        }
        Scheme::Legacy => "not an integer; write the add-on's seed into it, such as 123456",
    }
}

impl Seed {
    /// A random 256-bit seed for scheme `hmac-sha256`.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(Self { key, prefix: None })
    }

    /// Reads a seed file's text: 64 hexadecimal digits for `hmac-sha256`, a decimal integer of any size for `legacy`.
    /// White space around it is ignored.
    #[must_use]
    pub fn parse(scheme: Scheme, text: &str) -> Option<Self> {
        let text = text.trim();
        match scheme {
            Scheme::HmacSha256 => {
                let key = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()?;
                Some(Self { key, prefix: None })
            }
            Scheme::Legacy => {
                Some(Self { key: Sha256::digest(text).into(), prefix: Some(Prefix::from_integer(text)?) })
            }
        }
    }

    /// The seed in a file.
    ///
    /// # Errors
    /// When the file is missing, open to others, or not a seed for this scheme.
    pub fn load(path: &Path, scheme: Scheme) -> Result<Self, SecretError> {
        let text = secret_file::read(path).map_err(|error| match (error.problem, scheme) {
            // It cannot be made up, so the message says where it comes from.
            (Problem::Missing, Scheme::Legacy) => Problem::Refused(NO_LEGACY_SEED.to_owned()).with(path),
            (problem, _) => problem.with(path),
        })?;
        Self::parse(scheme, &text).ok_or_else(|| Problem::Refused(remedy(scheme).to_owned()).with(path))
    }

    /// The seed in a file, which is made with a new seed where there is none.
    ///
    /// # Errors
    /// As [`Seed::load`]; also where the file cannot be made, and where it is missing in scheme `legacy`.
    pub fn load_or_create(path: &Path, scheme: Scheme) -> Result<Self, SecretError> {
        match (Self::load(path, scheme), scheme) {
            (Err(SecretError { problem: Problem::Missing, .. }), Scheme::HmacSha256) => Self::create(path),
            (result, _) => result,
        }
    }

    fn create(path: &Path) -> Result<Self, SecretError> {
        let made = Self::generate().and_then(|seed| {
            let text = format!("{}\n", HEXLOWER.encode(&seed.key));
            secret_file::create(path, &text)
        });
        match made {
            // Another process that started at the same moment was quicker: its seed holds.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Problem::Io(error).with(path)),
            _ => Self::load(path, Scheme::HmacSha256),
        }
    }

    /// The password of a user; `generation` begins at 1 and is raised to replace a password.
    #[must_use]
    pub fn derive(&self, name: &UserName, generation: u32) -> Password {
        match self.prefix {
            Some(prefix) => Password::new(&prefix.password(name.as_str(), generation)),
            None => Password::new(&self.strong_password(name, generation)),
        }
    }

    /// 120 bits as 24 characters. The generation has a fixed width, so no two pairs share a message.
    fn strong_password(&self, name: &UserName, generation: u32) -> String {
        let message = [&generation.to_be_bytes(), name.as_str().as_bytes()].concat();
        let mut text = BASE32_NOPAD.encode(&self.mac("password", &message)).to_ascii_lowercase();
        text.truncate(24);
        text
    }

    /// What stands for a GitHub account wherever it is counted: 128 bits in hexadecimal, from the account's tracking id, which
    /// is kept nowhere.
    #[must_use]
    pub fn account_key(&self, tracking_id: &str) -> String {
        let mac = self.mac("account", tracking_id.as_bytes());
        HEXLOWER.encode(mac.first_chunk::<16>().map_or(&mac[..], |half| &half[..]))
    }

    /// HMAC-SHA256 with the seed, for other things that must not be guessed from what they name, such as the key that
    /// stands for an account. `purpose` keeps the uses apart and holds no NUL.
    #[must_use]
    pub fn mac(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 section 2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of 32 bytes");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.prefix.is_some() { Scheme::Legacy } else { Scheme::HmacSha256 };
        write!(f, "Seed({scheme}, ***)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;

    fn name(text: &str) -> UserName {
        text.parse().unwrap()
    }

    fn seed() -> Seed {
        Seed::parse(Scheme::HmacSha256, &"0f".repeat(32)).unwrap()
    }

    /// The expected value comes from Python: `b32encode(hmac.digest(bytes([15])*32, b"password\0\0\0\0\1octocat",
    /// "sha256"))[:24].lower()`.
    #[test]
    fn strong_vector() {
        assert_eq!(seed().derive(&name("octocat"), 1).reveal(), "wle34tierfnfa5ceuju5pzam");
    }

    #[test]
    fn legacy_vector() {
        let seed = Seed::parse(Scheme::Legacy, " 123456\n").unwrap();
        assert_eq!(seed.derive(&name("satomic"), 1).reveal(), "961aa8753b");
        assert_eq!(format!("{seed:?}"), "Seed(legacy, ***)");
    }

    #[test]
    fn passwords_differ_by_name_generation_and_seed() {
        let other = Seed::generate().unwrap();
        let passwords: HashSet<String> = [&seed(), &other]
            .iter()
            .flat_map(|seed| ["a", "b", "1a", "A"].map(|user| (seed, user)))
            .flat_map(|(seed, user)| [1, 2, 49].map(|n| seed.derive(&name(user), n).reveal().to_owned()))
            .collect();
        assert_eq!(passwords.len(), 24);
        assert!(passwords.iter().all(|p| p.len() == 24 && p.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))));
    }

    #[test]
    fn a_missing_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config/seed");
        let made = Seed::load_or_create(&path, Scheme::HmacSha256).unwrap();
        let again = Seed::load_or_create(&path, Scheme::HmacSha256).unwrap();
        assert_eq!(made.key, again.key);
        assert_ne!(made.key, Seed::generate().unwrap().key);
    }

    #[test]
    fn a_legacy_seed_is_never_made_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        let message = Seed::load_or_create(&path, Scheme::Legacy).unwrap_err().to_string();
        assert!(message.contains("write the add-on's integer seed") && !path.exists(), "{message}");
    }

    #[test]
    fn garbage_is_refused_with_a_remedy_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (scheme, text) in [(Scheme::HmacSha256, "123456"), (Scheme::HmacSha256, ""), (Scheme::Legacy, "c0ffee")] {
            let path = folder.path().join("seed");
            let _ = fs::remove_file(&path);
            secret_file::create(&path, text).unwrap();
            let message = Seed::load(&path, scheme).unwrap_err().to_string();
            assert!(message.starts_with(&path.display().to_string()) && message.contains("; "), "{message}");
            assert!(!message.contains("c0ffee"), "{message}");
        }
    }
}
