//! What could not be read as expected: counted by place, and one sample of each place kept for sending in.

mod mask;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exchange::redact;

/// Most bytes of a sample.
const LONGEST_SAMPLE: usize = 16 << 10;

/// Something in Copilot's traffic that is not as this version of copilens knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrecognised {
    /// Where it was found: one of a few words of ours, such as `chat_answer` or `telemetry_envelope`.
    pub place: String,
    /// Its shape: names and structure, with every text of prompts, answers and code masked, cut to some kilobytes.
    pub sample: String,
}

impl Unrecognised {
    /// The shape of a body whose content coding is undone: at most 16 KiB that may be shown to strangers.
    ///
    /// JSON keeps its structure, keys and booleans, and the values that name kinds (`"type":"message"`); server-sent events
    /// and lines of JSON are masked line by line; of anything else the punctuation and the lines stay, with `x` for letters
    /// and `0` for digits.
    #[must_use]
    pub fn of(place: &str, body: &[u8]) -> Self {
        Self::masked(place, mask::body(body, LONGEST_SAMPLE))
    }

    /// [`Self::of`] for what is read already.
    #[must_use]
    pub fn of_value(place: &str, value: &Value) -> Self {
        Self::masked(place, mask::json(value).to_string())
    }

    /// The mask leaves no secret that it can know of; one in a key or a kind would show by its shape.
    fn masked(place: &str, mut sample: String) -> Self {
        redact::text(&mut sample);
        sample.truncate(sample.floor_char_boundary(LONGEST_SAMPLE));
        Self { place: place.to_owned(), sample }
    }
}
