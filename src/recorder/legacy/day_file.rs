//! The add-on's day files: what it counted of whom.
//!
//! The older shape has `chat` {editor: n} and `completions` {editor: {language: n}}. The newer one has `chat` {action: {`chat_turns`,
//! `editor_version`: {editor: {`count`, `models`: {model: n}}}}}, `completions` {editor: {`count`, `models`: {model: {`count`,
//! `languages`: {language: n}}}}}, and `extension` like `chat`, by the extension's name. Versions between have some of each, so
//! each part is read by its own looks.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::NaiveDate;
use serde_json::{Map, Value};

use super::walk::no_json;
use super::{LeftOut, label, language};
use crate::copilot::vocabulary::Kind;
use crate::identity::UserName;
use crate::usage::UNKNOWN;

/// More exchanges than anybody has in a day: 100,000 users with 100 each.
const MOST: u64 = 10_000_000;

/// What the counts of records and of day files are compared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) user: String,
    pub(super) kind: Kind,
    pub(super) editor: String,
    /// Of completions alone: the add-on does not count chat by it.
    pub(super) language: Option<String>,
}

/// What a day file tells beside the cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) model: Option<String>,
    /// The add-on's action type, or an extension's name.
    pub(super) action: Option<String>,
}

/// The counts of a day, by cell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DayCounts(pub(super) BTreeMap<Cell, Vec<(Detail, u64)>>);

impl DayCounts {
    /// Adds what a day file counts; says whether it is one. What of it cannot be used is told as left out.
    pub(super) fn add(&mut self, day: NaiveDate, path: &Path, text: &[u8], left_out: &mut LeftOut) -> bool {
        let users = match read(day, text) {
            Ok(users) => users,
            Err(reason) => {
                left_out.add(path, &reason);
                return false;
            }
        };
        for (user, usage) in &users {
            match user.parse::<UserName>() {
                Ok(name) => self.add_user(name.as_str(), usage),
                Err(error) => left_out.add(path, &format!("a user in it has no name that copilens can have: {error}")),
            }
        }
        true
    }

    fn add_user(&mut self, user: &str, usage: &Value) {
        let part = |name: &str| usage.get(name).and_then(Value::as_object).into_iter().flatten();
        let mut chat = 0;
        for (name, value) in part("chat").chain(part("extension")) {
            chat += match value.get("editor_version").and_then(Value::as_object) {
                Some(editors) => {
                    editors.iter().map(|(editor, value)| self.add_chat(user, editor, Some(name), value)).sum::<u64>()
                }
                None => self.add_chat(user, name, None, value),
            };
        }
        let completions = part("completions").map(|(editor, value)| self.add_completions(user, editor, value)).sum();
        // What a total has beyond its parts is of no known editor.
        let beyond = |total: u64, parts: u64| total.saturating_sub(parts);
        let turns = number(usage, "chat_turns") + number(usage, "extension_count");
        self.count(cell(user, Kind::Chat, UNKNOWN, None), Detail::default(), beyond(turns, chat));
        let completed = beyond(number(usage, "completions_count"), completions);
        self.count(cell(user, Kind::Completions, UNKNOWN, None), Detail::default(), completed);
    }

    /// The chat turns in an editor: a number, or `count` with `models`.
    fn add_chat(&mut self, user: &str, editor: &str, action: Option<&String>, value: &Value) -> u64 {
        let cell = cell(user, Kind::Chat, editor, None);
        let detail = |model: Option<&String>| Detail { model: model.and_then(named), action: action.cloned() };
        let mut parts = 0;
        for (model, count) in object(value, "models") {
            parts += self.count(cell.clone(), detail(Some(model)), amount(count));
        }
        parts + self.count(cell, detail(None), total(value).saturating_sub(parts))
    }

    /// The completions in an editor: a number, {language: n}, or `count` with `models`.
    fn add_completions(&mut self, user: &str, editor: &str, value: &Value) -> u64 {
        let of_no_language = cell(user, Kind::Completions, editor, None);
        if !value.get("models").is_some_and(Value::is_object) {
            let parts = self.add_languages(user, editor, &Detail::default(), value);
            return parts + self.count(of_no_language, Detail::default(), amount(value));
        }
        let mut parts = 0;
        for (model, value) in object(value, "models") {
            let languages = value.get("languages").unwrap_or(&Value::Null);
            let detail = Detail { model: named(model), action: None };
            let known = self.add_languages(user, editor, &detail, languages);
            parts += known + self.count(of_no_language.clone(), detail, total(value).saturating_sub(known));
        }
        parts + self.count(of_no_language, Detail::default(), total(value).saturating_sub(parts))
    }

    fn add_languages(&mut self, user: &str, editor: &str, detail: &Detail, languages: &Value) -> u64 {
        let mut parts = 0;
        for (name, count) in languages.as_object().into_iter().flatten() {
            let cell = cell(user, Kind::Completions, editor, language(name));
            parts += self.count(cell, detail.clone(), amount(count));
        }
        parts
    }

    fn count(&mut self, cell: Cell, detail: Detail, count: u64) -> u64 {
        if count > 0 {
            let details = self.0.entry(cell).or_default();
            match details.iter_mut().find(|(known, _)| *known == detail) {
                Some((_, sum)) => *sum += count,
                None => details.push((detail, count)),
            }
        }
        count
    }
}

/// The users of a day file.
fn read(day: NaiveDate, text: &[u8]) -> Result<Map<String, Value>, String> {
    let mut file: Value = serde_json::from_slice(text).map_err(|error| no_json(&error))?;
    if let Some(told) = file.get("day").and_then(Value::as_str).and_then(|told| told.parse::<NaiveDate>().ok()) {
        // Around midnight the add-on wrote the new day into the old one's file.
        let is_near = (told - day).num_days().abs() <= 1;
        is_near.then_some(()).ok_or_else(|| format!("its name says {day}, but it is of {told}"))?;
    }
    let Some(Value::Object(users)) = file.get_mut("usage").map(Value::take) else {
        return Err("no day file of the add-on's: it lacks `usage`".to_owned());
    };
    if users.values().any(|usage| usage.get("interactions").is_some()) {
        return Err("a day file of copilens' own".to_owned());
    }
    let counted = users.values().map(greatest_sum).fold(0, u64::saturating_add);
    (counted <= MOST).then_some(users).ok_or_else(|| format!("it counts more than {MOST} exchanges, which no day has"))
}

/// The sum of all numbers, which is no less than what is counted.
fn greatest_sum(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields.values().map(greatest_sum).fold(0, u64::saturating_add),
        value => amount(value),
    }
}

fn cell(user: &str, kind: Kind, editor: &str, language: Option<String>) -> Cell {
    Cell { user: user.to_owned(), kind, editor: label(editor), language }
}

fn object<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).map_or(0, amount)
}

/// A number that counts something.
fn amount(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A number, or the `count` beside its parts.
fn total(value: &Value) -> u64 {
    amount(value).max(number(value, "count"))
}

/// A model's name.
fn named(name: &String) -> Option<String> {
    (name != UNKNOWN && !name.is_empty() && name.len() <= 100).then(|| name.clone())
}
