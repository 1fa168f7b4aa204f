//! An origin that follows a script of bytes: for what no HTTP library would send.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// One thing that the origin does with a connection.
#[derive(Debug, Clone)]
pub enum Step {
    /// Read until these bytes have arrived since the last such step, such as `\r\n\r\n`.
    ReadUntil(Bytes),
    /// Read this many further bytes.
    Read(usize),
    /// Write these bytes at once.
    Write(Bytes),
    /// Wait for a permit from [`RawOrigin::release`].
    AwaitRelease,
    /// Do nothing for this long.
    Pause(Duration),
    /// Keep the connection open until the peer closes, reading what it sends.
    Hold,
    /// Close in order: TLS `close_notify`, then FIN. The end of a script does the same.
    Close,
    /// Close without `close_notify`.
    Cut,
    /// Close with a TCP RST.
    Reset,
}

impl Step {
    /// Reads the head of an HTTP/1.1 request.
    #[must_use]
    pub fn read_head() -> Self {
        Self::ReadUntil(Bytes::from_static(b"\r\n\r\n"))
    }

    /// Writes a text.
    #[must_use]
    pub fn write(text: impl Into<Bytes>) -> Self {
        Self::Write(text.into())
    }
}

/// A running origin. It stops, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct RawOrigin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    scripts: Vec<Vec<Step>>,
    received: Mutex<Vec<BytesMut>>,
    changed: Notify,
    gate: Semaphore,
}

impl RawOrigin {
    /// Starts an origin on a free port of 127.0.0.1, with TLS where settings are given.
    ///
    /// Each connection follows the script of its number; those after the last follow the last.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start(tls: Option<Arc<rustls::ServerConfig>>, scripts: Vec<Vec<Step>>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (received, changed, gate) = (Mutex::default(), Notify::new(), Semaphore::new(0));
        let shared = Arc::new(Shared { scripts, received, changed, gate });
        let accepting = tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), Arc::clone(&shared))).abort_handle();
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each connection has received so far, in the order of their acceptance.
    #[must_use]
    pub fn received(&self) -> Vec<Bytes> {
        self.shared.received().iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect()
    }

    /// Lets `count` [`Step::AwaitRelease`] go on.
    pub fn release(&self, count: usize) {
        self.shared.gate.add_permits(count);
    }

    /// Waits until `ready` holds of what was received; false where that takes longer than `limit`.
    pub async fn wait_for(&self, mut ready: impl FnMut(&[Bytes]) -> bool, limit: Duration) -> bool {
        let held = async {
            loop {
                let mut changed = std::pin::pin!(self.shared.changed.notified());
                changed.as_mut().enable();
                if ready(&self.received()) {
                    return;
                }
                changed.await;
            }
        };
        timeout(limit, held).await.is_ok()
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn received(&self) -> std::sync::MutexGuard<'_, Vec<BytesMut>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accepted(&self) -> usize {
        let mut received = self.received();
        received.push(BytesMut::new());
        self.changed.notify_waiters();
        received.len() - 1
    }

    fn note(&self, connection: usize, bytes: &[u8]) {
        if let Some(received) = self.received().get_mut(connection) {
            received.extend_from_slice(bytes);
        }
        self.changed.notify_waiters();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(connection(socket, tls.clone(), Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(socket: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let _ = socket.set_nodelay(true);
    let number = shared.accepted();
    // A peer that leaves ends the script; the test sees it in what it received.
    match tls {
        None => {
            let mut actor = Actor { stream: socket, shared, number, unread: 0 };
            if let Ok(Some(Ending::Reset)) = actor.run().await {
                let _ = actor.stream.set_zero_linger();
            }
        }
        Some(tls) => {
            let Ok(stream) = tls.accept(socket).await else { return };
            let mut actor = Actor { stream, shared, number, unread: 0 };
            if let Ok(Some(Ending::Reset)) = actor.run().await {
                let _ = actor.stream.get_ref().0.set_zero_linger();
            }
        }
    }
}

/// How a script ended that did not close in order.
enum Ending {
    Cut,
    Reset,
}

struct Actor<S> {
    stream: S,
    shared: Arc<Shared>,
    number: usize,
    /// Where the bytes begin that no step has asked for yet.
    unread: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Actor<S> {
    async fn run(&mut self) -> io::Result<Option<Ending>> {
        let shared = Arc::clone(&self.shared);
        let script = shared.scripts.get(self.number).or(shared.scripts.last()).map(Vec::as_slice).unwrap_or_default();
        for step in script {
            match step {
                Step::ReadUntil(mark) => self.read_until(mark).await?,
                Step::Read(count) => self.read(*count).await?,
                Step::Write(bytes) => {
                    self.stream.write_all(bytes).await?;
                    self.stream.flush().await?;
                }
                Step::AwaitRelease => self.await_release().await,
                Step::Pause(time) => tokio::time::sleep(*time).await,
                Step::Hold => while self.more().await? {},
                Step::Close => break,
                Step::Cut => return Ok(Some(Ending::Cut)),
                Step::Reset => return Ok(Some(Ending::Reset)),
            }
        }
        self.stream.shutdown().await?;
        Ok(None)
    }

    async fn await_release(&self) {
        if let Ok(permit) = self.shared.gate.acquire().await {
            permit.forget();
        }
    }

    async fn read_until(&mut self, mark: &[u8]) -> io::Result<()> {
        loop {
            if let Some(end) = self.find(mark) {
                self.unread = end;
                return Ok(());
            }
            self.require_more().await?;
        }
    }

    async fn read(&mut self, count: usize) -> io::Result<()> {
        while self.available() < count {
            self.require_more().await?;
        }
        self.unread += count;
        Ok(())
    }

    fn find(&self, mark: &[u8]) -> Option<usize> {
        let received = self.shared.received();
        let unread = received.get(self.number)?.get(self.unread..)?;
        memchr::memmem::find(unread, mark).map(|start| self.unread + start + mark.len())
    }

    fn available(&self) -> usize {
        self.shared.received().get(self.number).map_or(0, BytesMut::len) - self.unread
    }

    async fn require_more(&mut self) -> io::Result<()> {
        if self.more().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).await?;
        self.shared.note(self.number, buffer.get(..count).unwrap_or_default());
        Ok(count > 0)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::sim::client;

    #[tokio::test]
    async fn a_raw_origin_keeps_to_its_script() {
        let head = "HTTP/1.1 200 OK\r\nX-Odd: ü\r\ncontent-length: 2\r\n\r\n";
        let script = vec![Step::read_head(), Step::AwaitRelease, Step::write(format!("{head}ok")), Step::Reset];
        let origin = RawOrigin::start(None, vec![script, vec![Step::Cut]]).await.unwrap();
        let connection = client::direct_plain(origin.address(), "localhost").await.unwrap();
        let release = async {
            let asked = origin.wait_for(
                |got| got.iter().any(|bytes| bytes.starts_with(b"GET /x HTTP/1.1\r\n")),
                Duration::from_secs(10),
            );
            assert!(asked.await);
            origin.release(1);
        };
        let (reply, ()) = tokio::join!(connection.send(Request::get("/x").body(Bytes::new()).unwrap()), release);
        assert_eq!(reply.unwrap().headers()["x-odd"].as_bytes(), "ü".as_bytes());
        let second = client::direct_plain(origin.address(), "localhost").await.unwrap();
        assert!(second.send(Request::get("/").body(Bytes::new()).unwrap()).await.is_err());
    }
}
