//! The admin listener's connections: how many there are at a time, how long they may be silent, and how they end.
//!
//! `axum::serve` sets no limits, so whoever reaches the port could hold connections, and with them the descriptors that the
//! proxy needs, for as long as they like.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::proxy::{Activity, Watched};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; more wait to be accepted.
    connections: usize,
    /// From the begin of a connection or the end of an answer to the end of the next request's head. No interval at which
    /// scrapers come, so that none finds its connection closed at the very moment.
    head: Duration,
    /// Without a byte either way, while an answer is made or is not read. Longer than any answer takes to begin.
    silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, head: Duration::from_secs(40), silence: Duration::from_secs(120) }
    }
}

/// Header fields of one request, as at the proxy.
const MAX_HEADERS: usize = 128;

/// Serves the pages until `stop` is cancelled; answers under way then go on.
pub(super) async fn serve(mut listener: TcpListener, pages: Router, limits: Limits, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            // Failures to accept, as without descriptors, are waited out in there.
            (place, Listener::accept(&mut listener).await.0)
        };
        let (place, stream) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => return,
        };
        let connection = serve_one(stream, pages.clone(), limits, stop.clone());
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

async fn serve_one(stream: TcpStream, pages: Router, limits: Limits, stop: CancellationToken) {
    let activity = Activity::new();
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head).max_headers(MAX_HEADERS);
    let connection = server.serve_connection(stream, TowerToHyperService::new(pages));
    tokio::pin!(connection);
    tokio::select! {
        // What a client does wrong is its own affair.
        _ = connection.as_mut() => return,
        () = activity.silence(limits.silence) => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = activity.silence(limits.silence) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, timeout};

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(20);

    /// Serves `/` with `ok`, `/much` with more than any buffer takes, and `/never` with nothing.
    async fn start(limits: Limits) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let pages = Router::new()
            .route("/", get(|| async { "ok" }))
            .route("/much", get(|| async { "x".repeat(64 << 20) }))
            .route("/never", get(std::future::pending::<()>));
        tokio::spawn(serve(listener, pages, limits, stop.clone()));
        (address, stop)
    }

    async fn send(address: SocketAddr, begin: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        stream
    }

    /// Waits until the other side has ended the connection, while a byte is sent now and then.
    async fn ends(mut stream: TcpStream, drips: bool) {
        let ended = async {
            let mut buffer = [0; 4096];
            loop {
                tokio::select! {
                    read = stream.read(&mut buffer) => if matches!(read, Ok(0) | Err(_)) { return },
                    () = tokio::time::sleep(SHORT / 10), if drips => {
                        if stream.write_all(b"x").await.is_err() { return }
                    }
                }
            }
        };
        timeout(LONG, ended).await.expect("the connection is held");
    }

    #[tokio::test]
    async fn who_sends_no_head_in_time_is_let_go() {
        let (address, _stop) = start(Limits { head: SHORT, ..Limits::default() }).await;
        let begun = Instant::now();
        for (begin, drips) in [
            ("", false),
            ("GET / HT", false),
            ("GET / HTTP/1.1\r\nX: ", true),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / ", true),
        ] {
            ends(send(address, begin).await, drips).await;
        }
        assert!(begun.elapsed() >= SHORT * 5, "let go for another reason");
    }

    #[tokio::test]
    async fn who_does_not_read_and_who_is_not_answered_are_let_go() {
        let (address, _stop) = start(Limits { connections: 1, silence: SHORT, ..Limits::default() }).await;
        let _unread = send(address, "GET /much HTTP/1.1\r\nHost: a\r\n\r\n").await;
        ends(send(address, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await, false).await;
    }

    #[tokio::test]
    async fn more_than_the_limit_wait_their_turn() {
        let (address, _stop) = start(Limits { connections: 2, head: SHORT, ..Limits::default() }).await;
        let begun = Instant::now();
        let _idle = [send(address, "").await, send(address, "G").await];
        let mut third = send(address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let mut answer = String::new();
        timeout(LONG, third.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
        assert!(begun.elapsed() >= SHORT, "it did not wait");
    }

    #[tokio::test]
    async fn at_the_end_idle_connections_close_and_none_is_accepted() {
        let (address, stop) = start(Limits { connections: 1, ..Limits::default() }).await;
        let idle = send(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        idle.readable().await.unwrap();
        stop.cancel();
        ends(idle, false).await;
        let refused = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, refused).await.expect("the listener is open");
    }
}
