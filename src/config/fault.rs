//! What is wrong with the configuration: every fault at once, each with its place and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// One fault: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, or the environment variable.
    pub place: String,
    /// Line in the file, from 1; `None` where the fault is the file's as a whole.
    pub line: Option<usize>,
    /// What is wrong and what to do. Never holds a secret.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.place, self.message),
            None => write!(f, "{}: {}", self.place, self.message),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its contents, one fault a line.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The process's exit code (sysexits.h): 78 for faults, 74 for input and output.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Faults(_) => 78,
            Self::Io { .. } => 74,
        }
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// A fault of a whole file.
    pub(super) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self::Faults(vec![Fault { place: path.display().to_string(), line: None, message: message.into() }])
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The candidate that `text` is most likely a misspelling of, for "did you mean".
#[must_use]
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = text.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= (text.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_show_one_a_line() {
        let fault = |line, message: &str| Fault { place: "a.toml".to_owned(), line, message: message.to_owned() };
        let error = Error::Faults(vec![fault(Some(3), "bad"), fault(None, "worse")]);
        assert_eq!(error.to_string(), "a.toml:3: bad\na.toml: worse");
        assert_eq!(error.exit_code(), 78);
    }

    #[test]
    fn suggestions_are_near_or_none() {
        let keys = ["listen", "log_dir", "admin_listen"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("Log_Dir", keys), Some("log_dir"));
        assert_eq!(nearest("logdri", keys), Some("log_dir"));
        assert_eq!(nearest("colour", keys), None);
    }
}
