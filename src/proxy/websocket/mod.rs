//! Requests that change the protocol on their connection (RFC 9110 section 7.8), which is how WebSockets begin. The
//! client gets upstream's own answer; after a 101 the bytes of both sides are passed on as they are.
//!
//! Where `copilot::capture_websocket` says that the messages are worth a copy, they are read as they pass:
//!
//! ```text
//! tap         one side's bytes: pass, or wait for the commit
//! messages      frames, put together to messages (deflate: decompressed)
//! exchanges       requests with their answers, for the recorder
//! ```

pub(crate) mod deflate;
pub(crate) mod exchanges;
pub(crate) mod messages;
pub(crate) mod tap;

use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode, request};
use http_body_util::combinators::BoxBody;
use hudsucker::Body;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::task::TaskTracker;

use self::exchanges::{Exchanges, lost};
use self::messages::{Messages, Side};
use self::tap::Tapped;
use super::admission::Guest;
use super::answer::Refusal;
use super::capture::response_head;
use super::context::Context;
use super::forward::{Sender, count_unknown, patience, recording, refusal_for};
use super::headers;
use super::tunnel::splice;
use crate::config::{Loaded, Settings};
use crate::copilot::{self, Capture, Endpoint};
use crate::exchange::Head;
use crate::metrics::TunnelRoute;

/// Sends the request on; a 101 from upstream joins the two connections.
pub(crate) async fn upgrade(context: &Arc<Context>, sender: Sender<'_>, mut request: Request<Body>) -> Response<Body> {
    let loaded = context.live.current();
    let client = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    let head = match head(context, &loaded, &sender, &parts) {
        Ok(head) => head,
        Err(refusal) => return refusal.response(),
    };
    headers::strip_for_upgrade(&mut parts.headers);
    let request = Request::from_parts(parts, body);
    let mut answer = match context.upstream.send_upgrade(sender.origin, request, patience(&loaded.settings)).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(user = %sender.guest.name(), host = %sender.origin, %error, "an upgrade got no answer from upstream");
            return refusal_for(&context.metrics, &error).response();
        }
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let tap = head.and_then(|head| Tap::new(context, &loaded.settings, head, answer.headers()));
        let upstream = hyper::upgrade::on(&mut answer);
        context.tasks.spawn(join(Arc::clone(context), sender.guest.clone(), client, upstream, tap));
        headers::strip_for_upgrade(answer.headers_mut());
    } else {
        headers::strip_hop_by_hop(answer.headers_mut());
    }
    answer.map(|body| Body::from(BoxBody::new(body)))
}

/// What the exchanges of a WebSocket begin with; `None` where its messages are nothing to record.
fn head(
    context: &Context,
    loaded: &Loaded,
    sender: &Sender<'_>,
    parts: &request::Parts,
) -> Result<Option<Head>, Refusal> {
    if !sender.intercepted {
        return Ok(None);
    }
    if !copilot::capture_websocket(parts.uri.path()) {
        if copilot::capture(&parts.method, &sender.origin.host, parts.uri.path()) == Some(Capture::Unknown) {
            count_unknown(context, sender, parts);
        }
        return Ok(None);
    }
    let purpose = Capture::Exchange(Endpoint::ResponsesWebSocket);
    Ok(recording(context, loaded, purpose, sender, parts)?.into_head())
}

/// What reads the messages of a WebSocket.
struct Tap {
    exchanges: Arc<Exchanges>,
    client: Messages,
    server: Messages,
    /// Empty while no answer is under way.
    under_way: TaskTracker,
}

impl Tap {
    /// `answer` has the header fields of the 101. `None` where they agree on what is not known here.
    fn new(context: &Context, settings: &Settings, mut head: Head, answer: &HeaderMap) -> Option<Self> {
        let (client, server) = match deflate::agreed(answer) {
            Ok(inflate) => inflate,
            Err(fault) => {
                lost(&context.metrics, &head.user, fault);
                return None;
            }
        };
        head.response = Some(response_head(StatusCode::SWITCHING_PROTOCOLS.as_u16(), answer));
        let limit = usize::try_from(settings.capture.max_body).unwrap_or(usize::MAX);
        let under_way = TaskTracker::new();
        let (intake, metrics) = (Arc::clone(&context.intake), Arc::clone(&context.metrics));
        let patience = settings.capture.commit_timeout;
        Some(Self {
            exchanges: Arc::new(Exchanges::new(head, intake, metrics, limit, patience, under_way.clone())),
            client: Messages::new(Side::Client, client, limit),
            server: Messages::new(Side::Server, server, limit),
            under_way,
        })
    }
}

async fn join(context: Arc<Context>, guest: Guest, client: OnUpgrade, upstream: OnUpgrade, tap: Option<Tap>) {
    let _open = context.metrics.open_tunnel(TunnelRoute::Upgrade);
    let upgraded = tokio::time::timeout(context.limits.handshake, async { tokio::try_join!(client, upstream) }).await;
    let (client, upstream) = match upgraded {
        Ok(Ok((client, upstream))) => (TokioIo::new(client), TokioIo::new(upstream)),
        Ok(Err(error)) => return tracing::debug!(%error, "an upgrade was not completed"),
        Err(_) => return tracing::debug!("an upgrade was not completed in time"),
    };
    let (sent, received) = match tap {
        Some(tap) => {
            let client = Tapped::new(client, Side::Client, tap.client, Arc::clone(&tap.exchanges));
            let upstream = Tapped::new(upstream, Side::Server, tap.server, tap.exchanges);
            splice(&context, &guest, client, upstream, &tap.under_way).await
        }
        None => splice(&context, &guest, client, upstream, &TaskTracker::new()).await,
    };
    tracing::debug!(sent, received, "an upgraded connection ended");
}
