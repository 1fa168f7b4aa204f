//! The authority that signs the fakes' certificates, and the TLS settings of both sides.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Every name that the simulated editors call, as certificate names.
pub const COPILOT_NAMES: &[&str] = &[
    "api.github.com",
    "*.githubcopilot.com",
    "*.individual.githubcopilot.com",
    "*.business.githubcopilot.com",
    "*.enterprise.githubcopilot.com",
    "copilot-proxy.githubusercontent.com",
    "copilot-telemetry.githubusercontent.com",
    "localhost",
    "127.0.0.1",
];

/// The HTTP versions that a side offers in its handshake (ALPN, RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2, else HTTP/1.1.
    Both,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
    /// No ALPN extension: HTTP/1.1 without saying so.
    Absent,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Absent => Vec::new(),
        }
    }
}

/// Why TLS settings could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key could not be made.
    #[error("cannot make a certificate: {0}; check that every name is a host name or an address")]
    Certificate(#[from] rcgen::Error),
    /// rustls refused the settings.
    #[error("cannot use the TLS settings: {0}")]
    Settings(#[from] rustls::Error),
    /// The PEM text holds no certificate that can be read.
    #[error("cannot read the PEM certificates: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
}

/// A certificate authority of its own, valid only where its certificate is trusted on purpose.
#[derive(Debug)]
pub struct TestAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl TestAuthority {
    /// Makes a new authority with a P-256 key.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] where the key cannot be made.
    pub fn new() -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "copilens simulated upstream CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The authority's certificate as PEM, for a file that `upstream.extra_ca` names.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A store that trusts this authority alone.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates([self.issuer.der().clone()]);
        roots
    }

    /// Server settings with a certificate for `names` (host names, wildcards or addresses).
    ///
    /// # Errors
    /// [`TlsError`] where a name is neither, or the settings cannot be made.
    pub fn server(&self, names: &[&str], alpn: Alpn) -> Result<Arc<ServerConfig>, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, "copilens simulated upstream");
        let leaf = params.signed_by(&key, &self.issuer)?;
        let chain = vec![leaf.der().clone(), self.issuer.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = alpn.protocols();
        Ok(Arc::new(config))
    }
}

/// A store that trusts the certificates of a PEM text, such as the proxy's own CA file.
///
/// # Errors
/// [`TlsError::Pem`] where the text cannot be read, [`TlsError::Settings`] where a certificate in it is no use as a root.
pub fn roots_from_pem(pem: &str) -> Result<RootCertStore, TlsError> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        return Err(TlsError::Pem(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(roots)
}

/// Client settings that trust `roots` alone.
///
/// # Errors
/// [`TlsError::Settings`] where rustls refuses them.
pub fn client(roots: RootCertStore, alpn: Alpn) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.protocols();
    Ok(Arc::new(config))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
