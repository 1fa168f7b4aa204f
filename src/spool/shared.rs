//! What the spool's threads and callers share: the queue of exchanges to be written and the ledger, under one lock.
//!
//! The lock is held for moments only, and never while a file is touched, so async callers may take it.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::SpoolError;
use super::ledger::{Ledger, Position, Retired};
use super::segment::{self, Seq};
use super::{Options, entry};
use crate::exchange::Exchange;

/// Bytes that may wait in memory to be written; more means that the disk hangs.
const QUEUE_LIMIT: u64 = 64 << 20;

/// The threads wake once an interval; more often would only burn time.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// An exchange on its way to the disk.
pub(super) struct Pending {
    pub(super) exchange: Exchange,
    pub(super) bytes: u64,
    pub(super) ack: oneshot::Sender<Result<(), SpoolError>>,
}

impl Pending {
    pub(super) fn new(exchange: Exchange, ack: oneshot::Sender<Result<(), SpoolError>>) -> Self {
        Self { bytes: entry::size_hint(&exchange), exchange, ack }
    }
}

#[derive(Default)]
pub(super) struct State {
    queue: Vec<Pending>,
    /// Bytes in the queue and in the batch being written.
    pub(super) queued_bytes: u64,
    pub(super) ledger: Ledger,
    /// A segment's name is not yet safe from a power loss.
    pub(super) folder_unsynced: bool,
    /// The last write's error, until one succeeds.
    pub(super) write_error: Option<String>,
    /// The last sync's error, until one succeeds.
    pub(super) sync_error: Option<String>,
    closing: bool,
    stopped: bool,
}

impl State {
    /// Why no exchange can be taken in now.
    pub(super) fn no_room(&self, limit: u64) -> Option<SpoolError> {
        if self.ledger.bytes() + self.queued_bytes >= limit {
            Some(SpoolError::Full { limit })
        } else if self.queued_bytes >= QUEUE_LIMIT {
            Some(SpoolError::Backlogged { queued: self.queued_bytes })
        } else {
            None
        }
    }
}

pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    state: Mutex<State>,
    queued: Condvar,
    written: Condvar,
    stopped: Condvar,
}

impl Shared {
    pub(super) fn new(dir: PathBuf, mut options: Options, ledger: Ledger) -> Self {
        options.sync_interval = options.sync_interval.max(SHORTEST_INTERVAL);
        let state = State { ledger, ..State::default() };
        let (queued, written, stopped) = Default::default();
        Self { dir, options, state: Mutex::new(state), queued, written, stopped }
    }

    /// The file of segment `seq`.
    pub(super) fn path(&self, seq: Seq) -> PathBuf {
        segment::path(&self.dir, seq)
    }

    /// The state; also after a thread panicked while holding it, for every step leaves it consistent.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues `pending` for the writer, or answers it at once.
    pub(super) fn enqueue(&self, pending: Pending) {
        let mut state = self.lock();
        let closed = (state.closing || state.stopped).then_some(SpoolError::Closed);
        if let Some(refusal) = closed.or_else(|| state.no_room(self.options.limit_bytes)) {
            drop(state);
            let _ = pending.ack.send(Err(refusal));
            return;
        }
        state.queued_bytes += pending.bytes;
        state.queue.push(pending);
        let was_empty = state.queue.len() == 1;
        drop(state);
        if was_empty {
            self.queued.notify_one();
        }
    }

    /// All that is queued; nothing after `wait` without work; `None` when the spool closes and the queue is empty.
    pub(super) fn dequeue(&self, wait: Duration) -> Option<Vec<Pending>> {
        let idle = |state: &mut State| state.queue.is_empty() && !state.closing;
        let waited = self.queued.wait_timeout_while(self.lock(), wait, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut state.queue);
        (!batch.is_empty() || !state.closing).then_some(batch)
    }

    /// Tells a waiting reader that there is more.
    pub(super) fn announce_written(&self) {
        self.written.notify_all();
    }

