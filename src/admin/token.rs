//! The admin token, which opens everything: made by the first start.

use std::io;
use std::path::Path;

use crate::identity::TokenDigest;
use crate::identity::secret_file::{self, Problem, SecretError};

/// Random bytes of a new token.
const BYTES: usize = 32;
/// Characters of the shortest token that is accepted, so that no half-written file opens the door.
const SHORTEST: usize = 16;

/// A token that admits whoever sends it.
#[derive(Clone)]
pub struct AdminToken(String);

impl AdminToken {
    /// The token in a file.
    ///
    /// # Errors
    /// As [`secret_file::read`], and for a text that is no token.
    pub fn read(file: &Path) -> Result<Self, SecretError> {
        let text = secret_file::read(file)?;
        let token = text.trim();
        if token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(token.to_owned()));
        }
        let why =
            format!("not a token of at least {SHORTEST} characters; remove the file and the next start makes one");
        Err(SecretError { path: file.to_owned(), problem: Problem::Refused(why) })
    }

    /// As [`AdminToken::read`]; where there is no file, one is made.
    ///
    /// # Errors
    /// As [`AdminToken::read`], and where the file cannot be written.
    pub fn read_or_create(file: &Path) -> Result<Self, SecretError> {
        match Self::read(file) {
            Err(SecretError { problem: Problem::Missing, .. }) => Self::create(file),
            read => read,
        }
    }

    fn create(file: &Path) -> Result<Self, SecretError> {
        let failed = |error| SecretError { path: file.to_owned(), problem: Problem::Io(error) };
        let mut token = [0; BYTES];
        getrandom::fill(&mut token).map_err(|error| failed(io::Error::other(error)))?;
        let token = data_encoding::BASE64URL_NOPAD.encode(&token);
        secret_file::create(file, &format!("{token}\n")).map_err(failed)?;
        Ok(Self(token))
    }

    /// Whether a token of this digest is it. Takes the same time for every digest.
    pub(super) fn is(&self, token: TokenDigest) -> bool {
        TokenDigest::of(self.0.as_bytes()) == token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_token_and_later_ones_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config/admin-token");
        let made = AdminToken::read_or_create(&file).unwrap();
        assert_eq!(made.0.len(), 43);
        assert!(made.0 == AdminToken::read_or_create(&file).unwrap().0);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (index, text) in ["", "\n", "short\n", "two words are no token\n"].into_iter().enumerate() {
            let file = folder.path().join(index.to_string());
            secret_file::create(&file, text).unwrap();
            let error = AdminToken::read_or_create(&file).err().unwrap().to_string();
            assert!(error.contains("remove the file"), "{error}");
        }
    }

    #[test]
    fn only_the_whole_token_is_it() {
        let token = AdminToken("0123456789abcdef".to_owned());
        assert!(token.is(TokenDigest::of(b"0123456789abcdef")));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef\n"] {
            assert!(!token.is(TokenDigest::of(wrong.as_bytes())), "{wrong}");
        }
    }
}
