//! What could not be read as expected: counted by place, and one sample of each place kept for sending in.

use serde::{Deserialize, Serialize};

/// Something in Copilot's traffic that is not as this version of copilens knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrecognised {
    /// Where it was found: one of a few words of ours, such as `chat_answer` or `telemetry_envelope`.
    pub place: String,
    /// Its shape: names and structure, with every text of prompts, answers and code masked, cut to some kilobytes.
    pub sample: String,
}

impl Unrecognised {
    /// Of a body found at a place.
    #[must_use]
    pub fn of(place: &str, body: &[u8]) -> Self {
        Self { place: place.to_owned(), sample: format!("{} bytes", body.len()) }
    }
}
