//! Files that hold a secret: made for their owner alone, and refused when others could read them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why a secret cannot be read. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such file.
    #[error("{}: no such file", .0.display())]
    Missing(PathBuf),
    /// Group or others have rights on it (the octal mode is named).
    #[error("{}: mode {mode:04o} lets others read this secret; run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The text of a secret file.
///
/// # Errors
/// When it is missing, unreadable, not UTF-8, or (on Unix) open to group or others.
pub fn read(path: &Path) -> Result<String, SecretError> {
    refuse_exposed(path)?;
    fs::read_to_string(path).map_err(|source| from_io(path, source))
}

fn from_io(path: &Path, source: io::Error) -> SecretError {
    match source.kind() {
        io::ErrorKind::NotFound => SecretError::Missing(path.to_owned()),
        _ => SecretError::Io { path: path.to_owned(), source },
    }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path) -> Result<(), SecretError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).map_err(|source| from_io(path, source))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SecretError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path) -> Result<(), SecretError> {
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_can_be_read_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/secret");
        assert!(matches!(read(&path), Err(SecretError::Missing(_))));
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
