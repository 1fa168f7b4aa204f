//! Which requests are worth a copy, and what kind of answer each of them gets.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::exchange::Head;

/// The path of OpenAI's Responses interface.
const RESPONSES: &str = "/responses";

/// Segments of a path that its shape keeps; with the longest words, slashes and the `/*` of what is left out they stay under
/// 64 bytes.
const MOST_SEGMENTS: usize = 3;

/// Longest segment of a path that is taken for a word.
const LONGEST_WORD: usize = 18;

/// A Copilot endpoint whose exchanges are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/engines/{engine}/completions`: ghost text and the completions panel.
    Completions,
    /// `POST /chat/completions`: chat, edits and agents; on completion hosts next-edit suggestions and instant apply.
    Chat,
    /// `POST /responses`: OpenAI's Responses interface.
    Responses,
    /// `response.create` messages on a WebSocket at `/responses`.
    #[serde(rename = "responses_websocket")]
    ResponsesWebSocket,
    /// `POST /v1/messages`: Anthropic's Messages interface.
    Messages,
    /// `POST /agents/{slug}`: extensions and GitHub's own agents.
    Agents,
}

/// What a request is worth a copy for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// An exchange with a model: recorded and counted.
    Exchange(Endpoint),
    /// A client's telemetry: only the facts in it are kept.
    Telemetry,
    /// GitHub's answer about the account: likewise.
    Account,
    /// Something unknown on a model's host: counted by the shape of its path, see [`path_shape`].
    Unknown,
}

impl Endpoint {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::ResponsesWebSocket => "responses_websocket",
            Self::Messages => "messages",
            Self::Agents => "agents",
        }
    }

    /// The endpoint of a kept head, where it is one: an upgrade that was granted stands for one exchange on its WebSocket.
    pub(super) fn of(head: &Head) -> Option<Self> {
        let (authority, path) = host_and_path(&head.url)?;
        if head.method == "GET" && head.status() == Some(101) {
            return capture_websocket(path).then_some(Self::ResponsesWebSocket);
        }
        match capture(&Method::from_bytes(head.method.as_bytes()).ok()?, authority, path) {
            Some(Capture::Exchange(endpoint)) => Some(endpoint),
            _ => None,
        }
    }
}

/// Tells what an exchange is worth a copy for. On the proxy's hot path: it allocates nothing.
///
/// `path` may carry a query, and `host` a port; neither says anything here. An upgrade to a WebSocket is asked for with
/// [`capture_websocket`].
#[must_use]
pub fn capture(method: &Method, host: &str, path: &str) -> Option<Capture> {
    let path = without_query(path);
    let known = if method == Method::POST {
        posted(path)
    } else {
        (method == Method::GET && tells_account(host, path)).then_some(Capture::Account)
    };
    known.or_else(|| (is_model_host(host) && !passes_unrecorded(method, path)).then_some(Capture::Unknown))
}

/// Whether an upgrade to a WebSocket is worth a copy: each `response.create` message on it and its answer are an exchange
/// ([`Endpoint::ResponsesWebSocket`]). Seen live: `@github/copilot` 1.0.102.
#[must_use]
pub fn capture_websocket(path: &str) -> bool {
    without_query(path) == RESPONSES
}

/// A path without what differs from request to request, fit for a metric's label: its first few segments, of which those
/// that are no words are `*`. Holds `[A-Za-z0-9._/*-]` alone, and at most 64 bytes.
#[must_use]
pub fn path_shape(path: &str) -> String {
    let mut segments = without_query(path).split('/').filter(|segment| !segment.is_empty());
    let mut shape: String = segments
        .by_ref()
        .take(MOST_SEGMENTS)
        .flat_map(|segment| ["/", if is_word(segment) { segment } else { "*" }])
        .collect();
    if shape.is_empty() {
        shape.push('/');
    }
    if segments.next().is_some() {
        shape.push_str("/*");
    }
    shape
}

/// Requests with a body: the endpoints of models, and telemetry.
///
/// Telemetry goes to hosts that GitHub hands out at run time, so its path decides: `/telemetry` is what the language server,
/// the CLI and VS Code post to, `/v2/track` where the language server sends its second copy (Application Insights).
fn posted(path: &str) -> Option<Capture> {
    let endpoint = match path {
        "/chat/completions" => Endpoint::Chat,
        RESPONSES => Endpoint::Responses,
        "/v1/messages" => Endpoint::Messages,
        "/telemetry" | "/v2/track" => return Some(Capture::Telemetry),
        _ if engine(path).is_some() => Endpoint::Completions,
        _ if is_agent(path) => Endpoint::Agents,
        _ => return None,
    };
    Some(Capture::Exchange(endpoint))
}

