//! The proxy's address as users have to enter it. It ends up in shell lines and in JavaScript, so its spelling is strict.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use axum::http::uri::Authority;

use crate::config::HostPort;

/// Host and port, where the host is a DNS name or an address (IPv6 in brackets) and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddress {
    host: String,
    port: u16,
}

impl ProxyAddress {
    /// The host that a `Host` header names, with another port; `None` if the header is not a host.
    pub(super) fn of_host_header(header: &str, port: u16) -> Option<Self> {
        let authority = Authority::from_str(header).ok()?;
        is_plain_host(&authority).then(|| Self { host: authority.host().to_ascii_lowercase(), port })
    }

    /// DNS name or address; IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for ProxyAddress {
    /// An unspecified address (`0.0.0.0`), which no client can enter, becomes loopback.
    fn from(address: SocketAddr) -> Self {
        let host = match address.ip().to_canonical() {
            ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { host, port: address.port() }
    }
}

impl From<&HostPort> for ProxyAddress {
    fn from(address: &HostPort) -> Self {
        let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
        Self { host, port: address.port }
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Host and port as a `Host` header names them, the host in lower case; `None` if the header is anything else.
pub(super) fn plain_authority(header: &str) -> Option<String> {
    let authority = Authority::from_str(header).ok()?;
    let port = authority.port().map(|port| format!(":{port}")).unwrap_or_default();
    // A port that is no number of 16 bits is left out there.
    let named = format!("{}{port}", authority.host());
    (is_plain_host(&authority) && named == authority.as_str()).then(|| named.to_ascii_lowercase())
}

/// No user part, and only letters that mean nothing to a shell or to JavaScript.
fn is_plain_host(authority: &Authority) -> bool {
    let host = authority.host();
    let name = |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let valid = bracketed.map_or_else(|| name(host), |ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    valid && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_header(header: &str) -> Option<String> {
        ProxyAddress::of_host_header(header, 8080).map(|address| address.to_string())
    }

    #[test]
    fn a_host_header_gives_the_host() {
        for (header, shown) in [
            ("Proxy.example.com", "proxy.example.com:8080"),
            ("proxy.example.com:8081", "proxy.example.com:8080"),
            ("10.0.0.5:8081", "10.0.0.5:8080"),
            ("[2001:db8::1]:8081", "[2001:db8::1]:8080"),
        ] {
            assert_eq!(of_header(header).unwrap(), shown);
        }
    }

    #[test]
    fn a_host_header_that_is_more_than_a_host_is_ignored() {
        for header in
            ["", ":80", "a b", "x\"+alert(1)", "$(id)", "a;b", "me@host", "[::1", "[x]", "a'b", "a%20b", "a&b", "h/p"]
        {
            assert_eq!(of_header(header), None, "{header}");
        }
    }

    #[test]
    fn an_authority_is_kept_as_it_is_named() {
        for (header, kept) in [
            ("Proxy.example.com", Some("proxy.example.com")),
            ("proxy.example.com:8081", Some("proxy.example.com:8081")),
            ("[2001:db8::1]:80", Some("[2001:db8::1]:80")),
            ("me@host", None),
            ("", None),
            ("a b", None),
            ("h:99999", None),
        ] {
            assert_eq!(plain_authority(header).as_deref(), kept, "{header}");
        }
    }

    #[test]
    fn a_socket_address_gives_what_a_client_can_enter() {
        let shown = |text: &str| ProxyAddress::from(text.parse::<SocketAddr>().unwrap()).to_string();
        assert_eq!(shown("10.1.2.3:8080"), "10.1.2.3:8080");
        assert_eq!(shown("[2001:db8::1]:8080"), "[2001:db8::1]:8080");
        assert_eq!(shown("[::ffff:10.1.2.3]:8080"), "10.1.2.3:8080");
        assert_eq!(shown("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(shown("[::]:8080"), "127.0.0.1:8080");
    }

    #[test]
    fn a_configured_address_is_shown_as_it_is() {
        let configured = |text: &str| ProxyAddress::from(&text.parse::<HostPort>().unwrap());
        let address = configured("copilot.example.com:3128");
        assert_eq!((address.host(), address.port()), ("copilot.example.com", 3128));
        assert_eq!(configured("[2001:db8::1]:8080").to_string(), "[2001:db8::1]:8080");
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_holds_only_harmless_letters(header in ".*") {
            let authority = plain_authority(&header);
            let address = ProxyAddress::of_host_header(&header, 1).map(|address| address.to_string());
            for shown in [authority, address].into_iter().flatten() {
                assert!(shown.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)));
            }
        }
    }
}
