//! A Copilot service on the loopback interface: real sockets, real TLS, believable answers.
//!
//! It keeps to what Copilot's clients accept: ghost text, chat, agents, the newer model interfaces, token, user, model
//! list and telemetry. Every request may carry `x-sim-*` fields ([`control`]) that make the answer slow, broken, huge,
//! encoded or absent, and every request is on record ([`SeenRequest`]).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

mod account;
mod answer;
mod chat;
mod completions;
pub mod control;
mod encoding;
mod http1;
mod http2;
mod messages;
mod pacing;
mod reply;
mod responses;
mod seen;
mod service;
mod sse;
mod websocket;
mod wire;

pub use completions::NOTHING_TO_ADD;
pub use seen::{Fields, NotSeen, Seen, SeenRequest};

use seen::Ledger;
use service::{Order, Service};

/// How a fake behaves where a request does not say otherwise.
#[derive(Debug, Clone)]
pub struct FakeOptions {
    /// TLS settings, which decide the HTTP versions too; `None` for plain HTTP/1.1.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` of each HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// With true, each event of a streamed answer waits for a permit from [`FakeCopilot::release`].
    pub gated: bool,
    /// Silence before the head of each answer.
    pub head_delay: Duration,
    /// Silence before each event of a streamed answer.
    pub event_delay: Duration,
    /// How many requests are kept for [`FakeCopilot::requests`]; later ones are only counted.
    pub keep_requests: usize,
    /// Decides everything invented.
    pub seed: u64,
}

impl Default for FakeOptions {
    /// Plain HTTP, 100 streams, no delays, not gated, 10,000 requests kept.
    fn default() -> Self {
        Self {
            tls: None,
            max_concurrent_streams: 100,
            gated: false,
            head_delay: Duration::ZERO,
            event_delay: Duration::ZERO,
            keep_requests: 10_000,
            seed: 1,
        }
    }
}

/// A running fake. It stops, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct FakeCopilot {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    gate: Option<Arc<Semaphore>>,
    orders: watch::Sender<Order>,
    accepting: AbortHandle,
}

impl FakeCopilot {
    /// Starts a fake on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start(options: FakeOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let ledger = Ledger::new(options.keep_requests);
        let gate = options.gated.then(|| Arc::new(Semaphore::new(0)));
        let service = Service {
            ledger: Arc::clone(&ledger),
            seed: options.seed,
            max_concurrent_streams: options.max_concurrent_streams,
            head_delay: options.head_delay,
            event_delay: options.event_delay,
            gate: gate.clone(),
        };
        let (orders, received) = watch::channel(Order::Serve);
        let tls = options.tls.map(TlsAcceptor::from);
        let accepting = tokio::spawn(accept(listener, tls, service, received)).abort_handle();
        Ok(Self { address, ledger, gate, orders, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.ledger.seen().clone()
    }

    /// The requests so far, in the order in which their heads arrived.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.ledger.seen().requests.clone()
    }

    /// Waits until `ready` holds of what was seen; asked again after each change, without polling.
    ///
    /// # Errors
    /// [`NotSeen`] where that takes longer than `timeout`.
    pub async fn wait_for(&self, ready: impl FnMut(&Seen) -> bool, timeout: Duration) -> Result<(), NotSeen> {
        self.ledger.wait_for(ready, timeout).await
    }

    /// Lets `events` more events of gated answers go, of whichever answer asks first. Without effect on a fake that is not gated.
    pub fn release(&self, events: usize) {
        if let Some(gate) = &self.gate {
            gate.add_permits(events);
        }
    }

    /// Closes every open connection at once, in the middle of whatever it does.
    pub fn hang_up(&self) {
        self.order(Order::HangUp);
    }

    /// Sends GOAWAY on every open HTTP/2 connection; what is under way goes on. HTTP/1.1 connections do not notice.
    pub fn retire_connections(&self) {
        self.order(Order::Retire);
    }

    fn order(&self, order: impl FnOnce(u64) -> Order) {
        self.orders.send_modify(|last| {
            let number = match *last {
                Order::Serve => 0,
                Order::Retire(number) | Order::HangUp(number) => number + 1,
            };
            *last = order(number);
        });
    }
}

impl Drop for FakeCopilot {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, service: Service, orders: watch::Receiver<Order>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => {
                let mut hang_up = orders.clone();
                hang_up.mark_unchanged();
                let connection = connection(socket, tls.clone(), service.clone(), hang_up.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        Ok(_) = changed_to_hang_up(&mut hang_up) => {}
                    }
                });
            }
            Some(_) = connections.join_next() => {}
            // No file descriptor is left for a socket; one may be free a little later.
            else => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn changed_to_hang_up(orders: &mut watch::Receiver<Order>) -> Result<(), watch::error::RecvError> {
    loop {
        orders.changed().await?;
        if matches!(*orders.borrow_and_update(), Order::HangUp(_)) {
            return Ok(());
        }
    }
}

async fn connection(socket: TcpStream, tls: Option<TlsAcceptor>, service: Service, orders: watch::Receiver<Order>) {
    // An answer's events are small; without this each would wait for the acknowledgement of the one before it.
    let _ = socket.set_nodelay(true);
    let Some(tls) = tls else {
        let open = service.ledger.connected();
        let _ = http1::serve(socket, &service, open.number).await;
        return;
    };
    let Ok(stream) = tls.accept(socket).await else { return };
    let open = service.ledger.connected();
    // How a connection ends shows in its exchanges; there is nobody else to tell.
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let _ = Box::pin(http2::serve(stream, service, open.number, orders)).await;
    } else {
        let _ = http1::serve(stream, &service, open.number).await;
    }
}
