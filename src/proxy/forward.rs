//! One exchange: the request goes to its server, the answer to the client, and a copy to the recorder where
//! `copilot::capture` says that it is worth one.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode, request};
use http_body_util::combinators::BoxBody;
use hudsucker::Body;

use super::admission::Guest;
use super::answer::Refusal;
use super::capture::{Begun, Recording};
use super::context::Context;
use super::headers;
use super::idle::Activity;
use super::tap::{Commit, RequestTap, ResponseTap, has_ended};
use super::target::Origin;
use super::upstream::{AnswerBody, Patience, UpstreamError};
use crate::config::{Loaded, OnFailure, Settings};
use crate::copilot;
use crate::exchange::Ending;
use crate::metrics::Metrics;

/// Who sends, and where to.
pub(crate) struct Sender<'a> {
    pub(crate) guest: &'a Guest,
    pub(crate) client: IpAddr,
    pub(crate) origin: &'a Origin,
    /// Whether the origin is on the intercept list: exchanges with others are nobody's business.
    pub(crate) intercepted: bool,
}

/// Sends the request on and gives the answer as it comes.
pub(crate) async fn forward(context: &Context, sender: Sender<'_>, request: Request<Body>) -> Response<Body> {
    let loaded = context.live.current();
    let settings = &loaded.settings;
    let (mut parts, body) = request.into_parts();
    let recording = match begin_recording(context, &loaded, &sender, &parts) {
        Ok(recording) => recording,
        Err(refusal) => return refusal.response(),
    };
    headers::strip_request(&mut parts.headers);
    let upload = Activity::new();
    let body = RequestTap::new(body, recording.as_ref().map(Recording::request_copy), Arc::clone(&upload));
    let outgoing = Request::from_parts(parts, Body::from(BoxBody::new(body)));
    match context.upstream.send(sender.origin, outgoing, &upload, patience(settings)).await {
        Ok(answer) => pass_on(context, settings, recording, answer).await,
        Err(error) => failed(context, settings, &sender, recording, &error).await,
    }
}

/// `None` where the exchange is nothing to record.
fn begin_recording(
    context: &Context,
    loaded: &Loaded,
    sender: &Sender<'_>,
    parts: &request::Parts,
) -> Result<Option<Recording>, Refusal> {
    let settings = &loaded.settings;
    purpose(context, settings, sender, parts)
        .map(|purpose| recording(context, loaded, purpose, sender, parts))
        .transpose()
}

/// Begins to record, where that must be and is possible.
pub(crate) fn recording(
    context: &Context,
    loaded: &Loaded,
    purpose: copilot::Capture,
    sender: &Sender<'_>,
    parts: &request::Parts,
) -> Result<Recording, Refusal> {
    let settings = &loaded.settings;
    let is_exchange = matches!(purpose, copilot::Capture::Exchange(_));
    if is_exchange && settings.capture.on_failure == OnFailure::Refuse && !context.intake.accepts() {
        return Err(Refusal::NotRecording);
    }
    let scheme = if sender.origin.tls { "https" } else { "http" };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{scheme}://{}{path}", sender.origin.host_header());
    let limit = usize::try_from(settings.capture.max_body).unwrap_or(usize::MAX);
    let user = sender.guest.name().as_str();
    let begun = Begun { purpose, user, client: sender.client, seed: &loaded.seed, url: &url, parts };
    Ok(Recording::begin(Arc::clone(&context.intake), limit, &begun, context.tasks.token()))
}

/// What the request is worth a copy for. What is unknown on a model's host is counted, so that a new endpoint is seen.
fn purpose(
    context: &Context,
    settings: &Settings,
    sender: &Sender<'_>,
    parts: &request::Parts,
) -> Option<copilot::Capture> {
    if !sender.intercepted {
        return None;
    }
    match copilot::capture(&parts.method, &sender.origin.host, parts.uri.path())? {
        copilot::Capture::Telemetry if !settings.capture.telemetry => None,
        copilot::Capture::Unknown => {
            count_unknown(context, sender, parts);
            None
        }
        purpose => Some(purpose),
    }
}

/// Counts a request that this version does not know by the shape of its path, and names the first of each.
pub(crate) fn count_unknown(context: &Context, sender: &Sender<'_>, parts: &request::Parts) {
    let shape = copilot::path_shape(parts.uri.path());
    if context.metrics.unknown_requests.inc(&shape) {
        tracing::info!(method = %parts.method, host = %sender.origin.host, path = shape, "a request that this version does not know passes unrecorded");
    }
}

pub(crate) fn patience(settings: &Settings) -> Patience {
    Patience { first_byte: settings.upstream.first_byte_timeout, idle: settings.upstream.idle_timeout }
}

async fn pass_on(
    context: &Context,
    settings: &Settings,
    recording: Option<Recording>,
    answer: Response<AnswerBody>,
) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    parts.version = http::Version::HTTP_11;
    let Some(recording) = recording else {
        return Response::from_parts(parts, Body::from(BoxBody::new(body)));
    };
    recording.answered(&parts);
    let patience = settings.capture.commit_timeout;
    if has_no_content(parts.status) || has_ended(&body) {
        // hyper does not ask a body without content for its end, so the commit is awaited before the head.
        if let Some(ack) = recording.finish(Ending::Completed) {
            Commit::new(ack, patience, Arc::clone(&context.metrics)).await;
        }
        return Response::from_parts(parts, Body::from(BoxBody::new(body)));
    }
    let is_plain = !recording.response_is_coded();
    let tap = ResponseTap::new(body, recording, is_plain, patience, Arc::clone(&context.metrics));
    Response::from_parts(parts, Body::from(BoxBody::new(tap)))
}

/// Answers that have no content by their status (RFC 9110 section 6.4.1).
fn has_no_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

async fn failed(
    context: &Context,
    settings: &Settings,
    sender: &Sender<'_>,
    recording: Option<Recording>,
    error: &UpstreamError,
) -> Response<Body> {
    tracing::warn!(user = %sender.guest.name(), host = %sender.origin, %error, "a request got no answer from upstream");
    if let Some(ack) = recording.as_ref().and_then(|recording| recording.finish(Ending::UpstreamFailed)) {
        Commit::new(ack, settings.capture.commit_timeout, Arc::clone(&context.metrics)).await;
    }
    refusal_for(&context.metrics, error).response()
}

/// The answer to a failure upstream, which is counted.
pub(crate) fn refusal_for(metrics: &Metrics, error: &UpstreamError) -> Refusal {
    metrics.upstream_errors.inc(error.kind());
    match error {
        UpstreamError::FirstByte => Refusal::GatewayTimeout,
        UpstreamError::Broken(_) | UpstreamError::Unsent => Refusal::BadGateway,
        UpstreamError::Dial(error) if error.is_forbidden() => Refusal::Forbidden,
        UpstreamError::Dial(error) if error.is_timeout() => Refusal::GatewayTimeout,
        UpstreamError::Dial(_) => Refusal::BadGateway,
    }
}
