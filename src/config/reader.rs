//! Reads a TOML file key by key, so that every fault is found at once, each with its line.
//!
//! A key that is read is taken out of its table; what is left at the end is unknown. A value from the environment stands
//! in for the file's.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::fault::{Fault, nearest};

/// Variables of the environment that override keys: `COPILENS_LISTEN`, `COPILENS_AUTH__REQUIRED`.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// Names alone: a value may be a secret.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Those of this process. Values that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn value(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().filter(|(name, _)| name.starts_with("COPILENS_")).collect())
    }
}

/// A TOML file being read, and the faults found so far.
pub(super) struct Document<'d> {
    path: &'d Path,
    text: &'d str,
    environment: &'d Environment,
    faults: RefCell<Vec<Fault>>,
    variables: RefCell<BTreeSet<String>>,
}

impl<'d> Document<'d> {
    /// Parses `text`, lets `read` take what it knows out of the root table, and tells of what is left.
    ///
    /// # Errors
    /// Every fault, in the order of lines.
    pub(super) fn read<T>(
        path: &'d Path,
        text: &'d str,
        environment: &'d Environment,
        read: impl FnOnce(&mut Section<'_, 'd>) -> T,
    ) -> Result<T, Vec<Fault>> {
        let document = Self { path, text, environment, faults: RefCell::default(), variables: RefCell::default() };
        let (root, errors) = DeTable::parse_recoverable(text);
        let syntax_faults = errors.len();
        for error in errors {
            document.fault(error.span(), error.message());
        }
        let mut section = Section::new(&document, None, root.into_inner(), 0..0);
        let value = read(&mut section);
        section.tell_unknown();
        document.tell_unknown_variables();
        let mut faults = document.faults.into_inner();
        drop_followers(&mut faults, syntax_faults);
        faults.sort();
        faults.dedup();
        if faults.is_empty() { Ok(value) } else { Err(faults) }
    }

    fn fault(&self, span: Option<Range<usize>>, message: impl Into<String>) {
        let line = span.map(|span| self.line(span.start));
        self.push(self.path.display().to_string(), line, message.into());
    }

    fn push(&self, place: String, line: Option<usize>, message: String) {
        self.faults.borrow_mut().push(Fault { place, line, message });
    }

    /// The line, from 1, of a byte offset.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + memchr::memchr_iter(b'\n', before).count()
    }

    /// Variables with one underscore between words are left alone: container platforms make such up for services.
    fn tell_unknown_variables(&self) {
        let known = self.variables.borrow();
        for variable in self.environment.0.keys().filter(|v| v.contains("__") && !known.contains(*v)) {
            let hint = did_you_mean(nearest(variable, known.iter().map(String::as_str)));
            self.push(variable.clone(), None, format!("unknown environment variable{hint}"));
        }
    }
}

