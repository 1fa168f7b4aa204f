//! One exchange as bytes: what the spool writes and reads back.
//!
//! Layout, numbers little-endian: version (1 byte), then the lengths of three parts (4 bytes each), then the three. Version
//! 1 is an exchange: head, request body, response body. Version 2 is one that was understood before: head, understanding,
//! nothing. Version 3 is what was told in passing: head, that, nothing. All but bodies is JSON, so that a field added later
//! does not make older entries unreadable; bodies stay as they were sent.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::copilot::Understanding;
use crate::copilot::observation::Notice;
use crate::copilot::unrecognised::Unrecognised;
use crate::exchange::{Exchange, Head};

/// First byte of an entry with an exchange as it was sent.
const AS_SENT: u8 = 1;
/// First byte of an entry with what was understood of an exchange.
const UNDERSTOOD: u8 = 2;
/// First byte of an entry with what was told in passing.
const TOLD: u8 = 3;
/// Version and three lengths.
const PREFIX: usize = 1 + 3 * 4;

/// What is kept of one exchange until it is recorded.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "most are the large one, which a box would only make slower")]
pub enum Spooled {
    /// All of it, as it was sent.
    AsSent(Exchange),
    /// What it turned out to be. For exchanges whose bodies must not touch the disk as they were sent.
    Understood(Box<(Head, Understanding)>),
    /// What a client or GitHub told in a request that is no exchange with a model; its bodies never touch the disk.
    Told(Box<(Head, Told)>),
}

/// What was told in passing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What was understood of it.
    pub notice: Notice,
    /// What was not.
    pub unrecognised: Vec<Unrecognised>,
}

impl Spooled {
    /// Everything but the bodies.
    #[must_use]
    pub fn head(&self) -> &Head {
        match self {
            Self::AsSent(exchange) => &exchange.head,
            Self::Understood(understood) => &understood.0,
            Self::Told(told) => &told.0,
        }
    }
}

impl From<Exchange> for Spooled {
    fn from(exchange: Exchange) -> Self {
        Self::AsSent(exchange)
    }
}

/// Why an exchange has no bytes, or why bytes are no exchange.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// One part is longer than its four-byte length can say; lower `capture.max_body`.
    #[error("a part of {0} bytes is more than an entry can hold; lower capture.max_body")]
    TooLarge(usize),
    /// Written by another version of copilens.
    #[error("entry version {0} is unknown to this version of copilens, which knows versions {AS_SENT} to {TOLD}")]
    Version(u8),
    /// The lengths do not add up to the entry's size.
    #[error("the entry's lengths do not fit its {0} bytes")]
    Lengths(usize),
    /// Head or understanding are not the JSON that they should be, or cannot be written as such.
    #[error("the entry's JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Appends `spooled` to `buffer`.
///
/// # Errors
/// [`EntryError::TooLarge`] for a part beyond 4 GiB. `buffer` may then end in part of the entry.
pub fn encode(spooled: &Spooled, buffer: &mut Vec<u8>) -> Result<(), EntryError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; PREFIX]);
    serde_json::to_writer(&mut *buffer, spooled.head())?;
    let head = buffer.len() - start - PREFIX;
    let (version, second, third) = match spooled {
        Spooled::AsSent(exchange) => {
            buffer.extend_from_slice(&exchange.request_body);
            buffer.extend_from_slice(&exchange.response_body);
            (AS_SENT, exchange.request_body.len(), exchange.response_body.len())
        }
        Spooled::Understood(understood) => {
            serde_json::to_writer(&mut *buffer, &understood.1)?;
            (UNDERSTOOD, buffer.len() - start - PREFIX - head, 0)
        }
        Spooled::Told(told) => {
            serde_json::to_writer(&mut *buffer, &told.1)?;
            (TOLD, buffer.len() - start - PREFIX - head, 0)
        }
    };
    if let Some(prefix) = buffer.split_at_mut(start).1.first_chunk_mut() {
        *prefix = encode_prefix(version, [length(head)?, length(second)?, length(third)?]);
    }
    Ok(())
}

/// What `entry` holds. Bodies share `entry`'s memory.
///
/// # Errors
/// For every sequence of bytes that [`encode`] of a version known here did not write.
pub fn decode(entry: &Bytes) -> Result<Spooled, EntryError> {
    let (version, [head, second, third]) = decode_prefix(entry)?;
    let wrong = || EntryError::Lengths(entry.len());
    let second_at = PREFIX.checked_add(head).ok_or_else(wrong)?;
    let third_at = second_at.checked_add(second).ok_or_else(wrong)?;
    if third_at.checked_add(third) != Some(entry.len()) {
        return Err(wrong());
    }
    let head: Head = serde_json::from_slice(&entry.slice(PREFIX..second_at))?;
    let (second, third) = (entry.slice(second_at..third_at), entry.slice(third_at..));
    Ok(match version {
        UNDERSTOOD => Spooled::Understood(Box::new((head, serde_json::from_slice(&second)?))),
        TOLD => Spooled::Told(Box::new((head, serde_json::from_slice(&second)?))),
        _ => Spooled::AsSent(Exchange { head, request_body: second, response_body: third }),
    })
}

/// About how many bytes [`encode`] will write of an exchange, without writing them.
pub(super) fn size_hint(exchange: &Exchange) -> u64 {
    let head = &exchange.head;
    let response = head.response.iter().flat_map(|response| &response.headers);
    let fields: usize = head.request_headers.iter().chain(response).map(|(name, value)| name.len() + value.len()).sum();
    (512 + head.url.len() + fields + exchange.request_body.len() + exchange.response_body.len()) as u64
}

