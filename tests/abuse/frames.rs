//! HTTP/2 written frame by frame (RFC 9113 section 4.1), for what no client library would send.

use std::time::Duration;

use copilens::sim::tls::Alpn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::support::{Copilens, PATIENCE};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// `:status: 200` as HPACK's static table has it (RFC 7541 appendix A).
pub(crate) const STATUS_200: u8 = 0x88;

/// A frame as it is sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields in HPACK's plainest form: literal, not indexed, not Huffman-coded (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// A length with a prefix of seven bits (RFC 7541 section 5.1), and the bytes.
fn text(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        block.push(u8::try_from(length).unwrap());
    }
    block.extend_from_slice(text.as_bytes());
}

/// The pseudo-header fields of a request, and others.
pub(crate) fn request<'a>(method: &'a str, host: &'a str, fields: &[(&'a str, &'a str)]) -> Vec<u8> {
    let head = [(":method", method), (":scheme", "https"), (":authority", host), (":path", "/copilot_internal/user")];
    block(&[&head, fields].concat())
}

/// What the other side did.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    /// HEADERS, with the first byte of its block.
    Answer(u32, u8),
    /// RST_STREAM.
    Reset(u32),
    /// GOAWAY, with its error code.
    GoAway(u32),
    /// The connection ended.
    Closed,
}

/// A connection inside a tunnel.
pub(crate) struct Frames {
    read: ReadHalf<TlsStream<TcpStream>>,
    write: WriteHalf<TlsStream<TcpStream>>,
}

impl Frames {
    /// Opens a tunnel and sends the preface with these settings.
    pub(crate) async fn open(copilens: &Copilens, host: &str, settings: &[u8]) -> Self {
        let stream = copilens.client("alice").tls(host, 443, host, Alpn::Http2).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (read, write) = split(stream);
        let mut frames = Self { read, write };
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, settings)].concat();
        assert!(frames.send(&preface).await);
        frames
    }

    /// False where the other side takes no more: it has closed, or it does not read for `PAUSE`.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        const PAUSE: Duration = Duration::from_secs(2);
        let sending = async { self.write.write_all(bytes).await.is_ok() && self.write.flush().await.is_ok() };
        timeout(PAUSE, sending).await.unwrap_or(false)
    }

    /// The next thing of note that the other side does.
    pub(crate) async fn seen(&mut self) -> Seen {
        timeout(PATIENCE, self.next()).await.expect("the other side does nothing")
    }

    /// As [`Frames::seen`], without a limit.
    pub(crate) async fn next(&mut self) -> Seen {
        loop {
            let mut head = [0; 9];
            if self.read.read_exact(&mut head).await.is_err() {
                return Seen::Closed;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let mut payload = vec![0; length];
            if self.read.read_exact(&mut payload).await.is_err() {
                return Seen::Closed;
            }
            match head[3] {
                HEADERS => return Seen::Answer(stream, payload[0]),
                RST_STREAM => return Seen::Reset(stream),
                GOAWAY => return Seen::GoAway(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
                _ => {}
            }
        }
    }

    /// Reads to the end, and says whether the other side said GOAWAY before.
    pub(crate) async fn is_sent_away(&mut self) -> bool {
        let mut sent_away = false;
        loop {
            match self.seen().await {
                Seen::GoAway(code) => sent_away |= code != 0,
                Seen::Closed => return sent_away,
                Seen::Answer(..) | Seen::Reset(_) => {}
            }
        }
    }
}
