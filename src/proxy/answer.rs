//! The proxy's own answers. Their texts are constants: nothing that a client sent is ever reflected, and the cause of a
//! failure goes to the log, not to the client.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, PROXY_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hudsucker::Body;

/// Why the proxy answers a request itself instead of passing it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No valid credentials (RFC 9110 section 11.7.1).
    Unauthenticated,
    /// The request line or the authority makes no sense to a proxy.
    Malformed,
    /// HTTP/2 in clear text on the proxy's port.
    Version,
    /// The destination, its port or its network is not allowed.
    Forbidden,
    /// The user was removed, disabled or given a new password while the tunnel was open.
    Revoked,
    /// CONNECT inside a tunnel.
    NestedConnect,
    /// A request inside a tunnel that names another scheme or authority than the tunnel's (RFC 9110 section 15.5.20).
    Misdirected,
    /// The upstream could not be reached, or broke off before answering.
    BadGateway,
    /// The upstream did not answer in time.
    GatewayTimeout,
    /// The exchange could not be recorded and `capture.on_failure` is `refuse`.
    NotRecording,
    /// The proxy is shutting down.
    ShuttingDown,
}

impl Refusal {
    /// The status code that tells it.
    #[must_use]
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Forbidden | Self::Revoked => StatusCode::FORBIDDEN,
            Self::NestedConnect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::NotRecording | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn body(self) -> &'static str {
        match self {
            Self::Unauthenticated => {
                r#"{"error":{"code":"proxy_authentication_required","message":"copilens needs the user name and password that your administrator gave you, in the proxy setting."}}"#
            }
            Self::Malformed => {
                r#"{"error":{"code":"bad_request","message":"This is an HTTP proxy (copilens). Set it as http.proxy; http://mitm.it/ through it explains how."}}"#
            }
            Self::Version => {
                r#"{"error":{"code":"http_version_not_supported","message":"copilens speaks HTTP/1.1 with its clients; HTTP/2 is spoken inside a tunnel."}}"#
            }
            Self::Forbidden => {
                r#"{"error":{"code":"destination_forbidden","message":"copilens does not connect to this destination. Ask your administrator."}}"#
            }
            Self::Revoked => {
                r#"{"error":{"code":"access_revoked","message":"Your copilens user was removed or has a new password. Ask your administrator."}}"#
            }
            Self::NestedConnect => {
                r#"{"error":{"code":"method_not_allowed","message":"CONNECT is not possible inside a tunnel."}}"#
            }
            Self::Misdirected => {
                r#"{"error":{"code":"misdirected_request","message":"The request names another host than its tunnel."}}"#
            }
            Self::BadGateway => {
                r#"{"error":{"code":"bad_gateway","message":"copilens could not reach the server. Its log names the cause."}}"#
            }
            Self::GatewayTimeout => {
                r#"{"error":{"code":"gateway_timeout","message":"The server did not answer copilens in time."}}"#
            }
            Self::NotRecording => {
                r#"{"error":{"code":"not_recording","message":"copilens cannot record at the moment and is set to refuse requests then. Ask your administrator."}}"#
            }
            Self::ShuttingDown => {
                r#"{"error":{"code":"shutting_down","message":"copilens is shutting down. Try again in a moment."}}"#
            }
        }
    }

    /// Whether the connection that carried the request ends with the answer.
    fn closes(self) -> bool {
        matches!(self, Self::Revoked | Self::ShuttingDown)
    }

    /// The whole answer.
    #[must_use]
    pub(crate) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(Full::new(Bytes::from_static(self.body().as_bytes()))));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Unauthenticated => {
                headers.insert(PROXY_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
            }
            Self::NestedConnect => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
            }
            _ => {}
        }
        if self.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// RFC 7617 section 2 and 2.1. Chromium and Electron answer it on the same connection.
const CHALLENGE: &str = r#"Basic realm="copilens", charset="UTF-8""#;

/// The answer to a CONNECT that was taken over.
#[must_use]
pub(crate) fn connected() -> Response<Body> {
    Response::new(Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_407_carries_the_challenge_and_keeps_the_connection() {
        let response = Refusal::Unauthenticated.response();
        assert_eq!(response.status(), 407);
        assert_eq!(response.headers()[PROXY_AUTHENTICATE], r#"Basic realm="copilens", charset="UTF-8""#);
        assert!(!response.headers().contains_key(CONNECTION));
    }

    #[test]
    fn every_body_is_json_with_code_and_message() {
        for refusal in [
            Refusal::Unauthenticated,
            Refusal::Malformed,
            Refusal::Version,
            Refusal::Forbidden,
            Refusal::Revoked,
            Refusal::NestedConnect,
            Refusal::Misdirected,
            Refusal::BadGateway,
            Refusal::GatewayTimeout,
            Refusal::NotRecording,
            Refusal::ShuttingDown,
        ] {
            let body: serde_json::Value = serde_json::from_str(refusal.body()).unwrap();
            assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string());
        }
    }
}