fn length(bytes: usize) -> Result<u32, EntryError> {
    u32::try_from(bytes).map_err(|_| EntryError::TooLarge(bytes))
}

fn encode_prefix(version: u8, [head, second, third]: [u32; 3]) -> [u8; PREFIX] {
    let ([h0, h1, h2, h3], [q0, q1, q2, q3]) = (head.to_le_bytes(), second.to_le_bytes());
    let [s0, s1, s2, s3] = third.to_le_bytes();
    [version, h0, h1, h2, h3, q0, q1, q2, q3, s0, s1, s2, s3]
}

fn decode_prefix(entry: &Bytes) -> Result<(u8, [usize; 3]), EntryError> {
    let (prefix, _) = entry.split_first_chunk::<PREFIX>().ok_or(EntryError::Lengths(entry.len()))?;
    let &[version, h0, h1, h2, h3, q0, q1, q2, q3, s0, s1, s2, s3] = prefix;
    if !matches!(version, AS_SENT..=TOLD) {
        return Err(EntryError::Version(version));
    }
    let part = |bytes| u32::from_le_bytes(bytes) as usize;
    Ok((version, [part([h0, h1, h2, h3]), part([q0, q1, q2, q3]), part([s0, s1, s2, s3])]))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::copilot::observation::Account;
    use crate::exchange::{BodySize, Ending, ExchangeId, ResponseHead, Timings};

    fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::vec((".{0,12}", ".{0,40}"), 0..6)
    }

    fn time() -> impl Strategy<Value = DateTime<Utc>> {
        (0..4_000_000_000_000_000i64).prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
    }

    fn timings() -> impl Strategy<Value = Timings> {
        (time(), time(), any::<Option<u64>>(), any::<u64>()).prop_map(
            |(started_at, ended_at, first_byte_us, duration_us)| Timings {
                started_at,
                ended_at,
                first_byte_us,
                duration_us,
            },
        )
    }

    fn size() -> impl Strategy<Value = BodySize> {
        any::<(u64, bool)>().prop_map(|(bytes, truncated)| BodySize { bytes, truncated })
    }

    fn response() -> impl Strategy<Value = Option<ResponseHead>> {
        prop::option::of((any::<u16>(), headers()).prop_map(|(status, headers)| ResponseHead { status, headers }))
    }

    fn ending() -> impl Strategy<Value = Ending> {
        prop_oneof![Just(Ending::Completed), Just(Ending::Canceled), Just(Ending::UpstreamFailed)]
    }

    fn head() -> impl Strategy<Value = Head> {
        let request = (".{0,20}", any::<std::net::IpAddr>(), ".{0,8}", ".{0,80}", headers(), size());
        (request, response(), size(), ending(), timings()).prop_map(
            |((user, client, method, url, request_headers, request_size), response, response_size, ending, timings)| {
                let id = ExchangeId::now();
                Head {
                    account: None,
                    id,
                    user,
                    client,
                    method,
                    url,
                    request_headers,
                    request_size,
                    response,
                    response_size,
                    ending,
                    timings,
                }
            },
        )
    }

    fn body() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
    }

    fn spooled() -> impl Strategy<Value = Spooled> {
        (head(), body(), body(), AS_SENT..=TOLD).prop_map(|(head, request_body, response_body, version)| {
            let exchange = Exchange { head, request_body, response_body };
            match version {
                AS_SENT => Spooled::AsSent(exchange),
                UNDERSTOOD => {
                    let understanding = crate::copilot::understand(&exchange, 1000);
                    Spooled::Understood(Box::new((exchange.head, understanding)))
                }
                _ => {
                    let login = Some(exchange.head.user.clone());
                    let notice = Notice::Account(Account { login, ..Account::default() });
                    Spooled::Told(Box::new((exchange.head, Told { notice, unrecognised: Vec::new() })))
                }
            }
        })
    }

    fn encoded(spooled: &Spooled) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(spooled, &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(spooled in spooled()) {
            let mut bytes = b"before".to_vec();
            encode(&spooled, &mut bytes).unwrap();
            let entry = Bytes::from(bytes).split_off(6);
            prop_assert_eq!(decode(&entry).unwrap(), spooled);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&Bytes::from(bytes));
        }

        #[test]
        fn mutated_entries_never_panic(
            spooled in spooled(), at in any::<prop::sample::Index>(), to in any::<u8>(),
        ) {
            let mut bytes = encoded(&spooled);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode(&Bytes::from(bytes));
        }

        #[test]
        fn an_entry_cut_short_or_lengthened_is_refused(spooled in spooled(), at in any::<prop::sample::Index>()) {
            let mut bytes = encoded(&spooled);
            prop_assert!(decode(&Bytes::copy_from_slice(&bytes[..at.index(bytes.len())])).is_err());
            bytes.push(b'x');
            prop_assert!(matches!(decode(&Bytes::from(bytes)), Err(EntryError::Lengths(_))));
        }
    }

    #[test]
    fn another_version_is_named() {
        let error = decode(&Bytes::from_static(&[9; 40])).unwrap_err();
        insta::assert_snapshot!(error, @"entry version 9 is unknown to this version of copilens, which knows versions 1 to 3");
    }
}
