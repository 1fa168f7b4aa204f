//! The writer thread: takes all that is queued, writes it with one call, and tells those who wait.
//!
//! It alone creates, extends and seals segments. A write that fails is taken back and refused, and every later batch
//! starts afresh (missing folder and missing file included), so that the spool recovers without a hand.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use chrono::Utc;

use super::SpoolError;
use super::segment::{self, HEADER_BYTES, Seq};
use super::shared::{Pending, Sender, Shared, StopGuard};
use crate::identity::secret_file::create_folder;

/// What the batch buffer keeps of its memory between batches.
const BUFFER_KEPT: usize = 4 << 20;
/// What is written to find out whether a disk that failed works again.
static PROBE: [u8; 64 << 10] = [0; 64 << 10];

/// The segment that is appended to.
struct Active {
    seq: Seq,
    file: Arc<File>,
    /// Where the last whole frame ends.
    length: u64,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    active: Option<Active>,
    last: Seq,
    buffer: Vec<u8>,
}

impl Writer {
    /// `last` is the newest segment there is.
    pub(super) fn new(shared: Arc<Shared>, last: Seq) -> Self {
        Self { shared, active: None, last, buffer: Vec::new() }
    }

    /// Makes sure that segments can be created, and leaves none behind. A full disk is no fault of the set-up: it is
    /// reported like one that fills up later.
    pub(super) fn try_out(&mut self) -> Result<(), SpoolError> {
        let tried = self.usable_segment().map(|_| ());
        self.seal();
        self.shared.lock().folder_unsynced = false;
        match self.report(tried) {
            Err(SpoolError::Write { source, .. }) if is_for_want_of_space(&source) => Ok(()),
            outcome => outcome,
        }
    }

    /// Runs until the spool is closed.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _guard = StopGuard(&shared);
        while let Some(batch) = shared.dequeue(shared.options.sync_interval) {
            if batch.is_empty() {
                self.on_idle();
            } else {
                self.commit(batch);
            }
        }
        self.seal();
    }

    fn commit(&mut self, batch: Vec<Pending>) {
        let queued: u64 = batch.iter().map(|pending| pending.bytes).sum();
        let accepted = self.encode(batch);
        let outcome = if accepted.is_empty() { Ok(()) } else { self.write(accepted.len()) };
        self.shared.lock().queued_bytes -= queued;
        match outcome {
            Ok(()) => accepted.into_iter().for_each(|ack| drop(ack.send(Ok(())))),
            Err(error) => self.shared.refuse(accepted, &error),
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
    }

    /// Fills the buffer; answers those whose exchange has no form on disk, returns the others.
    fn encode(&mut self, batch: Vec<Pending>) -> Vec<Sender> {
        let mut accepted = Vec::with_capacity(batch.len());
        for Pending { spooled, ack, .. } in batch {
            match segment::push_frame(&mut self.buffer, &spooled) {
                Ok(()) => accepted.push(ack),
                Err(error) => {
                    let (id, reason) = (spooled.head().id, error.to_string());
                    self.shared.refuse([ack], &SpoolError::Unspoolable { id, reason });
                }
            }
        }
        accepted
    }

    fn write(&mut self, entries: usize) -> Result<(), SpoolError> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.append(&buffer, entries);
        self.buffer = buffer;
        self.report(written)
    }

    fn append(&mut self, frames: &[u8], entries: usize) -> Result<(), SpoolError> {
        let active = self.usable_segment()?;
        let (seq, file) = (active.seq, Arc::clone(&active.file));
        if let Err(error) = (&*file).write_all(frames) {
            self.take_back();
            return Err(SpoolError::write(&self.shared.path(seq), error));
        }
        active.length += frames.len() as u64;
        self.shared.lock().ledger.append(seq, entries, frames.len() as u64, &file);
        self.shared.announce_written();
        Ok(())
    }

    /// The active segment, or a new one where it is full, gone or not there.
    fn usable_segment(&mut self) -> Result<&mut Active, SpoolError> {
        let full = self.shared.options.segment_bytes;
        if self.active.as_ref().is_some_and(|active| active.length >= full || is_gone(&active.file)) {
            self.seal();
        }
        let active = match self.active.take() {
            Some(active) => active,
            None => self.begin_segment()?,
        };
        Ok(self.active.insert(active))
    }

    fn begin_segment(&mut self) -> Result<Active, SpoolError> {
        let now = u64::try_from(Utc::now().timestamp_micros()).unwrap_or_default();
        let seq = now.max(self.last.saturating_add(1));
        self.last = seq;
        let dir = &self.shared.dir;
        let created = segment::create(dir, seq).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => create_folder(dir).and_then(|()| segment::create(dir, seq)),
            _ => Err(error),
        });
        let file = created.map_err(|error| SpoolError::write(&self.shared.path(seq), error))?;
        let mut state = self.shared.lock();
        state.ledger.begin(seq);
        state.folder_unsynced = true;
        Ok(Active { seq, file: Arc::new(file), length: HEADER_BYTES })
    }

    /// Cuts what a failed write left behind; a segment that cannot be cut is not used again.
    fn take_back(&mut self) {
        if self.active.as_ref().is_some_and(|active| active.file.set_len(active.length).is_err()) {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let Some(active) = self.active.take() else { return };
        let retired = self.shared.lock().ledger.seal(active.seq);
        self.shared.dispose(retired);
    }

    /// Gives back the disk space of a spool in which all is settled, and sees whether a disk that failed works again.
    fn on_idle(&mut self) {
        if self.shared.lock().write_error.is_some() {
            let probed = self.probe();
            let _ = self.report(probed);
        }
        if self.active.as_ref().is_some_and(|active| self.shared.lock().ledger.all_settled(active.seq)) {
            self.seal();
        }
    }

    fn probe(&mut self) -> Result<(), SpoolError> {
        let active = self.usable_segment()?;
        let (seq, written) = (active.seq, (&*active.file).write_all(&PROBE));
        self.take_back();
        written.map_err(|error| SpoolError::write(&self.shared.path(seq), error))
    }

    /// Keeps the outcome for `/readyz`, and logs when it changes.
    fn report(&self, outcome: Result<(), SpoolError>) -> Result<(), SpoolError> {
        let now = outcome.as_ref().err().map(ToString::to_string);
        let before = std::mem::replace(&mut self.shared.lock().write_error, now.clone());
        match (before, now) {
            (None, Some(error)) => tracing::error!(error, "the spool cannot be written to"),
            (Some(_), None) => tracing::info!("the spool can be written to again"),
            _ => {}
        }
        outcome
    }
}

fn is_for_want_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// True where the file was removed while it was open: what is written to it is lost.
#[cfg(unix)]
fn is_gone(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}

/// An open file cannot be removed here.
#[cfg(not(unix))]
fn is_gone(_file: &File) -> bool {
    false
}
