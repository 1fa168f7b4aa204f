//! What happens after CONNECT: an intercepted tunnel is ended here and served by the same code as every request, any
//! other carries bytes unseen.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::uri::Authority;
use http::{Method, Request, Response};
use hudsucker::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Guest;
use super::answer::Refusal;
use super::context::{Context, inner_server, tunnel_silence};
use super::forward::{Sender, forward};
use super::headers;
use super::idle::{Activity, Watched};
use super::target::Origin;
use super::websocket;
use crate::metrics::{RequestKind, TunnelRoute};

/// What a CONNECT has proven; all requests in the tunnel go by it.
pub(crate) struct Tunnel {
    pub(crate) guest: Guest,
    pub(crate) client: SocketAddr,
    pub(crate) origin: Origin,
    /// Cancelled when no further request is to be served: with the whole proxy, or because the user was removed.
    pub(crate) closing: CancellationToken,
}

/// Why an intercepted tunnel came to nothing.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("no TLS handshake within {0:?}")]
    Silence(Duration),
    #[error("the client did not go on after CONNECT: {0}")]
    Upgrade(#[from] hyper::Error),
    #[error("no acceptable TLS handshake: {0}")]
    Handshake(#[from] std::io::Error),
    #[error("the handshake names another host (SNI) than CONNECT")]
    ServerName,
    #[error(transparent)]
    Leaf(#[from] crate::certs::LeafError),
}

/// Serves an intercepted tunnel until it ends.
pub(crate) async fn intercept(context: Arc<Context>, tunnel: Arc<Tunnel>, upgrade: OnUpgrade) {
    let _open = context.metrics.open_tunnel(TunnelRoute::Intercept);
    let activity = Activity::new();
    let limit = context.limits.handshake;
    match timeout(limit, accept(&context, &tunnel, upgrade, &activity)).await {
        Ok(Ok(stream)) => serve(context, tunnel, stream, &activity).await,
        Ok(Err(error)) => tracing::debug!(host = %tunnel.origin, user = %tunnel.guest.name(), %error, "tunnel ended"),
        Err(_) => {
            let error = TunnelError::Silence(limit);
            tracing::debug!(host = %tunnel.origin, user = %tunnel.guest.name(), %error, "tunnel ended");
        }
    }
}

type Upgraded = Watched<TokioIo<hyper::upgrade::Upgraded>>;

async fn accept(
    context: &Context,
    tunnel: &Tunnel,
    upgrade: OnUpgrade,
    activity: &Arc<Activity>,
) -> Result<TlsStream<Upgraded>, TunnelError> {
    let stream = Watched::new(TokioIo::new(upgrade.await?), Arc::clone(activity));
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    if !names_the_tunnel(&start, &tunnel.origin) {
        return Err(TunnelError::ServerName);
    }
    let config = context.leafs.server_config(&tunnel.origin.host).await?;
    Ok(start.into_stream(config).await?)
}

/// Without SNI (RFC 6066 section 3 has none for addresses) the CONNECT's host stands.
fn names_the_tunnel<S: AsyncRead + AsyncWrite + Unpin>(start: &StartHandshake<S>, origin: &Origin) -> bool {
    start.client_hello().server_name().is_none_or(|name| name.eq_ignore_ascii_case(&origin.host))
}

async fn serve(context: Arc<Context>, tunnel: Arc<Tunnel>, stream: TlsStream<Upgraded>, activity: &Activity) {
    let silence = tunnel_silence(&context.live.current().settings);
    let server = inner_server(silence);
    let service = service_fn(|request| {
        let (context, tunnel) = (Arc::clone(&context), Arc::clone(&tunnel));
        async move {
            let response = serve_request(&context, &tunnel, request).await;
            context.metrics.requests.inc((RequestKind::Intercepted, response.status().into()));
            Ok::<_, Infallible>(response)
        }
    });
    let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cut_off(&context, activity, silence) => return,
        () = tunnel.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = cut_off(&context, activity, silence) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(host = %tunnel.origin, user = %tunnel.guest.name(), %error, "tunnel ended");
    }
}

/// Too long a silence, or the end of the shutdown's patience.
async fn cut_off(context: &Context, activity: &Activity, silence: Duration) {
    tokio::select! {
        () = activity.silence(silence) => {}
        () = context.cut.cancelled() => {}
    }
}

async fn serve_request(context: &Arc<Context>, tunnel: &Tunnel, request: Request<Incoming>) -> Response<Body> {
    if request.method() == Method::CONNECT {
        return Refusal::NestedConnect.response();
    }
    if !stays_in_tunnel(&request, &tunnel.origin) {
        return Refusal::Misdirected.response();
    }
    if !tunnel.guest.is_still_admitted(&context.live.current()) {
        // Not a 407: inside the tunnel a client takes that for the server's own, and tries again elsewhere.
        tunnel.closing.cancel();
        return Refusal::Revoked.response();
    }
    let (guest, client, origin) = (&tunnel.guest, tunnel.client.ip(), &tunnel.origin);
    let sender = Sender { guest, client, origin, intercepted: true };
    let request = request.map(Body::from);
    if headers::asks_for_websocket(&request) {
        Box::pin(websocket::upgrade(context, sender, request)).await
    } else {
        Box::pin(forward(context, sender, request)).await
    }
}

/// Whether URI and `Host` name nothing but the tunnel's own server.
fn stays_in_tunnel<B>(request: &Request<B>, origin: &Origin) -> bool {
    let is_ours = |authority: &Authority| Origin::of_authority(authority, true).as_ref() == Some(origin);
    let uri = request.uri();
    let scheme_fits = uri.scheme_str().is_none_or(|scheme| scheme == "https");
    let mut hosts = request.headers().get_all(HOST).iter();
    let host_fits = match (hosts.next(), hosts.next()) {
        (None, _) => true,
        (Some(host), None) => Authority::try_from(host.as_bytes()).is_ok_and(|host| is_ours(&host)),
        (Some(_), Some(_)) => false,
    };
    scheme_fits && host_fits && uri.authority().is_none_or(is_ours)
}

/// Carries bytes unseen between a client and a server that was dialled before the CONNECT was answered.
pub(crate) async fn carry<S>(context: Arc<Context>, tunnel: Arc<Tunnel>, upgrade: OnUpgrade, server: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _open = context.metrics.open_tunnel(TunnelRoute::Tunnel);
    match timeout(context.limits.handshake, upgrade).await {
        Ok(Ok(client)) => {
            let (sent, received) =
                splice(&context, &tunnel.guest, TokioIo::new(client), server, &TaskTracker::new()).await;
            tracing::debug!(host = %tunnel.origin, user = %tunnel.guest.name(), sent, received, "tunnel ended");
        }
        Ok(Err(error)) => tracing::debug!(host = %tunnel.origin, %error, "tunnel ended"),
        Err(_) => tracing::debug!(host = %tunnel.origin, "the client did not go on after CONNECT"),
    }
}

/// Copies both ways until both sides are done, nothing moves for too long, or the user may no longer pass: in these bytes
/// there is no next request to refuse. Gives the bytes sent and received by the client.
///
/// `under_way` is what a shutdown leaves time for, however long it is silent.
pub(crate) async fn splice<C, S>(
    context: &Context,
    guest: &Guest,
    client: C,
    server: S,
    under_way: &TaskTracker,
) -> (u64, u64)
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let silence = tunnel_silence(&context.live.current().settings);
    let stop = Stop {
        drain: &context.drain,
        drain_silence: context.limits.drain_silence,
        under_way,
        cut: &context.cut,
        revoked: revoked(context, guest),
    };
    copy(client, server, silence, stop).await
}

