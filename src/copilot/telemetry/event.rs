//! One Application Insights envelope, and how its fields are read: properties come as strings and measurements as numbers,
//! but not always, and only what looks like a name, an id or a count is ever taken out.

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::copilot::language;

/// Longest id or name that is taken, in bytes. Copilot's ids are UUIDs, its longest names those of models.
const LONGEST: usize = 128;

/// Largest count that a JSON number holds exactly (RFC 8259 section 6).
const LARGEST: f64 = 9_007_199_254_740_991.0;

/// The client's session, by the names that it has in the several copies of an event.
const SESSIONS: [&str; 3] = ["client_sessionid", "common.sessionid", "common_vscodesessionid"];

/// An event of a client.
pub(super) struct Event<'a> {
    /// Its name after the last `/`, for each client and each copy puts something else in front.
    pub(super) name: &'a str,
    /// Whether the Copilot CLI sent it (1.0.102, seen live).
    pub(super) is_cli: bool,
    time: &'a str,
    session: Option<&'a Value>,
    data: &'a Value,
}

impl<'a> Event<'a> {
    /// The event in an envelope; none where the envelope names none.
    pub(super) fn of(envelope: &'a Value) -> Option<Self> {
        let data = envelope.get("data")?.get("baseData")?;
        let name = data.get("name")?.as_str()?;
        Some(Self {
            name: name.rsplit('/').next().unwrap_or(name),
            is_cli: name.starts_with("copilot-cli/"),
            time: envelope.get("time").and_then(Value::as_str).unwrap_or_default(),
            session: envelope.get("tags").and_then(|tags| tags.get("ai.session.id")),
            data,
        })
    }

    /// The client's clock.
    pub(super) fn time(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(self.time).ok().map(|time| time.to_utc())
    }

    /// The same for each copy of one event, whichever key and whichever prefix of its name it is sent with: made of name,
    /// time and session, for Microsoft's copy lacks some of the other properties (seen: language server 1.539.0). None
    /// where the event has no time.
    pub(super) fn key(&self) -> Option<String> {
        if self.time.is_empty() {
            return None;
        }
        let session = self.first_id(&SESSIONS).unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [self.name, self.time, &session] {
            hash.update(part);
            hash.update([0]);
        }
        Some(HEXLOWER.encode(hash.finalize().get(..16)?))
    }

    /// The first of these properties that is an id.
    pub(super) fn first_id(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| id(self.field(name)?))
    }

    /// The first of these properties that is a name: words of printable ASCII.
    pub(super) fn first_name(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| name_of(self.field(name)?))
    }

    /// The first of these properties that names a language, in lower case.
    pub(super) fn first_language(&self, names: &[&str]) -> Option<String> {
        language::named(&self.first_name(names)?)
    }

    /// The first of these measurements that is a count. Clients write -1 for what they do not know.
    pub(super) fn first_count(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| count(self.field(name)?))
    }

    /// A measurement or property that is yes (1, `true`) or no (0, `false`).
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.field(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            other => number(other).map(|number| number > 0.0),
        }
    }

    /// The client's session as Application Insights tags it.
    pub(super) fn session(&self) -> Option<String> {
        id(self.session?)
    }

    /// A property as it is, or a measurement, or nothing where it is null.
    pub(super) fn field(&self, name: &str) -> Option<&'a Value> {
        let among = |group: &str| self.data.get(group)?.get(name).filter(|value| !value.is_null());
        among("properties").or_else(|| among("measurements"))
    }
}

/// An id: printable ASCII without blanks. A longer one is none: cut, it might be another's.
pub(super) fn id(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let is_id = !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then_some(text)
}

/// A name in one line of printable ASCII.
fn name_of(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    (!text.is_empty() && text.len() <= LONGEST && text.bytes().all(plain)).then(|| text.to_owned())
}

/// A count, as a number or as text; fractions are dropped.
pub(super) fn count(value: &Value) -> Option<u64> {
    let exact = value.as_u64();
    exact.or_else(|| number(value).filter(|number| (0.0..=LARGEST).contains(number)).map(|number| number as u64))
}

/// A number, or text that is one.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    number.is_finite().then_some(number)
}
