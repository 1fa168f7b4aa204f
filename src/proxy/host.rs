//! One spelling for each host, so that what is compared, vetted and dialled is the same thing. Resolvers take `127.1`,
//! `0x7f.1` and `2130706433` for addresses; here they become one before anybody looks at them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::config::is_host_name;

/// Lower case and without one trailing dot; an address in its usual spelling, without brackets. `None` for anything that
/// is no host.
pub(super) fn normal_host(host: &str) -> Option<String> {
    if let Some(literal) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return literal.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if ends_in_number(&host) {
        return ipv4(&host).map(|address| address.to_string());
    }
    is_host_name(&host).then_some(host)
}

/// No name in the DNS does, so such a host is an address or nothing (WHATWG URL, "ends in a number").
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The forms of inet_aton(3): one to four numbers, of which the last fills the bytes that are left.
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, leading) = numbers.split_last()?;
    let free = 4_usize.checked_sub(leading.len()).filter(|free| *free > 0)?;
    let fits = leading.iter().all(|number| *number <= 0xff) && u64::from(*last) < 1 << (8 * free);
    let high = leading.iter().zip([24, 16, 8]).fold(0, |address, (number, shift)| address | number << shift);
    fits.then(|| Ipv4Addr::from(high | last))
}

/// Decimal, octal after `0`, hexadecimal after `0x`.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let is_unsigned = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u32::from_str_radix(digits, radix).ok().filter(|_| is_unsigned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_host_has_one_spelling() {
        for (host, normal) in [
            ("API.GitHub.com.", "api.github.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a_b.example", "a_b.example"),
            ("1.example", "1.example"),
            ("0x7f.example", "0x7f.example"),
            ("[::1]", "::1"),
            ("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("10.258", "10.0.1.2"),
            ("0177.0.0.1", "127.0.0.1"),
            ("0X7f.0x0.0.01", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0xffffffff", "255.255.255.255"),
            ("0", "0.0.0.0"),
        ] {
            assert_eq!(normal_host(host).as_deref(), Some(normal), "{host}");
        }
    }

    #[test]
    fn what_is_no_host() {
        for host in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "a b",
            "a%2eb",
            "a/b",
            "ä.example",
            "[127.0.0.1]",
            "[::1",
            "[fe80::1%eth0]",
            "256.0.0.1",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.65536",
            "4294967296",
            "08",
            "0x",
            "0xg.0x1",
            "+1.1",
            "a.1",
            "1..1",
        ] {
            assert_eq!(normal_host(host), None, "{host}");
        }
        assert_eq!(normal_host(&format!("{}.example", "a".repeat(64))), None);
        assert_eq!(normal_host(&["a".repeat(63).as_str(); 4].join(".")), None);
    }

    proptest! {
        #[test]
        fn every_spelling_of_an_address_is_that_address(bits in any::<u32>()) {
            let address = Ipv4Addr::from(bits);
            let [a, b, c, d] = address.octets();
            for spelling in [
                format!("{address}"),
                format!("{bits}"),
                format!("{bits:#x}"),
                format!("0{bits:o}"),
                format!("{a}.{}", bits & 0xff_ffff),
                format!("{a:#x}.0{b:o}.{}", bits & 0xffff),
                format!("0{a:o}.0{b:o}.{c:#X}.{d}"),
            ] {
                prop_assert_eq!(normal_host(&spelling), Some(address.to_string()), "{}", spelling);
            }
        }

        #[test]
        fn a_normal_host_stays_as_it_is(host in "[0-9a-fxA-F.\\[\\]:-]{0,20}") {
            if let Some(normal) = normal_host(&host) {
                let again = if normal.contains(':') { format!("[{normal}]") } else { normal.clone() };
                prop_assert_eq!(normal_host(&again), Some(normal));
            }
        }
    }
}
