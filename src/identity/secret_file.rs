//! Files that hold a secret: made for their owner alone, and refused when others could read them.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Most bytes of a secret file: thousands of tokens.
const LARGEST: u64 = 4 << 20;

/// Why a secret cannot be had: the file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct SecretError {
    /// The secret's file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a secret's file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is not there.
    #[error("no such file")]
    Missing,
    /// It must not be used as it is; the text says why and what to do, and shows nothing of the secret.
    #[error("{0}")]
    Refused(String),
    /// It cannot be read or written.
    #[error("{0}")]
    Io(io::Error),
}

impl Problem {
    /// The error for a file with this problem.
    pub(crate) fn with(self, path: &Path) -> SecretError {
        SecretError { path: path.to_owned(), problem: self }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Missing } else { Self::Io(error) }
    }
}

/// The text of a secret file.
///
/// # Errors
/// When it is missing, unreadable, no file, larger than any secret, not UTF-8, or (on Unix) open to group or others.
pub fn read(path: &Path) -> Result<String, SecretError> {
    read_from(path).map_err(|problem| problem.with(path))
}

fn read_from(path: &Path) -> Result<String, Problem> {
    let metadata = fs::metadata(path)?;
    // To open a pipe would wait for somebody to write to it.
    if !metadata.is_file() {
        return Err(Problem::Refused("it is not a file".to_owned()));
    }
    refuse_exposed(path, &metadata)?;
    let mut text = String::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(Problem::Refused("it is larger than any secret".to_owned()));
    }
    Ok(text)
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let file = path.display();
    Err(Problem::Refused(format!("mode {mode:04o} opens this secret to others; run: chmod 600 {file}")))
}

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path, _metadata: &fs::Metadata) -> Result<(), Problem> {
    Ok(())
}

/// Makes a folder and its parents, for their owner alone (mode 0700); one that is there stays as it is.
///
/// # Errors
/// What the system says.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Fails where the path is a symbolic link: what is written to it would go to wherever it leads.
///
/// # Errors
/// `AlreadyExists`, or what the system says; a path where nothing is yet is fine.
pub fn refuse_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "a symbolic link, which is not followed"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a secret file, with its parent folders, for its owner alone (mode 0600). It appears whole or not at all, and an
/// existing file is left as it is.
///
/// # Errors
/// `AlreadyExists` when there is such a file; else what the system says.
pub fn create(path: &Path, secret: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // tempfile opens with O_EXCL and mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(secret.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(())
}

/// Writes a secret file in one step, for its owner alone (mode 0600), in the place of the one that is there. Where it may, it
/// gives the file to the owner of the first of `like` that exists, who may be another user than the one of this process.
///
/// # Errors
/// What the system says; the file is as it was then.
pub fn replace(path: &Path, secret: &str, like: &[&Path]) -> io::Result<()> {
    // A link stays a link: what it leads to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // tempfile opens with O_EXCL and mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(secret.as_bytes())?;
    if let Some(owner) = like.iter().find_map(|path| fs::metadata(path).ok()) {
        give(file.path(), &owner);
    }
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

/// Only root may give files away; for all others the owner is the same anyway, or the file becomes theirs.
#[cfg(unix)]
fn give(path: &Path, to_owner_of: &fs::Metadata) {
    use std::os::unix::fs::MetadataExt as _;
    let _ = std::os::unix::fs::chown(path, Some(to_owner_of.uid()), Some(to_owner_of.gid()));
}

#[cfg(not(unix))]
fn give(_path: &Path, _to_owner_of: &fs::Metadata) {}

/// What tells a file from another of the same name: device and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// Of the file that the path leads to.
    ///
    /// # Errors
    /// Where there is none, or where files have no number and an open one cannot be removed.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).and_then(|metadata| Self::of(&metadata))
    }

    /// Of the file that these metadata are of.
    ///
    /// # Errors
    /// Where files have no number.
    #[cfg(unix)]
    pub fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        Ok(Self(metadata.dev(), metadata.ino()))
    }

    /// Of the file that these metadata are of.
    ///
    /// # Errors
    /// Where files have no number.
    #[cfg(not(unix))]
    pub fn of(_metadata: &fs::Metadata) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// True where the path leads to another file, or to none: what is written to this one is lost.
    #[must_use]
    pub fn is_gone_from(self, path: &Path) -> bool {
        match Self::at(path) {
            Ok(there) => self != there,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_can_be_read_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/secret");
        assert!(matches!(read(&path), Err(SecretError { problem: Problem::Missing, .. })));
        create(&path, "one").unwrap();
        assert_eq!(create(&path, "two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap(), "one");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn others_must_not_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("mode 0640") && message.ends_with(&format!("chmod 600 {}", path.display())));
    }
}
