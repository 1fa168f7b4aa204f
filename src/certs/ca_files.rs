//! The CA's two files in `certs.dir`: made once, at the first start, and checked as a pair at every later one.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::Utc;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SerialNumber};
use uuid::Uuid;

use super::certificate::CaCertificate;
use super::{CaError, key_file};
use crate::identity::secret_file;

/// Name of the certificate's file in `certs.dir`.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// Name of the key's file in `certs.dir`.
pub const KEY_FILE: &str = "ca.key";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const LIFE: Duration = Duration::from_secs(3652 * DAY.as_secs());

/// The CA's certificate and key, a checked pair.
pub struct CaFiles {
    certificate: CaCertificate,
    key: KeyPair,
    certificate_path: PathBuf,
    created: bool,
}

impl CaFiles {
    /// Opens the pair in `dir`, or makes one if neither file is there.
    ///
    /// # Errors
    /// One file is missing, the two do not belong together, the key is readable by others, the certificate is no CA or
    /// not valid now, or a file cannot be read or made.
    pub fn open_or_create(dir: &Path) -> Result<Self, CaError> {
        match (exists(&dir.join(CERTIFICATE_FILE))?, exists(&dir.join(KEY_FILE))?) {
            (false, false) => Self::create(dir),
            _ => Self::open(dir),
        }
    }

    /// Opens the pair in `dir`; makes nothing.
    ///
    /// # Errors
    /// As [`CaFiles::open_or_create`]; a missing file is an error too.
    pub fn open(dir: &Path) -> Result<Self, CaError> {
        let (certificate_path, key_path) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        if !exists(&certificate_path)? {
            return Err(CaError::CertificateMissing { certificate: certificate_path, key: key_path });
        }
        if !exists(&key_path)? {
            return Err(CaError::KeyMissing { key: key_path, certificate: certificate_path });
        }
        let certificate = CaCertificate::load(&certificate_path)?;
        let key = key_file::load(&key_path)?;
        if !certificate.has_public_key(key.public_key_raw()) {
            return Err(CaError::Mismatch { certificate: certificate_path, key: key_path });
        }
        certificate
            .check_usable(Utc::now())
            .map_err(|fault| CaError::Certificate { path: certificate_path.clone(), fault })?;
        Ok(Self { certificate, key, certificate_path, created: false })
    }

    fn create(dir: &Path) -> Result<Self, CaError> {
        let (key, certificate) = generate().map_err(|error| CaError::Generate(error.to_string()))?;
        secret_file::create_folder(dir).map_err(|source| CaError::Create { path: dir.to_owned(), source })?;
        key_file::write_new(&dir.join(KEY_FILE), &key.serialize_pem(), true)?;
        key_file::write_new(&dir.join(CERTIFICATE_FILE), &certificate.pem(), false)?;
        Ok(Self { created: true, ..Self::open(dir)? })
    }

    /// The public half.
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Where the certificate is.
    pub fn certificate_path(&self) -> &Path {
        &self.certificate_path
    }

    /// Whether this call made the pair.
    pub fn created(&self) -> bool {
        self.created
    }

    pub(super) fn into_key(self) -> KeyPair {
        self.key
    }
}

/// Unlike [`Path::exists`], tells "not there" from "may not look".
fn exists(path: &Path) -> Result<bool, CaError> {
    path.try_exists().map_err(|source| CaError::Read { path: path.to_owned(), source })
}

fn generate() -> Result<(KeyPair, rcgen::Certificate), rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = ca_params().self_signed(&key)?;
    Ok((key, certificate))
}

fn ca_params() -> CertificateParams {
    let serial = unique_serial();
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    // A name of its own for each CA: trust stores that look up by name would mix up two of one name.
    let id: String = serial.iter().rev().take(4).map(|byte| format!("{byte:02X}")).collect();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "copilens");
    params.distinguished_name.push(DnType::CommonName, format!("copilens CA {id}"));
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = (now - DAY).into();
    params.not_after = (now + LIFE).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A unique serial number (RFC 5280, section 4.1.2.2): positive, since a UUIDv7 begins with the time, and with 74 random bits.
pub(super) fn unique_serial() -> [u8; 16] {
    Uuid::now_v7().into_bytes()
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
