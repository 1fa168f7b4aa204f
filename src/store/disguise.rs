//! New ids for those that point at a person: equal ones stay equal, so that counts do, and nobody can tell which they were.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::usage::{IdDigest, id_digest};

/// Makes ids of ids. It keeps its secret to itself, and takes it along when it is gone.
pub(super) struct Disguise([u8; 32]);

impl Disguise {
    /// A new one, unlike all others.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self(secret))
    }

    /// The new id of a client's id.
    pub(super) fn id(&self, id: &str) -> String {
        self.of(id_digest(id))
    }

    /// The digest of the new id, from that of the old one.
    pub(super) fn digest(&self, digest: IdDigest) -> IdDigest {
        id_digest(&self.of(digest))
    }

    fn of(&self, digest: IdDigest) -> String {
        let hash = Sha256::new().chain_update(self.0).chain_update(digest).finalize();
        hash.iter().take(16).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
