//! The copy of one exchange, filled while it passes and handed to the recorder when it ends.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{SubsecRound, Utc};
use http::header::AUTHORIZATION;
use http::{HeaderMap, request, response};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::copilot::{self, Capture, Endpoint};
use crate::exchange::{BodySize, Ending, Exchange, ExchangeId, Head, ResponseHead, Timings, redact};
use crate::identity::Seed;
use crate::recorder::{Ack, Intake};

/// A body's copy, which stops at a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) kept: Vec<u8>,
    pub(crate) size: BodySize,
}

impl Copy {
    pub(crate) fn extend(&mut self, data: &[u8], limit: usize) {
        self.size.bytes += data.len() as u64;
        let room = limit.saturating_sub(self.kept.len());
        let part = data.get(..room.min(data.len())).unwrap_or_default();
        self.kept.extend_from_slice(part);
        self.size.truncated |= part.len() < data.len();
    }

    /// Adds what another copy has of its body.
    fn append(&mut self, part: &Self, limit: usize) {
        self.extend(&part.kept, limit);
        self.size.bytes += part.size.bytes - part.kept.len() as u64;
        self.size.truncated |= part.size.truncated;
    }

    /// The copy, without tokens where `redacted`. In a coded body none can be seen; the recorder removes them when it has
    /// decoded it, which is before the spool.
    fn into_bytes(mut self, redacted: bool) -> (Bytes, BodySize) {
        if redacted {
            redact::body(&mut self.kept);
        }
        (Bytes::from(self.kept), self.size)
    }
}

#[derive(Debug)]
struct Draft {
    head: Head,
    purpose: Capture,
    begun: Instant,
    first_byte: Option<Instant>,
    request: Copy,
    response: Copy,
}

impl Draft {
    /// Something of the answer has come. With the first of it, how long it was waited for.
    fn first_byte(&mut self) -> Option<Duration> {
        if self.first_byte.is_some() {
            return None;
        }
        let now = Instant::now();
        self.first_byte = Some(now);
        Some(now - self.begun)
    }

    fn finish(self, ending: Ending) -> Exchange {
        // What is told in passing is read for its facts and kept nowhere; account facts stand beside tokens.
        let keep = matches!(self.purpose, Capture::Exchange(_));
        let (request_body, request_size) = self.request.into_bytes(keep && !self.head.request_is_coded());
        let (response_body, response_size) = self.response.into_bytes(keep && !self.head.response_is_coded());
        let micros = |later: Instant| u64::try_from((later - self.begun).as_micros()).unwrap_or(u64::MAX);
        let timings = Timings {
            started_at: self.head.timings.started_at,
            ended_at: Utc::now().trunc_subsecs(6),
            first_byte_us: self.first_byte.map(micros),
            duration_us: micros(Instant::now()),
        };
        let head = Head { request_size, response_size, ending, timings, ..self.head };
        Exchange { head, request_body, response_body }
    }
}

/// A request that is worth a copy.
pub(crate) struct Begun<'a> {
    /// What it is worth a copy for.
    pub(crate) purpose: Capture,
    /// Whose tunnel it came through.
    pub(crate) user: &'a str,
    pub(crate) client: IpAddr,
    /// What account keys derive from.
    pub(crate) seed: &'a Seed,
    /// Absolute.
    pub(crate) url: &'a str,
    pub(crate) parts: &'a request::Parts,
}

/// The key of the account whose token the request carries.
fn account(headers: &HeaderMap, seed: &Seed) -> Option<String> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    copilot::tracking_id(authorization).map(|tracking_id| seed.account_key(tracking_id))
}

/// The recording of one exchange. Whatever becomes of the request, dropping the last part of it hands over what there is.
#[derive(Debug)]
pub(crate) struct Recording {
    draft: Arc<Mutex<Option<Draft>>>,
    intake: Arc<Intake>,
    limit: usize,
    /// The shutdown waits for it.
    _under_way: TaskTrackerToken,
}

impl Recording {
    /// Begins with the request's head. `under_way` is held until the end.
    pub(crate) fn begin(intake: Arc<Intake>, limit: usize, request: &Begun<'_>, under_way: TaskTrackerToken) -> Self {
        let now = Utc::now().trunc_subsecs(6);
        let parts = request.parts;
        let head = Head {
            id: ExchangeId::now(),
            user: request.user.to_owned(),
            client: request.client,
            account: account(&parts.headers, request.seed),
            method: parts.method.to_string(),
            url: redact::url(request.url),
            request_headers: redact::headers(&parts.headers),
            request_size: BodySize::default(),
            response: None,
            response_size: BodySize::default(),
            ending: Ending::Canceled,
            timings: Timings { started_at: now, ended_at: now, first_byte_us: None, duration_us: 0 },
        };
        Self::with(intake, limit, request.purpose, head, Copy::default(), under_way)
    }

