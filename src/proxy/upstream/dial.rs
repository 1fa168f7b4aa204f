//! Opens one connection: look-up, vetting, TCP, the parent proxy if there is one, TLS, and the HTTP handshake.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::connection::{Http1, Http2};
use super::pool::STREAMS_UNKNOWN;
use crate::config::{Live, ParentProxy, Settings};
use crate::metrics::UpstreamFailure;
use crate::proxy::target::{self, Origin, OwnListeners, ResolveError, VettedAddr};

/// An HTTP/2 connection in use is asked for a sign of life this often, so that a dead one is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How often a new HTTP/2 connection is looked at for its peer's SETTINGS.
const SETTINGS_GLANCE: Duration = Duration::from_millis(5);

/// Any byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection with its HTTP handshake done.
pub(super) enum Dialled {
    Http1(Http1),
    Http2(Http2),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// There is no address that may be dialled.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// An address literal in a denied network, asked of the parent proxy.
    #[error("{0} is in a network that `intercept.deny_networks` forbids")]
    Forbidden(String),
    /// No address accepted a connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// `upstream.connect_timeout` passed.
    #[error("{0} did not accept a connection within `upstream.connect_timeout`")]
    Timeout(String),
    /// The certificate or the handshake is not acceptable.
    #[error("TLS with {host} failed: {source}")]
    Tls {
        /// The server.
        host: String,
        /// rustls's reason.
        source: io::Error,
    },
    /// The server's HTTP preface was wrong.
    #[error("HTTP handshake failed: {0}")]
    Http(#[from] hyper::Error),
    /// `upstream.parent_proxy` refused.
    #[error("`upstream.parent_proxy` answered {0} to CONNECT{hint}", hint = if *.0 == StatusCode::PROXY_AUTHENTICATION_REQUIRED { "; check its user name and password" } else { "" })]
    Parent(StatusCode),
    /// A new HTTP/2 connection on which the server allows no stream.
    #[error("{0} allows no request on its HTTP/2 connections (SETTINGS_MAX_CONCURRENT_STREAMS is 0)")]
    NoStreams(String),
    /// The attempt was given up.
    #[error("the connection attempt was given up")]
    Abandoned,
}

impl DialError {
    /// Whether policy, not failure, is the reason.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden(_) | Self::Resolve(ResolveError::Forbidden { .. }))
    }

    /// What it is counted as.
    pub(crate) fn kind(&self) -> UpstreamFailure {
        match self {
            Self::Forbidden(_) | Self::Resolve(ResolveError::Forbidden { .. }) => UpstreamFailure::Forbidden,
            Self::Resolve(_) => UpstreamFailure::Resolve,
            Self::Connect { .. } => UpstreamFailure::Connect,
            Self::Timeout(_) => UpstreamFailure::ConnectTimeout,
            Self::Tls { .. } => UpstreamFailure::Tls,
            Self::Http(_) | Self::NoStreams(_) => UpstreamFailure::Http,
            Self::Parent(_) => UpstreamFailure::ParentProxy,
            Self::Abandoned => UpstreamFailure::Abandoned,
        }
    }

    /// Whether time ran out.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Resolve(ResolveError::Timeout { .. }))
    }
}

/// Opens connections by the settings in force at that moment.
pub(crate) struct Dialler {
    live: Arc<Live>,
    own: OwnListeners,
    tls: ClientConfig,
}

impl Dialler {
    /// `tls` holds the roots; its protocols are set here.
    pub(crate) fn new(live: Arc<Live>, own: OwnListeners, tls: ClientConfig) -> Self {
        Self { live, own, tls }
    }

    /// A pooled connection, HTTP/2 where both sides can.
    pub(super) async fn dial(&self, origin: &Origin) -> Result<Dialled, DialError> {
        let loaded = self.live.current();
        let settings = &loaded.settings;
        let limit = settings.upstream.connect_timeout;
        match timeout(limit, self.open(settings, origin, settings.upstream.http2)).await {
            Ok(dialled) => dialled,
            Err(_) => Err(DialError::Timeout(origin.to_string())),
        }
    }

    /// A connection of its own that speaks HTTP/1.1, as an upgrade needs.
    pub(super) async fn dial_http1(&self, origin: &Origin) -> Result<Http1, DialError> {
        let loaded = self.live.current();
        let settings = &loaded.settings;
        let opened = timeout(settings.upstream.connect_timeout, self.open(settings, origin, false)).await;
        match opened.map_err(|_| DialError::Timeout(origin.to_string()))?? {
            Dialled::Http1(connection) => Ok(connection),
            Dialled::Http2(_) => Err(DialError::Abandoned),
        }
    }

    async fn open(&self, settings: &Settings, origin: &Origin, http2: bool) -> Result<Dialled, DialError> {
        let stream = self.connect(settings, origin).await?;
        if !origin.tls {
            return handshake_http1(stream).await;
        }
        let (stream, protocol) = self.tls(stream, origin, http2).await?;
        match protocol {
            Negotiated::Http2 => handshake_http2(stream).await,
            Negotiated::Http1 => handshake_http1(stream).await,
        }
    }

    /// A byte stream to the server: straight, or through the parent proxy.
    pub(crate) async fn connect(&self, settings: &Settings, origin: &Origin) -> Result<Box<dyn Stream>, DialError> {
        let named = settings.upstream.resolve.get(&origin.host).is_some();
        match &settings.upstream.parent_proxy {
            Some(parent) if !named => self.connect_through(settings, parent, origin).await,
            _ => {
                let addresses = target::resolve(settings, &self.own, origin).await?;
                Ok(Box::new(connect_any(&addresses, settings.upstream.connect_timeout).await?))
            }
        }
    }

