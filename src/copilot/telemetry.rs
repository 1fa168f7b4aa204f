//! What clients' telemetry tells of suggestions, chat and sessions: a few ids, names and counts of a few known events. No
//! text is read.
//!
//! Bodies are Application Insights envelopes: a JSON array (language server), or one JSON object a line (CLI, VS Code). The
//! same event may come more than once, to GitHub and to Microsoft; whoever keeps the facts counts them by their ids and keys.

mod action;
mod event;
mod suggestion;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::Value;

use self::event::Event;
use super::observation::{ChatActionKind, Observation};
use super::unrecognised::Unrecognised;

/// GitHub's instrumentation key of standard telemetry.
const STANDARD: &str = "7d7048df-6dd0-4048-bb23-b716c1461f8f";
/// Microsoft's, which gets copies of many events.
const MICROSOFT: &str = "b73649cf-ca8f-4768-9e0e-b789d8529db5";
/// GitHub's of enhanced telemetry, whose events hold prompts and code. None of them is looked at.
const ENHANCED: &str = "3fdd7f28-937a-48c8-9a21-ba337db23bd1";

/// What was read from a telemetry body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reported {
    /// In the order of the events.
    pub observations: Vec<Observation>,
    /// Whether any event is an editor's rather than the CLI's.
    pub from_editor: bool,
    /// At most one of each place, however often it was met in this body.
    pub unrecognised: Vec<Unrecognised>,
}

/// Reads a body of telemetry whose content coding is undone. Never fails: what is broken costs only itself, and events that
/// tell nothing of use, most of them, pass silently.
#[must_use]
pub fn telemetry(body: &[u8]) -> Reported {
    let mut reader = Reader::default();
    match body.trim_ascii_start().first() {
        None => {}
        Some(b'[') => reader.array(body),
        Some(_) => match serde_json::from_slice(body) {
            Ok(envelope) => reader.envelope(&envelope),
            Err(_) => reader.lines(body),
        },
    }
    reader.reported
}

/// Gathers what the envelopes of one body tell.
#[derive(Default)]
struct Reader {
    reported: Reported,
    places: BTreeSet<String>,
    /// How often each key of a chat action was met, apart for each instrumentation key.
    met: BTreeMap<(String, String), usize>,
}

impl Reader {
    /// Each element is read as it comes, so an array that is cut off loses its last one alone.
    fn array(&mut self, body: &[u8]) {
        let mut source = serde_json::Deserializer::from_slice(body);
        let read = source.deserialize_seq(Elements(&mut *self)).and_then(|()| source.end());
        if read.is_err() {
            self.unrecognised("telemetry_body", || Unrecognised::of("telemetry_body", body));
        }
    }

    fn lines(&mut self, body: &[u8]) {
        for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(envelope) => self.envelope(&envelope),
                Err(_) => self.unrecognised("telemetry_line", || Unrecognised::of("telemetry_line", line)),
            }
        }
    }

    fn envelope(&mut self, envelope: &Value) {
        let key = envelope.get("iKey").and_then(Value::as_str).unwrap_or_default();
        if key.eq_ignore_ascii_case(ENHANCED) {
            return;
        }
        let Some(event) = Event::of(envelope) else {
            if is_event(envelope) {
                self.unrecognised("telemetry_envelope", || Unrecognised::of_value("telemetry_envelope", envelope));
            }
            return;
        };
        self.reported.from_editor |= !event.is_cli;
        let told = observations(&event);
        let is_ours = [STANDARD, MICROSOFT].iter().any(|ours| key.eq_ignore_ascii_case(ours));
        match told {
            Some(told) if told.is_empty() => {}
            _ if !is_ours => {
                self.unrecognised("telemetry_key", || Unrecognised::of_value("telemetry_key", envelope));
            }
            Some(told) => self.take(key, told),
            None => {
                let place = format!("telemetry_{}", event.name);
                self.unrecognised(&place, || Unrecognised::of_value(&place, envelope));
            }
        }
    }

    fn take(&mut self, key: &str, told: Vec<Observation>) {
        for mut observation in told {
            if let Observation::ChatAction(action) = &mut observation {
                let met = self.met.entry((key.to_owned(), action.key.clone())).or_default();
                *met += 1;
                // One click on "Keep" ends in as many events as there are files, which nothing tells apart.
                if *met > 1 {
                    action.key = format!("{}-{met}", action.key);
                }
            }
            self.reported.observations.push(observation);
        }
    }

    fn unrecognised(&mut self, place: &str, sample: impl FnOnce() -> Unrecognised) {
        if self.places.insert(place.to_owned()) {
            self.reported.unrecognised.push(sample());
        }
    }
}

/// What a known event tells, nothing of an unknown one; none of a known one that lacks what it must have.
fn observations(event: &Event<'_>) -> Option<Vec<Observation>> {
    match event.name {
        "ghostText.shown" | "ghostText.accepted" | "ghostText.rejected" | "ghostText.stillInCode" => {
            suggestion::completion(event)
        }
        "solution.accepted" | "solution.stillInCode" => suggestion::completion(event),
        "provideInlineEdit" => suggestion::next_edit(event),
        "conversation.acceptedCopy" => action::code_block(event, ChatActionKind::Copied),
        "conversation.acceptedInsert" => action::code_block(event, ChatActionKind::Inserted),
        "conversation.appliedCodeblock" => action::code_block(event, ChatActionKind::Applied),
        "panel.edit.feedback" => action::edit_feedback(event),
        "inline.done" => action::inline_done(event),
        "cli.telemetry" => action::command_line(event),
        _ => Some(Vec::new()),
    }
}

/// Whether an envelope says that it holds an event, or does not say what it holds. Metrics, exceptions and the like have no
/// name.
fn is_event(envelope: &Value) -> bool {
    let kind = envelope.get("data").and_then(|data| data.get("baseType")).and_then(Value::as_str);
    kind.is_none_or(|kind| kind == "EventData")
}

/// Hands the elements of an array to the reader, one at a time.
struct Elements<'a>(&'a mut Reader);

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of envelopes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(envelope) = elements.next_element()? {
            self.0.envelope(&envelope);
        }
        Ok(())
    }
}
