//! The proxy: lets allowlisted users through, passes every byte on unchanged, and hands a copy of each exchange with a
//! model to the recorder. It knows HTTP and users, not Copilot.
//!
//! ```text
//! handler   admission -> destination -> CONNECT or clear-text request
//! tunnel      CONNECT: TLS ends here, or bytes are carried unseen
//! forward       one exchange: strip, send, tap, commit
//! upstream        connections to servers
//! ```

mod admission;
mod answer;
mod capture;
mod context;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handler;
mod headers;
mod host;
mod idle;
mod tap;
mod target;
mod tunnel;
mod upstream;
mod websocket;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::uri::Authority;
use hudsucker::certificate_authority::CertificateAuthority;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, ServerConfig};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use idle::{Activity, Watched};
pub use target::OwnListeners;
pub use upstream::{RootsError, client_config};

use self::admission::Admission;
use self::context::{Context, Limits};
use self::handler::Handler;
use self::upstream::{Dialler, Upstream};
use crate::certs::LeafAuthority;
use crate::config::Live;
use crate::metrics::Metrics;
use crate::recorder::Intake;

/// How long the end of what was cut off is waited for.
const CUT_OFF: Duration = Duration::from_secs(2);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Silence after which the system asks whether a client is still there, and how often it asks then.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(15);

/// Binds the proxy's listener. Accepted sockets inherit what is set on it. TCP_NODELAY: without it the small writes of a
/// streamed answer wait for the client's delayed acknowledgement (40 ms on Linux). Keep-alive: it ends connections whose
/// client is gone without a word, such as a notebook that left the network, before they have sent anything, too.
///
/// # Errors
/// What the system says, such as an address in use.
pub fn bind(address: SocketAddr) -> io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE_AGAIN))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The leaf authority as hudsucker wants it. It is never asked, because every CONNECT is answered by our own handler.
struct SharedAuthority(Arc<LeafAuthority>);

impl CertificateAuthority for SharedAuthority {
    async fn gen_server_config(&self, authority: &Authority) -> Arc<ServerConfig> {
        self.0.gen_server_config(authority).await
    }
}

/// What the proxy is made of.
pub struct Parts {
    /// Settings and users, as they change.
    pub live: Arc<Live>,
    /// Certificates for intercepted hosts.
    pub leafs: Arc<LeafAuthority>,
    /// Takes the copies.
    pub intake: Arc<Intake>,
    /// The install page, shown for `http://mitm.it/`.
    pub onboarding: Router,
    /// Where copilens listens; never dialled.
    pub own: OwnListeners,
    /// Whom to trust upstream, from [`client_config`].
    pub upstream_tls: ClientConfig,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The running proxy's controls.
pub struct Proxy {
    context: Arc<Context>,
}

impl Proxy {
    /// Puts the parts together. Must be called in a tokio runtime.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let dialler = Dialler::new(Arc::clone(&parts.live), parts.own.clone(), parts.upstream_tls);
        let context = Context {
            live: parts.live,
            leafs: parts.leafs,
            upstream: Upstream::new(dialler, Arc::clone(&parts.metrics)),
            intake: parts.intake,
            onboarding: parts.onboarding,
            own: parts.own,
            admission: Admission::default(),
            tasks: TaskTracker::new(),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
            metrics: parts.metrics,
            limits: Limits::default(),
        };
        Self { context: Arc::new(context) }
    }

    /// Accepts connections until [`Proxy::drain`] is called.
    ///
    /// # Errors
    /// Where the listener cannot be used.
    pub fn serve(&self, listener: StdTcpListener) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let listener = TcpListener::from_std(listener)?;
        let drain = self.context.drain.clone();
        let proxy = hudsucker::Proxy::builder()
            .with_listener(listener)
            .with_ca(SharedAuthority(Arc::clone(&self.context.leafs)))
            .with_http_connector(HttpConnector::new())
            .with_http_handler(Handler { context: Arc::clone(&self.context) })
            .with_server(context::outer_server())
            .with_graceful_shutdown(async move { drain.cancelled().await })
            .build()
            .map_err(io::Error::other)?;
        Ok(async move {
            if let Err(error) = proxy.start().await {
                tracing::error!(%error, "the proxy's listener ended");
            }
        })
    }

    /// Begins no new work, lets running answers finish within `grace`, and says whether all did. Those that did not are
    /// cut off and handed over as far as they came.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.context.drain.cancel();
        self.context.tasks.close();
        let finished = tokio::time::timeout(grace, self.context.tasks.wait()).await.is_ok();
        if !finished {
            self.context.cut.cancel();
            let _ = tokio::time::timeout(CUT_OFF, self.context.tasks.wait()).await;
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else answers that are streamed in small pieces stall for 40 ms each.
    #[tokio::test]
    async fn accepted_connections_do_not_wait_to_fill_a_segment() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let (client, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        assert!(accepted.unwrap().0.nodelay().unwrap());
        drop(client);
    }
}
