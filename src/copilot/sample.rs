//! Invented exchanges in the shapes of real ones, for tests.

use bytes::Bytes;
use chrono::DateTime;

use crate::exchange::{BodySize, Ending, Exchange, ExchangeId, Head, ResponseHead, Timings};

const PROXY: &str = "https://proxy.business.githubcopilot.com/v1/engines/demo-engine/completions";
const CAPI: &str = "https://api.business.githubcopilot.com/chat/completions";

/// A completions exchange that ended with 200.
pub(super) fn completion(headers: &[(&str, &str)], request: &str, answer: &str) -> Exchange {
    at(PROXY, headers, request, answer)
}

/// A chat exchange that ended with 200.
pub(super) fn chat(headers: &[(&str, &str)], request: &str, answer: &str) -> Exchange {
    at(CAPI, headers, request, answer)
}

/// A streamed answer of these events.
pub(super) fn stream(events: &[&str]) -> String {
    events.iter().chain(&["[DONE]"]).map(|event| format!("data: {event}\n\n")).collect()
}

/// An exchange with any URL that ended with 200.
pub(super) fn at(url: &str, headers: &[(&str, &str)], request: &str, answer: &str) -> Exchange {
    let at = DateTime::UNIX_EPOCH;
    let kind = if answer.starts_with("data:") || answer.starts_with("event:") {
        "text/event-stream"
    } else {
        "application/json"
    };
    Exchange {
        head: Head {
            account: None,
            id: ExchangeId::now(),
            user: "octocat".to_owned(),
            client: [127, 0, 0, 1].into(),
            method: "POST".to_owned(),
            url: url.to_owned(),
            request_headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            request_size: size(request),
            response: Some(ResponseHead { status: 200, headers: vec![("content-type".to_owned(), kind.to_owned())] }),
            response_size: size(answer),
            ending: Ending::Completed,
            timings: Timings { started_at: at, ended_at: at, first_byte_us: Some(1), duration_us: 2 },
        },
        request_body: Bytes::copy_from_slice(request.as_bytes()),
        response_body: Bytes::copy_from_slice(answer.as_bytes()),
    }
}

fn size(body: &str) -> BodySize {
    BodySize { bytes: body.len() as u64, truncated: false }
}
