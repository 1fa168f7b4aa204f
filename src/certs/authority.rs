//! Hands out TLS server configurations for intercepted hosts, each with a certificate of its own, made once and shared.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::Authority;
use hudsucker::certificate_authority::CertificateAuthority;
use moka::future::Cache;
use rcgen::{Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::parse;
use super::{CaFiles, leaf};

/// Says whether a host (lower case, without brackets or final dot) may get a certificate. Asked anew at every call, so it may follow a reload.
pub type HostFilter = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A certificate lives 30 days less one for slow clocks; made anew after a week by the wall clock, it never comes near its
/// end in use.
const RENEWED_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A wildcard in the intercept list lets clients choose names; beyond this many the least used are forgotten.
const CACHED_HOSTS: u64 = 4096;

/// Signs certificates for the hosts that its filter allows, all with one key of this process that is not the CA's.
pub struct LeafAuthority {
    issuer: Issuer<'static, KeyPair>,
    ca_end: SystemTime,
    leaf_key: KeyPair,
    allowed: HostFilter,
    tls: TlsParts,
    cache: Cache<String, Made>,
    refusal: Arc<ServerConfig>,
}

/// A host's configuration, and when its certificate was signed.
#[derive(Clone)]
struct Made {
    config: Arc<ServerConfig>,
    at: SystemTime,
}

impl Made {
    /// The cache counts time that passed; a clock that was set, or a machine that slept, makes another one necessary.
    fn is_fresh(&self, now: SystemTime) -> bool {
        match now.duration_since(self.at) {
            Ok(age) => age < RENEWED_AFTER,
            Err(set_back) => set_back.duration() < leaf::BACKDATED,
        }
    }
}

/// Why a host gets no certificate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LeafError {
    /// The filter says no.
    #[error("{0} is not on the intercept list, so it gets no certificate")]
    NotAllowed(String),
    /// Neither a DNS name nor an IP address.
    #[error("`{0}` is no host name")]
    BadName(String),
    /// The CA's own validity is over.
    #[error(
        "the CA certificate has expired: delete it and its key to make a new CA, then have every user install the new one"
    )]
    CaExpired,
    /// The CA was made by another tool in a way that cannot be continued here.
    #[error(
        "the CA's subject name cannot be repeated byte by byte in certificates it signs, so clients would refuse them: use a CA with a plainer name (one O, one CN), or delete it and its key to make a new one"
    )]
    UnusualCaName,
    /// Signing failed.
    #[error("cannot sign a certificate: {0}")]
    Sign(#[from] rcgen::Error),
    /// The TLS library refused what it was given.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl LeafAuthority {
    /// Takes over the CA's key and makes this process's own leaf key.
    ///
    /// # Errors
    /// A trial certificate could not be signed, or would not be accepted by clients.
    pub fn new(ca: CaFiles, allowed: HostFilter) -> Result<Self, LeafError> {
        let certificate = ca.certificate().clone();
        let issuer = Issuer::from_ca_cert_der(certificate.der(), ca.into_key())?;
        let tls = TlsParts::new()?;
        let authority = Self {
            issuer,
            ca_end: certificate.not_after().into(),
            leaf_key: KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
            allowed,
            refusal: tls.refusal()?,
            tls,
            cache: Cache::builder().max_capacity(CACHED_HOSTS).time_to_live(RENEWED_AFTER).build(),
        };
        authority.check_issuer_name(certificate.der())?;
        Ok(authority)
    }

    /// The TLS server configuration for a tunnel to `host`: a DNS name or an IP address, with or without brackets.
    /// Calls at the same time for the same host share one signing.
    ///
    /// # Errors
    /// The host is not allowed or no host name, or its certificate could not be signed.
    pub async fn server_config(&self, host: &str) -> Result<Arc<ServerConfig>, LeafError> {
        let name = server_name(host)?;
        let key = name.to_str().into_owned();
        if !(self.allowed)(&key) {
            return Err(LeafError::NotAllowed(key));
        }
        if let Some(made) = self.cache.get(&key).await {
            if made.is_fresh(SystemTime::now()) {
                return Ok(made.config);
            }
            self.cache.invalidate(&key).await;
        }
        let made = self.cache.try_get_with(key, async { self.make(&name) }).await;
        made.map(|made| made.config).map_err(|error| LeafError::clone(&error))
    }

    fn make(&self, name: &ServerName<'_>) -> Result<Made, LeafError> {
        let at = SystemTime::now();
        let certificate = self.mint(name)?;
        tracing::debug!(host = %name.to_str(), "signed a certificate");
        Ok(Made { config: self.tls.config(certificate, &self.leaf_key)?, at })
    }

    fn mint(&self, name: &ServerName<'_>) -> Result<CertificateDer<'static>, LeafError> {
        if SystemTime::now() >= self.ca_end {
            return Err(LeafError::CaExpired);
        }
        Ok(leaf::mint(name, &self.leaf_key, &self.issuer, self.ca_end)?)
    }

    /// rcgen rebuilds the CA's name from its parts. Clients compare names byte by byte when they build a chain
    /// (RFC 5280, section 7.1), so a name that does not come out the same is found at the start, not by users.
    fn check_issuer_name(&self, ca: &CertificateDer<'_>) -> Result<(), LeafError> {
        let trial = self.mint(&server_name("copilens.local")?)?;
        match (parse(ca), parse(&trial)) {
            (Ok(ca), Ok(trial)) if trial.issuer().as_raw() == ca.subject().as_raw() => Ok(()),
            _ => Err(LeafError::UnusualCaName),
        }
    }
}

impl CertificateAuthority for LeafAuthority {
    /// A host without a certificate gets a configuration that ends the handshake, since this contract knows no error.
    async fn gen_server_config(&self, authority: &Authority) -> Arc<ServerConfig> {
        match self.server_config(authority.host()).await {
            Ok(config) => config,
            Err(error) => {
                tracing::warn!(%error, "no certificate");
                Arc::clone(&self.refusal)
            }
        }
    }
}

/// What all server configurations of the process share.
struct TlsParts {
    provider: Arc<CryptoProvider>,
    /// Shared, so that a resumption works after a certificate's renewal. rustls resumes only under the same SNI.
    ticketer: Arc<dyn ProducesTickets>,
}

impl TlsParts {
    fn new() -> Result<Self, rustls::Error> {
        Ok(Self { provider: Arc::new(aws_lc_rs::default_provider()), ticketer: aws_lc_rs::Ticketer::new()? })
    }

    fn config(&self, certificate: CertificateDer<'static>, key: &KeyPair) -> Result<Arc<ServerConfig>, LeafError> {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Arc::clone(&self.ticketer);
        // Tickets serve every current client; a session table per host would only cost memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }

    fn refusal(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(NoCertificate));
        Ok(Arc::new(config))
    }
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// One spelling for each host, so that one host is one cache entry.
fn server_name(host: &str) -> Result<ServerName<'static>, LeafError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let bare = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    ServerName::try_from(bare).map_err(|_| LeafError::BadName(host.to_owned()))
}

#[cfg(test)]
mod tests;
