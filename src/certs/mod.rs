//! The certificate authority of one installation: its files, the short-lived certificates it signs for intercepted
//! hosts, and the forms in which its certificate (never its key) is handed to users.

mod authority;
mod bundle;
mod ca_files;
mod certificate;
mod der;
mod key_file;
mod leaf;

pub use authority::{HostFilter, LeafAuthority, LeafError};
pub use bundle::Bundle;
pub use ca_files::{CERTIFICATE_FILE, CaFiles, KEY_FILE};
pub use certificate::{CaCertificate, CertificateFault};

use std::io;
use std::path::PathBuf;

/// Why the CA could not be opened or made. Each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// What was read.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file or folder could not be made.
    #[error("cannot create {path}: {source}; make the folder writable for this user or set `certs.dir`")]
    Create {
        /// What was to be made.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The certificate is there and its key is not.
    #[error(
        "{key} is missing, but {certificate} exists: put the key back, or delete {certificate} to make a new CA (which every user must install again)"
    )]
    KeyMissing {
        /// The missing key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
    },
    /// The key is there and its certificate is not.
    #[error(
        "{certificate} is missing, but {key} exists: put the certificate back, or delete {key} to make a new CA (which every user must install again)"
    )]
    CertificateMissing {
        /// The missing certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// Others than the owner can read the key.
    #[error("the CA key {0} can be read by others: run `chmod 600 {0}`")]
    KeyExposed(PathBuf),
    /// The key file holds no usable private key.
    #[error(
        "{0} holds no private key that can sign (expected PKCS#8 in PEM, `-----BEGIN PRIVATE KEY-----`): put the right key there"
    )]
    KeyUnusable(PathBuf),
    /// The certificate belongs to another key.
    #[error(
        "{certificate} and {key} do not belong together: put the matching pair there, or delete both to make a new CA (which every user must install again)"
    )]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The certificate file holds no certificate that can serve as this CA.
    #[error("{path}: {fault}")]
    Certificate {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// A new key or certificate could not be made.
    #[error("cannot make a new CA: {0}")]
    Generate(String),
}

impl CaError {
    /// The process's exit code (sysexits.h): 74 for input and output, 78 for files that are not as they must be.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Read { .. } | Self::Create { .. } | Self::Generate(_) => 74,
            _ => 78,
        }
    }
}
