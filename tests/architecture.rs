//! The design's rules that a compiler does not check: who may import whom, who may do I/O, how long things may be, and
//! what they must not be called.
//!
//! The sources are read as text: rustfmt's layout makes that reliable enough, and a rule that fails names file and line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom; imports go downward only.
const LAYERS: [&[&str]; 8] = [
    &["main"],
    &["cli"],
    &["app"],
    &["proxy", "admin"],
    &["recorder", "reports"],
    &["spool", "store", "certs"],
    &["config", "identity", "metrics"],
    &["usage", "copilot", "exchange"],
];

/// Imports within a layer, in this direction alone.
const SIDEWAYS: [(&str, &str); 4] =
    [("config", "identity"), ("usage", "copilot"), ("usage", "exchange"), ("copilot", "exchange")];

/// The simulation stands beside the layers: the command line starts it, and it needs nothing that is above this module.
const SIMULATION: &str = "sim";
const SIMULATION_CEILING: &str = "certs";

/// Modules of pure functions.
const PURE: [&str; 3] = ["copilot", "usage", "exchange"];
/// What a pure function has no business with: files, sockets, processes, the environment, threads and the clock.
const IMPURE: [&str; 12] = [
    "fs::",
    "tokio",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "process::",
    "env::",
    "thread::",
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "println!",
];

const MAX_FILE: usize = 500;
const LONG_FILE: usize = 400;
const MAX_FUNCTION: usize = 60;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];

/// A source file, with its path from the crate's root.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Lines of code with their numbers; comments are left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The module below the crate's root that the file belongs to: `proxy` for `src/proxy/tap.rs`.
    fn module(&self) -> &str {
        let below_src = self.path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
        below_src.strip_suffix(".rs").unwrap_or(below_src)
    }

    /// How many `super::` lead from the file to the crate's root.
    fn depth(&self) -> usize {
        let components = self.path.components().count() - 1;
        if self.path.ends_with("mod.rs") { components - 1 } else { components }
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path.display())
    }
}

/// Every `.rs` file below a folder of the crate.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root).unwrap().to_owned(), text });
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}\n{}", faults.join("\n"));
}

/// The modules below the crate's root that a line of code names.
fn named_modules(line: &str, depth: usize) -> Vec<&str> {
    let to_root = "super::".repeat(depth);
    let mut paths: Vec<&str> = line.split("crate::").skip(1).chain(line.split("copilens::").skip(1)).collect();
    paths.extend(line.match_indices(&*to_root).filter_map(|(start, found)| line.get(start + found.len()..)));
    paths.into_iter().flat_map(first_segments).collect()
}

/// `a` of `a::b`; `a` and `c` of `{a::b, c}`.
fn first_segments(path: &str) -> Vec<&str> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let segment = |path: &'_ str| path.trim_start().split(|character| !is_name(character)).next().unwrap().len();
    match path.strip_prefix('{') {
        Some(group) => group.split(',').map(|path| &path.trim_start()[..segment(path)]).collect(),
        None => vec![&path[..segment(path)]],
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn may_import(from: &str, to: &str) -> bool {
    if from == to || SIDEWAYS.contains(&(from, to)) {
        return true;
    }
    match (layer(from), layer(to)) {
        (Some(from), Some(to)) => from < to,
        (Some(_), None) => to == SIMULATION && from == "cli",
        (None, Some(to)) => to >= layer(SIMULATION_CEILING).unwrap(),
        (None, None) => false,
    }
}

fn is_module(name: &str) -> bool {
    name == SIMULATION || layer(name).is_some()
}

#[test]
fn imports_go_downward_only() {
    let mut faults = Vec::new();
    for source in sources("src").iter().filter(|source| source.module() != "lib") {
        assert!(is_module(source.module()), "{} has no place among the layers", source.path.display());
        for (number, line) in source.code() {
            if line.ends_with("crate::{") {
                faults.push(source.at(number, "a list of modules over several lines: one `use` for each"));
            }
            for to in named_modules(line, source.depth()).into_iter().filter(|name| is_module(name)) {
                if !may_import(source.module(), to) {
                    faults.push(source.at(number, &format!("{} must not use {to}: {}", source.module(), line.trim())));
                }
            }
        }
    }
    assert_none("imports go downward only, through main, cli, app, ... (see LAYERS)", &faults);
}

#[test]
fn what_understands_copilot_and_counts_usage_is_pure() {
    let mut faults = Vec::new();
    for source in sources("src").iter().filter(|source| PURE.contains(&source.module())) {
        for (number, line) in source.code() {
            let found = IMPURE.iter().filter(|word| line.contains(*word));
            faults.extend(found.map(|word| source.at(number, &format!("{word} in {}", line.trim()))));
        }
    }
    assert_none("no I/O, no tokio and no clock in copilot, usage and exchange", &faults);
}

#[test]
fn every_file_says_why_it_exists() {
    let all = sources("src").into_iter().chain(sources("tests"));
    let silent: Vec<_> =
        all.filter(|source| !source.text.starts_with("//! ")).map(|source| source.at(1, "no //!")).collect();
    assert_none("every file begins with //! and a word on why it exists", &silent);
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let lines = source.text.lines().count();
        if lines > LONG_FILE {
            println!("long: {} has {lines} lines", source.path.display());
        }
        if lines > MAX_FILE {
            faults.push(source.at(lines, &format!("more than {MAX_FILE} lines")));
        }
    }
    assert_none("a file with this many lines has more than one subject", &faults);
}

