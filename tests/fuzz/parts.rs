//! How inputs of several parts are written, so that a seed can be read and a mutation mostly leaves the parts apart.

use std::net::Ipv4Addr;

use bytes::Bytes;
use copilens::exchange::{BodySize, Ending, Exchange, ExchangeId, Head, ResponseHead, Timings};

/// Stands between the parts of an input.
const SEPARATOR: &[u8] = b"\n---\n";

/// The input's first `N` parts; missing ones are empty, and the last one takes the rest.
pub fn parts<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut rest = Some(input);
    std::array::from_fn(|index| {
        let Some(text) = rest else { return &b""[..] };
        let place = text.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        match place.filter(|_| index + 1 < N) {
            Some(place) => {
                rest = text.get(place + SEPARATOR.len()..);
                &text[..place]
            }
            None => rest.take().unwrap_or_default(),
        }
    })
}

/// An exchange of four parts: request head, request body, head of the answer, its body. A head is its first line (`METHOD
/// URL`, or the status), then a field a line. Without a status, no answer came.
pub fn exchange(input: &[u8]) -> Exchange {
    let [request, request_body, answer, response_body] = parts(input);
    let (first, request_headers) = head(request);
    let (method, url) = first.split_once(' ').unwrap_or((&first, ""));
    let (status, headers) = head(answer);
    let at = "2026-01-31T23:59:59.999999Z".parse().unwrap();
    Exchange {
        head: Head {
            account: None,
            id: ExchangeId::from_bytes([7; 16]),
            user: "octocat".to_owned(),
            client: Ipv4Addr::LOCALHOST.into(),
            method: method.to_owned(),
            url: url.to_owned(),
            request_headers,
            request_size: size(request_body),
            response: status.parse().ok().map(|status| ResponseHead { status, headers }),
            response_size: size(response_body),
            ending: ending(input),
            timings: Timings { started_at: at, ended_at: at, first_byte_us: Some(188_345), duration_us: 1_234_567 },
        },
        request_body: Bytes::copy_from_slice(request_body),
        response_body: Bytes::copy_from_slice(response_body),
    }
}

/// A part's first line, and the fields below it as the proxy hands them over: names in lower case, values trimmed.
fn head(part: &[u8]) -> (String, Vec<(String, String)>) {
    let text = String::from_utf8_lossy(part);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let fields = lines.filter_map(|line| line.split_once(':'));
    (first, fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect())
}

fn size(body: &[u8]) -> BodySize {
    BodySize { bytes: body.len() as u64, truncated: body.len() % 7 == 6 }
}

fn ending(input: &[u8]) -> Ending {
    match input.len() % 8 {
        0 => Ending::Canceled,
        1 => Ending::UpstreamFailed,
        _ => Ending::Completed,
    }
}
