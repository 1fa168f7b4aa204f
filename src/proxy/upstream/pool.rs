//! Connections to one origin, shared by all users: idle HTTP/1.1 connections, and as many HTTP/2 connections as the
//! peer's own stream limit asks for.
//!
//! A request takes a connection that has room, or waits in line. Dials are started for the line, not by each request:
//! while the protocol is unknown one dial serves everybody, afterwards each dial serves as many as its connection can
//! carry. So a cold start is no stampede, and no request waits behind a full connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hudsucker::Body;
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};

use super::connection::{Http1, Http2, SendError};
use super::dial::{DialError, Dialled, Dialler};
use crate::proxy::target::Origin;

/// An unused connection is closed after this time: shorter than most servers' own limit, so that they rarely close
/// one at the moment of its use.
const IDLE_LIFE: Duration = Duration::from_secs(60);
/// Dials to one origin at a time.
const MAX_DIALS: usize = 64;
/// hyper's stand-in for the peer's stream limit until its SETTINGS frame arrives; an odd number, to be told from a real one.
pub(super) const STREAMS_UNKNOWN: usize = 1_000_003;
/// How long the peer's SETTINGS are waited for before its limit is taken to be [`FALLBACK_STREAMS`].
const SETTINGS_PATIENCE: Duration = Duration::from_secs(1);
/// The least that RFC 9113 section 6.5.2 recommends a peer to allow.
const FALLBACK_STREAMS: usize = 100;

/// An HTTP/2 connection and the number of requests on it.
pub(super) struct Shard {
    connection: Http2,
    in_flight: AtomicUsize,
    idle_since: Mutex<Instant>,
    /// Its peer allowed no stream from the beginning.
    barred: AtomicBool,
}

impl Shard {
    fn capacity(&self) -> usize {
        match *self.connection.allowed().borrow() {
            STREAMS_UNKNOWN => 1,
            limit => limit,
        }
    }

    /// Whether its peer lets nobody in, so that another connection would be of no use either.
    fn is_barred(&self) -> bool {
        self.barred.load(Ordering::Relaxed) && !self.connection.is_closed() && self.capacity() == 0
    }

    fn has_room(&self) -> bool {
        !self.connection.is_closed() && self.in_flight.load(Ordering::Relaxed) < self.capacity()
    }

    fn is_stale(&self) -> bool {
        let idle = self.in_flight.load(Ordering::Relaxed) == 0;
        self.connection.is_closed() || idle && lock(&self.idle_since).elapsed() > IDLE_LIFE
    }
}

struct IdleHttp1 {
    connection: Http1,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    /// With the number of streams that the peer allowed on its newest connection.
    Http2(usize),
}

#[derive(Default)]
struct State {
    protocol: Option<Protocol>,
    idle: Vec<IdleHttp1>,
    shards: Vec<Arc<Shard>>,
    waiting: VecDeque<oneshot::Sender<Result<Lease, Arc<DialError>>>>,
    dialling: usize,
}

impl State {
    /// How many of those who wait one dial can be expected to serve.
    fn served_by_a_dial(&self) -> usize {
        match self.protocol {
            None => usize::MAX,
            Some(Protocol::Http1) => 1,
            Some(Protocol::Http2(streams)) => streams.max(1),
        }
    }

    fn dials_wanted(&self) -> usize {
        let wanted = self.waiting.len().div_ceil(self.served_by_a_dial()).min(MAX_DIALS);
        wanted.saturating_sub(self.dialling)
    }
}

/// The connections to one origin.
pub(super) struct OriginPool {
    origin: Origin,
    dialler: Arc<Dialler>,
    state: Mutex<State>,
}

impl OriginPool {
    pub(super) fn new(origin: Origin, dialler: Arc<Dialler>) -> Arc<Self> {
        Arc::new(Self { origin, dialler, state: Mutex::default() })
    }

    /// A connection for one request, dialled if need be.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Arc<DialError>> {
        let receiver = {
            let mut state = lock(&self.state);
            if let Some(lease) = self.take(&mut state) {
                return Ok(lease);
            }
            if state.shards.iter().any(|shard| shard.is_barred()) {
                return Err(self.no_streams());
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            self.dial_as_needed(&mut state);
            receiver
        };
        receiver.await.unwrap_or_else(|_| Err(Arc::new(DialError::Abandoned)))
    }

