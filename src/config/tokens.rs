//! `tokens.toml`, beside the admin token: the bearer tokens of the admin listener, as digests.
//!
//! `copilens tokens` writes it. The running proxy looks at the file at every use, so a token works, and ceases to work, from
//! the next request on. The file is made by a program for a program: comments in it do not survive.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use super::fault::{Error, nearest};
use super::reader::{Document, Environment, Section};
use crate::identity::secret_file::{self, FileId, Problem};
use crate::identity::{Scope, Token, TokenDigest, UserName};

const FILE_NAME: &str = "tokens.toml";
const HEADER: &str =
    "# Bearer tokens of the admin listener. `copilens tokens` writes this file; it holds digests, no tokens.\n\n";
/// A file may change again, unseen, within this time of its last change: that long the grain of times on disks is at most
/// (FAT's two seconds).
const GRAIN: Duration = Duration::from_secs(2);

/// One token, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenEntry {
    /// Whom or what it was made for; unique without regard to case.
    pub name: UserName,
    /// What it opens.
    pub scope: Scope,
    /// What the token is known by.
    pub sha256: TokenDigest,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it opens nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl TokenEntry {
    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Why the tokens were not changed. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is none of this name.
    #[error("{}: no token \"{name}\"{}", path.display(), near.as_deref().map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// A name in the file that may be meant.
        near: Option<String>,
    },
    /// The name is taken, be it in another case or by a token that has expired.
    #[error("{}: token \"{taken}\" is already there; `copilens tokens remove {taken}` makes room for a new one", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// The name as the file spells it.
        taken: UserName,
    },
    /// The file has faults already, or cannot be read or written.
    #[error(transparent)]
    File(#[from] Error),
}

impl TokenError {
    /// The process's exit code (sysexits.h): 64 for a wrong name, else that of the file's error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown { .. } | Self::Exists { .. } => 64,
            Self::File(error) => error.exit_code(),
        }
    }
}

/// Where the tokens are, given the admin token's file (`admin.token_file`).
#[must_use]
pub fn path(admin_token: &Path) -> PathBuf {
    admin_token.with_file_name(FILE_NAME)
}

/// The tokens in a file; none where there is no file.
///
/// # Errors
/// Every fault of it; that it cannot be read, or that others than its owner could.
pub fn load(path: &Path) -> Result<Vec<TokenEntry>, Error> {
    match secret_file::read(path) {
        Ok(text) => parse(path, &text),
        Err(error) if matches!(error.problem, Problem::Missing) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<TokenEntry>, Error> {
    let environment = Environment::default();
    let entries = Document::read(path, text, &environment, |root| {
        let mut entries = Vec::new();
        let mut known = HashMap::new();
        root.tables("token", |entry| entries.extend(read_entry(entry, &mut known)));
        entries
    });
    entries.map_err(Error::Faults)
}

/// `known` has the place of every name, in lower case, that came before.
fn read_entry(entry: &mut Section<'_, '_>, known: &mut HashMap<String, usize>) -> Option<TokenEntry> {
    let name = entry.required("name", |text: String| text.parse::<UserName>());
    let scope = entry.required("scope", |text: String| text.parse::<Scope>());
    let sha256 = entry.required("sha256", |text: String| TokenDigest::parse(&text));
    let created_at = entry.required("created_at", time);
    let expires_at = entry.optional("expires_at", time);
    let name = name?;
    if let Some(offset) = known.insert(name.folded(), entry.offset()) {
        let line = entry.line_of(offset);
        entry.fault(format!("token \"{name}\" is already on line {line}; names must differ in more than case"));
    }
    Some(TokenEntry { name, scope: scope?, sha256: sha256?, created_at: created_at?, expires_at })
}

#[expect(clippy::needless_pass_by_value, reason = "what Section::required hands over")]
fn time(text: String) -> Result<DateTime<Utc>, &'static str> {
    let time = DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc());
    time.map_err(|_| "a time is needed, such as \"2026-01-31T00:00:00Z\"")
}

