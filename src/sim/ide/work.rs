//! What comes of a developer's requests.

use crate::sim::client::ClientError;

/// Why a developer's request failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// No answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An answer other than 2xx.
    #[error("{method} {path} was answered with status {status}: {body}")]
    Status {
        /// Request method.
        method: String,
        /// Request path.
        path: String,
        /// Status code.
        status: u16,
        /// Body of the answer.
        body: String,
    },
}

/// Ghost text that arrived in the editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The request's `X-Request-Id`.
    pub request_id: String,
    /// The editor's own name for it, by which telemetry counts.
    pub completion_id: String,
    /// Language of the file.
    pub language: String,
    /// The text; empty where Copilot had nothing to add.
    pub text: String,
    /// What kind of suggestion it is.
    pub kind: SuggestionKind,
}

/// Kinds of suggestions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuggestionKind {
    /// Ghost text.
    GhostText,
    /// Ghost text that was fetched ahead.
    Speculative,
    /// A change near the cursor.
    NextEdit,
}

impl Suggestion {
    /// Length in characters.
    #[must_use]
    pub fn characters(&self) -> u64 {
        self.text.chars().count() as u64
    }

    /// Length in lines.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.text.lines().count() as u64
    }
}

/// A chat turn that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// `X-Interaction-Id`, which all requests of the turn share.
    pub interaction_id: String,
    /// Language of the file in front of the developer.
    pub language: String,
    /// What was asked.
    pub question: String,
    /// The answer's text.
    pub answer: String,
    /// Number of follow-up calls of the agent.
    pub steps: u64,
}