    fn take(self: &Arc<Self>, state: &mut State) -> Option<Lease> {
        state.shards.retain(|shard| !shard.connection.is_closed());
        if let Some(shard) = state.shards.iter().find(|shard| shard.has_room()) {
            return Some(self.lease_of(shard));
        }
        while let Some(idle) = state.idle.pop() {
            if idle.connection.is_ready() && idle.since.elapsed() < IDLE_LIFE {
                return Some(Lease { pool: Arc::clone(self), connection: Leased::Http1(Some(idle.connection)) });
            }
        }
        None
    }

    fn lease_of(self: &Arc<Self>, shard: &Arc<Shard>) -> Lease {
        shard.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease { pool: Arc::clone(self), connection: Leased::Http2(Arc::clone(shard)) }
    }

    fn dial_as_needed(self: &Arc<Self>, state: &mut State) {
        for _ in 0..state.dials_wanted() {
            state.dialling += 1;
            tokio::spawn(Arc::clone(self).dial());
        }
    }

    async fn dial(self: Arc<Self>) {
        match self.dialler.dial(&self.origin).await {
            Ok(Dialled::Http1(connection)) => self.arrived_http1(connection),
            Ok(Dialled::Http2(connection)) => self.arrived_http2(connection).await,
            Err(error) => self.failed(error),
        }
    }

    fn arrived_http1(self: &Arc<Self>, connection: Http1) {
        let mut state = lock(&self.state);
        state.dialling -= 1;
        state.protocol = Some(Protocol::Http1);
        let lease = Lease { pool: Arc::clone(self), connection: Leased::Http1(Some(connection)) };
        self.welcome(&mut state, lease);
        self.serve_waiting(&mut state);
    }

    async fn arrived_http2(self: &Arc<Self>, connection: Http2) {
        let allowed = connection.allowed().clone();
        let (in_flight, idle_since) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        let shard = Arc::new(Shard { connection, in_flight, idle_since, barred: AtomicBool::new(false) });
        {
            let mut state = lock(&self.state);
            state.shards.push(Arc::clone(&shard));
            let lease = self.lease_of(&shard);
            self.welcome(&mut state, lease);
            self.serve_waiting_without_dials(&mut state);
        }
        let streams = streams_allowed(allowed).await;
        let mut state = lock(&self.state);
        state.dialling -= 1;
        if streams == 0 {
            return self.refuse_all(&mut state, &shard);
        }
        state.protocol = Some(Protocol::Http2(streams));
        self.serve_waiting(&mut state);
    }

    /// A server that allows no stream on a new connection (RFC 9113 section 6.5.2) takes no requests. The connection is
    /// kept as the sign of that, until it is retired, so that not each request dials another one of no use.
    fn refuse_all(&self, state: &mut State, shard: &Shard) {
        shard.barred.store(true, Ordering::Relaxed);
        shard.connection.give_up();
        for waiting in state.waiting.drain(..) {
            let _ = waiting.send(Err(self.no_streams()));
        }
    }

    fn no_streams(&self) -> Arc<DialError> {
        Arc::new(DialError::NoStreams(self.origin.to_string()))
    }

