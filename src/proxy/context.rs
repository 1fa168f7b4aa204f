//! What every connection shares.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::target::OwnListeners;
use super::upstream::Upstream;
use crate::certs::LeafAuthority;
use crate::config::{Live, Settings};
use crate::metrics::Metrics;
use crate::recorder::Intake;

/// How long a client may take for the head of a request outside a tunnel.
const CLIENT_SILENCE: Duration = Duration::from_secs(30);
/// From the answer to CONNECT to the end of the TLS handshake inside.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Added to the longest silence that upstream is allowed, so that upstream's is noticed first.
const SILENCE_MARGIN: Duration = Duration::from_secs(30);
/// While shutting down, a tunnel of unseen bytes counts as done after this silence.
const DRAIN_SILENCE: Duration = Duration::from_secs(2);
/// Streams at a time on one HTTP/2 connection of a client (RFC 9113 section 6.5.2 recommends at least 100).
const CLIENT_STREAMS: u32 = 250;
/// Header fields of one request: Copilot clients send some thirty.
const MAX_HEADERS: usize = 128;
/// Limit of an HTTP/2 header list; a Copilot token alone takes some 1.5 kB.
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// Time limits of a tunnel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) handshake: Duration,
    pub(crate) drain_silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake: HANDSHAKE, drain_silence: DRAIN_SILENCE }
    }
}

/// How long a tunnel may be silent: longer than upstream may.
pub(crate) fn tunnel_silence(settings: &Settings) -> Duration {
    settings.upstream.first_byte_timeout.max(settings.upstream.idle_timeout) + SILENCE_MARGIN
}

/// Shared by all connections; made once.
pub(crate) struct Context {
    pub(crate) live: Arc<Live>,
    pub(crate) leafs: Arc<LeafAuthority>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) onboarding: Router,
    pub(crate) own: OwnListeners,
    pub(crate) admission: Admission,
    /// Tunnels, which hudsucker does not know of once their CONNECT is answered.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when no new work is to begin.
    pub(crate) drain: CancellationToken,
    /// Cancelled when what is still under way is to be cut off.
    pub(crate) cut: CancellationToken,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
}

/// The HTTP server inside an intercepted tunnel.
pub(crate) fn inner_server(silence: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper runs this clock between requests, too, so it must not be shorter than a developer's pause.
        .header_read_timeout(silence)
        .max_headers(MAX_HEADERS)
        .preserve_header_case(true)
        .auto_date_header(false)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CLIENT_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .auto_date_header(false);
    builder
}

/// The HTTP server that clients connect to. No client speaks HTTP/2 to a proxy in clear text. `http1_only` has no effect
/// in the call that hudsucker makes, so the handler refuses what comes over HTTP/2, one stream at a time.
pub(crate) fn outer_server() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_SILENCE)
        .max_headers(MAX_HEADERS)
        .preserve_header_case(true)
        .auto_date_header(false)
        .http2()
        .timer(TokioTimer::new())
        // hyper's HTTP/2 has no header timeout: a client that says nothing does not answer a ping either.
        .keep_alive_interval(CLIENT_SILENCE)
        .keep_alive_timeout(HANDSHAKE)
        .max_concurrent_streams(1);
    builder
}
