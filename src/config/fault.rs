//! What is wrong with the configuration: every fault at once, each with its place and what to do.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

/// One fault: where, and what. Shown on one line, whatever it quotes: control characters are escaped.
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
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        for character in format!("{}{line}: {}", self.place, self.message).chars() {
            if character.is_control() { write!(f, "{}", character.escape_default())? } else { f.write_char(character)? }
        }
        Ok(())
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
    fn a_fault_is_one_line_whatever_it_quotes() {
        let fault = Fault { place: "A\n__B".to_owned(), line: None, message: "\"é\t\u{1b}\" is no size".to_owned() };
        assert_eq!(fault.to_string(), r#"A\n__B: "é\t\u{1b}" is no size"#);
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
