//! WebSockets through the proxy.

use std::fmt::Write as _;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{ClientError, ConnectAnswer, ProxyClient, tunnel};
use crate::sim::tls::Alpn;
use crate::sim::websocket::{Role, WebSocket};

impl ProxyClient {
    /// Opens a tunnel and, with the header fields given, a WebSocket inside it. Gives the 101, too.
    ///
    /// # Errors
    /// As [`ProxyClient::tunnel`]; [`ClientError::Refused`] also for an answer to the upgrade other than 101.
    pub async fn websocket(
        &self,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(ConnectAnswer, WebSocket<TlsStream<TcpStream>>), ClientError> {
        let authority = format!("{host}:443");
        let mut stream = self.tls(host, 443, host, Alpn::Http1).await?;
        let broken = |source| ClientError::Tunnel { authority: authority.clone(), source };
        stream.write_all(request(host, path, headers).as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let answer = tunnel::answer(&mut stream).await.map_err(broken)?;
        if answer.status != 101 {
            return Err(ClientError::Refused { authority, answer: Box::new(answer) });
        }
        let extensions = answer.header("sec-websocket-extensions").map(str::to_owned);
        let socket = WebSocket::new(stream, Role::Client, BytesMut::new(), extensions.as_deref());
        Ok((answer, socket))
    }
}

/// The key is that of RFC 6455 section 1.3: it proves nothing to a fake.
fn request(host: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    );
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    request
}
