//! Endpoints: `host:port` and the parent proxy's URL as the configuration writes them, and where a client came in.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::hosts::parse_host;
use crate::identity::Password;
use crate::identity::basic::Credentials;

/// A host name or address with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Lower case; an IPv6 address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once(':').and_then(|(host, port)| {
            let bare_ipv6 = host.contains(':') && !host.starts_with('[');
            let host = parse_host(host).ok().filter(|_| !bare_ipv6)?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some(Self { host, port })
        });
        parsed.ok_or_else(|| "HOST:PORT is needed, such as proxy.example.com:8080 or [::1]:8080".to_owned())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The local address at which a client reached the proxy: what users are shown where `public_address` is not set. The
/// proxy inserts it into the extensions of a request for the install page.
#[derive(Debug, Clone, Copy)]
pub struct ReachedAt(pub SocketAddr);

/// The proxy that this one goes through (`upstream.parent_proxy`). `Debug` and `Display` mask its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ParentProxy {
    endpoint: HostPort,
    credentials: Option<Credentials>,
}

impl ParentProxy {
    /// Where to connect.
    #[must_use]
    pub fn endpoint(&self) -> &HostPort {
        &self.endpoint
    }

    /// The value of `Proxy-Authorization` for it, where it has credentials. A secret.
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        self.credentials.as_ref().map(Credentials::to_header_value)
    }
}

impl FromStr for ParentProxy {
    type Err = &'static str;

    /// Reads `http://[USER[:PASSWORD]@]HOST[:PORT]`, user and password percent-encoded; the port is 80 by default. No
    /// error repeats the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NEEDED: &str = "http://HOST:PORT or http://USER:PASSWORD@HOST:PORT is needed (https:// is not supported; \
                              percent-encode @ : / # in user and password)";
        let rest = text.strip_prefix("http://").ok_or(NEEDED)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => (Some(user_info), host_port),
            None => (None, authority),
        };
        let credentials = user_info.map(|info| decode_user_info(info).ok_or(NEEDED)).transpose()?;
        let has_port = host_port.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let with_port = if has_port { host_port.to_owned() } else { format!("{host_port}:80") };
        Ok(Self { endpoint: with_port.parse().map_err(|_| NEEDED)?, credentials })
    }
}

fn decode_user_info(info: &str) -> Option<Credentials> {
    let (user, password) = info.split_once(':').unwrap_or((info, ""));
    let decode = |text| percent_decode_str(text).decode_utf8().ok();
    let is_plain = !info.contains(['/', '?', '#', '@']) && password.find(':').is_none();
    is_plain.then_some(())?;
    Some(Credentials { name: decode(user)?.into_owned(), password: Password::new(&decode(password)?) })
}

impl fmt::Display for ParentProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mask = if self.credentials.is_some() { "***@" } else { "" };
        write!(f, "http://{mask}{}", self.endpoint)
    }
}

impl fmt::Debug for ParentProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port() {
        for (text, shown) in [("Proxy.Example.com:8080", "proxy.example.com:8080"), ("[::1]:80", "[::1]:80")] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            ":80",
            "::1:80",
            "http://host:80",
            "a b:80",
            "user@host:1",
            "host:70000",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn parent_proxy_with_and_without_credentials() {
        let plain: ParentProxy = "http://proxy.example:3128/".parse().unwrap();
        assert_eq!((plain.to_string(), plain.authorization()), ("http://proxy.example:3128".to_owned(), None));
        let full: ParentProxy = "http://mona:p%40ss%3A@proxy.example".parse().unwrap();
        assert_eq!(full.endpoint().to_string(), "proxy.example:80");
        let sent = Credentials::parse(full.authorization().unwrap().as_bytes()).unwrap();
        assert_eq!((sent.name.as_str(), sent.password.reveal()), ("mona", "p@ss:"));
        let ipv6: ParentProxy = "http://[::1]".parse().unwrap();
        assert_eq!(ipv6.endpoint().to_string(), "[::1]:80");
    }

    #[test]
    fn the_parent_proxys_password_is_masked() {
        let parent: ParentProxy = "http://mona:hunter2@proxy.example:3128".parse().unwrap();
        assert_eq!(format!("{parent} {parent:?}"), "http://***@proxy.example:3128 http://***@proxy.example:3128");
        for text in
            ["https://a:hunter2@b:1", "a:hunter2@b:1", "http://a:hunter2@b:x", "http://a:hunter2/@b:1", "http://"]
        {
            let message = text.parse::<ParentProxy>().unwrap_err();
            assert!(message.contains("http://") && !message.contains("hunter2"));
        }
    }
}
