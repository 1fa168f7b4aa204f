//! The files below a folder, one at a time: what lies there may be millions.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, FileType, ReadDir};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::de::IgnoredAny;

use super::{ImportError, LeftOut};

/// Folders within folders beyond which nothing of the add-on's lies.
const DEEPEST: usize = 32;
/// Largest file that is read, in bytes. A record holds two bodies, and no editor sends or gets one near this.
const LARGEST: u64 = 128 << 20;
/// Names and passwords.
const USERS: &str = "user_auth.json";
/// The add-on's own memory of addresses, names and passwords.
const CACHE: &str = "proxy_auth_cache.json";

/// A file that may be the add-on's.
#[derive(Debug)]
pub(super) enum Found {
    /// `user_auth.json`.
    Users(PathBuf),
    /// `copilot-usage_<day>.json`.
    DayFile(NaiveDate, PathBuf),
    /// Any other `.json`.
    Record(PathBuf),
}

/// Goes through a folder and those in it. Links are not followed.
pub(super) struct Walk {
    open: Vec<(PathBuf, ReadDir)>,
    /// Our own log folder, which is passed over.
    own: Option<PathBuf>,
}

impl Walk {
    pub(super) fn new(dir: &Path, log_dir: &Path) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Read { path: dir.to_owned(), source };
        let root = dir.canonicalize().map_err(failed)?;
        let own = log_dir.canonicalize().ok();
        if own.as_ref().is_some_and(|own| root.starts_with(own)) {
            return Err(ImportError::Own(dir.to_owned()));
        }
        let listed = fs::read_dir(&root).map_err(failed)?;
        Ok(Self { open: vec![(root, listed)], own })
    }

    /// The next file; folders that cannot be read are told as left out.
    pub(super) fn next(&mut self, left_out: &mut LeftOut) -> Option<Found> {
        loop {
            let (folder, listed) = self.open.last_mut()?;
            let found = match listed.next() {
                None => {
                    self.open.pop();
                    continue;
                }
                Some(Ok(entry)) => entry.file_type().map(|kind| (entry.path(), kind)),
                Some(Err(error)) => {
                    left_out.add(folder, &error);
                    self.open.pop();
                    continue;
                }
            };
            match found {
                Ok((path, kind)) if kind.is_dir() => self.enter(path, left_out),
                Ok((path, kind)) if kind.is_file() => {
                    if let Some(found) = told_by_name(path) {
                        return Some(found);
                    }
                }
                Ok((path, kind)) => pass_over(&path, kind, left_out),
                Err(error) => left_out.add(folder, &error),
            }
        }
    }

    fn enter(&mut self, path: PathBuf, left_out: &mut LeftOut) {
        if self.own.as_ref() == Some(&path) {
            return;
        }
        if self.open.len() >= DEEPEST {
            return left_out.add(&path, &"too many folders within folders");
        }
        match fs::read_dir(&path) {
            Ok(listed) => self.open.push((path, listed)),
            Err(error) => left_out.add(&path, &error),
        }
    }
}

/// Neither a file nor a folder: a link might lead anywhere, and to read a pipe would wait for who writes to it.
fn pass_over(path: &Path, kind: FileType, left_out: &mut LeftOut) {
    if kind.is_symlink() {
        left_out.add(path, &"a symbolic link, which is not followed");
    } else if path.extension() == Some(OsStr::new("json")) {
        left_out.add(path, &"not a file");
    }
}

fn told_by_name(path: PathBuf) -> Option<Found> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let day = name.strip_prefix("copilot-usage_").and_then(|name| name.strip_suffix(".json")).map(str::parse);
    match name {
        USERS => Some(Found::Users(path)),
        CACHE => None,
        _ if let Some(Ok(day)) = day => Some(Found::DayFile(day, path)),
        _ => (path.extension() == Some(OsStr::new("json"))).then_some(Found::Record(path)),
    }
}

/// A file's bytes without a byte order mark.
pub(super) fn content(path: &Path) -> Result<Vec<u8>, String> {
    let read = |path| -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
        Ok(content)
    };
    let mut content = read(path).map_err(|error| error.to_string())?;
    if content.len() as u64 > LARGEST {
        return Err("larger than any record".to_owned());
    }
    if content.starts_with(b"\xEF\xBB\xBF") {
        content.drain(..3);
    }
    match content.trim_ascii().is_empty() {
        true => Err("empty: the add-on failed while it wrote it".to_owned()),
        false => Ok(content),
    }
}

/// The names in a `user_auth.json`; the passwords are not even read.
pub(super) fn names(path: &Path) -> Result<Vec<String>, String> {
    let names: BTreeMap<String, IgnoredAny> =
        serde_json::from_slice(&content(path)?).map_err(|error| no_json(&error))?;
    Ok(names.into_keys().collect())
}

/// Says where JSON ends to be JSON. The message of a wrong type would show the value, which may be a secret.
pub(super) fn no_json(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "cut off" } else { "no JSON of the add-on's" };
    format!("{what} (line {}, column {})", error.line(), error.column())
}
