//! One HTTP connection of a simulated client, and the answers that come over it.

use std::fmt;
use std::io;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::client::TlsStream;

use super::ClientError;

/// A request body that may be sent piece by piece and end with trailers.
pub type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// An open connection. Several requests may be sent over it: one after the other with HTTP/1.1, at once with HTTP/2.
pub struct Connection {
    sender: Sender,
    target: Target,
}

enum Sender {
    Http1(Mutex<http1::SendRequest<RequestBody>>),
    Http2(http2::SendRequest<RequestBody>),
}

/// What the requests of a connection are addressed to.
enum Target {
    Server { scheme: &'static str, authority: String },
    Proxy { credentials: Option<String> },
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) async fn over_tls(stream: TlsStream<TcpStream>, host: &str, port: u16) -> Result<Self, ClientError> {
        let authority = if port == 443 { host.to_owned() } else { format!("{host}:{port}") };
        let target = Target::Server { scheme: "https", authority };
        let sender = if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            open_http2(stream).await?
        } else {
            open_http1(stream).await?
        };
        Ok(Self { sender, target })
    }

    pub(super) async fn plain(socket: TcpStream, host: &str) -> Result<Self, ClientError> {
        let target = Target::Server { scheme: "http", authority: host.to_owned() };
        Ok(Self { sender: open_http1(socket).await?, target })
    }

    pub(super) async fn to_proxy(socket: TcpStream, credentials: Option<String>) -> Result<Self, ClientError> {
        Ok(Self { sender: open_http1(socket).await?, target: Target::Proxy { credentials } })
    }

    /// The HTTP version spoken.
    #[must_use]
    pub fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::HTTP_11,
            Sender::Http2(_) => Version::HTTP_2,
        }
    }

    /// True once no more requests can be sent.
    pub async fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.lock().await.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// The request's URI is a path, or for plain requests to a proxy an absolute `http://` URL. `Host` is added where
    /// the request has none, and to a proxy the credentials.
    ///
    /// # Errors
    /// [`ClientError::Exchange`] where the connection breaks first, [`ClientError::Request`] for a URI that cannot be sent.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Reply, ClientError> {
        self.send_streaming(request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())).await
    }

    /// As [`Connection::send`], with a body that is made while it is sent.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn send_streaming(&self, request: Request<RequestBody>) -> Result<Reply, ClientError> {
        let request = self.addressed(request)?;
        let response = match &self.sender {
            Sender::Http1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                let sent = sender.send_request(request);
                drop(sender);
                sent.await?
            }
            Sender::Http2(sender) => {
                let mut sender = sender.clone();
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        Ok(Reply { response, trailers: None })
    }

    fn addressed(&self, request: Request<RequestBody>) -> Result<Request<RequestBody>, ClientError> {
        let (mut parts, body) = request.into_parts();
        match &self.target {
            Target::Server { scheme, authority } if self.version() == Version::HTTP_2 => {
                let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                parts.uri =
                    Uri::builder().scheme(*scheme).authority(authority.as_str()).path_and_query(path).build()?;
                parts.headers.remove(HOST);
            }
            Target::Server { authority, .. } => first(&mut parts.headers, HOST, authority)?,
            Target::Proxy { credentials } => {
                if let Some(credentials) = credentials {
                    parts.headers.insert(PROXY_AUTHORIZATION, value(credentials)?);
                }
                let authority = parts.uri.authority().map(ToString::to_string).unwrap_or_default();
                first(&mut parts.headers, HOST, &authority)?;
            }
        }
        Ok(Request::from_parts(parts, body))
    }
}

/// Puts a field before all others, as clients do with `Host`, where it is not there yet.
fn first(headers: &mut HeaderMap, name: http::HeaderName, text: &str) -> Result<(), ClientError> {
    if headers.contains_key(&name) {
        return Ok(());
    }
    let rest = std::mem::take(headers);
    headers.insert(name, value(text)?);
    headers.extend(rest);
    Ok(())
}

fn value(text: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(text).map_err(|error| ClientError::Request(error.into()))
}

async fn open_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Result<Sender, ClientError> {
    let (sender, connection) = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await?;
    // How the connection ends shows in the exchanges.
    tokio::spawn(async move { connection.with_upgrades().await.is_ok() });
    Ok(Sender::Http1(Mutex::new(sender)))
}

async fn open_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Result<Sender, ClientError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        // One stream until the server has said how many it takes, so that none is refused.
        .initial_max_send_streams(1)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move { connection.await.is_ok() });
    Ok(Sender::Http2(sender))
}

/// An answer whose body is still arriving. Dropping it is leaving: HTTP/1.1 closes the connection, HTTP/2 resets the stream.
#[derive(Debug)]
pub struct Reply {
    response: Response<Incoming>,
    trailers: Option<HeaderMap>,
}

impl Reply {
    /// Status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// HTTP version of the answer.
    #[must_use]
    pub fn version(&self) -> Version {
        self.response.version()
    }

    /// Header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The first value of a header field, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// Trailer fields, known once the body has been read to its end.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The next piece of the body as it arrives; `None` at its proper end.
    ///
    /// # Errors
    /// [`ClientError::Exchange`] where the body breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.response.body_mut().frame().await {
            match frame?.into_data() {
                // The empty DATA frame that ends an HTTP/2 stream is no piece of the body.
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(other) => self.trailers = other.into_trailers().ok(),
            }
        }
        Ok(None)
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    pub async fn bytes(&mut self) -> Result<Bytes, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(body))
    }

    /// The connection itself, after an answer of 101 or to CONNECT.
    ///
    /// # Errors
    /// [`ClientError::Exchange`] where the answer does not switch protocols.
    pub async fn upgraded(self) -> Result<TokioIo<Upgraded>, ClientError> {
        Ok(TokioIo::new(hyper::upgrade::on(self.response).await?))
    }
}
