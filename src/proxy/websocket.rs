//! Requests that change the protocol on their connection (RFC 9110 section 7.8), which is how WebSockets begin. The
//! client gets upstream's own answer; after a 101 the bytes of both sides are passed on as they are.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use hudsucker::Body;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::admission::Guest;
use super::context::Context;
use super::forward::{Sender, patience, refusal_for};
use super::headers;
use super::tunnel::splice;
use crate::metrics::TunnelRoute;

/// Sends the request on; a 101 from upstream joins the two connections.
pub(crate) async fn upgrade(context: &Arc<Context>, sender: Sender<'_>, mut request: Request<Body>) -> Response<Body> {
    let client = hyper::upgrade::on(&mut request);
    headers::strip_for_upgrade(request.headers_mut());
    let mut answer = match context
        .upstream
        .send_upgrade(sender.origin, request, patience(&context.live.current().settings))
        .await
    {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(user = %sender.guest.name(), host = %sender.origin, %error, "an upgrade got no answer from upstream");
            return refusal_for(&context.metrics, &error).response();
        }
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upstream = hyper::upgrade::on(&mut answer);
        context.tasks.spawn(join(Arc::clone(context), sender.guest.clone(), client, upstream));
        headers::strip_for_upgrade(answer.headers_mut());
    } else {
        headers::strip_hop_by_hop(answer.headers_mut());
    }
    answer.map(|body| Body::from(BoxBody::new(body)))
}

async fn join(context: Arc<Context>, guest: Guest, client: OnUpgrade, upstream: OnUpgrade) {
    let _open = context.metrics.open_tunnel(TunnelRoute::Upgrade);
    let upgraded = tokio::time::timeout(context.limits.handshake, async { tokio::try_join!(client, upstream) }).await;
    match upgraded {
        Ok(Ok((client, upstream))) => {
            let (sent, received) = splice(&context, &guest, TokioIo::new(client), TokioIo::new(upstream)).await;
            tracing::debug!(sent, received, "an upgraded connection ended");
        }
        Ok(Err(error)) => tracing::debug!(%error, "an upgrade was not completed"),
        Err(_) => tracing::debug!("an upgrade was not completed in time"),
    }
}
