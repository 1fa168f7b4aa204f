//! The front door: what hudsucker's listener asks for each request, CONNECT or not. Every request is answered here, so
//! hudsucker's own interception and client are never reached.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use axum::body::Body as PageBody;
use http::header::PROXY_AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hudsucker::{Body, HttpContext, HttpHandler, RequestOrResponse};
use tower::ServiceExt;

use super::admission::Guest;
use super::answer::{Refusal, connected};
use super::context::Context;
use super::forward::{Sender, forward, refusal_for};
use super::headers;
use super::target::{Origin, Route, route};
use super::tunnel::{Tunnel, carry, intercept};
use super::upstream::UpstreamError;
use super::websocket;
use crate::config::ReachedAt;
use crate::metrics::{Credentials, RequestKind};

/// Names under which a client that comes through the proxy finds the install page.
const ONBOARDING_HOSTS: [&str; 2] = ["mitm.it", "copilens.local"];

/// hudsucker's handler; cloned for each connection and each request.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) context: Arc<Context>,
}

impl HttpHandler for Handler {
    async fn handle_request(&mut self, context: &HttpContext, request: Request<Body>) -> RequestOrResponse {
        // A listener for both families shows IPv4 clients as mapped addresses.
        let client = SocketAddr::new(context.client_addr.ip().to_canonical(), context.client_addr.port());
        let is_connect = request.method() == Method::CONNECT;
        let response = if request.version() == Version::HTTP_2 {
            Refusal::Version.response()
        } else if is_connect {
            Box::pin(self.connect(client, request)).await
        } else {
            Box::pin(self.plain(client, request)).await
        };
        let kind = if is_connect { RequestKind::Connect } else { RequestKind::Plain };
        self.context.metrics.requests.inc((kind, response.status().into()));
        response.into()
    }
}

impl Handler {
    async fn connect(&self, client: SocketAddr, mut request: Request<Body>) -> Response<Body> {
        let (guest, origin, route) = match self.admit(client, &request, Origin::of_connect(request.uri())) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal.response(),
        };
        let tunnel = Arc::new(Tunnel { guest, client, origin, closing: self.context.drain.child_token() });
        match route {
            Route::Intercept => {
                let upgrade = hyper::upgrade::on(&mut request);
                self.context.tasks.spawn(intercept(Arc::clone(&self.context), tunnel, upgrade));
                connected()
            }
            Route::Tunnel => self.tunnel(tunnel, request).await,
        }
    }

    /// Dials before it answers, so that the client hears of a failure in HTTP.
    async fn tunnel(&self, tunnel: Arc<Tunnel>, mut request: Request<Body>) -> Response<Body> {
        match self.context.upstream.dialler().connect_in_time(&tunnel.origin).await {
            Ok(server) => {
                let upgrade = hyper::upgrade::on(&mut request);
                self.context.tasks.spawn(carry(Arc::clone(&self.context), tunnel, upgrade, server));
                connected()
            }
            Err(error) => {
                tracing::info!(user = %tunnel.guest.name(), host = %tunnel.origin, %error, "no tunnel");
                refusal_for(&self.context.metrics, &UpstreamError::Dial(Arc::new(error))).response()
            }
        }
    }

    /// A request for a clear-text server (absolute-form, RFC 9112 section 3.2.2), or for the install page.
    async fn plain(&self, client: SocketAddr, mut request: Request<Body>) -> Response<Body> {
        let origin = Origin::of_plain(request.uri());
        if let Some(origin) = &origin
            && ONBOARDING_HOSTS.contains(&&*origin.host)
        {
            return self.onboard(client, request).await;
        }
        let (guest, origin, route) = match self.admit(client, &request, origin) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal.response(),
        };
        headers::take_host_from_uri(&mut request);
        let intercepted = route == Route::Intercept;
        let sender = Sender { guest: &guest, client: client.ip(), origin: &origin, intercepted };
        if headers::asks_for_websocket(&request) {
            websocket::upgrade(&self.context, sender, request).await
        } else {
            forward(&self.context, sender, request).await
        }
    }

    /// Who sends, where to, and how; credentials are judged before anything else about the request.
    fn admit(
        &self,
        client: SocketAddr,
        request: &Request<Body>,
        origin: Option<Origin>,
    ) -> Result<(Guest, Origin, Route), Refusal> {
        let loaded = self.context.live.current();
        let admission = &self.context.admission;
        let Some(guest) = admission.admit(&loaded, client.ip(), request.headers()) else {
            let wrong = request.headers().contains_key(PROXY_AUTHORIZATION);
            let given = if wrong { Credentials::Wrong } else { Credentials::Missing };
            self.context.metrics.unauthenticated.inc(given);
            return Err(Refusal::Unauthenticated);
        };
        if self.context.drain.is_cancelled() {
            return Err(Refusal::ShuttingDown);
        }
        let origin = origin.ok_or(Refusal::Malformed)?;
        let route = route(&loaded.settings, &origin).ok_or(Refusal::Forbidden)?;
        Ok((guest, origin, route))
    }

    async fn onboard(&self, client: SocketAddr, request: Request<Body>) -> Response<Body> {
        let (mut parts, _) = request.into_parts();
        parts.uri = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")).into();
        if let Some(port) = self.context.own.proxy_port()
            && let Some(reached) = local_address_towards(client)
        {
            parts.extensions.insert(ReachedAt(SocketAddr::new(reached.ip(), port)));
        }
        let page = self.context.onboarding.clone().oneshot(Request::from_parts(parts, PageBody::empty())).await;
        let Ok(page) = page;
        let (parts, body) = page.into_parts();
        match body.collect().await {
            Ok(body) => Response::from_parts(parts, Body::from(Full::new(body.to_bytes()))),
            Err(_) => Refusal::BadGateway.response(),
        }
    }
}

/// The address of this machine that the client sees: hudsucker does not tell it, the routing table does. No packet is sent.
fn local_address_towards(client: SocketAddr) -> Option<SocketAddr> {
    let any: SocketAddr = if client.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(client).ok()?;
    socket.local_addr().ok()
}
