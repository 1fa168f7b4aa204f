//! What GitHub's paths answer when they do not answer: its statuses, and its JSON with `message`, `documentation_url` and
//! `status` (REST API, "Troubleshooting the REST API").

use std::borrow::Cow;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::json;
use crate::admin::access::Refusal;
use crate::reports::ReportError;

const DOCUMENTATION: &str = "https://docs.github.com/rest/copilot/copilot-usage-metrics";
/// Seconds after which what is busy is worth another try.
const AGAIN: HeaderValue = HeaderValue::from_static("5");

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// No such path, organization, team or report.
    #[error("Not Found")]
    NotFound,
    /// A parameter is missing or makes no sense; the text names it.
    #[error("Invalid request.\n\n{0}")]
    Invalid(Cow<'static, str>),
    /// The request has no `Host` to make a link of.
    #[error("the Host header must name a host")]
    Host,
    /// A download link that was not made here, or was changed.
    #[error("this link's signature is wrong; ask for the report again")]
    Signature,
    /// A download link whose time is over.
    #[error("this link has expired; ask for the report again")]
    Expired,
    /// As many reports as are made or read at once are under way.
    #[error("too many reports at once; try again")]
    Busy,
    /// The report could not be made.
    #[error("the usage store gives no answer; the log of copilens tells why")]
    Report(#[from] ReportError),
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Host => StatusCode::BAD_REQUEST,
            Self::Signature | Self::Expired => StatusCode::FORBIDDEN,
            Self::Busy | Self::Report(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Self::Report(error) = &self {
            tracing::error!(%error, "a report could not be made");
        }
        let status = self.status();
        let mut answer = (status, told(status, &self.to_string())).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, AGAIN);
        }
        answer
    }
}

/// For clients without a token, or with one that does not do.
pub(super) fn refuse(refusal: Refusal) -> Response {
    refusal.answer(told(refusal.status(), &refusal.to_string()))
}

fn told(status: StatusCode, message: &str) -> Response {
    let status = status.as_str();
    json(&serde_json::json!({ "message": message, "documentation_url": DOCUMENTATION, "status": status }))
}
