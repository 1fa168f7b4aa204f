//! Any bytes as the target of a CONNECT: where it is a destination, it has one spelling, and no resolver would see another
//! address in it than the one that is vetted.

#![no_main]

use std::net::IpAddr;

use copilens::proxy::fuzzing::connect_destination;
use http::Uri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|target: &[u8]| {
    let Ok(uri) = Uri::try_from(target) else { return };
    let Some((host, port, shown)) = connect_destination(&uri) else { return };
    assert!(port != 0 && !target.contains(&b'@') && !target.contains(&b'/'));
    match host.parse::<IpAddr>() {
        Ok(address) => assert_eq!(address.to_string(), host, "the usual spelling"),
        Err(_) => is_a_name(&host),
    }
    let again = connect_destination(&shown.parse().expect("an authority"));
    assert_eq!(again, Some((host, port, shown)), "its own spelling leads to the same place");
});

/// By the letter of RFC 1123 section 2.1, and nothing that inet_aton(3) takes for an address.
fn is_a_name(host: &str) {
    assert!(
        host.len() <= 253 && host.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
    );
    assert!(host.split('.').all(|label| (1..=63).contains(&label.len())));
    let last = host.rsplit('.').next().unwrap_or_default();
    assert!(!last.bytes().all(|byte| byte.is_ascii_digit()), "{host} could be an address");
    let is_hexadecimal = last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(!is_hexadecimal, "{host} could be an address");
}
