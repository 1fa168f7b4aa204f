//! Any bytes as a row of the spool: refused, or an exchange that encodes to a row with the same content.

#![no_main]

use bytes::Bytes;
use copilens::spool::entry::{decode, encode};
use libfuzzer_sys::fuzz_target;
use parts::parts;

fuzz_target!(|input: &[u8]| {
    what_is_decoded_is_encoded(&Bytes::copy_from_slice(input));
    what_is_decoded_is_encoded(&with_true_lengths(input));
});

fn what_is_decoded_is_encoded(row: &Bytes) {
    let Ok(spooled) = decode(row) else { return };
    let mut again = Vec::new();
    encode(&spooled, &mut again).expect("a row that fits");
    assert_eq!(again.first(), row.first(), "of the same version");
    assert_eq!(decode(&Bytes::from(again)).expect("what was encoded"), spooled);
}

/// Mutations seldom get the lengths right, so here they are made right: version byte, then head and two more parts.
fn with_true_lengths(input: &[u8]) -> Bytes {
    let Some((version, rest)) = input.split_first() else { return Bytes::new() };
    let parts: [&[u8]; 3] = parts(rest);
    let lengths = parts.map(|part| u32::try_from(part.len()).expect("a short part").to_le_bytes());
    [&[version & 3][..], &lengths.concat(), &parts.concat()].concat().into()
}
