//! One side of a WebSocket (RFC 6455) with permessage-deflate (RFC 7692), after the upgrade: for the fake Copilot and for
//! clients in tests.
//!
//! No library that the crate has knows the compression, nor sends the fragments and pings that a test wants.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// What a client's frames are masked with; the same each time, so that runs repeat.
const MASK: [u8; 4] = [0x0A, 0xC5, 0x50, 0xFE];
/// What ends each flushed block, and is left out of a message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
/// The most that is read of one message.
const MAX_MESSAGE: usize = 64 << 20;

/// Which side this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Masks what it sends.
    Client,
    /// Does not.
    Server,
}

/// What comes from the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A message, put together and decompressed.
    Message(Vec<u8>),
    /// A ping; it was answered.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame's payload.
    Close(Vec<u8>),
}

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    role: Role,
    ahead: BytesMut,
    deflate: Option<Deflate>,
    /// The message that is being put together, and whether it is compressed.
    partial: Option<(Vec<u8>, bool)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A WebSocket whose upgrade is done. `ahead` was read already; `extensions` is what the 101 says in
    /// `Sec-WebSocket-Extensions`.
    #[must_use]
    pub fn new(stream: S, role: Role, ahead: BytesMut, extensions: Option<&str>) -> Self {
        let deflate = extensions.and_then(|extensions| Deflate::negotiated(extensions, role));
        Self { stream, role, ahead, deflate, partial: None }
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The connection's.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.send_in(text, 1, false).await
    }

    /// Sends a text message in `frames` frames (at least one), with a ping after each but the last where `pings` says so.
    ///
    /// # Errors
    /// The connection's.
    pub async fn send_in(&mut self, text: &str, frames: usize, pings: bool) -> io::Result<()> {
        let payload = match &mut self.deflate {
            Some(deflate) => deflate.compress(text.as_bytes())?,
            None => text.as_bytes().to_vec(),
        };
        let frames = frames.max(1);
        let mut rest = payload.as_slice();
        let mut bytes = Vec::with_capacity(payload.len() + 16);
        for index in 0..frames {
            let size = if index + 1 == frames { rest.len() } else { payload.len() / frames };
            let (part, after) = rest.split_at(size);
            rest = after;
            let header = FrameHeader {
                is_final: index + 1 == frames,
                rsv1: index == 0 && self.deflate.is_some(),
                opcode: OpCode::Data(if index == 0 { Data::Text } else { Data::Continue }),
                ..FrameHeader::default()
            };
            self.frame(&header, part, &mut bytes)?;
            if pings && index + 1 < frames {
                let ping = FrameHeader { opcode: OpCode::Control(Control::Ping), ..FrameHeader::default() };
                self.frame(&ping, b"ping", &mut bytes)?;
            }
        }
        self.write(&bytes).await
    }

    /// Sends a control frame.
    ///
    /// # Errors
    /// The connection's.
    pub async fn send_control(&mut self, control: Control, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let header = FrameHeader { opcode: OpCode::Control(control), ..FrameHeader::default() };
        self.frame(&header, payload, &mut bytes)?;
        self.write(&bytes).await
    }

    /// Sends any bytes, which need not be a frame.
    ///
    /// # Errors
    /// The connection's.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Closes the connection in order, without a close frame.
    ///
    /// # Errors
    /// The connection's.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// The next message or control frame; `None` where the other side closed the connection. Pings are answered.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for what is no WebSocket.
    pub async fn receive(&mut self) -> io::Result<Option<Incoming>> {
        loop {
            let Some((header, payload)) = self.next_frame().await? else { return Ok(None) };
            match header.opcode {
                OpCode::Control(Control::Ping) => {
                    self.send_control(Control::Pong, &payload).await?;
                    return Ok(Some(Incoming::Ping(payload)));
                }
                OpCode::Control(Control::Pong) => return Ok(Some(Incoming::Pong(payload))),
                OpCode::Control(_) => return Ok(Some(Incoming::Close(payload))),
                OpCode::Data(_) => {
                    if let Some(message) = self.assemble(&header, &payload)? {
                        return Ok(Some(Incoming::Message(message)));
                    }
                }
            }
        }
    }

    /// The next message; `None` where a close frame or the connection's end comes first.
    ///
    /// # Errors
    /// As [`WebSocket::receive`].
    pub async fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            match self.receive().await? {
                Some(Incoming::Message(message)) => return Ok(Some(message)),
                Some(Incoming::Ping(_) | Incoming::Pong(_)) => {}
                Some(Incoming::Close(_)) | None => return Ok(None),
            }
        }
    }

    /// Returns when the other side has closed the connection; what it sends until then is kept for [`WebSocket::receive`].
    pub async fn peer_left(&mut self) {
        while self.ahead.len() <= MAX_MESSAGE {
            if !matches!(self.stream.read_buf(&mut self.ahead).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    fn frame(&self, header: &FrameHeader, payload: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let mask = (self.role == Role::Client).then_some(MASK);
        let header = FrameHeader { mask, ..header.clone() };
        header.format(payload.len() as u64, out).map_err(io::Error::other)?;
        let begin = out.len();
        out.extend_from_slice(payload);
        if let (Some(mask), Some(payload)) = (mask, out.get_mut(begin..)) {
            apply(mask, payload);
        }
        Ok(())
    }

    async fn next_frame(&mut self) -> io::Result<Option<(FrameHeader, Vec<u8>)>> {
        loop {
            let mut cursor = io::Cursor::new(&self.ahead);
            if let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|_| invalid("no frame"))? {
                let begin = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
                let length = usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE);
                let length = length.ok_or_else(|| invalid("a frame is too long"))?;
                if self.ahead.len() >= begin + length {
                    self.ahead.advance(begin);
                    let mut payload = self.ahead.split_to(length).to_vec();
                    if header.mask.is_some() != (self.role == Role::Server) {
                        return Err(invalid("the wrong side masks"));
                    }
                    apply(header.mask.unwrap_or_default(), &mut payload);
                    return Ok(Some((header, payload)));
                }
            }
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn assemble(&mut self, header: &FrameHeader, payload: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let (mut message, compressed) = self.partial.take().unwrap_or((Vec::new(), header.rsv1));
        message.extend_from_slice(payload);
        if !header.is_final {
            self.partial = Some((message, compressed));
            return Ok(None);
        }
        match (&mut self.deflate, compressed) {
            (Some(deflate), true) => deflate.decompress(&message).map(Some),
            (None, true) => Err(invalid("compressed, which was not agreed on")),
            (_, false) => Ok(Some(message)),
        }
    }
}

fn apply(mask: [u8; 4], payload: &mut [u8]) {
    payload.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The compression of both directions.
#[derive(Debug)]
struct Deflate {
    compress: Compress,
    decompress: Decompress,
    forgets_sent: bool,
    forgets_received: bool,
}

impl Deflate {
    fn negotiated(extensions: &str, role: Role) -> Option<Self> {
        let mut parts: VecDeque<_> = extensions.split(';').map(str::trim).collect();
        if parts.pop_front()? != "permessage-deflate" {
            return None;
        }
        let client = parts.contains(&"client_no_context_takeover");
        let server = parts.contains(&"server_no_context_takeover");
        let (forgets_sent, forgets_received) = if role == Role::Client { (client, server) } else { (server, client) };
        let compress = Compress::new(Compression::default(), false);
        Some(Self { compress, decompress: Decompress::new(false), forgets_sent, forgets_received })
    }

    fn compress(&mut self, text: &[u8]) -> io::Result<Vec<u8>> {
        if self.forgets_sent {
            self.compress.reset();
        }
        let mut out = Vec::with_capacity(text.len() + 64);
        let begun = self.compress.total_in();
        loop {
            let taken = usize::try_from(self.compress.total_in() - begun).unwrap_or(usize::MAX);
            let rest = text.get(taken..).unwrap_or_default();
            let had_room = out.capacity() - out.len();
            let status = self.compress.compress_vec(rest, &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
            let is_done = rest.is_empty() || usize::try_from(self.compress.total_in() - begun) == Ok(text.len());
            if is_done && (out.len() < out.capacity() || status == Status::BufError) {
                break;
            }
            out.reserve(had_room.max(1024));
        }
        if out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        Ok(out)
    }

    fn decompress(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        if self.forgets_received {
            self.decompress.reset(false);
        }
        let input = [message, &TAIL].concat();
        let begun = self.decompress.total_in();
        let mut out = Vec::new();
        loop {
            out.reserve(16 * 1024);
            let taken = usize::try_from(self.decompress.total_in() - begun).unwrap_or(usize::MAX);
            let rest = input.get(taken..).unwrap_or_default();
            self.decompress.decompress_vec(rest, &mut out, FlushDecompress::Sync).map_err(io::Error::other)?;
            let is_done = usize::try_from(self.decompress.total_in() - begun) == Ok(input.len());
            if out.len() > MAX_MESSAGE {
                return Err(invalid("a message is too long"));
            }
            if is_done && out.len() < out.capacity() {
                return Ok(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(extensions: Option<&str>) -> (WebSocket<tokio::io::DuplexStream>, WebSocket<tokio::io::DuplexStream>) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let client = WebSocket::new(near, Role::Client, BytesMut::new(), extensions);
        (client, WebSocket::new(far, Role::Server, BytesMut::new(), extensions))
    }

    #[tokio::test]
    async fn both_sides_understand_each_other() {
        for extensions in [
            None,
            Some("permessage-deflate"),
            Some("permessage-deflate; client_no_context_takeover; server_no_context_takeover"),
        ] {
            let (mut client, mut server) = pair(extensions);
            for text in ["", "once", "once more", &"long and once more ".repeat(10_000)] {
                client.send(text).await.unwrap();
                assert_eq!(server.message().await.unwrap().unwrap(), text.as_bytes(), "{extensions:?}");
                server.send_in(text, 3, true).await.unwrap();
                assert_eq!(client.message().await.unwrap().unwrap(), text.as_bytes(), "{extensions:?}");
                assert_eq!(server.receive().await.unwrap(), Some(Incoming::Pong(b"ping".to_vec())));
                assert_eq!(server.receive().await.unwrap(), Some(Incoming::Pong(b"ping".to_vec())));
            }
            client.send_control(Control::Close, &[3, 232]).await.unwrap();
            assert_eq!(server.message().await.unwrap(), None);
        }
    }
}