/// `/agents/{slug}` and below. What is below `/agents/swe/internal` is the coding agent's housekeeping (seen live:
/// `memory/v0/enabled`).
fn is_agent(path: &str) -> bool {
    path.strip_prefix("/agents/").is_some_and(|slug| !slug.trim_matches('/').is_empty())
        && !is_at_or_below(path, "/agents/swe/internal")
}

/// What GitHub answers about the account: `/user` is its documented API, the others were seen live.
fn tells_account(host: &str, path: &str) -> bool {
    matches!(path, "/user" | "/copilot_internal/user" | "/copilot_internal/v2/token") && is_api_host(host)
}

/// `api.github.com`, and `api.SUB.ghe.com` of a GHE.com tenant.
fn is_api_host(host: &str) -> bool {
    let host = without_port(host);
    host.eq_ignore_ascii_case("api.github.com") || between(host, "api.", ".ghe.com").is_some_and(|sub| !sub.is_empty())
}

/// Hosts of models: `api`, `api.business`, `proxy.individual` and the like under `githubcopilot.com`,
/// `copilot-proxy.githubusercontent.com`, and `copilot-api.SUB.ghe.com` (GitHub's allowlist reference; the names were seen live
/// in token answers, the ones of GHE.com are third-party knowledge).
fn is_model_host(host: &str) -> bool {
    let host = without_port(host);
    let under = |start, end| between(host, start, end).is_some();
    under("api.", "githubcopilot.com") || is_completions_host(host) || under("copilot-api.", ".ghe.com")
}

/// Hosts of completions, where chat requests are next-edit suggestions and instant apply.
pub(super) fn is_completions_host(host: &str) -> bool {
    let host = without_port(host);
    between(host, "proxy.", "githubcopilot.com").is_some()
        || between(host, "copilot-proxy.", ".ghe.com").is_some()
        || host.eq_ignore_ascii_case("copilot-proxy.githubusercontent.com")
}

/// What goes to the hosts of models beside exchanges with one, and is passed unrecorded on purpose: lists of models (and the
/// session that chooses one), tokens, MCP, embeddings, lists of agents and skills, probes, and the configuration of experiments,
/// which is `GET /telemetry`.
fn passes_unrecorded(method: &Method, path: &str) -> bool {
    let everywhere =
        ["/models", "/mcp", "/embeddings", "/skills", "/copilot_internal", "/agents/swe/internal", "/_ping"];
    let read = ["/agents", "/telemetry"];
    everywhere.iter().any(|folder| is_at_or_below(path, folder))
        || (method == Method::GET && read.iter().any(|folder| is_at_or_below(path, folder)))
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What stands in a host between its first and its last labels, whatever the case of the letters.
fn between<'a>(host: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (head, rest) = host.split_at_checked(start.len())?;
    let (middle, tail) = rest.split_at_checked(rest.len().checked_sub(end.len())?)?;
    let matches = head.eq_ignore_ascii_case(start) && tail.eq_ignore_ascii_case(end);
    (matches && (middle.is_empty() || middle.ends_with('.') || end.starts_with('.'))).then_some(middle)
}

/// Whether a path's segment is a word of the interface, and no id: letters, `.`, `_` and `-`, or a version (`v1`).
fn is_word(segment: &str) -> bool {
    let is_version = segment
        .strip_prefix('v')
        .is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'9', b'0'..=b'9']));
    let is_hex = segment.len() >= 8 && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_plain = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_' | b'-');
    is_version || (segment.len() <= LONGEST_WORD && !is_hex && segment.bytes().all(is_plain))
}

fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// The host of an authority.
pub(super) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The engine that a completions path names: its model, for the request's body has none.
pub(super) fn engine(path: &str) -> Option<&str> {
    let engine = path.strip_prefix("/v1/engines/")?.strip_suffix("/completions")?;
    (!engine.is_empty() && !engine.contains('/')).then_some(engine)
}

/// Host and path (without its query) of an absolute URL.
pub(super) fn host_and_path(url: &str) -> Option<(&str, &str)> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split(['?', '#']).next()?;
    Some(rest.split_at(rest.find('/').unwrap_or(rest.len())))
}

#[cfg(test)]
mod tests;
