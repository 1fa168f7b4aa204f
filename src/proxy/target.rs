//! Where a request may go. A [`VettedAddr`] that exists may be dialled; there is no other way to make one than the
//! checks below, so what was vetted is what is dialled (no second look-up in between).

use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;

use super::host::normal_host;
use crate::config::Settings;

/// Scheme, host and port of a server: what connections are pooled by (RFC 6454 section 4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// TLS or clear text.
    pub tls: bool,
    /// As [`normal_host`] spells it.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
}

impl Origin {
    /// A server reached over TLS.
    #[cfg(test)]
    pub(crate) fn https(host: &str, port: u16) -> Self {
        Self { tls: true, host: host.into(), port }
    }

    /// The destination of a CONNECT. `None` where it is not exactly `host:port` (RFC 9110 section 9.3.6).
    #[must_use]
    pub(crate) fn of_connect(uri: &Uri) -> Option<Self> {
        let authority = uri.authority().filter(|_| uri.scheme().is_none())?;
        authority.port_u16()?;
        Self::of_authority(authority, true)
    }

    /// The server that an absolute `http` URL names.
    #[must_use]
    pub(crate) fn of_plain(uri: &Uri) -> Option<Self> {
        (uri.scheme_str() == Some("http")).then_some(())?;
        Self::of_authority(uri.authority()?, false)
    }

    /// Host and port of an authority; without a port, the scheme's own.
    #[must_use]
    pub(crate) fn of_authority(authority: &Authority, tls: bool) -> Option<Self> {
        if authority.as_str().contains('@') {
            return None;
        }
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|port| *port != 0)?,
            None if authority.as_str().ends_with(':') => return None,
            None => default_port(tls),
        };
        Some(Self { tls, host: normal_host(authority.host())?.into(), port })
    }

    /// The `Host` field's value: the port only where it is not the scheme's own.
    #[must_use]
    pub(crate) fn host_header(&self) -> String {
        let host = bracketed(&self.host);
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }

    /// The same as a URI's authority.
    #[must_use]
    pub(crate) fn authority(&self) -> Option<Authority> {
        self.host_header().parse().ok()
    }

    /// The host, where it is an address and not a name.
    #[must_use]
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", bracketed(&self.host), self.port)
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// What happens with a CONNECT to an allowed destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// The tunnel ends here; the requests in it are looked at.
    Intercept,
    /// Bytes are passed unseen.
    Tunnel,
}

/// Whether and how a destination may be reached; `None` where it is forbidden.
#[must_use]
pub(crate) fn route(settings: &Settings, origin: &Origin) -> Option<Route> {
    let port_allowed = settings.intercept.ports.contains(&origin.port) || (!origin.tls && origin.port == 80);
    if !port_allowed {
        return None;
    }
    if settings.intercept.hosts.iter().any(|pattern| pattern.matches(&origin.host)) {
        return Some(Route::Intercept);
    }
    settings.intercept.other_hosts.admits(&origin.host).then_some(Route::Tunnel)
}

/// An address that may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VettedAddr(SocketAddr);

impl VettedAddr {
    /// The address, to dial it.
    #[must_use]
    pub(crate) fn get(self) -> SocketAddr {
        self.0
    }

    /// The parent proxy's address: named by the admin, so not vetted.
    pub(crate) async fn of_parent(host: &str, port: u16, timeout: Duration) -> Result<Vec<Self>, ResolveError> {
        Ok(look_up(host, port, timeout).await?.into_iter().map(Self).collect())
    }
}

/// Why there is no address to dial.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// All addresses lie in a denied network or are copilens's own.
    #[error("{host} is at {address}, which `intercept.deny_networks` forbids or which is this proxy itself")]
    Forbidden {
        /// The name that was asked for.
        host: String,
        /// The (first) address that it has.
        address: IpAddr,
    },
    /// The name could not be resolved.
    #[error("{host} cannot be resolved: {source}")]
    Dns {
        /// The name that was asked for.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// The resolver was silent.
    #[error("{host} could not be resolved within `upstream.connect_timeout`")]
    Timeout {
        /// The name that was asked for.
        host: String,
    },
}

