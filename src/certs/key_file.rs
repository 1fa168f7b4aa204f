//! The CA's key on disk: made readable for its owner alone from the first byte, and refused when others can read it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use rcgen::KeyPair;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::CaError;

/// Writes a new file, readable by its owner alone when `private`; never over an existing one.
pub(super) fn write_new(path: &Path, content: &str, private: bool) -> Result<(), CaError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = private;
    let write = |mut file: File| file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    options.open(path).and_then(write).map_err(|source| CaError::Create { path: path.to_owned(), source })
}

/// Reads the private key (PKCS#8, or SEC1 and PKCS#1 as OpenSSL's older commands write them).
pub(super) fn load(path: &Path) -> Result<KeyPair, CaError> {
    let pem = read_private(path)?;
    let unusable = || CaError::KeyUnusable(path.to_owned());
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| unusable())?;
    KeyPair::try_from(&der).map_err(|_| unusable())
}

/// Checks the mode on the opened file, so that what was checked is what is read.
fn read_private(path: &Path) -> Result<Vec<u8>, CaError> {
    let unreadable = |source| CaError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    if open_to_others(&file).map_err(unreadable)? {
        return Err(CaError::KeyExposed(path.to_owned()));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn open_to_others(_file: &File) -> io::Result<bool> {
    Ok(false)
}
