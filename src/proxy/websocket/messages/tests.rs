//! Frames as RFC 6455 and RFC 7692 have them, and others, in any chunks.

use flate2::{Compress, Compression, FlushCompress};
use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::exchange::BodySize;
use crate::proxy::websocket::deflate::agreed;

const LIMIT: usize = 1 << 16;
const MASK: [u8; 4] = [1, 2, 3, 4];

/// A frame as a client sends it, from a first byte such as 0x81.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65_536 => frame.extend([&[0x80 | 126], &(length as u16).to_be_bytes()[..]].concat()),
        length => frame.extend([&[0x80 | 127], &(length as u64).to_be_bytes()[..]].concat()),
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn inflate(extensions: &'static str) -> Option<Inflate> {
    let mut answer = HeaderMap::new();
    answer.insert("sec-websocket-extensions", extensions.parse().unwrap());
    agreed(&answer).unwrap().0
}

fn client(extensions: &'static str) -> Messages {
    Messages::new(Side::Client, inflate(extensions), LIMIT)
}

/// What comes of the bytes in chunks of these sizes: the texts of messages, and how it ended.
fn read(messages: &mut Messages, bytes: &[u8], chunks: &[usize]) -> (Vec<String>, Result<(), Fault>) {
    let mut found = Vec::new();
    let mut rest = bytes;
    for size in chunks.iter().cycle() {
        let (mut chunk, after) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
        rest = after;
        loop {
            match messages.next(&mut chunk) {
                Ok(Some(Event::Message(copy))) => found.push(String::from_utf8(copy.kept).unwrap()),
                Ok(Some(Event::Close)) => found.push("<close>".to_owned()),
                Ok(None) => break,
                Err(fault) => return (found, Err(fault)),
            }
        }
        assert_eq!(chunk, b"", "all is taken");
        if rest.is_empty() {
            return (found, Ok(()));
        }
    }
    unreachable!()
}

fn texts(bytes: &[u8]) -> Vec<String> {
    let (found, end) = read(&mut client(""), bytes, &[usize::MAX]);
    assert_eq!(end, Ok(()));
    found
}

fn fault(messages: &mut Messages, bytes: &[u8]) -> Option<Fault> {
    read(messages, bytes, &[3]).1.err()
}

fn deflated(compress: &mut Compress, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 100);
    compress.compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}

fn raw() -> Compress {
    Compress::new(Compression::default(), false)
}

#[test]
fn messages_are_put_together_with_pings_in_between() {
    let bytes = [
        masked(0x81, b"one"),
        masked(0x01, b"t"),
        masked(0x89, b"ping"),
        masked(0x00, b""),
        masked(0x8A, b""),
        masked(0x80, b"wo"),
        masked(0x82, b""),
        masked(0x81, &[b'x'; 300]),
        masked(0x81, &[b'y'; 66_000][..]),
    ]
    .concat();
    let found = texts(&bytes);
    assert_eq!(found[..4], ["one".to_owned(), "two".into(), String::new(), "x".repeat(300)]);
    assert_eq!(found[4], "y".repeat(LIMIT), "kept to the limit");
}

#[test]
fn what_is_cut_says_how_long_it_was() {
    let mut bytes = &masked(0x81, &[b'y'; 66_000])[..];
    let Some(Event::Message(copy)) = client("").next(&mut bytes).unwrap() else { panic!("no message") };
    assert_eq!(copy.size, BodySize { bytes: 66_000, truncated: true });
}

#[test]
fn nothing_comes_after_a_close() {
    let bytes = [masked(0x81, b"a"), masked(0x88, &[3, 232]), masked(0x81, b"b"), vec![0xFF; 99]].concat();
    assert_eq!(texts(&bytes), ["a", "<close>"]);
}

#[test]
fn a_server_does_not_mask_and_a_client_does() {
    let mut server = Messages::new(Side::Server, None, LIMIT);
    assert_eq!(read(&mut server, b"\x81\x01a\x81\x01b", &[2]).0, ["a", "b"]);
    assert_eq!(fault(&mut server, &masked(0x81, b"a")), Some(Fault::Frame));
    assert_eq!(fault(&mut client(""), b"\x81\x01a"), Some(Fault::Frame));
}

#[test]
fn frames_that_are_not_allowed_are_faults() {
    let long = [&[0x81, 0xFF][..], &u64::MAX.to_be_bytes(), &MASK].concat();
    for (what, bytes) in [
        ("an unknown opcode", masked(0x83, b"")),
        ("an unknown control opcode", masked(0x8B, b"")),
        ("a continuation of nothing", masked(0x80, b"a")),
        ("a message within a message", [masked(0x01, b"a"), masked(0x81, b"b")].concat()),
        ("a ping in parts", masked(0x09, b"")),
        ("a ping of 126 bytes", masked(0x89, &[0; 126])),
        ("RSV1 without an extension", masked(0xC1, b"a")),
        ("RSV2", masked(0xA1, b"a")),
        ("RSV3", masked(0x91, b"a")),
        ("a length over 63 bits", long),
    ] {
        assert_eq!(fault(&mut client(""), &bytes), Some(Fault::Frame), "{what}");
    }
    for first in [0xC0, 0xC9] {
        let bytes = [masked(0x41, b""), masked(first, b"")].concat();
        assert_eq!(fault(&mut client("permessage-deflate"), &bytes), Some(Fault::Frame), "RSV1 in {first:#x}");
    }
}