/// First and last line of each function, by rustfmt's layout: a body ends at the indentation at which it began.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |(_, line): &(usize, &&str)| is_function_head(line.trim_start());
    let spans = lines.iter().enumerate().filter(begins).map(|(first, head)| {
        let indent = &head[..head.len() - head.trim_start().len()];
        let ends = |line: &&str| {
            line.strip_prefix(indent).is_some_and(|rest| rest == "}" || rest.starts_with(')') && rest.ends_with(';'))
        };
        let is_whole = head.ends_with([';', '}']);
        let length = if is_whole { Some(0) } else { lines[first..].iter().position(ends) };
        (first + 1, first + 1 + length.unwrap_or(0))
    });
    spans.collect()
}

/// What precedes a file's tests, which may hold a long snapshot.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap()
}

fn is_function_head(line: &str) -> bool {
    let before = line.split_once("fn ").map(|(before, _)| before);
    before.is_some_and(|before| {
        before.split_whitespace().all(|word| ["const", "async", "extern"].contains(&word) || word.starts_with("pub"))
    })
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    let mut count = 0;
    for source in sources("src") {
        for (first, last) in functions(without_tests(&source.text)) {
            count += 1;
            let length = last - first + 1;
            if length > MAX_FUNCTION {
                faults.push(source.at(first, &format!("{length} lines")));
            }
        }
    }
    assert!(count > 500, "only {count} functions were found");
    assert_none("a function this long does more than one thing", &faults);
}

/// The name that a line defines, if it defines a module or a type.
fn defined_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| rest.split_once(' ').map_or(rest, |(_, rest)| rest));
    let keywords = ["mod ", "struct ", "enum ", "trait ", "type "];
    let rest = keywords.iter().find_map(|keyword| line.strip_prefix(keyword))?;
    rest.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').next()
}

fn says_nothing(name: &str) -> bool {
    EMPTY_NAMES.contains(&name.to_lowercase().as_str()) || name.ends_with("Manager") || name.ends_with("_manager")
}

#[test]
fn names_say_what_is_inside() {
    let mut faults = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let stem = source.path.file_stem().unwrap().to_str().unwrap().to_owned();
        let defined = source.code().filter_map(|(number, line)| Some((number, defined_name(line)?.to_owned())));
        let named = defined.chain([(1, stem)]).filter(|(_, name)| says_nothing(name));
        faults.extend(named.map(|(number, name)| source.at(number, &name)));
    }
    assert_none("a name says what the thing is for", &faults);
}

#[test]
fn the_rules_can_be_broken() {
    assert_eq!(named_modules("use crate::{proxy::Tap, store};", 2), ["proxy", "store"]);
    assert_eq!(named_modules("    let user = crate::identity::User::new();", 1), ["identity"]);
    assert_eq!(named_modules("use super::super::admin;", 2), ["admin"]);
    assert!(named_modules("use super::tap;", 2).is_empty());
    assert!(may_import("config", "identity") && !may_import("identity", "config"));
    assert!(may_import("recorder", "copilot") && !may_import("copilot", "recorder"));
    assert!(!may_import("proxy", "admin") && !may_import("proxy", "sim") && !may_import("sim", "proxy"));
    assert_eq!(
        functions("fn a() {\n    b();\n}\n\npub async fn c(\n    d: u8,\n) -> u8 {\n    d\n}\n"),
        [(1, 3), (5, 9)]
    );
    assert_eq!(functions("trait A {\n    fn b(\n        c: u8,\n    ) -> u8;\n    fn d();\n}\n"), [(2, 4), (5, 5)]);
    assert!(!is_function_head("// a fn in a comment") && !is_function_head("let f: fn () = g;"));
    assert_eq!(defined_name("pub(crate) struct PoolManager {"), Some("PoolManager"));
    assert!(says_nothing("PoolManager") && says_nothing("utils") && !says_nothing("Pool"));
}