/// The addresses at which a server may be dialled, in the resolver's order.
///
/// # Errors
/// [`ResolveError`] where there are none.
pub(crate) async fn resolve(
    settings: &Settings,
    own: &OwnListeners,
    origin: &Origin,
) -> Result<Vec<VettedAddr>, ResolveError> {
    if let Some(address) = settings.upstream.resolve.get(&origin.host) {
        return Ok(vec![VettedAddr(address)]);
    }
    let found = look_up(&origin.host, origin.port, settings.upstream.connect_timeout).await?;
    let allowed: Vec<_> =
        found.iter().filter(|address| may_dial(settings, own, **address)).map(|a| VettedAddr(*a)).collect();
    match (allowed.is_empty(), found.first()) {
        (false, _) => Ok(allowed),
        (true, Some(first)) => Err(ResolveError::Forbidden { host: origin.host.to_string(), address: first.ip() }),
        (true, None) => Err(no_address(&origin.host)),
    }
}

/// Whether an address literal may be asked of a parent proxy; names are left for it to resolve.
pub(crate) fn literal_is_allowed(settings: &Settings, own: &OwnListeners, origin: &Origin) -> bool {
    origin.literal().is_none_or(|ip| may_dial(settings, own, SocketAddr::new(ip, origin.port)))
}

fn may_dial(settings: &Settings, own: &OwnListeners, address: SocketAddr) -> bool {
    !settings.intercept.deny_networks.contains(address.ip()) && !own.contains(address)
}

async fn look_up(host: &str, port: u16, timeout: Duration) -> Result<Vec<SocketAddr>, ResolveError> {
    match tokio::time::timeout(timeout, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(source)) => Err(ResolveError::Dns { host: host.to_owned(), source }),
        Err(_) => Err(ResolveError::Timeout { host: host.to_owned() }),
    }
}

fn no_address(host: &str) -> ResolveError {
    ResolveError::Dns { host: host.to_owned(), source: std::io::Error::other("the name has no address") }
}

/// Where copilens itself listens, so that no request can reach the admin pages or loop through the proxy.
#[derive(Debug, Clone, Default)]
pub struct OwnListeners(Vec<SocketAddr>);

impl OwnListeners {
    /// The addresses as bound, with real ports: the proxy's first.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        Self(addresses)
    }

    /// The port that clients connect to.
    #[must_use]
    pub fn proxy_port(&self) -> Option<u16> {
        self.0.first().map(SocketAddr::port)
    }

    /// Whether a connection to the address could arrive here: the port is ours and the address is this machine's. Which
    /// of its addresses is not asked, because one listener is reached by many (`0.0.0.0` and `::ffff:127.0.0.1` lead to
    /// `127.0.0.1`).
    #[must_use]
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.0.iter().any(|own| own.port() == address.port()) && is_local(address.ip().to_canonical())
    }
}

/// Only an address of this machine can be bound; asked only where the port is ours already.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(target: &str) -> Option<Origin> {
        Origin::of_connect(&target.parse::<Authority>().ok()?.to_string().parse::<Uri>().ok()?)
    }

    #[test]
    fn connect_needs_a_host_and_a_port() {
        assert_eq!(connect("API.GitHub.com.:443"), Some(Origin::https("api.github.com", 443)));
        assert_eq!(connect("[::1]:443").map(|o| o.to_string()), Some("[::1]:443".to_owned()));
        for bad in
            ["api.github.com", "a@b:443", "host:0", "host:99999", ":443", "a..b:443", "ex%2eample.com:443", "-.:x"]
        {
            assert_eq!(connect(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_host_field_has_the_port_only_where_it_matters() {
        assert_eq!(Origin::https("a.example", 443).host_header(), "a.example");
        assert_eq!(Origin::https("::1", 8443).host_header(), "[::1]:8443");
    }

    #[test]
    fn own_listeners_are_known_under_any_local_address() {
        let own = OwnListeners::new(vec!["0.0.0.0:8080".parse().unwrap(), "127.0.0.1:8081".parse().unwrap()]);
        assert!(own.contains("127.0.0.1:8080".parse().unwrap()));
        for admin in ["127.0.0.1:8081", "0.0.0.0:8081", "[::ffff:127.0.0.1]:8081"] {
            assert!(own.contains(admin.parse().unwrap()), "{admin}");
        }
        assert!(!own.contains("127.0.0.1:443".parse().unwrap()));
        assert!(!own.contains("192.0.2.1:8080".parse().unwrap()), "not an address of this machine");
    }
}
