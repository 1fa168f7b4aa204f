//! A client that goes through a proxy as editors do: CONNECT with credentials, TLS inside, several requests a tunnel.
//!
//! It can also send absolute-form requests, hand out the bare tunnel, or go past the proxy, so that a test can compare
//! both ways. It has no time limits of its own; a caller sets them around it.

use std::io;
use std::net::SocketAddr;

use data_encoding::BASE64;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{self, Alpn, TlsError};

mod connection;
mod tunnel;
mod websocket;

pub use connection::{Connection, Reply, RequestBody};

/// Why a simulated client could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No TCP connection.
    #[error("cannot connect to {address}: {source}; is it running?")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The proxy answered CONNECT with something other than 2xx.
    #[error("the proxy refused the tunnel to {authority} with status {}: {}", answer.status, answer.body.trim())]
    Refused {
        /// The host and port asked for.
        authority: String,
        /// What the proxy said.
        answer: Box<ConnectAnswer>,
    },
    /// The connection broke while the tunnel was being opened.
    #[error("the tunnel to {authority} broke before it was open: {source}")]
    Tunnel {
        /// The host and port asked for.
        authority: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The TLS handshake failed: refused, cut off, or a certificate that is not trusted.
    #[error("no TLS with {host}: {source}")]
    Handshake {
        /// The server name asked for.
        host: String,
        /// What went wrong.
        source: io::Error,
    },
    /// TLS settings or a server name that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A name that is no host name.
    #[error("\"{0}\" is no host name")]
    Name(String),
    /// The request could not be sent or its answer not be read.
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    /// The request is no valid HTTP request.
    #[error("the request is not valid: {0}")]
    Request(#[from] http::Error),
}

/// What a proxy answered to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectAnswer {
    /// Status code.
    pub status: u16,
    /// Header fields in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body of a refusal.
    pub body: String,
}

impl ConnectAnswer {
    /// The first value of a header field, by any case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// How a client introduces itself to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    Absent,
    /// Basic (RFC 7617).
    Basic {
        /// User name.
        name: String,
        /// Password.
        password: String,
    },
    /// Any value of `Proxy-Authorization`.
    Raw(String),
}

impl Credentials {
    /// Basic credentials.
    #[must_use]
    pub fn basic(name: &str, password: &str) -> Self {
        Self::Basic { name: name.to_owned(), password: password.to_owned() }
    }

    /// The value of `Proxy-Authorization`, where there is one.
    #[must_use]
    pub fn header(&self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Basic { name, password } => {
                Some(format!("Basic {}", BASE64.encode(format!("{name}:{password}").as_bytes())))
            }
            Self::Raw(value) => Some(value.clone()),
        }
    }
}

/// A client with a proxy set.
#[derive(Debug, Clone)]
pub struct ProxyClient {
    proxy: SocketAddr,
    credentials: Credentials,
    roots: RootCertStore,
}

impl ProxyClient {
    /// A client for a proxy, which trusts `roots` alone inside its tunnels.
    #[must_use]
    pub fn new(proxy: SocketAddr, credentials: Credentials, roots: RootCertStore) -> Self {
        Self { proxy, credentials, roots }
    }

    /// Opens a tunnel and speaks TLS and HTTP inside it; `alpn` decides the HTTP version.
    ///
    /// # Errors
    /// [`ClientError`], with [`ClientError::Refused`] for any answer to CONNECT but 2xx.
    pub async fn tunnel(&self, host: &str, port: u16, alpn: Alpn) -> Result<Connection, ClientError> {
        let stream = self.tls(host, port, host, alpn).await?;
        Connection::over_tls(stream, host, port).await
    }

    /// Opens a tunnel and the TLS inside it, for a caller that writes its own bytes. `sni` may differ from `host`.
    ///
    /// # Errors
    /// As [`ProxyClient::tunnel`].
    pub async fn tls(&self, host: &str, port: u16, sni: &str, alpn: Alpn) -> Result<TlsStream<TcpStream>, ClientError> {
        let socket = self.connect(&format!("{host}:{port}")).await?;
        handshake(socket, sni, alpn, self.roots.clone()).await
    }

    /// Opens a bare tunnel to `authority` (`host:port`).
    ///
    /// # Errors
    /// As [`ProxyClient::tunnel`].
    pub async fn connect(&self, authority: &str) -> Result<TcpStream, ClientError> {
        let socket = dial(self.proxy).await?;
        tunnel::open(socket, authority, self.credentials.header().as_deref()).await
    }

    /// Opens a connection for plain `http://` requests, which are sent to the proxy in absolute form.
    ///
    /// # Errors
    /// As [`ProxyClient::tunnel`].
    pub async fn plain(&self) -> Result<Connection, ClientError> {
        let socket = dial(self.proxy).await?;
        Connection::to_proxy(socket, self.credentials.header()).await
    }
}

/// Connects to a server past any proxy, over TLS, as `host`.
///
/// # Errors
/// [`ClientError`].
pub async fn direct(
    address: SocketAddr,
    host: &str,
    alpn: Alpn,
    roots: RootCertStore,
) -> Result<Connection, ClientError> {
    let stream = handshake(dial(address).await?, host, alpn, roots).await?;
    Connection::over_tls(stream, host, 443).await
}

/// Connects to a server past any proxy, without TLS, as `host`.
///
/// # Errors
/// [`ClientError`].
pub async fn direct_plain(address: SocketAddr, host: &str) -> Result<Connection, ClientError> {
    Connection::plain(dial(address).await?, host).await
}

async fn dial(address: SocketAddr) -> Result<TcpStream, ClientError> {
    let connected = TcpStream::connect(address).await.and_then(|socket| socket.set_nodelay(true).map(|()| socket));
    connected.map_err(|source| ClientError::Connect { address, source })
}

async fn handshake(
    socket: TcpStream,
    host: &str,
    alpn: Alpn,
    roots: RootCertStore,
) -> Result<TlsStream<TcpStream>, ClientError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| ClientError::Name(host.to_owned()))?;
    let connector = TlsConnector::from(tls::client(roots, alpn)?);
    connector.connect(name, socket).await.map_err(|source| ClientError::Handshake { host: host.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::*;
    use crate::sim::raw::{RawOrigin, Step};

    #[tokio::test]
    async fn plain_requests_go_to_the_proxy_in_absolute_form() {
        let script = vec![Step::read_head(), Step::write("HTTP/1.1 204 No Content\r\n\r\n"), Step::Hold];
        let proxy = RawOrigin::start(None, vec![script]).await.unwrap();
        let client =
            ProxyClient::new(proxy.address(), Credentials::basic("ada", "secret"), rustls::RootCertStore::empty());
        let connection = client.plain().await.unwrap();
        let request = Request::get("http://mitm.it/ca.pem").body(Bytes::new()).unwrap();
        assert_eq!(connection.send(request).await.unwrap().status().as_u16(), 204);
        let received = String::from_utf8(proxy.received()[0].to_vec()).unwrap();
        assert!(received.starts_with("GET http://mitm.it/ca.pem HTTP/1.1\r\nHost: mitm.it\r\n"), "{received}");
        assert!(received.contains("\r\nProxy-Authorization: Basic YWRhOnNlY3JldA==\r\n"), "{received}");
    }
}
