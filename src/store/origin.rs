//! Which log folder an event came from, in a store that several share: an id in the folder, made with it.

use std::fs;
use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;

use super::{Result, StoreError};
use crate::identity::secret_file;

/// The file's name in the log folder.
const FILE_NAME: &str = "origin";

/// The folder's id, 32 hexadecimal digits. It is made the first time, and stays with the folder wherever that goes. Two folders
/// with one id would take each other's records for their own: who copies a folder for a second proxy removes the file in it.
///
/// # Errors
/// [`StoreError::Unavailable`] where the file cannot be read or made, or is not such an id.
pub(super) fn of(log_dir: &Path) -> Result<String> {
    let path = log_dir.join(FILE_NAME);
    read_or_create(&path).map_err(|source| StoreError::Unavailable { store: path, source: source.into() })
}

fn read_or_create(path: &Path) -> io::Result<String> {
    secret_file::refuse_link(path)?;
    match fs::read_to_string(path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes)?;
            let id = HEXLOWER.encode(&bytes);
            match secret_file::create(path, &format!("{id}\n")) {
                // Another process was first.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => parse(&fs::read_to_string(path)?),
                created => created.map(|()| id),
            }
        }
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> io::Result<String> {
    let id = text.trim_end();
    let is_id = id.len() == 32 && HEXLOWER.decode(id.as_bytes()).is_ok();
    let odd = || {
        io::Error::new(io::ErrorKind::InvalidData, "not 32 hexadecimal digits: remove it, and run `copilens rebuild`")
    };
    is_id.then(|| id.to_owned()).ok_or_else(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_id_and_an_odd_one_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = of(one.path()).unwrap();
        assert_eq!(of(one.path()).unwrap(), id);
        assert_ne!(of(other.path()).unwrap(), id);
        fs::write(one.path().join(FILE_NAME), "").unwrap();
        let message = of(one.path()).unwrap_err().to_string();
        assert!(message.contains("origin") && message.contains("32 hexadecimal digits"), "{message}");
    }
}