    /// As [`Self::connect`], in time.
    pub(crate) async fn connect_in_time(&self, origin: &Origin) -> Result<Box<dyn Stream>, DialError> {
        let loaded = self.live.current();
        let settings = &loaded.settings;
        match timeout(settings.upstream.connect_timeout, self.connect(settings, origin)).await {
            Ok(connected) => connected,
            Err(_) => Err(DialError::Timeout(origin.to_string())),
        }
    }

    async fn connect_through(
        &self,
        settings: &Settings,
        parent: &ParentProxy,
        origin: &Origin,
    ) -> Result<Box<dyn Stream>, DialError> {
        if !target::literal_is_allowed(settings, &self.own, origin) {
            return Err(DialError::Forbidden(origin.to_string()));
        }
        let limit = settings.upstream.connect_timeout;
        let addresses = VettedAddr::of_parent(&parent.endpoint().host, parent.endpoint().port, limit).await?;
        let stream = connect_any(&addresses, limit).await?;
        Ok(Box::new(ask_parent(stream, parent, origin).await?))
    }

    async fn tls(
        &self,
        stream: Box<dyn Stream>,
        origin: &Origin,
        http2: bool,
    ) -> Result<(Box<dyn Stream>, Negotiated), DialError> {
        let failed = |source| DialError::Tls { host: origin.host.to_string(), source };
        let name = ServerName::try_from(origin.host.to_string()).map_err(|error| failed(io::Error::other(error)))?;
        let mut config = self.tls.clone();
        config.alpn_protocols =
            if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(failed)?;
        let negotiated = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Negotiated::Http2,
            _ => Negotiated::Http1,
        };
        Ok((Box::new(stream), negotiated))
    }
}

enum Negotiated {
    Http1,
    Http2,
}

/// Tries the addresses in turn; each gets its share of the time that is left, so that a dead first one does not use up all.
async fn connect_any(addresses: &[VettedAddr], limit: Duration) -> Result<TcpStream, DialError> {
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = DialError::Abandoned;
    for address in addresses {
        let address = address.get();
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|source| DialError::Connect { address, source })?;
                return Ok(stream);
            }
            Ok(Err(source)) => last = DialError::Connect { address, source },
            Err(_) => last = DialError::Timeout(address.to_string()),
        }
    }
    Err(last)
}

/// Asks the parent proxy for a tunnel (RFC 9110 section 9.3.6).
async fn ask_parent(
    stream: TcpStream,
    parent: &ParentProxy,
    origin: &Origin,
) -> Result<impl Stream + use<>, DialError> {
    let (mut sender, connection) = http1::handshake::<_, Empty<bytes::Bytes>>(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(connect_request(parent, origin)).await?;
    if !response.status().is_success() {
        return Err(DialError::Parent(response.status()));
    }
    Ok(TokioIo::new(hyper::upgrade::on(response).await?))
}

fn connect_request(parent: &ParentProxy, origin: &Origin) -> Request<Empty<bytes::Bytes>> {
    let mut request = Request::new(Empty::new());
    let authority = origin.to_string();
    *request.method_mut() = Method::CONNECT;
    if let Ok(uri) = authority.parse() {
        *request.uri_mut() = uri;
    }
    if let Ok(host) = HeaderValue::from_str(&authority) {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(credentials) = parent.authorization()
        && let Ok(mut value) = HeaderValue::try_from(credentials)
    {
        value.set_sensitive(true);
        request.headers_mut().insert(PROXY_AUTHORIZATION, value);
    }
    request
}

async fn handshake_http1(stream: Box<dyn Stream>) -> Result<Dialled, DialError> {
    let (mut sender, connection) =
        http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(stream)).await?;
    let gone = CancellationToken::new();
    let over = gone.clone().drop_guard();
    tokio::spawn(async move {
        let _over = over;
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    // Until its task has run once, hyper calls a new connection not ready, which in the pool means dead.
    sender.ready().await?;
    Ok(Dialled::Http1(Http1::new(sender, gone)))
}

async fn handshake_http2(stream: Box<dyn Stream>) -> Result<Dialled, DialError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_max_send_streams(STREAMS_UNKNOWN)
        .keep_alive_interval(KEEP_ALIVE)
        .handshake(TokioIo::new(stream))
        .await?;
    let (tell, allowed) = watch::channel(STREAMS_UNKNOWN);
    let gone = CancellationToken::new();
    let over = gone.clone().drop_guard();
    tokio::spawn(async move {
        // Dropped in the opposite order: the connection is gone when it is said.
        let _over = over;
        let mut connection = connection;
        let mut glance = tokio::time::interval(SETTINGS_GLANCE);
        let ended = std::future::poll_fn(|cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            let streams = connection.current_max_send_streams();
            tell.send_if_modified(|told| std::mem::replace(told, streams) != streams);
            if streams == STREAMS_UNKNOWN && polled.is_pending() {
                // SETTINGS do not wake this task. Later ones are noticed with the next request.
                while glance.poll_tick(cx).is_ready() {}
            }
            polled
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    Ok(Dialled::Http2(Http2::new(sender, allowed, gone)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else requests that are sent in small pieces stall for 40 ms each.
    #[tokio::test]
    async fn dialled_connections_do_not_wait_to_fill_a_segment() {
        let server = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (limit, port) = (Duration::from_secs(10), server.local_addr().unwrap().port());
        let addresses = VettedAddr::of_parent("127.0.0.1", port, limit).await.unwrap();
        assert!(connect_any(&addresses, limit).await.unwrap().nodelay().unwrap());
    }
}
