//! Reading HTTP/1.1 off a socket, with the names as the client wrote them.
//!
//! hyper keeps the case of names to itself and cannot send interim answers or bodies that end with the connection, so
//! the fake speaks HTTP/1.1 by hand.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::seen::Fields;

/// The longest head, and the most that a client may send ahead.
const MAX_HEAD: usize = 256 * 1024;

/// A request's head.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: http::Version,
    pub(super) headers: Fields,
}

impl RequestHead {
    /// The first value of a field, as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// True where a list field names `token`.
    pub(super) fn lists(&self, name: &str, token: &str) -> bool {
        self.header(name).is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
    }
}

/// A connection with what was read ahead of it.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) stream: S,
    ahead: BytesMut,
}

impl<S: AsyncRead + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::with_capacity(8 * 1024) }
    }

    /// The connection and what was read ahead, for another protocol.
    pub(super) fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.ahead)
    }

    /// The next request's head; `None` where the client closed in between.
    pub(super) async fn head(&mut self) -> io::Result<Option<RequestHead>> {
        loop {
            if let Some((head, length)) = parse_head(&self.ahead)? {
                self.ahead.advance(length);
                return Ok(Some(head));
            }
            if self.ahead.len() > MAX_HEAD {
                return Err(invalid("the head is too long"));
            }
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The body and trailers that belong to `head`.
    pub(super) async fn body(&mut self, head: &RequestHead) -> io::Result<(Bytes, Fields)> {
        if head.lists("transfer-encoding", "chunked") {
            return self.chunked().await;
        }
        let length = head.header("content-length").unwrap_or("0").parse();
        let length = length.map_err(|_| invalid("content-length is no number"))?;
        Ok((self.exactly(length).await?, Fields::new()))
    }

    /// Returns when the client has closed its side or the connection failed; what it sends until then is kept.
    pub(super) async fn peer_left(&mut self) {
        while self.ahead.len() <= MAX_HEAD {
            if !matches!(self.stream.read_buf(&mut self.ahead).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn chunked(&mut self) -> io::Result<(Bytes, Fields)> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
            match size.ok_or_else(|| invalid("a chunk without a size"))? {
                0 => return Ok((body.freeze(), self.trailers().await?)),
                size => body.extend_from_slice(&self.exactly(size).await?),
            }
            self.line().await?;
        }
    }

    async fn trailers(&mut self) -> io::Result<Fields> {
        let mut trailers = Fields::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(trailers);
            }
            let text = std::str::from_utf8(&line).map_err(|_| invalid("a trailer that is not UTF-8"))?;
            let (name, value) = text.split_once(':').ok_or_else(|| invalid("a trailer without a colon"))?;
            trailers.push((name.to_owned(), Bytes::copy_from_slice(value.trim().as_bytes())));
        }
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.ahead.split_to(end).freeze();
                self.ahead.advance(2);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Bytes> {
        while self.ahead.len() < length {
            self.more().await?;
        }
        Ok(self.ahead.split_to(length).freeze())
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.ahead).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The head at the start of `bytes` and its length, once all of it is there.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(RequestHead, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut fields);
    let length = match parsed.parse(bytes).map_err(|_| invalid("not an HTTP/1.1 request"))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let version = if parsed.version == Some(0) { http::Version::HTTP_10 } else { http::Version::HTTP_11 };
    let headers = parsed.headers.iter().map(|field| (field.name.to_owned(), Bytes::copy_from_slice(field.value)));
    let head = RequestHead {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        version,
        headers: headers.collect(),
    };
    Ok(Some((head, length)))
}
