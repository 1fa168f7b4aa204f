//! Networks that are never dialled: by name or CIDR, in whatever form an address wears.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Named networks, from IANA's special-purpose address registries and the clouds' documentation.
const NAMED: [(&str, &[&str]); 14] = [
    ("unspecified", &["0.0.0.0/8", "::/128"]),
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    ("private", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"]),
    ("link-local", &["169.254.0.0/16", "fe80::/10"]),
    ("cgnat", &["100.64.0.0/10"]),
    ("nat64", &["64:ff9b::/96", "64:ff9b:1::/48"]),
    ("6to4", &["2002::/16", "192.88.99.0/24"]),
    ("teredo", &["2001::/32"]),
    // AWS, Azure's wire server, Alibaba, Oracle, and the IPv6 ones of AWS and Google.
    (
        "metadata",
        &[
            "169.254.169.254/32",
            "169.254.170.2/32",
            "168.63.129.16/32",
            "100.100.100.200/32",
            "192.0.0.192/32",
            "fd00:ec2::254/128",
            "fd20:ce::254/128",
        ],
    ),
    ("multicast", &["224.0.0.0/4", "ff00::/8"]),
    ("broadcast", &["255.255.255.255/32"]),
    ("reserved", &["192.0.0.0/24", "240.0.0.0/4", "100::/64", "2001:10::/28", "2001:20::/28", "5f00::/16"]),
    ("documentation", &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"]),
    ("benchmarking", &["198.18.0.0/15", "2001:2::/48"]),
];

/// A set of networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Default for Networks {
    /// All named networks.
    fn default() -> Self {
        NAMED.iter().flat_map(|(_, cidrs)| expand(cidrs)).collect::<Vec<_>>().into()
    }
}

impl From<Vec<IpNet>> for Networks {
    fn from(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }
}

impl Networks {
    /// Whether the address is in one of the networks, or carries an IPv4 address that is: as IPv4-mapped, -compatible,
    /// -translated, NAT64, 6to4 or Teredo address (RFC 4291, 2765, 6052, 8215, 3056, 4380).
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.holds(address)
            || match address {
                IpAddr::V4(_) => false,
                IpAddr::V6(v6) => embedded(v6).into_iter().flatten().any(|v4| self.holds(IpAddr::V4(v4))),
            }
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The networks of one item of `intercept.deny_networks`: a name, a CIDR, or a single address.
    pub(super) fn parse_item(item: &str) -> Result<Vec<IpNet>, String> {
        if let Some((_, cidrs)) = NAMED.iter().find(|(name, _)| *name == item) {
            return Ok(expand(cidrs));
        }
        let cidr = item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
        cidr.map(|network| vec![network]).map_err(|_| {
            let names = NAMED.map(|(name, _)| name).join(", ");
            format!("\"{item}\" is neither a network such as 10.0.0.0/8 nor one of {names}")
        })
    }
}

fn expand(cidrs: &[&str]) -> Vec<IpNet> {
    #[expect(clippy::expect_used, reason = "constants of this file; a test expands them all")]
    cidrs.iter().map(|cidr| cidr.parse().expect("a CIDR")).collect()
}

/// The IPv4 addresses that an IPv6 address may lead to.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let last = Some(ipv4(g, h));
    match [a, b, c, d, e, f] {
        // IPv4-compatible, IPv4-mapped, IPv4-translated, NAT64 and local-use NAT64.
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => [last, None],
        [0x64, 0xff9b, 1, ..] => [last, None],
        // 6to4.
        [0x2002, ..] => [Some(ipv4(b, c)), None],
        // Teredo: the server, and the client with its bits inverted.
        [0x2001, 0, ..] => [Some(ipv4(c, d)), Some(ipv4(!g, !h))],
        _ => [None, None],
    }
}

fn ipv4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn denied_by_default() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.0.1",
            "168.63.129.16",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:a9fe:a9fe",
            "::ffff:0:10.0.0.1",
            "64:ff9b::1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(Networks::default().contains(ip(address)), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_dialled() {
        for address in [
            "140.82.112.21",
            "8.8.8.8",
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "::ffff:140.82.112.21",
            "2606:50c0:8000::153",
            "2a00:1450:4001:80b::200e",
        ] {
            assert!(!Networks::default().contains(ip(address)), "{address}");
        }
    }

    #[test]
    fn items_are_names_networks_or_addresses() {
        let networks = |items: &[&str]| -> Networks {
            items.iter().flat_map(|item| Networks::parse_item(item).unwrap()).collect::<Vec<_>>().into()
        };
        let some = networks(&["loopback", "8.8.0.0/16", "2606:50c0::1"]);
        assert!(some.contains(ip("127.0.0.1")) && some.contains(ip("8.8.4.4")) && some.contains(ip("2606:50c0::1")));
        assert!(!some.contains(ip("10.0.0.1")) && !some.contains(ip("64:ff9b::1.1.1.1")));
        assert!(some.contains(ip("64:ff9b::127.0.0.1")), "a carried address counts though its carrier is allowed");
        assert!(some.contains(ip("2001::80ff:fffe")), "the Teredo client is 127.0.0.1");
        assert!(Networks::parse_item("localnet").unwrap_err().contains("loopback, private"));
        assert!(Networks::parse_item("10.0.0.0/33").is_err());
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_denied_address_passes(network in 0_usize..NAMED.len(), bits in any::<u128>()) {
            let networks = Networks::default();
            for net in expand(NAMED[network].1) {
                let address = match net {
                    IpNet::V4(net) => {
                        let v4 = Ipv4Addr::from(u32::from(net.network()) | bits as u32 & u32::from(net.hostmask()));
                        let [high, low] = [(u32::from(v4) >> 16) as u16, u32::from(v4) as u16];
                        let carriers = [
                            v4.to_ipv6_mapped(),
                            v4.to_ipv6_compatible(),
                            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                            Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !high, !low),
                        ];
                        // Without the networks of the carriers themselves.
                        let v4_only = Networks(networks.0.iter().copied().filter(|n| n.addr().is_ipv4()).collect());
                        for carrier in carriers {
                            prop_assert!(v4_only.contains(carrier.into()), "{carrier}");
                        }
                        IpAddr::V4(v4)
                    }
                    IpNet::V6(net) => {
                        Ipv6Addr::from(u128::from(net.network()) | bits & u128::from(net.hostmask())).into()
                    }
                };
                prop_assert!(networks.contains(address), "{address}");
            }
        }
    }
}
