//! The reading end: entries in the order in which they were appended, from the segment files.
//!
//! Nothing is kept in memory for the reader, so one that stalls costs disk and no memory.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{self, Spooled};
use super::error::SpoolError;
use super::ledger::{Position, Token};
use super::segment::{self, Seq};
use super::shared::Shared;

/// An exchange read back, to be settled by its token.
#[derive(Debug)]
pub struct Entry {
    /// What [`Spool::settle`](super::Spool::settle) wants.
    pub token: Token,
    /// What was spooled.
    pub spooled: Spooled,
}

/// Reads what is not settled, oldest first. Made by [`Spool::reader`](super::Spool::reader).
pub struct Reader {
    shared: Arc<Shared>,
    position: Position,
    file: Option<(Seq, File)>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, position: Position::default(), file: None }
    }

    /// The next entries: at most `max_entries`, and none is begun when `max_bytes` are reached; one at least. Blocks the
    /// thread up to `wait` for the first; none after that. Entries that cannot be decoded are set aside and left out.
    ///
    /// # Errors
    /// [`SpoolError::Closed`] when the spool is closed and all of it was read. [`SpoolError::Read`] where a segment cannot
    /// be opened: nothing is lost, try again after a pause.
    pub fn next_batch(&mut self, max_entries: usize, max_bytes: u64, wait: Duration) -> Result<Vec<Entry>, SpoolError> {
        while let Some((position, end)) = self.shared.wait_for_unread(self.position, wait)? {
            self.position = position;
            let entries = self.read(end, max_entries.max(1), max_bytes)?;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    }

    /// Reads from the position towards `end`, within one segment.
    fn read(&mut self, end: u64, max_entries: usize, max_bytes: u64) -> Result<Vec<Entry>, SpoolError> {
        let mut entries = Vec::new();
        let stop = max_bytes.saturating_add(self.position.offset);
        while self.position.offset < end && entries.len() < max_entries {
            if self.position.offset >= stop && !entries.is_empty() {
                break;
            }
            match self.read_one(end)? {
                Ok(entry) => entries.extend(entry),
                Err(error) => {
                    self.set_rest_aside(&error);
                    break;
                }
            }
        }
        Ok(entries)
    }

    /// Reads one entry and steps over it. `None`: settled or set aside. The inner error: nothing behind it can be read.
    fn read_one(&mut self, end: u64) -> Result<io::Result<Option<Entry>>, SpoolError> {
        let Position { segment, offset, index } = self.position;
        let frame = match self.open()?.and_then(|file| segment::read_frame(file, offset, end)) {
            Ok(frame) => frame,
            Err(error) => return Ok(Err(error)),
        };
        self.position = Position { segment, offset: frame.next, index: index + 1 };
        let token = Token { segment, index };
        if self.shared.lock().ledger.is_settled(token) {
            return Ok(Ok(None));
        }
        let decoded = match &frame.payload {
            Some(payload) => entry::decode(payload).map_err(|error| error.to_string()),
            None => Err("its checksum is wrong".to_owned()),
        };
        Ok(Ok(match decoded {
            Ok(spooled) => Some(Entry { token, spooled }),
            Err(reason) => self.set_aside(token, &reason),
        }))
    }

    /// The segment's file. A missing file is the inner error, anything else may pass.
    fn open(&mut self) -> Result<io::Result<&mut File>, SpoolError> {
        let seq = self.position.segment;
        let file = match self.file.take() {
            Some((open, file)) if open == seq => file,
            _ => {
                let path = self.shared.path(seq);
                match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(error)),
                    Err(error) => return Err(SpoolError::read(&path, error)),
                }
            }
        };
        Ok(Ok(&mut self.file.insert((seq, file)).1))
    }

    fn set_aside(&self, token: Token, reason: &str) -> Option<Entry> {
        let path = self.shared.path(token.segment);
        tracing::error!(path = %path.display(), index = token.index, reason, "a spool entry cannot be read; set aside");
        let retired = self.shared.lock().ledger.set_aside(token);
        self.shared.dispose(retired);
        None
    }

    fn set_rest_aside(&mut self, error: &io::Error) {
        let path = self.shared.path(self.position.segment);
        tracing::error!(path = %path.display(), from = self.position.index, %error, "the rest of a spool segment cannot be read; set aside");
        let (position, retired) = self.shared.lock().ledger.set_rest_aside(self.position);
        self.position = position;
        self.file = None;
        self.shared.dispose(retired);
    }
}
