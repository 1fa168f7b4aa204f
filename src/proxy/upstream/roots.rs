//! Whom the upstream leg trusts: the system's roots and `upstream.extra_ca`, and never copilens's own CA, even where an
//! admin has installed it on this machine. Otherwise whoever holds the CA's key could stand in for GitHub as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why no roots could be had.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// `upstream.extra_ca` is no readable PEM file of certificates.
    #[error("upstream.extra_ca: cannot read certificates from {}: {reason}", .file.display())]
    ExtraCa {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The machine has no certificate store.
    #[error("this system has no root certificates; install the package `ca-certificates` or set `upstream.extra_ca`")]
    NoRoots,
    /// rustls refused the configuration.
    #[error("TLS towards upstream: {0}")]
    Tls(#[from] rustls::Error),
}

/// The client configuration of the upstream leg, without protocols (ALPN).
///
/// # Errors
/// [`RootsError`] where a file cannot be read or nothing is left to trust.
pub fn client_config(extra_ca: Option<&Path>, own_ca: &[u8]) -> Result<ClientConfig, RootsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs().certs;
    roots.add_parsable_certificates(system.into_iter().filter(|certificate| certificate.as_ref() != own_ca));
    if let Some(file) = extra_ca {
        for certificate in read_certificates(file)? {
            if certificate.as_ref() != own_ca {
                roots.add(certificate)?;
            }
        }
    }
    if roots.is_empty() {
        return Err(RootsError::NoRoots);
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let failed = |reason: String| RootsError::ExtraCa { file: file.to_owned(), reason };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("it holds none".to_owned()));
    }
    Ok(certificates)
}
