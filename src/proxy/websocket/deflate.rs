//! permessage-deflate (RFC 7692): what a 101 agrees on, and the undoing of the compression.

use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use super::messages::Fault;

/// What a sender leaves out at the end of each message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Takes what was inflated, part by part.
pub(super) trait Sink: FnMut(&[u8]) -> Result<(), Fault> {}
impl<F: FnMut(&[u8]) -> Result<(), Fault>> Sink for F {}

/// What is needed to read the messages of client and server; `None` each where they are not compressed.
///
/// The sizes of the windows do not matter: what was made with a smaller one can be read with the largest.
///
/// # Errors
/// The answer agrees on another extension, or on one twice: no frame can be understood then (RFC 6455 section 9.1).
pub(super) fn agreed(answer: &HeaderMap) -> Result<(Option<Inflate>, Option<Inflate>), Fault> {
    let mut found = (None, None);
    for field in answer.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let field = field.to_str().map_err(|_| Fault::Extension)?;
        for extension in field.split(',').map(str::trim).filter(|extension| !extension.is_empty()) {
            if found.0.is_some() {
                return Err(Fault::Extension);
            }
            found = permessage_deflate(extension)?;
        }
    }
    Ok(found)
}

fn permessage_deflate(extension: &str) -> Result<(Option<Inflate>, Option<Inflate>), Fault> {
    let mut parameters = extension.split(';').map(str::trim);
    if !parameters.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate")) {
        return Err(Fault::Extension);
    }
    let (mut client, mut server) = (Inflate::default(), Inflate::default());
    for parameter in parameters {
        let name = parameter.split('=').next().unwrap_or_default().trim();
        match name.to_ascii_lowercase().as_str() {
            "client_no_context_takeover" => client.forgets = true,
            "server_no_context_takeover" => server.forgets = true,
            "client_max_window_bits" | "server_max_window_bits" => {}
            _ => return Err(Fault::Extension),
        }
    }
    Ok((Some(client), Some(server)))
}

/// Undoes the compression of one direction.
#[derive(Debug, Default)]
pub(crate) struct Inflate {
    /// `no_context_takeover`: each message begins anew.
    forgets: bool,
    /// Some 40 kB, so only made once there is a message for it.
    stream: Option<Decompress>,
}

impl Inflate {
    /// Takes the next bytes of a message.
    pub(super) fn add(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<(), Fault> {
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        let mut room = [0; 8 * 1024];
        loop {
            let (taken, given) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(bytes, &mut room, FlushDecompress::Sync).map_err(|_| Fault::Compression)?;
            let (taken, given) = (stream.total_in() - taken, stream.total_out() - given);
            bytes = usize::try_from(taken).ok().and_then(|taken| bytes.get(taken..)).unwrap_or_default();
            let inflated = usize::try_from(given).ok().and_then(|given| room.get(..given)).unwrap_or_default();
            sink(inflated)?;
            if status == Status::StreamEnd {
                // A block may say that it is the last one, and others follow (RFC 7692 section 7.2.3.4).
                stream.reset(false);
            } else if bytes.is_empty() && inflated.len() < room.len() {
                return Ok(());
            } else if taken == 0 && given == 0 {
                return Err(Fault::Compression);
            }
        }
    }

    /// The message has ended.
    pub(super) fn end(&mut self, sink: &mut impl Sink) -> Result<(), Fault> {
        self.add(&TAIL, sink)?;
        if let Some(stream) = self.stream.as_mut().filter(|_| self.forgets) {
            stream.reset(false);
        }
        Ok(())
    }
}
