//! What the fake answers: the routes, and what control fields make of an answer.

use bytes::Bytes;
use serde_json::{Value, json};

use super::control::{Control, Framing};
use super::encoding::decode_request;
use super::seen::SeenRequest;
use super::{account, chat, completions, messages, responses};
use crate::sim::rng::{Seeded, fingerprint};

/// An answer before it is sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) pieces: Vec<Bytes>,
    /// True for a stream of events, which may be gated.
    pub(super) streamed: bool,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, pieces: vec![Bytes::from(body.to_string())], streamed: false }
    }

    pub(super) fn events(pieces: Vec<Bytes>) -> Self {
        let headers = vec![("content-type", "text/event-stream".to_owned())];
        Self { status: 200, headers, pieces, streamed: true }
    }

    pub(super) fn text(body: &'static str) -> Self {
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        Self { status: 200, headers, pieces: vec![Bytes::from_static(body.as_bytes())], streamed: false }
    }

    /// How an HTTP/1.1 body is delimited where the request does not say: streams in chunks, the rest by its length.
    pub(super) fn framing(&self, control: &Control) -> Framing {
        control.framing.unwrap_or(if self.streamed || control.trailer.is_some() {
            Framing::Chunked
        } else {
            Framing::Length
        })
    }

    pub(super) fn length(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

/// What an endpoint needs to know of a request.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) request: &'a SeenRequest,
    pub(super) control: &'a Control,
    /// The body as JSON; `Null` where it is none.
    pub(super) body: Value,
    /// Decides everything invented; the same for the same request and seed.
    pub(super) rng: Seeded,
}

impl Question<'_> {
    pub(super) fn streamed(&self) -> bool {
        self.body.get("stream").and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn text<'b>(&'b self, key: &str) -> &'b str {
        self.body.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The answer to a request.
pub(super) fn answer(request: &SeenRequest, control: &Control, seed: u64) -> Answer {
    let identity = request.header("x-request-id").map_or(request.body.as_ref(), str::as_bytes);
    let rng = Seeded::new(seed ^ fingerprint(identity) ^ fingerprint(request.path().as_bytes()));
    let body = decode_request(request.header("content-encoding"), &request.body);
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut question = Question { request, control, body, rng };
    let mut answer = overridden(control).unwrap_or_else(|| route(&mut question));
    answer.headers.extend(service_headers(&mut question));
    encoded(answer, control)
}

fn overridden(control: &Control) -> Option<Answer> {
    if let Some(size) = control.body_size {
        let mut answer = Answer { pieces: pattern(size), ..Answer::text("") };
        answer.status = control.status.unwrap_or(200);
        return Some(answer);
    }
    let status = control.status?;
    let error = json!({"error": {"message": format!("simulated status {status}"), "code": "simulated"}});
    (!(200..300).contains(&status)).then(|| Answer::json(status, &error))
}

fn pattern(size: usize) -> Vec<Bytes> {
    const PIECE: usize = 16 * 1024;
    let piece: Bytes = (0..PIECE).map(|index| b"0123456789abcde\n".get(index % 16).copied().unwrap_or(b'.')).collect();
    let mut pieces = vec![piece.clone(); size / PIECE];
    if !size.is_multiple_of(PIECE) {
        pieces.push(piece.slice(..size % PIECE));
    }
    pieces
}

fn route(question: &mut Question<'_>) -> Answer {
    let path = question.request.path().to_owned();
    match (question.request.method.as_str(), path.as_str()) {
        ("POST", "/chat/completions") => chat::answer(question),
        ("POST", "/responses") => responses::answer(question),
        ("POST", "/v1/messages") => messages::answer(question),
        ("POST", "/telemetry" | "/v2/track") => account::telemetry(question.request),
        ("GET", "/telemetry") => account::experiments(),
        ("GET", "/_ping") => Answer::text("OK"),
        ("GET", "/models") => account::models(question.request),
        ("GET", "/copilot_internal/v2/token") => account::token(question),
        ("GET", "/copilot_internal/user") => account::user(question),
        ("GET", "/user") => account::login(question),
        ("GET", "/agents") => Answer::json(200, &json!({"agents": []})),
        ("POST", path) if path.starts_with("/agents/") => chat::agent(question),
        ("POST", path) => match engine(path).map(str::to_owned) {
            Some(engine) => completions::answer(question, &engine),
            None => not_found(),
        },
        _ => not_found(),
    }
}

fn engine(path: &str) -> Option<&str> {
    let engine = path.strip_prefix("/v1/engines/")?.strip_suffix("/completions")?;
    (!engine.is_empty() && !engine.contains('/')).then_some(engine)
}

fn not_found() -> Answer {
    Answer::json(
        404,
        &json!({"message": "Not Found", "documentation_url": "https://docs.github.com/copilot", "status": "404"}),
    )
}

fn service_headers(question: &mut Question<'_>) -> Vec<(&'static str, String)> {
    let rng = &mut question.rng;
    let mut headers = vec![
        ("date", chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
        ("x-github-request-id", format!("{}:{}:{}", rng.hex(4), rng.hex(6), rng.hex(8)).to_uppercase()),
        ("x-github-backend", "Kubernetes".to_owned()),
        ("strict-transport-security", "max-age=31536000".to_owned()),
        ("content-security-policy", "default-src 'none'; sandbox".to_owned()),
    ];
    if question.request.method == "POST" && !question.request.path().ends_with("/telemetry") {
        headers.push(("openai-processing-ms", format!("{}.{:04}", 30 + rng.below(90), rng.below(10_000))));
        headers.push(("azureml-model-deployment", format!("d{:03}-20261101000000", rng.below(1000))));
    }
    if let Some(id) = question.request.header("x-request-id") {
        headers.push(("x-request-id", id.to_owned()));
    }
    headers
}

fn encoded(mut answer: Answer, control: &Control) -> Answer {
    if let Some(coding) = control.coding
        && let Ok(pieces) = coding.encode(&answer.pieces)
    {
        answer.pieces = pieces;
        answer.headers.push(("content-encoding", coding.name().to_owned()));
        answer.headers.push(("vary", "Accept-Encoding".to_owned()));
    }
    answer
}
