//! Puts the messages of one direction of a WebSocket together from the bytes that pass (RFC 6455 section 5).

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::deflate::{Inflate, Sink};
use crate::proxy::capture::Copy;

/// The longest payload of a control frame (RFC 6455 section 5.5).
const LONGEST_CONTROL: u64 = 125;
/// The longest header of a frame (RFC 6455 section 5.2).
const LONGEST_HEADER: usize = 14;
/// What a compressed message may grow to, where less of it is kept: it must be undone to its end to read the next one.
const LONGEST_INFLATED: usize = 16 << 20;

/// Why the messages of a WebSocket cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It is no frame, or not one that may come here.
    #[error("a frame that RFC 6455 does not allow")]
    Frame,
    /// The 101 agrees on what is not known here.
    #[error("an extension that is not known")]
    Extension,
    /// The compression cannot be undone.
    #[error("a compressed message that cannot be undone")]
    Compression,
    /// The message is longer, decompressed, than anything is kept of.
    #[error("a compressed message that is too long")]
    TooLong,
}

/// Who sends: clients mask their frames, servers must not (RFC 6455 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A text or binary message, as far as it is kept.
    Message(Copy),
    /// A close frame: no message follows (RFC 6455 section 5.5.1).
    Close,
}

/// The messages of one direction, whatever the chunks that their bytes come in.
#[derive(Debug)]
pub(crate) struct Messages {
    side: Side,
    inflate: Option<Inflate>,
    limit: usize,
    /// What there is of the next frame's header.
    header: Vec<u8>,
    frame: Option<Frame>,
    partial: Option<Partial>,
    /// Room for payload while its mask is taken off.
    unmasked: Vec<u8>,
    closed: bool,
}

/// A frame whose payload is being read.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    /// Bytes of payload to come.
    rest: u64,
    /// Turned so that its first byte is for the next byte of payload.
    mask: [u8; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data { is_last: bool },
    Close,
    PingOrPong,
}

/// A message of which some frames have begun.
#[derive(Debug)]
struct Partial {
    copy: Copy,
    is_compressed: bool,
}

impl Messages {
    /// `inflate` where compression was agreed on; `limit` bytes are kept of each message.
    pub(crate) fn new(side: Side, inflate: Option<Inflate>, limit: usize) -> Self {
        let header = Vec::with_capacity(LONGEST_HEADER);
        Self { side, inflate, limit, header, frame: None, partial: None, unmasked: Vec::new(), closed: false }
    }

    /// Takes bytes to the end of the next message or close frame; `None` where that has not come. After a close frame or a
    /// fault, nothing more comes of it.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, Fault> {
        while !self.closed {
            let Some(frame) = self.frame.take().map_or_else(|| self.begin(bytes), |frame| Ok(Some(frame)))? else {
                return Ok(None);
            };
            let Some(kind) = self.read(frame, bytes)? else { return Ok(None) };
            match kind {
                Kind::PingOrPong | Kind::Data { is_last: false } => {}
                Kind::Data { is_last: true } => return self.finish().map(Some),
                Kind::Close => {
                    self.closed = true;
                    return Ok(Some(Event::Close));
                }
            }
        }
        *bytes = &[];
        Ok(None)
    }

    /// Reads the next frame's header.
    fn begin(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Fault> {
        loop {
            let parsed = FrameHeader::parse(&mut Cursor::new(&self.header)).map_err(|_| Fault::Frame)?;
            if let Some((header, length)) = parsed {
                self.header.clear();
                return self.frame(&header, length).map(Some);
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
            self.header.push(*byte);
            *bytes = rest;
        }
    }

    /// Judges a header by RFC 6455 section 5.2, 5.4 and 5.5, and RFC 7692 section 6.
    fn frame(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Fault> {
        let is_masked = header.mask.is_some() == (self.side == Side::Client);
        if !is_masked || header.rsv2 || header.rsv3 || i64::try_from(length).is_err() {
            return Err(Fault::Frame);
        }
        let kind = match header.opcode {
            OpCode::Data(data) => {
                self.begin_data(data, header.rsv1)?;
                Kind::Data { is_last: header.is_final }
            }
            OpCode::Control(_) if header.rsv1 || !header.is_final || length > LONGEST_CONTROL => {
                return Err(Fault::Frame);
            }
            OpCode::Control(Control::Close) => Kind::Close,
            OpCode::Control(_) => Kind::PingOrPong,
        };
        Ok(Frame { kind, rest: length, mask: header.mask.unwrap_or_default() })
    }

    fn begin_data(&mut self, data: Data, is_compressed: bool) -> Result<(), Fault> {
        let continues = data == Data::Continue;
        let may_be_compressed = !continues && self.inflate.is_some();
        if continues != self.partial.is_some() || is_compressed && !may_be_compressed {
            return Err(Fault::Frame);
        }
        self.partial.get_or_insert_with(|| Partial { copy: Copy::default(), is_compressed });
        Ok(())
    }

    /// Reads payload; what kind of frame it was once it has ended.
    fn read(&mut self, mut frame: Frame, bytes: &mut &[u8]) -> Result<Option<Kind>, Fault> {
        let length = usize::try_from(frame.rest).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at(length);
        *bytes = rest;
        if let Kind::Data { .. } = frame.kind {
            self.keep(payload, frame.mask)?;
        }
        frame.rest -= length as u64;
        frame.mask.rotate_left(length % 4);
        if frame.rest == 0 {
            return Ok(Some(frame.kind));
        }
        self.frame = Some(frame);
        Ok(None)
    }

    fn keep(&mut self, payload: &[u8], mask: [u8; 4]) -> Result<(), Fault> {
        let Some(partial) = &mut self.partial else { return Ok(()) };
        let payload = if mask == [0; 4] { payload } else { unmask(payload, mask, &mut self.unmasked) };
        match &mut self.inflate {
            Some(inflate) if partial.is_compressed => inflate.add(payload, &mut partial.sink(self.limit)),
            _ => {
                partial.copy.extend(payload, self.limit);
                Ok(())
            }
        }
    }

    fn finish(&mut self) -> Result<Event, Fault> {
        let mut partial = self.partial.take().ok_or(Fault::Frame)?;
        if let Some(inflate) = self.inflate.as_mut().filter(|_| partial.is_compressed) {
            inflate.end(&mut partial.sink(self.limit))?;
        }
        Ok(Event::Message(partial.copy))
    }
}

impl Partial {
    fn sink(&mut self, limit: usize) -> impl Sink {
        move |inflated: &[u8]| {
            self.copy.extend(inflated, limit);
            let is_too_long = self.copy.size.bytes > limit.max(LONGEST_INFLATED) as u64;
            if is_too_long { Err(Fault::TooLong) } else { Ok(()) }
        }
    }
}

/// RFC 6455 section 5.3.
fn unmask<'a>(payload: &[u8], mask: [u8; 4], into: &'a mut Vec<u8>) -> &'a [u8] {
    into.clear();
    into.extend_from_slice(payload);
    for part in into.chunks_mut(mask.len()) {
        part.iter_mut().zip(mask).for_each(|(byte, key)| *byte ^= key);
    }
    into
}
#[cfg(test)]
mod tests;
