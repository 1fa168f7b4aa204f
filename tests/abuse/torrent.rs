//! A server that reads what it is told to, and then sends without end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use copilens::sim::tls::{Alpn, TestAuthority};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{HOSTS, wait_until};

/// What the server does with a connection.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Reads until this has come; nothing is read where it is empty.
    pub(crate) read_to: &'static [u8],
    pub(crate) head: Bytes,
    /// Sent again and again.
    pub(crate) piece: Bytes,
    /// So many bytes of pieces in all; where it is 0, nothing is sent nor read any more.
    pub(crate) most: u64,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    read: AtomicU64,
    sent: AtomicU64,
}

/// A running server. It serves for as long as the test's runtime lives.
#[derive(Debug)]
pub(crate) struct Torrent {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

impl Torrent {
    pub(crate) async fn start(tls: Option<&TestAuthority>, script: Script) -> Self {
        let tls = tls.map(|authority| TlsAcceptor::from(authority.server(&HOSTS, Alpn::Http1).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, counts) = (listener.local_addr().unwrap(), Arc::new(Counts::default()));
        let shared = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, script, counts) = (tls.clone(), script.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    counts.open.fetch_add(1, Ordering::SeqCst);
                    match tls {
                        Some(tls) => serve(tls.accept(socket).await.unwrap(), &script, &counts).await,
                        None => serve(socket, &script, &counts).await,
                    }
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, counts }
    }

    pub(crate) fn read(&self) -> u64 {
        self.counts.read.load(Ordering::SeqCst)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    pub(crate) fn wait_until_left(&self) {
        wait_until("the end of all connections to upstream", || (self.open() == 0).then_some(()));
    }

    /// What was sent, once nobody takes more, or far too much.
    pub(crate) async fn sent_until_held_back(&self) -> u64 {
        loop {
            let before = self.sent();
            tokio::time::sleep(Duration::from_millis(300)).await;
            if before > 0 && (self.sent() == before || before > 200 << 20) {
                return before;
            }
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: &Script, counts: &Counts) {
    let mut tail = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while memchr::memmem::find(&tail, script.read_to).is_none() {
        let Ok(count @ 1..) = stream.read(&mut buffer).await else { return };
        counts.read.fetch_add(count as u64, Ordering::SeqCst);
        tail.drain(..tail.len().saturating_sub(script.read_to.len()));
        tail.extend_from_slice(&buffer[..count]);
    }
    if script.most == 0 {
        std::future::pending::<()>().await;
    }
    let mut sent = 0;
    let mut result = stream.write_all(&script.head).await;
    while result.is_ok() && sent < script.most {
        result = stream.write_all(&script.piece).await;
        sent += script.piece.len() as u64;
        counts.sent.store(sent, Ordering::SeqCst);
    }
    let _ = stream.flush().await;
    // Until the other side leaves, too.
    while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
}