    /// Gives a new connection to the first in line, even if it is dead by now. So a server that hangs up at once costs
    /// each request its few attempts; if the dead were thrown away here, there would be no end of dials.
    fn welcome(&self, state: &mut State, mut lease: Lease) {
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.send(Ok(lease.detach())) {
                Err(Ok(unused)) => lease = unused,
                _ => return,
            }
        }
        self.put_back(state, lease);
    }

    fn failed(self: &Arc<Self>, error: DialError) {
        let error = Arc::new(error);
        let mut state = lock(&self.state);
        state.dialling -= 1;
        let share = state.served_by_a_dial().min(state.waiting.len());
        for waiting in state.waiting.drain(..share) {
            let _ = waiting.send(Err(Arc::clone(&error)));
        }
        self.dial_as_needed(&mut state);
    }

    fn serve_waiting(self: &Arc<Self>, state: &mut State) {
        self.serve_waiting_without_dials(state);
        self.dial_as_needed(state);
    }

    fn serve_waiting_without_dials(self: &Arc<Self>, state: &mut State) {
        state.waiting.retain(|waiting| !waiting.is_closed());
        while !state.waiting.is_empty() {
            let Some(mut lease) = self.take(state) else { return };
            let Some(waiting) = state.waiting.pop_front() else { return };
            if let Err(Ok(unused)) = waiting.send(Ok(lease.detach())) {
                // The request was given up in this very moment; its connection goes to the next in line.
                self.put_back(state, unused);
            }
        }
    }

    fn put_back(&self, state: &mut State, mut lease: Lease) {
        match lease.connection.take() {
            Leased::Http1(Some(connection)) => state.idle.push(IdleHttp1 { connection, since: Instant::now() }),
            Leased::Http2(shard) => release(&shard),
            Leased::Http1(None) => {}
        }
    }

    fn give_back_http1(self: &Arc<Self>, connection: Http1) {
        let mut state = lock(&self.state);
        state.idle.push(IdleHttp1 { connection, since: Instant::now() });
        self.serve_waiting(&mut state);
    }

    fn give_back_http2(self: &Arc<Self>, shard: &Shard) {
        release(shard);
        let mut state = lock(&self.state);
        if !state.waiting.is_empty() {
            self.serve_waiting(&mut state);
        }
    }

    /// Closes what has been idle for long or is dead. True where nothing is left, so that the pool may be dropped.
    pub(super) fn retire(&self) -> bool {
        let mut state = lock(&self.state);
        state.idle.retain(|idle| !idle.connection.is_closed() && idle.since.elapsed() < IDLE_LIFE);
        state.shards.retain(|shard| !shard.is_stale());
        state.idle.is_empty() && state.shards.is_empty() && state.waiting.is_empty() && state.dialling == 0
    }
}

fn release(shard: &Shard) {
    *lock(&shard.idle_since) = Instant::now();
    shard.in_flight.fetch_sub(1, Ordering::Relaxed);
}

/// The peer's stream limit, as soon as its first SETTINGS frame has told it (RFC 9113 section 6.5.2), which usually
/// comes with the handshake.
async fn streams_allowed(mut allowed: watch::Receiver<usize>) -> usize {
    let told = allowed.wait_for(|streams| *streams != STREAMS_UNKNOWN);
    match tokio::time::timeout(SETTINGS_PATIENCE, told).await {
        Ok(Ok(streams)) => *streams,
        _ => FALLBACK_STREAMS,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place on a connection for one request and its answer.
pub(super) struct Lease {
    pool: Arc<OriginPool>,
    connection: Leased,
}

pub(super) enum Leased {
    Http1(Option<Http1>),
    Http2(Arc<Shard>),
}

impl Leased {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Http1(None))
    }
}

impl Lease {
    /// Moves the place out, so that dropping `self` gives nothing back.
    fn detach(&mut self) -> Self {
        Self { pool: Arc::clone(&self.pool), connection: self.connection.take() }
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self.connection, Leased::Http2(_))
    }

    /// Sends a request and waits for its answer's head.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, SendError> {
        match &mut self.connection {
            Leased::Http1(Some(connection)) => connection.send(request).await,
            Leased::Http2(shard) => shard.connection.send(request).await,
            Leased::Http1(None) => Err(SendError::Unsent(Box::new(request))),
        }
    }

    /// The answer was read to its end: an HTTP/1.1 connection may be used again as soon as hyper says so.
    pub(super) fn finished(mut self) {
        if let Leased::Http1(connection) = &mut self.connection
            && let Some(mut connection) = connection.take()
        {
            let pool = Arc::clone(&self.pool);
            tokio::spawn(async move {
                if let Ok(true) = tokio::time::timeout(IDLE_LIFE, connection.ready()).await {
                    pool.give_back_http1(connection);
                }
            });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Leased::Http2(shard) = self.connection.take() {
            self.pool.give_back_http2(&shard);
        }
    }
}
