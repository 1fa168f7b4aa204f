//! Takes everything out of a body that tells of a person, a project or a secret, and leaves its shape.

use serde_json::{Map, Value, json};

/// Longest key or kind that is shown, in bytes.
const LONGEST_WORD: usize = 64;
/// Elements of an array that are shown.
const MOST_ELEMENTS: usize = 3;
/// Fields of an object that are shown.
const MOST_FIELDS: usize = 100;
/// Levels that are shown.
const DEEPEST: usize = 32;
/// Values of a document that are shown.
const MOST_VALUES: usize = 2000;
/// Most digits of a word that is no id.
const MOST_DIGITS: usize = 4;

/// Keys whose strings name one of a few kinds of Copilot's, OpenAI's or Anthropic's interfaces.
const KINDS: [&str; 12] = [
    "type",
    "object",
    "event",
    "role",
    "status",
    "finish_reason",
    "stop_reason",
    "baseType",
    "kind",
    "compType",
    "acceptance",
    "outcome",
];

/// The one object whose `name` is the name of a kind: of a telemetry event.
const NAMED_KIND: (&str, &str) = ("baseData", "name");

/// Keys of objects whose own keys are somebody's data or names: arguments of tools and their descriptions.
const KEYED_BY_DATA: [&str; 9] =
    ["arguments", "input", "parameters", "input_schema", "schema", "properties", "env", "headers", "metadata"];

/// The properties of a telemetry event are its fields, unlike those of a schema.
const KEYED_BY_FIELDS: (&str, &str) = ("baseData", "properties");

/// First parts of the dotted keys that telemetry has; any other dotted key could be a file or a host.
const DOTTED: [&str; 4] = ["common.", "abexp.", "ai.", "VSCode."];

/// The shape of a body, somewhat longer than `limit` at most by its last line.
pub(super) fn body(body: &[u8], limit: usize) -> String {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return json(&value).to_string();
    }
    let mut shape = String::new();
    for bytes in body.split_inclusive(|byte| *byte == b'\n') {
        if shape.len() >= limit {
            break;
        }
        line(bytes, limit, &mut shape);
    }
    shape
}

/// The shape of a JSON value.
pub(super) fn json(value: &Value) -> Value {
    Mask { left: MOST_VALUES }.value(value, &Place { parent: "", key: "", depth: 0, is_keyed_by_data: false })
}

/// Where in a JSON document a value stands.
struct Place<'a> {
    /// Key of the object that holds the value's.
    parent: &'a str,
    /// The value's own; none in an array.
    key: &'a str,
    depth: usize,
    /// Whether the keys around it are data.
    is_keyed_by_data: bool,
}

impl Place<'_> {
    fn names_a_kind(&self) -> bool {
        !self.is_keyed_by_data && (KINDS.contains(&self.key) || (self.parent, self.key) == NAMED_KIND)
    }

    fn keys_are_data(&self) -> bool {
        let named = KEYED_BY_DATA.contains(&self.key) && (self.parent, self.key) != KEYED_BY_FIELDS;
        self.is_keyed_by_data || named
    }
}

/// Masks a document, as far as it has values left to show.
struct Mask {
    left: usize,
}

impl Mask {
    fn value(&mut self, value: &Value, place: &Place<'_>) -> Value {
        let Some(left) = self.left.checked_sub(1).filter(|_| place.depth <= DEEPEST) else { return Value::from("cut") };
        self.left = left;
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(number) if number.is_f64() => json!(0.5),
            Value::Number(_) => json!(0),
            Value::String(text) if place.names_a_kind() && is_word(text) => value.clone(),
            Value::String(text) => Value::from(length(text)),
            Value::Array(elements) => self.array(elements, place),
            Value::Object(fields) => self.object(fields, place),
        }
    }

    fn array(&mut self, elements: &[Value], place: &Place<'_>) -> Value {
        let inside = Place { parent: place.key, key: "", depth: place.depth + 1, ..*place };
        let some = elements.iter().take(MOST_ELEMENTS);
        let mut shown: Vec<Value> = some.map(|element| self.value(element, &inside)).collect();
        if elements.len() > MOST_ELEMENTS {
            shown.push(Value::from(format!("{} more", elements.len() - MOST_ELEMENTS)));
        }
        shown.into()
    }

    fn object(&mut self, fields: &Map<String, Value>, place: &Place<'_>) -> Value {
        let is_keyed_by_data = place.keys_are_data();
        let mut shown = Map::new();
        for (index, (key, value)) in fields.iter().take(MOST_FIELDS).enumerate() {
            let inside = Place { parent: place.key, key, depth: place.depth + 1, is_keyed_by_data };
            let is_shown = !is_keyed_by_data && is_key(key);
            let name = if is_shown { key.clone() } else { format!("key {index} of {}", length(key)) };
            shown.insert(name, self.value(value, &inside));
        }
        if fields.len() > MOST_FIELDS {
            shown.insert("more".to_owned(), Value::from(fields.len() - MOST_FIELDS));
        }
        shown.into()
    }
}

fn length(text: &str) -> String {
    format!("{} characters", text.chars().count())
}

/// Whether a key is one of an interface, as far as its look tells: a word in one piece, or a dotted one of telemetry.
fn is_key(key: &str) -> bool {
    let is_dotted_field = DOTTED.iter().any(|start| key.starts_with(start));
    is_word(key) && !key.contains('/') && (is_dotted_field || !key.contains('.'))
}

/// Whether a text is a word of an interface: it begins with a letter, is short, has no blanks and few digits.
fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.len() <= LONGEST_WORD
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(plain)
        && digits <= MOST_DIGITS
}

/// Adds the shape of a line with its end: of a server-sent event's field, of JSON, or of text.
fn line(bytes: &[u8], limit: usize, shape: &mut String) {
    let whole = bytes.trim_ascii_end();
    let text = whole.trim_ascii_start();
    let indent = whole.get(..whole.len() - text.len()).unwrap_or_default();
    characters(indent, limit, shape);
    if let Some(value) = text.strip_prefix(b"data:") {
        shape.push_str("data: ");
        value_of(value.trim_ascii(), limit, shape);
    } else if let Some(name) = text.strip_prefix(b"event:").and_then(|name| std::str::from_utf8(name).ok()) {
        let name = name.trim();
        shape.push_str("event: ");
        if is_word(name) { shape.push_str(name) } else { characters(name.as_bytes(), limit, shape) }
    } else {
        value_of(text, limit, shape);
    }
    if bytes.ends_with(b"\n") {
        shape.push('\n');
    }
}

fn value_of(value: &[u8], limit: usize, shape: &mut String) {
    match serde_json::from_slice::<Value>(value) {
        Ok(value) => shape.push_str(&json(&value).to_string()),
        Err(_) if value == b"[DONE]" => shape.push_str("[DONE]"),
        Err(_) => characters(value, limit, shape),
    }
}

/// `x` for a letter, `0` for a digit, `?` for what is neither and not ASCII; blanks and punctuation stay.
fn characters(text: &[u8], limit: usize, shape: &mut String) {
    let head = text.get(..limit).unwrap_or(text);
    shape.extend(String::from_utf8_lossy(head).chars().map(|character| match character {
        digit if digit.is_numeric() => '0',
        letter if letter.is_alphabetic() => 'x',
        plain if plain.is_ascii_graphic() || plain == ' ' || plain == '\t' => plain,
        _ => '?',
    }));
}