    /// A request of `alice`, for tests.
    #[cfg(test)]
    pub(crate) fn sample(
        intake: Arc<Intake>,
        endpoint: Endpoint,
        request: http::Request<()>,
        under_way: TaskTrackerToken,
    ) -> Self {
        let (parts, ()) = request.into_parts();
        let begun = Begun {
            purpose: Capture::Exchange(endpoint),
            user: "alice",
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            seed: &Seed::generate().unwrap(),
            url: &format!("https://a.example{}", parts.uri),
            parts: &parts,
        };
        Self::begin(intake, 1024, &begun, under_way)
    }

    /// Begins with a request that is a message on a connection whose upgrade had this head.
    pub(crate) fn of_message(
        intake: Arc<Intake>,
        limit: usize,
        mut head: Head,
        request: Copy,
        under_way: TaskTrackerToken,
    ) -> Self {
        head.id = ExchangeId::now();
        head.timings.started_at = Utc::now().trunc_subsecs(6);
        Self::with(intake, limit, Capture::Exchange(Endpoint::ResponsesWebSocket), head, request, under_way)
    }

    fn with(
        intake: Arc<Intake>,
        limit: usize,
        purpose: Capture,
        head: Head,
        request: Copy,
        under_way: TaskTrackerToken,
    ) -> Self {
        let begun = Instant::now();
        let draft = Draft { head, purpose, begun, first_byte: None, request, response: Copy::default() };
        Self { draft: Arc::new(Mutex::new(Some(draft))), intake, limit, _under_way: under_way }
    }

    /// The head alone; nothing is handed over.
    pub(crate) fn into_head(self) -> Option<Head> {
        lock(&self.draft).take().map(|draft| draft.head)
    }

    /// What the request's body writes its copy to.
    pub(crate) fn request_copy(&self) -> RequestCopy {
        RequestCopy { draft: Arc::clone(&self.draft), limit: self.limit }
    }

    /// The answer's head has come.
    pub(crate) fn answered(&self, response: &response::Parts) {
        if let Some(draft) = lock(&self.draft).as_mut() {
            draft.head.response = Some(response_head(response.status.as_u16(), &response.headers));
        }
    }

    /// Whether the answer has a content coding, so that nothing can be recognised in its body.
    pub(crate) fn response_is_coded(&self) -> bool {
        lock(&self.draft).as_ref().is_some_and(|draft| draft.head.response_is_coded())
    }

    /// A part of the answer's body has come. With the first one, how long it was waited for.
    pub(crate) fn response_data(&self, data: &[u8]) -> Option<Duration> {
        let mut draft = lock(&self.draft);
        let draft = draft.as_mut()?;
        draft.response.extend(data, self.limit);
        draft.first_byte()
    }

    /// A message of the answer has come, as [`Recording::response_data`]. Line feeds stand between messages.
    pub(crate) fn response_message(&self, message: &Copy) -> Option<Duration> {
        let mut draft = lock(&self.draft);
        let draft = draft.as_mut()?;
        if draft.first_byte.is_some() {
            draft.response.extend(b"\n", self.limit);
        }
        draft.response.append(message, self.limit);
        draft.first_byte()
    }

    /// More of the answer comes than can be copied.
    pub(crate) fn cut_short(&self) {
        if let Some(draft) = lock(&self.draft).as_mut() {
            draft.response.size.truncated = true;
        }
    }

    /// The exchange is over. `None` if that was said before.
    pub(crate) fn finish(&self, ending: Ending) -> Option<Ack> {
        let draft = lock(&self.draft).take()?;
        let purpose = draft.purpose;
        Some(self.intake.submit(draft.finish(ending), purpose))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // The client has gone: nobody waits for the acknowledgement, but the exchange is kept.
        drop(self.finish(Ending::Canceled));
    }
}

/// The request side of a recording.
#[derive(Debug)]
pub(crate) struct RequestCopy {
    draft: Arc<Mutex<Option<Draft>>>,
    limit: usize,
}

impl RequestCopy {
    /// A part of the request's body has passed.
    pub(crate) fn data(&self, data: &[u8]) {
        if let Some(draft) = lock(&self.draft).as_mut() {
            draft.request.extend(data, self.limit);
        }
    }
}

pub(crate) fn response_head(status: u16, headers: &HeaderMap) -> ResponseHead {
    ResponseHead { status, headers: redact::headers(headers) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stops_at_its_limit_and_says_so() {
        let mut copy = Copy::default();
        copy.extend(b"abc", 5);
        assert_eq!(copy.size, BodySize { bytes: 3, truncated: false });
        copy.extend(b"defg", 5);
        copy.extend(b"h", 5);
        assert_eq!(copy.kept, b"abcde");
        assert_eq!(copy.size, BodySize { bytes: 8, truncated: true });
    }
}