/// Makes a token and adds its digest to the file beside the admin token's, which is made where there is none.
///
/// # Errors
/// When the name is taken, or the file has faults or cannot be read or written.
pub fn add(
    admin_token: &Path,
    name: UserName,
    scope: Scope,
    (now, expires_at): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Result<Token, TokenError> {
    let path = path(admin_token);
    let _alone = lock(&path);
    let mut entries = load(&path)?;
    if let Some(taken) = entries.iter().find(|entry| entry.name.folded() == name.folded()) {
        return Err(TokenError::Exists { taken: taken.name.clone(), path });
    }
    let token = Token::generate().map_err(|error| Error::io(&path, error))?;
    let sha256 = TokenDigest::of(token.reveal().as_bytes());
    let whole = |time: DateTime<Utc>| time.trunc_subsecs(0);
    entries.push(TokenEntry { name, scope, sha256, created_at: whole(now), expires_at: expires_at.map(whole) });
    write(&path, admin_token, &entries)?;
    Ok(token)
}

/// Removes a token, which opens nothing from then on.
///
/// # Errors
/// When there is none of this name, or the file has faults or cannot be read or written.
pub fn remove(admin_token: &Path, name: &str) -> Result<(), TokenError> {
    let path = path(admin_token);
    let _alone = lock(&path);
    let mut entries = load(&path)?;
    let Some(index) = entries.iter().position(|entry| entry.name.as_str() == name) else {
        let near = nearest(name, entries.iter().map(|entry| entry.name.as_str())).map(str::to_owned);
        return Err(TokenError::Unknown { name: name.to_owned(), near, path });
    };
    entries.remove(index);
    Ok(write(&path, admin_token, &entries)?)
}

fn write(path: &Path, admin_token: &Path, entries: &[TokenEntry]) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Contents<'a> {
        token: &'a [TokenEntry],
    }
    let text =
        toml::to_string(&Contents { token: entries }).map_err(|error| Error::io(path, io::Error::other(error)))?;
    let text = format!("{HEADER}{text}");
    // What runs reads the admin token, so it can read what belongs to the same owner.
    secret_file::replace(path, &text, &[path, admin_token]).map_err(|error| Error::io(path, error))
}

/// Keeps two commands from losing each other's change, where the system can lock a folder: no lock file is left behind.
fn lock(path: &Path) -> Option<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// The tokens of the running proxy: those of the file as it is at each use.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    seen: Mutex<Option<Seen>>,
}

/// The file as it was read last.
#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    is_final: bool,
    entries: Arc<[TokenEntry]>,
    fault: Option<String>,
}

/// What differs when a file does: which one it is, its length, its last change, who may read it. An error's kind where it
/// cannot be looked at.
type Stamp = Result<(Option<FileId>, u64, Option<SystemTime>, fs::Permissions), io::ErrorKind>;

impl Tokens {
    /// Of the file beside the admin token's, which need not be there.
    #[must_use]
    pub fn beside(admin_token: &Path) -> Self {
        Self { path: path(admin_token), seen: Mutex::default() }
    }

    /// What the token of this digest opens; `None` for one that is not in the file, and for one that has expired. Looks at
    /// the file, so it may block.
    #[must_use]
    pub fn scope(&self, token: TokenDigest, now: DateTime<Utc>) -> Option<Scope> {
        // Every entry is compared, so that the time tells nothing of the place.
        let entries = self.current();
        let found = entries.iter().fold(None, |found, entry| if entry.sha256 == token { Some(entry) } else { found });
        found.filter(|entry| !entry.is_expired(now)).map(|entry| entry.scope)
    }

    /// A faulty file is as good as none: its tokens open nothing until it is mended.
    fn current(&self) -> Arc<[TokenEntry]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if let Some(seen) = seen.as_ref().filter(|seen| seen.is_final && seen.stamp == stamp) {
            return Arc::clone(&seen.entries);
        }
        let (entries, fault) = match load(&self.path) {
            Ok(entries) => (entries.into(), None),
            Err(error) => (Arc::default(), Some(error.to_string())),
        };
        let told = seen.as_ref().and_then(|seen| seen.fault.as_ref());
        if let Some(fault) = fault.as_ref().filter(|fault| told != Some(fault)) {
            tracing::error!(fault, "no token opens the admin listener but the admin token");
        }
        *seen = Some(Seen { is_final: is_final(&stamp), stamp, entries: Arc::clone(&entries), fault });
        entries
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).map_err(|error| error.kind())?;
    Ok((FileId::of(&metadata).ok(), metadata.len(), metadata.modified().ok(), metadata.permissions()))
}

/// Whether a later change would show in the stamp.
fn is_final(stamp: &Stamp) -> bool {
    match stamp {
        Ok((_, _, Some(modified), _)) => SystemTime::now().duration_since(*modified).is_ok_and(|age| age > GRAIN),
        Ok(_) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests;