/// A line that is no TOML may look like an unknown key or a bad value too: its first fault is enough.
fn drop_followers(faults: &mut Vec<Fault>, syntax_faults: usize) {
    let lines: BTreeSet<Option<usize>> = faults.iter().take(syntax_faults).map(|fault| fault.line).collect();
    let mut index = 0;
    faults.retain(|fault| {
        index += 1;
        index <= syntax_faults || !lines.contains(&fault.line)
    });
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// One table of the file while its keys are read.
pub(super) struct Section<'s, 'd> {
    document: &'s Document<'d>,
    /// `None` for the root.
    name: Option<&'static str>,
    table: DeTable<'d>,
    span: Range<usize>,
    known: Vec<&'static str>,
    overridable: bool,
}

impl<'s, 'd> Section<'s, 'd> {
    fn new(document: &'s Document<'d>, name: Option<&'static str>, table: DeTable<'d>, span: Range<usize>) -> Self {
        Self { document, name, table, span, known: Vec::new(), overridable: true }
    }

    /// A value as it stands.
    pub(super) fn value<T: DeserializeOwned>(&mut self, key: &'static str, default: T) -> T {
        self.parse(key, default, Ok::<T, String>)
    }

    /// A value that `parse` makes of the raw one.
    pub(super) fn parse<R, T, E>(&mut self, key: &'static str, default: T, parse: impl Fn(R) -> Result<T, E>) -> T
    where
        R: DeserializeOwned,
        E: Display,
    {
        self.optional(key, parse).unwrap_or(default)
    }

    /// As [`Section::parse`], where a missing or faulty value is `None`.
    pub(super) fn optional<R, T, E>(&mut self, key: &'static str, parse: impl Fn(R) -> Result<T, E>) -> Option<T>
    where
        R: DeserializeOwned,
        E: Display,
    {
        if let Some((variable, raw)) = self.variable(key) {
            let result = from_variable(raw).and_then(|raw| parse(raw).map_err(|error| error.to_string()));
            return result.map_err(|message| self.document.push(variable, None, message)).ok();
        }
        let value = self.take(key)?;
        self.convert(key, value, parse)
    }

    /// As [`Section::optional`], where a missing key is a fault.
    pub(super) fn required<R, T, E>(&mut self, key: &'static str, parse: impl Fn(R) -> Result<T, E>) -> Option<T>
    where
        R: DeserializeOwned,
        E: Display,
    {
        if !self.table.contains_key(key) {
            self.fault(format!("a {key} is missing: write {key} = \"...\""));
        }
        self.optional(key, parse)
    }

    /// A list, each element parsed by itself so that each faulty one is told; a missing or faulty list is `None`.
    pub(super) fn list<R, T, E>(&mut self, key: &'static str, parse: impl Fn(R) -> Result<T, E>) -> Option<Vec<T>>
    where
        R: DeserializeOwned,
        E: Display,
    {
        if let Some((variable, raw)) = self.variable(key) {
            let parsed = from_variable::<Vec<R>>(raw)
                .and_then(|raws| raws.into_iter().map(|raw| parse(raw).map_err(|error| error.to_string())).collect());
            return parsed.map_err(|message| self.document.push(variable, None, message)).ok();
        }
        let value = self.take(key)?;
        match array(value) {
            Ok(values) => Some(values.into_iter().filter_map(|value| self.convert(key, value, &parse)).collect()),
            Err(span) => {
                self.document.fault(Some(span), format!("{key}: a list is needed, such as [\"a\", \"b\"]"));
                None
            }
        }
    }

    /// A table of the file, read by `read`; unknown keys in it are told.
    pub(super) fn section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'s, 'd>) -> T) -> T {
        let (table, span) = match self.take(name).map(table) {
            Some(Ok(found)) => found,
            Some(Err(span)) => {
                self.document.fault(Some(span), format!("{name} is a section: write [{name}]"));
                (DeTable::new(), 0..0)
            }
            None => (DeTable::new(), 0..0),
        };
        let mut section = Self::new(self.document, Some(name), table, span);
        let value = read(&mut section);
        section.tell_unknown();
        value
    }

    /// Every table of an array such as `[[user]]`, which the environment does not override.
    pub(super) fn tables(&mut self, name: &'static str, mut read: impl FnMut(&mut Section<'s, 'd>)) {
        let Some(value) = self.take(name) else { return };
        let values = array(value).unwrap_or_else(|span| {
            self.document.fault(Some(span), format!("begin each entry with [[{name}]]"));
            Vec::new()
        });
        for value in values {
            match table(value) {
                Ok((table, span)) => {
                    let mut section = Self::new(self.document, Some(name), table, span);
                    section.overridable = false;
                    read(&mut section);
                    section.tell_unknown();
                }
                Err(span) => self.document.fault(Some(span), format!("begin each entry with [[{name}]]")),
            }
        }
    }

    /// Tells of a fault of this table as a whole.
    pub(super) fn fault(&self, message: impl Into<String>) {
        self.document.fault(Some(self.span.clone()), message);
    }

    /// Where in the text the table begins.
    pub(super) fn offset(&self) -> usize {
        self.span.start
    }

    /// The line, from 1, of a place in the text.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.document.line(offset)
    }

    fn variable(&mut self, key: &'static str) -> Option<(String, &'d str)> {
        if !self.overridable {
            return None;
        }
        let name = match self.name {
            Some(section) => format!("COPILENS_{section}__{key}").to_ascii_uppercase(),
            None => format!("COPILENS_{key}").to_ascii_uppercase(),
        };
        self.document.variables.borrow_mut().insert(name.clone());
        let raw = self.document.environment.value(&name)?;
        self.take(key);
        Some((name, raw))
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn convert<R, T, E>(&self, key: &str, value: Spanned<DeValue<'d>>, parse: impl Fn(R) -> Result<T, E>) -> Option<T>
    where
        R: DeserializeOwned,
        E: Display,
    {
        let span = value.span();
        let result = R::deserialize(ValueDeserializer::from(value)).map_err(|error| error.message().to_owned());
        match result.and_then(|raw| parse(raw).map_err(|error| error.to_string())) {
            Ok(value) => Some(value),
            Err(message) => {
                self.document.fault(Some(span), format!("{key}: {message}"));
                None
            }
        }
    }

    fn tell_unknown(&self) {
        for (key, value) in &self.table {
            let key_name: &Cow<'_, str> = key.get_ref();
            let kind = if self.name.is_none() && value.get_ref().is_table() { "section" } else { "key" };
            let place = self.name.map(|name| format!(" in [{name}]")).unwrap_or_default();
            let hint = did_you_mean(nearest(key_name, self.known.iter().copied()));
            self.document.fault(Some(key.span()), format!("unknown {kind} \"{key_name}\"{place}{hint}"));
        }
    }
}

/// A variable's value: as TOML where that gives what is needed, else as a bare string.
fn from_variable<R: DeserializeOwned>(raw: &str) -> Result<R, String> {
    let as_toml = ValueDeserializer::parse(raw).map(R::deserialize);
    if let Ok(Ok(value)) = as_toml {
        return Ok(value);
    }
    let bare = Spanned::new(0..raw.len(), DeValue::String(Cow::Borrowed(raw)));
    let as_string = R::deserialize(ValueDeserializer::from(bare));
    // What TOML says of a value that is TOML is nearer to what was meant.
    as_string.map_err(|error| as_toml.ok().and_then(Result::err).unwrap_or(error).message().to_owned())
}

fn array(value: Spanned<DeValue<'_>>) -> Result<Vec<Spanned<DeValue<'_>>>, Range<usize>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(values) => Ok(values.into_iter().collect()),
        _ => Err(span),
    }
}

fn table(value: Spanned<DeValue<'_>>) -> Result<(DeTable<'_>, Range<usize>), Range<usize>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok((table, span)),
        _ => Err(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[derive(Debug, PartialEq)]
    struct Sample {
        name: String,
        number: u8,
        ports: Vec<u16>,
    }

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Sample, Vec<String>> {
        let environment = environment(variables);
        let result = Document::read(Path::new("a.toml"), text, &environment, |root| {
            let name = root.value("name", "x".to_owned());
            root.section("inner", |inner| Sample {
                name: name.clone(),
                number: inner.parse("number", 7, |n: u8| if n < 100 { Ok(n) } else { Err("too much") }),
                ports: inner
                    .list("ports", |port: u16| if port > 0 { Ok(port) } else { Err("not 0") })
                    .unwrap_or_else(|| vec![1]),
            })
        });
        result.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn sample(name: &str, number: u8, ports: &[u16]) -> Result<Sample, Vec<String>> {
        Ok(Sample { name: name.to_owned(), number, ports: ports.to_vec() })
    }

    #[test]
    fn what_is_missing_has_its_default() {
        assert_eq!(read("", &[]), sample("x", 7, &[1]));
        assert_eq!(read("name = 'y'\n[inner]\nports = [5, 6]", &[]), sample("y", 7, &[5, 6]));
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "nam = 'y'\n\n[inner]\nnumber = 200\nports = [0,\n 'a', 3, 0]\n[iner]\n";
        insta::assert_snapshot!(read(text, &[]).unwrap_err().join("\n"), @r#"
        a.toml:1: unknown key "nam"; did you mean "name"?
        a.toml:4: number: too much
        a.toml:5: ports: not 0
        a.toml:6: ports: invalid type: string "a", expected u16
        a.toml:6: ports: not 0
        a.toml:7: unknown section "iner"; did you mean "inner"?
        "#);
    }

    #[test]
    fn syntax_faults_do_not_hide_the_others() {
        let text = "name = \n[inner]\nnumber = 'x'\nports = [1\n";
        let faults = read(text, &[]).unwrap_err();
        assert!(faults[0].starts_with("a.toml:1: "), "{faults:?}");
        assert!(faults.iter().any(|f| f.starts_with("a.toml:3: number: invalid type")), "{faults:?}");
        assert_eq!(faults.iter().filter(|f| f.starts_with("a.toml:1:")).count(), 1, "{faults:?}");
    }

    #[test]
    fn the_environment_overrides_and_is_checked_alike() {
        let variables = [("COPILENS_NAME", "2026"), ("COPILENS_INNER__PORTS", "[8]"), ("COPILENS_INNER__NUMBER", "9")];
        assert_eq!(read("[inner]\nnumber = 200", &variables), sample("2026", 9, &[8]));
        let variables = [
            ("COPILENS_INNER__NUMBER", "200"),
            ("COPILENS_INNER__PORTS", "8"),
            ("COPILENS_INNER__PORT", "1"),
            ("COPILENS_SERVICE_PORT", "tcp://10.0.0.1:80"),
            ("HOME", "/root"),
        ];
        assert!(!format!("{:?}", environment(&variables)).contains("10.0.0.1"));
        insta::assert_snapshot!(read("", &variables).unwrap_err().join("\n"), @r#"
        COPILENS_INNER__NUMBER: too much
        COPILENS_INNER__PORT: unknown environment variable; did you mean "COPILENS_INNER__PORTS"?
        COPILENS_INNER__PORTS: invalid type: integer `8`, expected a sequence
        "#);
    }
}
