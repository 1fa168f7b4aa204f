//! The little of DER (ITU-T X.690) that a certificates-only PKCS#7 container needs.

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;

/// One value of the given tag that holds the parts one after another.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    push_length(&mut out, content.len());
    out.extend(content);
    out
}

/// Short form below 128, else the count of length bytes and the length (X.690, section 8.1.3).
fn push_length(out: &mut Vec<u8>, length: usize) {
    if let Ok(short @ 0..128) = u8::try_from(length) {
        return out.push(short);
    }
    let bytes = length.to_be_bytes();
    let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    out.push(0x80 | significant.len() as u8);
    out.extend(significant);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        for (length, head) in [
            (0, vec![SET, 0]),
            (127, vec![SET, 127]),
            (128, vec![SET, 0x81, 128]),
            (255, vec![SET, 0x81, 255]),
            (256, vec![SET, 0x82, 1, 0]),
            (70_000, vec![SET, 0x83, 1, 0x11, 0x70]),
        ] {
            let encoded = value(SET, &[&vec![7; length]]);
            assert_eq!(encoded[..head.len()], head);
            assert_eq!(encoded.len(), head.len() + length);
        }
    }
}
