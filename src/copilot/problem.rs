//! What can be wrong with a recorded body. None of it loses the record: it holds what could be read, and says so.

use serde::{Deserialize, Serialize};

/// Why a body could not be read as what it is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Decoded it is larger than the limit.
    Limit,
    /// Its content coding is broken.
    Corrupt,
    /// Its content coding, or the copy itself, ends early.
    Truncated,
    /// Its content coding is not known, so the bytes are left in it.
    UnknownCoding,
    /// It is, or an event in it is, something other than JSON.
    NotJson,
}

impl Problem {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::UnknownCoding => "unknown_coding",
            Self::NotJson => "not_json",
        }
    }
}