#[test]
fn compressed_messages_are_undone_with_and_without_what_came_before() {
    for extensions in ["permessage-deflate", "permessage-deflate; client_no_context_takeover"] {
        let mut compress = raw();
        let mut bytes = Vec::new();
        let long = "long and longer ".repeat(900);
        for text in ["first", "first", "", &long] {
            if extensions.contains("no_context") {
                compress.reset();
            }
            let payload = deflated(&mut compress, text.as_bytes());
            let (begin, end) = payload.split_at(payload.len() / 2);
            bytes.extend([masked(0x41, begin), masked(0x89, b"x"), masked(0x80, end), masked(0x81, b"plain")].concat());
        }
        for chunk in [1, 7, 1000] {
            let (found, end) = read(&mut client(extensions), &bytes, &[chunk]);
            assert_eq!(end, Ok(()));
            assert_eq!(found, ["first", "plain", "first", "plain", "", "plain", &long, "plain"], "{extensions}");
        }
    }
}

/// RFC 7692 section 7.2.3: its examples of "Hello", the second one with what the first has left.
#[test]
fn the_standards_examples_are_read() {
    let messages = [
        masked(0xC1, &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]),
        masked(0xC1, &[0xF2, 0x00, 0x11, 0x00, 0x00]),
        masked(0xC1, &[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00]),
        masked(0xC1, &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]),
        masked(0xC1, &[0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00]),
        masked(0xC1, &[0x00]),
    ];
    let (found, end) = read(&mut client("permessage-deflate"), &messages.concat(), &[5]);
    assert_eq!((found, end), (["Hello", "Hello", "Hello", "Hello", "Hello", ""].map(str::to_owned).to_vec(), Ok(())));
}

#[test]
fn a_bomb_ends_the_reading_before_it_takes_memory() {
    let payload = deflated(&mut raw(), &vec![0; LONGEST_INFLATED + 1]);
    assert!(payload.len() < 20_000);
    let mut messages = client("permessage-deflate");
    let bytes = masked(0xC1, &payload);
    let (mut rest, mut most) = (&bytes[..], 0);
    let fault = loop {
        let (mut chunk, after) = rest.split_at(rest.len().min(100));
        rest = after;
        match messages.next(&mut chunk) {
            Ok(found) => assert_eq!(found, None),
            Err(fault) => break fault,
        }
        most = most.max(messages.partial.as_ref().map_or(0, |partial| partial.copy.kept.capacity()));
    };
    assert_eq!(fault, Fault::TooLong);
    assert!(most <= 2 * LIMIT, "{most} bytes are kept");
}

#[test]
fn what_cannot_be_undone_is_a_fault() {
    assert_eq!(fault(&mut client("permessage-deflate"), &masked(0xC1, &[0xFF; 40])), Some(Fault::Compression));
}

#[test]
fn the_101_says_what_was_agreed_on() {
    let agreed = |fields: &[&'static str]| {
        let mut answer = HeaderMap::new();
        for field in fields {
            answer.append("sec-websocket-extensions", field.parse().unwrap());
        }
        agreed(&answer).map(|(client, server)| (client.is_some(), server.is_some()))
    };
    assert_eq!(agreed(&[]), Ok((false, false)));
    assert_eq!(agreed(&[""]), Ok((false, false)));
    let long = "Permessage-Deflate ; server_max_window_bits = \"10\";client_max_window_bits;server_no_context_takeover";
    assert_eq!(agreed(&[long]), Ok((true, true)));
    for unknown in ["x-webkit-deflate-frame", "permessage-deflate; fast", "permessage-deflate, permessage-deflate"] {
        assert_eq!(agreed(&[unknown]), Err(Fault::Extension), "{unknown}");
    }
    assert_eq!(agreed(&["permessage-deflate", "x-other"]), Err(Fault::Extension));
}

/// Frames of any kind that a client may send, as bytes, with the messages in them.
fn conversation() -> impl Strategy<Value = (Vec<u8>, Vec<String>)> {
    let message = (prop::collection::vec("[a-z]{0,200}", 1..4), any::<bool>(), any::<bool>());
    prop::collection::vec(message, 0..6).prop_map(|messages| {
        let mut compress = raw();
        let (mut bytes, mut texts) = (Vec::new(), Vec::new());
        for (parts, ping, compressed) in messages {
            let payloads = if compressed {
                vec![deflated(&mut compress, parts.concat().as_bytes())]
            } else {
                parts.iter().map(|part| part.clone().into_bytes()).collect()
            };
            for (index, payload) in payloads.iter().enumerate() {
                let opcode = if index > 0 { 0 } else { 1 | if compressed { 0x40 } else { 0 } };
                let last = if index + 1 == payloads.len() { 0x80 } else { 0 };
                bytes.extend(masked(opcode | last, payload));
                if ping {
                    bytes.extend(masked(0x89, b"ping"));
                }
            }
            texts.push(parts.concat());
        }
        (bytes, texts)
    })
}

proptest! {
    #[test]
    fn any_chunks_give_the_same_messages(
        (bytes, texts) in conversation(),
        chunks in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let (found, end) = read(&mut client("permessage-deflate"), &bytes, &chunks);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(found, texts);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in 0_usize..300,
        first in any::<u8>(),
    ) {
        if let Some(part) = bytes.get_mut(at..at + 2) {
            part.copy_from_slice(&[first, 0x85]);
        }
        for side in [Side::Client, Side::Server] {
            let mut messages = Messages::new(side, inflate("permessage-deflate"), LIMIT);
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = messages.next(&mut rest) {}
            prop_assert!(messages.header.len() <= LONGEST_HEADER);
        }
    }
}