    /// Waits until there is something to read at or after `position`; `None` after `wait` without.
    pub(super) fn wait_for_unread(
        &self,
        position: Position,
        wait: Duration,
    ) -> Result<Option<(Position, u64)>, SpoolError> {
        let began = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(unread) = state.ledger.unread(position) {
                return Ok(Some(unread));
            }
            if state.stopped {
                return Err(SpoolError::Closed);
            }
            let Some(left) = wait.checked_sub(began.elapsed()) else { return Ok(None) };
            (state, _) = self.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the writer's end, `wait` at most; true when it has come.
    pub(super) fn wait_for_stop(&self, wait: Duration) -> bool {
        let waited = self.stopped.wait_timeout_while(self.lock(), wait, |state| !state.stopped);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    /// Asks the writer to write what is queued and end.
    pub(super) fn ask_to_close(&self) {
        self.lock().closing = true;
        self.queued.notify_all();
    }

    /// Removes the files of segments that nobody needs, or puts them aside.
    pub(super) fn dispose(&self, retired: impl IntoIterator<Item = Retired>) {
        for segment in retired {
            self.dispose_one(&segment);
        }
    }

    fn dispose_one(&self, retired: &Retired) {
        let path = self.path(retired.segment);
        let done = if retired.damaged {
            let aside = segment::damaged_path(&self.dir, retired.segment);
            tracing::error!(path = %aside.display(), "a spool segment with unreadable entries is kept for inspection");
            std::fs::rename(&path, aside)
        } else {
            std::fs::remove_file(&path)
        };
        match done {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove a finished spool segment; it will be read again");
            }
            _ => {}
        }
    }
}

/// Held by the writer thread: however it ends, nobody waits for it for ever.
pub(super) struct StopGuard<'a>(pub(super) &'a Shared);

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.stopped = true;
        let orphans = std::mem::take(&mut state.queue);
        drop(state);
        drop(orphans);
        self.0.written.notify_all();
        self.0.stopped.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::tests::exchange;

    fn shared(limit_bytes: u64) -> Shared {
        Shared::new(PathBuf::new(), Options { limit_bytes, ..Options::default() }, Ledger::default())
    }

    fn enqueue(shared: &Shared, bytes: u64) -> oneshot::Receiver<Result<(), SpoolError>> {
        let (ack, receiver) = oneshot::channel();
        shared.enqueue(Pending { bytes, ..Pending::new(exchange(1), ack) });
        receiver
    }

    #[test]
    fn memory_for_a_hanging_disk_is_bounded() {
        let shared = shared(u64::MAX);
        let mut first = enqueue(&shared, QUEUE_LIMIT);
        assert!(first.try_recv().is_err(), "waits for the writer");
        let refused = enqueue(&shared, 1).blocking_recv().unwrap();
        assert!(matches!(refused, Err(SpoolError::Backlogged { queued: QUEUE_LIMIT })));
    }

    #[test]
    fn what_waits_in_memory_counts_towards_the_limit() {
        let shared = shared(100);
        let _first = enqueue(&shared, 100);
        assert!(matches!(enqueue(&shared, 1).blocking_recv().unwrap(), Err(SpoolError::Full { limit: 100 })));
    }

    #[test]
    fn a_writer_that_panics_leaves_nobody_waiting() {
        let shared = shared(u64::MAX);
        let queued = enqueue(&shared, 1);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let _guard = StopGuard(&shared);
                let _state = shared.lock();
                panic!("a fault while the lock is held");
            });
            assert!(writer.join().is_err());
        });
        assert!(queued.blocking_recv().is_err());
        assert!(matches!(enqueue(&shared, 1).blocking_recv().unwrap(), Err(SpoolError::Closed)));
        let unread = shared.wait_for_unread(Position::default(), Duration::from_secs(60));
        assert!(matches!(unread, Err(SpoolError::Closed)));
        assert!(shared.wait_for_stop(Duration::from_secs(60)));
    }
}
