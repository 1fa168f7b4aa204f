//! How much of a user's exchanges is kept.

use serde::{Deserialize, Serialize};

/// How much of an exchange reaches the disk; of two answers, the greater one keeps less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Prompts and answers too.
    Full,
    /// No prompt and no answer.
    Metadata,
}
