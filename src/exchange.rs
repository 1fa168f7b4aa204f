//! The captured exchange: what the proxy hands over, and all that the recorder ever learns of a request and its answer.
//!
//! The proxy fills it with bytes and times and knows nothing of Copilot; the recorder reads it and knows nothing of
//! sockets. Credentials are gone before an exchange exists (see [`redact`]), so everything below the proxy may keep what
//! it gets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub mod redact;

/// Names one exchange everywhere: log line, spool entry, record file and usage event.
///
/// A UUIDv7 (RFC 9562 section 5.7), so ids sort by the time at which the request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExchangeId(Uuid);

impl ExchangeId {
    /// An id for an exchange that begins now.
    #[must_use]
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of these 16 bytes, as [`ExchangeId::as_bytes`] gave them.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id's 16 bytes in network order; they sort as the id does.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ExchangeId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// One request with its answer, as far as it came, as sent on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// Everything but the bodies.
    pub head: Head,
    /// The request's body, still in its content coding.
    pub request_body: Bytes,
    /// The answer's body, still in its content coding.
    pub response_body: Bytes,
}

/// Everything of an exchange but its bodies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The exchange's name.
    pub id: ExchangeId,
    /// Name of the user whose credentials opened the tunnel.
    pub user: String,
    /// Address that the client connected from.
    pub client: IpAddr,
    /// Key of the GitHub account whose token the request carried: an HMAC of the token's `tid`, which itself is kept nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Request method, as sent.
    pub method: String,
    /// Absolute URL, without credentials and with secret query values removed.
    pub url: String,
    /// Request header fields in the order sent, names in lower case, credentials removed.
    pub request_headers: Vec<(String, String)>,
    /// Size of the request's body and whether the copy is whole.
    pub request_size: BodySize,
    /// Head of the answer; `None` where the exchange ended before there was one.
    pub response: Option<ResponseHead>,
    /// Size of the answer's body and whether the copy is whole.
    pub response_size: BodySize,
    /// How the exchange ended.
    pub ending: Ending,
    /// When it happened and how long it took.
    pub timings: Timings,
}

impl Head {
    /// The first value of a request header field; `name` in lower case.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<&str> {
        field(&self.request_headers, name)
    }

    /// The first value of a response header field; `name` in lower case.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<&str> {
        self.response.as_ref().and_then(|response| field(&response.headers, name))
    }

    /// Whether the request's body has a content coding, so that nothing can be seen in it.
    #[must_use]
    pub fn request_is_coded(&self) -> bool {
        is_coded(&self.request_headers)
    }

    /// Whether the answer's body has a content coding.
    #[must_use]
    pub fn response_is_coded(&self) -> bool {
        self.response.as_ref().is_some_and(|response| is_coded(&response.headers))
    }

    /// All `Content-Encoding` fields of the request as one list (RFC 9110 section 5.3).
    #[must_use]
    pub fn request_coding(&self) -> String {
        coding(&self.request_headers)
    }

    /// Likewise of the answer.
    #[must_use]
    pub fn response_coding(&self) -> String {
        self.response.as_ref().map(|response| coding(&response.headers)).unwrap_or_default()
    }

    /// The answer's status code, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status)
    }
}

fn coding(headers: &[(String, String)]) -> String {
    let values: Vec<_> =
        headers.iter().filter(|(name, _)| name == "content-encoding").map(|(_, value)| value.as_str()).collect();
    values.join(",")
}

/// RFC 9110 section 8.4.1: `identity` is no coding.
fn is_coded(headers: &[(String, String)]) -> bool {
    let codings = headers.iter().filter(|(name, _)| name == "content-encoding").flat_map(|(_, value)| value.split(','));
    codings.map(str::trim).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

fn field<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
}

/// Status and header fields of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHead {
    /// HTTP status code.
    pub status: u16,
    /// Header fields in the order sent, names in lower case, cookies removed.
    pub headers: Vec<(String, String)>,
}

/// How much of a body passed, and whether all of it was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodySize {
    /// Bytes that passed on the wire (content coding applied, transfer coding not).
    pub bytes: u64,
    /// True where the copy stops short of what passed (`capture.max_body`).
    pub truncated: bool,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The answer reached its end.
    Completed,
    /// The client went away first.
    Canceled,
    /// The upstream failed: no connection, a reset, or silence past a time limit.
    UpstreamFailed,
}

/// When an exchange happened. Wall-clock times are UTC with microseconds; lengths come from a monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Arrival of the request's head.
    pub started_at: DateTime<Utc>,
    /// End of the answer. It names the record file and decides the day.
    pub ended_at: DateTime<Utc>,
    /// From the request's head to the first byte of the answer's body, in microseconds.
    pub first_byte_us: Option<u64>,
    /// From the request's head to the end of the answer, in microseconds.
    pub duration_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_anything_but_identity_in_any_field() {
        let coded = |values: &[&str]| {
            let fields: Vec<_> =
                values.iter().map(|value| ("content-encoding".to_owned(), (*value).to_owned())).collect();
            is_coded(&fields)
        };
        assert!(![coded(&[]), coded(&[""]), coded(&["identity"]), coded(&["Identity, "])].contains(&true));
        assert!(coded(&["gzip"]) && coded(&["identity, br"]) && coded(&["identity", "zstd"]) && coded(&["snappy"]));
    }
}
