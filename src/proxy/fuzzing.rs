//! A way in for `tests/fuzz`, which is a crate of its own and sees what is public alone.

use http::Uri;

use super::target::Origin;
use super::websocket::deflate::Inflate;
use super::websocket::messages::{Event, Messages, Side};

/// Host, port and one text of both for the target of a CONNECT; `None` where it is no destination.
#[must_use]
pub fn connect_destination(target: &Uri) -> Option<(String, u16, String)> {
    let origin = Origin::of_connect(target)?;
    Some((origin.host.to_string(), origin.port, origin.to_string()))
}

/// The messages in the bytes of a WebSocket's client or server, each with its length before it was cut to `limit`, and
/// whether all bytes could be read. A close frame is an empty message of length 1.
#[must_use]
pub fn websocket_messages<'a>(
    from_client: bool,
    compressed: bool,
    limit: usize,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<(Vec<u8>, u64)>, bool) {
    let side = if from_client { Side::Client } else { Side::Server };
    let mut messages = Messages::new(side, compressed.then(Inflate::default), limit);
    let mut found = Vec::new();
    for mut chunk in chunks {
        loop {
            match messages.next(&mut chunk) {
                Ok(Some(Event::Message(copy))) => found.push((copy.kept, copy.size.bytes)),
                Ok(Some(Event::Close)) => found.push((Vec::new(), 1)),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}
