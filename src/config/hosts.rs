//! Hosts as the configuration names them: patterns, and names that are dialled elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Which hosts: one by its name or address, or with `*.` all below a name.
///
/// `*.githubcopilot.com` matches `api.githubcopilot.com` and `api.business.githubcopilot.com`, but neither
/// `githubcopilot.com` nor `evilgithubcopilot.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// Lower case, without the `*.` and without a trailing dot.
    name: String,
    below: bool,
}

impl HostPattern {
    /// Whether a host, without port, is one of these. Case and one trailing dot make no difference.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        let Some(start) = host.len().checked_sub(self.name.len()) else { return false };
        let (before, end) = host.split_at(start);
        let is_side = if self.below { before.len() > 1 && before.ends_with(b".") } else { before.is_empty() };
        is_side && end.eq_ignore_ascii_case(self.name.as_bytes())
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let name = parse_host(name).map_err(|reason| format!("\"{text}\" is no host pattern: {reason}"))?;
        Ok(Self { name, below })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

/// A host name or address literal in lower case, without trailing dot and brackets.
pub(super) fn parse_host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if is_host_name(&name) {
        return Ok(name);
    }
    Err("write a host name alone, such as api.example.com (no scheme, port or path; * only as a leading \"*.\")".into())
}

/// Whether this is a name as the DNS has them, or `_` in it, as some private zones have.
pub(crate) fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Hosts that are dialled at an address given here instead of the one their name resolves to (`upstream.resolve`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolve(BTreeMap<String, SocketAddr>);

impl Resolve {
    /// Where to dial this host, if it is named. Case and one trailing dot make no difference.
    #[must_use]
    pub fn get(&self, host: &str) -> Option<SocketAddr> {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.0.get(&host.to_ascii_lowercase()).copied()
    }

    /// Checks hosts and addresses.
    pub(super) fn parse(entries: BTreeMap<String, String>) -> Result<Self, String> {
        let parse = |(host, address): (String, String)| {
            let host = parse_host(&host).map_err(|reason| format!("\"{host}\": {reason}"))?;
            let parsed = address.parse().map_err(|_| {
                format!("\"{host}\": \"{address}\" is not ADDRESS:PORT, such as 127.0.0.1:9443 or [::1]:9443")
            })?;
            Ok((host, parsed))
        };
        entries.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

/// What becomes of hosts that are not on the intercept list (`intercept.other_hosts`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherHosts {
    /// All are tunnelled untouched.
    Tunnel,
    /// None is let through.
    Deny,
    /// These are tunnelled, the rest is not let through.
    Only(Vec<HostPattern>),
}

impl OtherHosts {
    /// Whether a host that is not intercepted may be tunnelled.
    #[must_use]
    pub fn admits(&self, host: &str) -> bool {
        match self {
            Self::Tunnel => true,
            Self::Deny => false,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(host)),
        }
    }

    pub(super) fn parse(value: toml::Value) -> Result<Self, String> {
        const NEEDED: &str = "\"tunnel\", \"deny\" or a list of hosts is needed";
        match value {
            toml::Value::String(word) if word == "tunnel" => Ok(Self::Tunnel),
            toml::Value::String(word) if word == "deny" => Ok(Self::Deny),
            toml::Value::Array(hosts) => {
                let parse = |host: &toml::Value| host.as_str().ok_or_else(|| NEEDED.to_owned())?.parse();
                hosts.iter().map(parse).collect::<Result<_, _>>().map(Self::Only)
            }
            _ => Err(NEEDED.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn what_patterns_match() {
        let below = pattern("*.githubcopilot.com");
        for host in ["api.githubcopilot.com", "API.GitHubCopilot.COM.", "api.business.githubcopilot.com"] {
            assert!(below.matches(host), "{host}");
        }
        for host in [
            "githubcopilot.com",
            ".githubcopilot.com",
            "evilgithubcopilot.com",
            "api.githubcopilot.com.evil.example",
            "api.githubcopilot.com..",
            "",
        ] {
            assert!(!below.matches(host), "{host}");
        }
        assert!(pattern("API.github.com.").matches("api.GITHUB.com."));
        assert!(!pattern("api.github.com").matches("x.api.github.com"));
        assert!(pattern("127.0.0.1").matches("127.0.0.1"));
        assert!(pattern("[::1]").matches("::1"));
    }

    #[test]
    fn what_is_no_pattern() {
        for text in
            ["", "*", "*.", "a..b", "https://a.example", "a.example:443", "a.*.example", "a b", "*a.example", "ä.de"]
        {
            let error = text.parse::<HostPattern>().unwrap_err();
            assert!(error.contains("is no host pattern"), "{text:?}");
        }
    }

    #[test]
    fn resolve_takes_addresses_only() {
        let entry = |host: &str, address: &str| BTreeMap::from([(host.to_owned(), address.to_owned())]);
        let resolve = Resolve::parse(entry("API.example.com", "127.0.0.1:9443")).unwrap();
        assert_eq!(resolve.get("api.example.COM."), Some("127.0.0.1:9443".parse().unwrap()));
        assert_eq!(resolve.get("example.com"), None);
        assert!(Resolve::parse(entry("a", "localhost:80")).unwrap_err().contains("ADDRESS:PORT"));
        assert!(Resolve::parse(entry("a:443", "127.0.0.1:80")).unwrap_err().contains("host name alone"));
    }

    #[test]
    fn other_hosts_forms() {
        let parse = |text: &str| {
            let value: toml::Table = toml::from_str(&format!("v = {text}")).unwrap();
            OtherHosts::parse(value["v"].clone())
        };
        assert_eq!(parse("'tunnel'"), Ok(OtherHosts::Tunnel));
        assert!(!parse("'deny'").unwrap().admits("a.example"));
        let listed = parse("['*.example']").unwrap();
        assert!(listed.admits("a.example") && !listed.admits("a.test"));
        assert!(parse("'allow'").is_err() && parse("[1]").is_err() && parse("['http://x']").is_err());
    }

    proptest! {
        #[test]
        fn a_pattern_matches_only_what_is_below_it(host in "[a-z.]{0,30}") {
            if pattern("*.copilot.example").matches(&host) {
                prop_assert!(host.trim_end_matches('.').ends_with(".copilot.example"));
            }
        }
    }
}
