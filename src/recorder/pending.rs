//! Completions that nobody has seen yet: fetched ahead of need, or cancelled while they came. Their records wait here until
//! telemetry tells that they were shown, a day at most.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::files::{FileError, RecordFiles, refuse_links};
use super::record::Record;
use crate::identity::UserName;
use crate::usage::{IdDigest, id_digest};

/// How long a record waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// A record that waits, and what else its file's name needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Where the client was.
    pub(super) client: IpAddr,
    /// The record as it was classed.
    pub(super) record: Record,
}

/// The folder of records that wait, by user and request.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    files: RecordFiles,
}

impl Pending {
    pub(super) fn new(files: RecordFiles) -> Self {
        Self { files }
    }

    /// Keeps a record until its request is told to have been shown.
    pub(super) fn keep(&self, request_id: &str, waiting: &Waiting) -> Result<(), FileError> {
        let path = self.path(&waiting.record.user, id_digest(request_id))?;
        let text = serde_json::to_vec(waiting).map_err(|error| FileError::write(&path, error.into()))?;
        self.files.replace(&path, &text)
    }

    /// All requests that wait, by user and the digest of their id.
    pub(super) fn all(&self) -> io::Result<BTreeSet<(String, IdDigest)>> {
        let mut all = BTreeSet::new();
        for folder in entries(&self.files.pending_dir())? {
            let Some(user) = folder.file_name().and_then(OsStr::to_str) else { continue };
            let requests = entries(&folder)?.into_iter().filter_map(|path| digest_of(&path));
            all.extend(requests.map(|request| (user.to_owned(), request)));
        }
        Ok(all)
    }

    /// The record of a request, if it waits.
    pub(super) fn find(&self, user: &str, request: IdDigest) -> Result<Option<Waiting>, FileError> {
        let path = self.path(user, request)?;
        match fs::read(&path) {
            Ok(text) => {
                let waiting = serde_json::from_slice(&text);
                if let Err(error) = &waiting {
                    tracing::error!(path = %path.display(), %error, "a waiting record cannot be read; it is left out");
                }
                Ok(waiting.ok())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(FileError::write(&path, error)),
        }
    }

    /// The record waits no more.
    pub(super) fn remove(&self, user: &str, request: IdDigest) -> Result<(), FileError> {
        let path = self.path(user, request)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::write(&path, error)),
            _ => Ok(()),
        }
    }

    /// A request's id is a client's text, so its digest names the file.
    fn path(&self, user: &str, request: IdDigest) -> Result<PathBuf, FileError> {
        let user: UserName = user.parse()?;
        let name = HEXLOWER.encode(&request);
        let of_user = self.files.pending_dir().join(user.as_str());
        refuse_links([&self.files.pending_dir(), &of_user])?;
        Ok(of_user.join(format!("{name}.json")))
    }
}

/// What lies in a folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(listed) => listed.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The request whose record the file is.
fn digest_of(path: &Path) -> Option<IdDigest> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    HEXLOWER.decode(name.as_bytes()).ok()?.try_into().ok()
}
