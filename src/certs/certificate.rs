//! What is public about the CA: the certificate and the facts that people compare before they trust it.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;

use super::CaError;

/// From so many days before its end on, the CA's expiry is told: every user has to install the next one.
const TOLD_BEFORE: TimeDelta = TimeDelta::days(30);

/// A CA certificate with the facts read from it. Cheap enough to clone; holds no secret.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    der: CertificateDer<'static>,
    subject: String,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
    sha256: [u8; 32],
}

/// Why a certificate cannot serve as the CA.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// No PEM certificate, or not X.509.
    #[error("holds no certificate (expected PEM, `-----BEGIN CERTIFICATE-----`): put the CA certificate there")]
    Unreadable,
    /// basicConstraints or keyUsage (RFC 5280, sections 4.2.1.9 and 4.2.1.3) do not let it sign certificates.
    #[error(
        "is not a CA certificate (needs basicConstraints CA:TRUE and, if keyUsage is present, keyCertSign): use one that is"
    )]
    NotACa,
    /// notAfter has passed.
    #[error("expired at {0}: delete it and its key to make a new CA, then have every user install the new one")]
    Expired(String),
    /// notBefore is to come.
    #[error("is valid only from {0}: set this machine's clock right, or use another certificate")]
    NotYetValid(String),
}

impl CaCertificate {
    /// Reads the first certificate of a PEM file, without judging whether it can sign.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn load(path: &Path) -> Result<Self, CaError> {
        let pem = std::fs::read(path).map_err(|source| CaError::Read { path: path.to_owned(), source })?;
        Self::from_pem(&pem).map_err(|fault| CaError::Certificate { path: path.to_owned(), fault })
    }

    fn from_pem(pem: &[u8]) -> Result<Self, CertificateFault> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| CertificateFault::Unreadable)?;
        Self::from_der(der)
    }

    /// Takes a certificate in DER.
    ///
    /// # Errors
    /// It is not X.509.
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, CertificateFault> {
        let x509 = parse(&der)?;
        let subject = x509.subject().to_string();
        let not_before = utc(x509.validity().not_before.timestamp())?;
        let not_after = utc(x509.validity().not_after.timestamp())?;
        let sha256 = Sha256::digest(&der).into();
        Ok(Self { der, subject, not_before, not_after, sha256 })
    }

    /// The certificate in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The subject's name, such as `O=copilens, CN=copilens CA 3F9A12C4`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The subject's common name, which trust stores list; the whole subject if it has none.
    pub fn common_name(&self) -> &str {
        self.subject.split(", ").find_map(|part| part.strip_prefix("CN=")).unwrap_or(&self.subject)
    }

    /// The last moment of its validity.
    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    /// Why no certificate can be signed any more at `now`; `None` before the CA's end.
    pub fn expired(&self, now: DateTime<Utc>) -> Option<String> {
        let fault = CertificateFault::Expired(date_text(self.not_after));
        (now >= self.not_after).then(|| format!("the CA certificate {fault}"))
    }

    /// What to prepare for at `now`, in the last 30 days before the CA's end.
    pub fn expires_soon(&self, now: DateTime<Utc>) -> Option<String> {
        let left = self.not_after - now;
        let is_near = left > TimeDelta::zero() && left <= TOLD_BEFORE;
        is_near.then(|| {
            let (end, days) = (date_text(self.not_after), left.num_days());
            format!(
                "the CA certificate expires at {end}, in {days} days: plan for a new one, which every user must install"
            )
        })
    }

    /// The raw SHA-256 fingerprint.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The SHA-256 fingerprint as OpenSSL and Firefox show it: `AA:BB:...`.
    pub fn fingerprint(&self) -> String {
        self.fingerprint_with(":")
    }

    /// The SHA-256 fingerprint with a separator of choice: macOS shows spaces, Windows none.
    pub fn fingerprint_with(&self, separator: &str) -> String {
        self.sha256.map(|byte| format!("{byte:02X}")).join(separator)
    }

    /// Whether it can sign certificates at `now`.
    pub(super) fn check_usable(&self, now: DateTime<Utc>) -> Result<(), CertificateFault> {
        let x509 = parse(&self.der)?;
        if !may_sign_certificates(&x509) {
            return Err(CertificateFault::NotACa);
        }
        if now < self.not_before {
            return Err(CertificateFault::NotYetValid(date_text(self.not_before)));
        }
        if now >= self.not_after {
            return Err(CertificateFault::Expired(date_text(self.not_after)));
        }
        Ok(())
    }

    /// Whether `public_key` (the content of subjectPublicKey) is the certificate's own.
    pub(super) fn has_public_key(&self, public_key: &[u8]) -> bool {
        parse(&self.der).is_ok_and(|x509| *x509.public_key().subject_public_key.data == *public_key)
    }
}

fn may_sign_certificates(x509: &X509Certificate<'_>) -> bool {
    let signing_allowed = match x509.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    x509.is_ca() && signing_allowed
}

pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateFault> {
    let (_, x509) = x509_parser::parse_x509_certificate(der).map_err(|_| CertificateFault::Unreadable)?;
    Ok(x509)
}

fn utc(unix_seconds: i64) -> Result<DateTime<Utc>, CertificateFault> {
    DateTime::from_timestamp(unix_seconds, 0).ok_or(CertificateFault::Unreadable)
}

fn date_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
