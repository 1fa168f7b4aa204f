//! How a request tells the fake to behave: header fields `x-sim-*`, so that a test steers each exchange by itself; for
//! clients whose header fields are their own, words in the prompt.

use std::time::Duration;

use super::encoding::Coding;
use super::seen::SeenRequest;

/// Milliseconds of silence before the answer's head.
pub const HEAD_DELAY_MS: &str = "x-sim-head-delay-ms";
/// Milliseconds of silence before each piece of the body.
pub const EVENT_DELAY_MS: &str = "x-sim-event-delay-ms";
/// Number of text events of a streamed answer. Its closing events (finish, usage, `[DONE]`) come on top; 0 gives an empty text.
pub const EVENTS: &str = "x-sim-events";
/// Status code of the answer; other than 2xx, the body is a JSON error.
pub const STATUS: &str = "x-sim-status";
/// The body is this many bytes of a repeating pattern instead of an answer.
pub const BODY_SIZE: &str = "x-sim-body-size";
/// `name: value` of a trailer field to send after the body (with chunked framing, or HTTP/2).
pub const TRAILER: &str = "x-sim-trailer";
/// Break off after this many pieces of the body: HTTP/1.1 closes without the end, HTTP/2 resets the stream.
pub const BREAK_OFF: &str = "x-sim-break-off";
/// Send this many pieces of the body, then nothing more, until the client leaves.
pub const STALL: &str = "x-sim-stall";
/// Any value: never send a head.
pub const NEVER_ANSWER: &str = "x-sim-never-answer";
/// `chunked`, `length` or `close`: how an HTTP/1.1 body is delimited.
pub const FRAMING: &str = "x-sim-framing";
/// `gzip`, `br`, `zstd`, `deflate`, or `accept` for the first of these that `Accept-Encoding` names.
pub const ENCODING: &str = "x-sim-encoding";
/// Interim answers before the final one over HTTP/1.1, such as `103` or `100,103`.
pub const INTERIM: &str = "x-sim-interim";

/// What the 101 of a WebSocket says in `Sec-WebSocket-Extensions`, where the client offers permessage-deflate.
pub const WEBSOCKET_EXTENSIONS: &str = "x-sim-websocket-extensions";
/// Send each message of a WebSocket in this many frames, with a ping between them.
pub const FRAGMENTS: &str = "x-sim-fragments";

/// Name of the tool that the model calls, or `any` for one of those offered.
pub const TOOL: &str = "x-sim-tool";
/// In a prompt, before a tool's name and its input as JSON: the model calls that tool, and answers in words once it has
/// the result. The input of a custom tool is a JSON string.
pub const CALL: &str = "sim:call ";

/// How a body is delimited (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    Length,
    Close,
}

/// The behaviour that one request asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    pub(super) head_delay: Option<Duration>,
    pub(super) event_delay: Option<Duration>,
    pub(super) events: Option<usize>,
    pub(super) status: Option<u16>,
    pub(super) body_size: Option<usize>,
    pub(super) trailer: Option<(String, String)>,
    pub(super) break_off: Option<usize>,
    pub(super) stall: Option<usize>,
    pub(super) never_answer: bool,
    pub(super) framing: Option<Framing>,
    pub(super) coding: Option<Coding>,
    pub(super) interim: Vec<u16>,
    pub(super) fragments: Option<usize>,
}

impl Control {
    /// Reads a request's control fields. A value that cannot be read counts as absent.
    pub(super) fn of(request: &SeenRequest) -> Self {
        Self {
            head_delay: number(request, HEAD_DELAY_MS).map(Duration::from_millis),
            event_delay: number(request, EVENT_DELAY_MS).map(Duration::from_millis),
            events: number(request, EVENTS),
            status: number(request, STATUS).filter(|status| (200..=599).contains(status)),
            body_size: number(request, BODY_SIZE),
            trailer: request.header(TRAILER).and_then(field),
            break_off: number(request, BREAK_OFF),
            stall: number(request, STALL),
            never_answer: request.header(NEVER_ANSWER).is_some(),
            framing: request.header(FRAMING).and_then(framing),
            coding: request.header(ENCODING).and_then(|name| coding(name, request)),
            interim: request.header(INTERIM).map(interim).unwrap_or_default(),
            fragments: number(request, FRAGMENTS),
        }
    }
}

fn number<T: std::str::FromStr>(request: &SeenRequest, name: &str) -> Option<T> {
    request.header(name)?.trim().parse().ok()
}

fn field(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

fn framing(text: &str) -> Option<Framing> {
    match text {
        "chunked" => Some(Framing::Chunked),
        "length" => Some(Framing::Length),
        "close" => Some(Framing::Close),
        _ => None,
    }
}

fn coding(name: &str, request: &SeenRequest) -> Option<Coding> {
    if name != "accept" {
        return Coding::named(name);
    }
    let offered = request.header("accept-encoding")?;
    offered.split(',').find_map(|one| Coding::named(one.split(';').next().unwrap_or(one).trim()))
}

fn interim(text: &str) -> Vec<u16> {
    let codes = text.split(',').filter_map(|code| code.trim().parse().ok());
    codes.filter(|code| (100..200).contains(code) && *code != 101).collect()
}
