//! Which requests are worth a copy, and what kind of answer each of them gets.

use http::Method;
use serde::{Deserialize, Serialize};

use super::vocabulary::Kind;

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
    /// The family that the endpoint's exchanges belong to.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Completions => Kind::Completions,
            Self::Chat | Self::Responses | Self::ResponsesWebSocket | Self::Messages | Self::Agents => Kind::Chat,
        }
    }
}

/// Tells whether an exchange is worth a copy. On the proxy's hot path: it allocates nothing.
///
/// `path` may carry a query, which says nothing here. So does `_host` as yet: that a host is intercepted is the
/// configuration's business, and GitHub hands out its host names at run time.
#[must_use]
pub fn capture(method: &Method, _host: &str, path: &str) -> Option<Capture> {
    if method != Method::POST {
        return None;
    }
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    match path {
        "/chat/completions" => Some(Capture::Exchange(Endpoint::Chat)),
        _ => engine(path).map(|_| Capture::Exchange(Endpoint::Completions)),
    }
}

/// A path without what differs from request to request, short enough for a metric's label.
#[must_use]
pub fn path_shape(path: &str) -> String {
    path.to_owned()
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
mod tests {
    use super::*;

    fn post(path: &str) -> Option<Capture> {
        capture(&Method::POST, "proxy.business.githubcopilot.com", path)
    }

    #[test]
    fn completions_and_chat_are_captured() {
        assert_eq!(post("/v1/engines/demo-engine/completions"), Some(Capture::Exchange(Endpoint::Completions)));
        assert_eq!(post("/v1/engines/demo-engine/completions?a=/b"), Some(Capture::Exchange(Endpoint::Completions)));
        assert_eq!(post("/chat/completions"), Some(Capture::Exchange(Endpoint::Chat)));
        assert_eq!(post("/chat/completions?x"), Some(Capture::Exchange(Endpoint::Chat)));
    }

    #[test]
    fn everything_else_is_not() {
        let others = [
            "/copilot_internal/v2/token",
            "/telemetry",
            "/models",
            "/v1/engines//completions",
            "/v1/engines/a/b/completions",
            "/v1/engines/completions",
            "/chat/completions/",
            "/CHAT/completions",
            "/x/chat/completions",
            "/?/chat/completions",
            "",
        ];
        for path in others {
            assert_eq!(post(path), None, "{path}");
        }
        assert_eq!(capture(&Method::GET, "h", "/chat/completions"), None);
    }

    #[test]
    fn a_url_gives_its_host_and_its_path() {
        assert_eq!(host_and_path("https://h.example:8443/a/b?c=/d#e"), Some(("h.example:8443", "/a/b")));
        assert_eq!(host_and_path("https://h.example"), Some(("h.example", "")));
        assert_eq!(host_and_path("nonsense"), None);
    }
}