/// Returns once the allowlist in force does not admit the guest.
async fn revoked(context: &Context, guest: &Guest) {
    let mut reloads = context.live.subscribe();
    while guest.is_still_admitted(&context.live.current()) {
        if reloads.changed().await.is_err() {
            // Nothing will change any more.
            std::future::pending::<()>().await;
        }
    }
}

/// What ends a copy besides its two sides.
struct Stop<'a, R> {
    drain: &'a CancellationToken,
    /// The silence that is too long once `drain` is cancelled.
    drain_silence: Duration,
    /// Not empty where a silence is none.
    under_way: &'a TaskTracker,
    cut: &'a CancellationToken,
    revoked: R,
}

/// As [`splice`], with the silence that is too long.
async fn copy<C, S, R>(client: C, mut server: S, silence: Duration, stop: Stop<'_, R>) -> (u64, u64)
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
    R: Future<Output = ()>,
{
    let activity = Activity::new();
    let mut client = Watched::new(client, Arc::clone(&activity));
    let drained = async {
        stop.drain.cancelled().await;
        stop.under_way.close();
        loop {
            stop.under_way.wait().await;
            activity.silence(stop.drain_silence).await;
            if stop.under_way.is_empty() {
                return;
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        () = activity.silence(silence) => {}
        () = drained => {}
        () = stop.cut.cancelled() => {}
        () = stop.revoked => {}
    }
    activity.bytes()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, sleep};

    use super::*;

    const SILENCE: Duration = Duration::from_secs(60);
    const DRAIN_SILENCE: Duration = Duration::from_secs(2);

    /// The far ends of a client and a server that are joined, and when they are parted.
    fn joined(drain: &CancellationToken) -> (DuplexStream, DuplexStream, JoinHandle<(u64, u64)>) {
        let ((client, near_client), (server, near_server)) = (duplex(64), duplex(64));
        let drain = drain.clone();
        let copied = tokio::spawn(async move {
            let (under_way, cut) = (TaskTracker::new(), CancellationToken::new());
            let stop = Stop {
                drain: &drain,
                drain_silence: DRAIN_SILENCE,
                under_way: &under_way,
                cut: &cut,
                revoked: std::future::pending(),
            };
            copy(near_client, near_server, SILENCE, stop).await
        });
        (client, server, copied)
    }

    #[tokio::test(start_paused = true)]
    async fn joined_connections_end_when_both_are_silent() {
        let (mut client, mut server, copied) = joined(&CancellationToken::new());
        let begun = Instant::now();
        sleep(Duration::from_secs(50)).await;
        server.write_all(b"down").await.unwrap();
        client.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(copied.await.unwrap(), (0, 4));
        assert_eq!(begun.elapsed().as_secs(), 110);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_lets_joined_connections_go_on_while_bytes_move() {
        let drain = CancellationToken::new();
        let (mut client, mut server, copied) = joined(&drain);
        let begun = Instant::now();
        drain.cancel();
        for _ in 0..5 {
            client.write_all(b"up").await.unwrap();
            server.read_exact(&mut [0; 2]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(copied.await.unwrap(), (10, 0));
        assert_eq!(begun.elapsed().as_secs(), 6);
    }

    fn stays(uri: &str, hosts: &[&str]) -> bool {
        let mut request = Request::post(uri).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(HOST, host.parse().unwrap());
        }
        stays_in_tunnel(&request, &Origin::https("api.githubcopilot.com", 443))
    }

    #[test]
    fn a_request_must_name_the_tunnels_own_server() {
        assert!(stays("/chat/completions", &["api.githubcopilot.com"]));
        assert!(stays("/chat/completions", &["API.githubcopilot.com:443"]));
        assert!(stays("/chat/completions", &[]));
        assert!(stays("https://api.githubcopilot.com/x", &[]));
        for (uri, hosts) in [
            ("/x", &["evil.example"][..]),
            ("/x", &["api.githubcopilot.com:8443"]),
            ("/x", &["api.githubcopilot.com", "api.githubcopilot.com"]),
            ("http://api.githubcopilot.com/x", &[]),
            ("https://127.0.0.1:8081/x", &[]),
            ("https://api.githubcopilot.com@evil.example/x", &[]),
        ] {
            assert!(!stays(uri, hosts), "{uri} {hosts:?}");
        }
    }
}
