//! The words everything else counts by: GitHub's where GitHub has one (`reference` pages of the Copilot metrics API).

use serde::{Deserialize, Serialize};

/// The two families of exchange, which are also the names of the record folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Ghost text, panel completions and next-edit suggestions.
    Completions,
    /// Everything else that talks to a model.
    Chat,
}

impl Kind {
    /// The folder and database name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Chat => "chat",
        }
    }
}

/// What an exchange counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A person's completion or chat turn: recorded and counted.
    Turn,
    /// An agent's follow-up call inside a turn: recorded, its tokens counted, not a turn.
    Step,
    /// Meaningless for usage: counted by reason alone.
    Noise,
}

impl Class {
    /// The name in records and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Step => "step",
            Self::Noise => "noise",
        }
    }
}

/// How an exchange came out, as records and events tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole answer was passed on and its status was 2xx.
    Completed,
    /// The client went away before the end.
    Canceled,
    /// The upstream refused (status other than 2xx), failed, or broke off.
    Failed,
}

impl Outcome {
    /// The name in records and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }
}

/// Token counts of one exchange. `None` is unknown, which is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens of the prompt, cached and cache-written ones included: so `/v1/messages`, which counts those apart, is added up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Tokens of the answer, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Those of `input` that came from the model's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Those of `input` that were written to the model's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_written: Option<u64>,
    /// Those of `output` that the model thought with and nobody saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<u64>,
}

impl Tokens {
    /// Whether nothing was told.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// What an agent's tool calls change in files, from their arguments: what was asked of the tools, whatever they did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edits {
    /// File edits: one a tool call and file.
    pub files: u64,
    /// Lines added.
    pub lines_added: u64,
    /// Lines removed.
    pub lines_removed: u64,
}

impl Edits {
    /// Whether nothing is edited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
