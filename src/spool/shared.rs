//! What the spool's threads and callers share: the queue of exchanges to be written and the ledger, under one lock.
//!
//! The lock is held for moments only, and never while a file is touched, so async callers may take it.

use std::mem::Discriminant;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Options;
use super::entry::Spooled;
use super::error::{SpoolError, with_remedy};
use super::ledger::{Ledger, Position, Retired};
use super::segment::{self, Seq};

/// Bytes that may wait in memory to be written; more means that the disk hangs.
const QUEUE_LIMIT: u64 = 64 << 20;

/// The threads wake once an interval; more often would only burn time.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// A refusal is logged when its cause changes, and again after this long.
const QUIET: Duration = Duration::from_secs(60);

/// Where the outcome of an append goes.
pub(super) type Sender = oneshot::Sender<Result<(), SpoolError>>;

/// An exchange on its way to the disk.
pub(super) struct Pending {
    pub(super) spooled: Spooled,
    /// What was reserved for it.
    pub(super) bytes: u64,
    pub(super) ack: Sender,
}

#[derive(Default)]
pub(super) struct State {
    queue: Vec<Pending>,
    /// Exchanges that have a place and are not queued yet.
    places: usize,
    /// Bytes that were reserved: of places, in the queue and in the batch being written.
    pub(super) queued_bytes: u64,
    /// Exchanges refused since the start.
    pub(super) unrecorded: u64,
    last_refusal: Option<Refusal>,
    pub(super) ledger: Ledger,
    /// Segments that nobody needs, to be removed by the sync thread.
    pub(super) finished: Vec<Retired>,
    /// A segment's name is not yet safe from a power loss.
    pub(super) folder_unsynced: bool,
    /// The last write's error, until one succeeds.
    pub(super) write_error: Option<String>,
    /// The last sync's error, until one succeeds.
    pub(super) sync_error: Option<String>,
    closing: bool,
    stopped: bool,
}

/// The cause of a refusal that was logged, and when.
struct Refusal {
    cause: Discriminant<SpoolError>,
    at: Instant,
}

impl State {
    /// True where nothing more can be queued.
    fn is_over(&self) -> bool {
        self.closing && self.places == 0
    }

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

    /// Takes room for an exchange of about `bytes`.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), SpoolError> {
        let mut state = self.lock();
        let closed = (state.closing || state.stopped).then_some(SpoolError::Closed);
        if let Some(refusal) = closed.or_else(|| state.no_room(self.options.limit_bytes)) {
            return Err(refusal);
        }
        state.queued_bytes += bytes;
        state.places += 1;
        Ok(())
    }

    /// Gives back room that no exchange came to.
    pub(super) fn release(&self, bytes: u64) {
        let mut state = self.lock();
        state.queued_bytes -= bytes;
        state.places -= 1;
        drop(state);
        self.queued.notify_one();
    }

    /// Queues what room was reserved for. With the writer gone, it is refused.
    pub(super) fn enqueue(&self, pending: Pending) {
        let mut state = self.lock();
        state.places -= 1;
        if state.stopped {
            drop(state);
            return self.refuse([pending.ack], &SpoolError::Closed);
        }
        state.queue.push(pending);
        let was_empty = state.queue.len() == 1;
        drop(state);
        if was_empty {
            self.queued.notify_one();
        }
    }

    /// All that is queued; nothing after `wait` without work; `None` when the spool closes and nothing more can come.
    pub(super) fn dequeue(&self, wait: Duration) -> Option<Vec<Pending>> {
        let idle = |state: &mut State| state.queue.is_empty() && !state.is_over();
        let waited = self.queued.wait_timeout_while(self.lock(), wait, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut state.queue);
        (!batch.is_empty() || !state.is_over()).then_some(batch)
    }

    /// Tells those who wait that their exchanges are not recorded, and counts them whether anybody waits or not.
    pub(super) fn refuse(&self, acks: impl IntoIterator<Item = Sender>, error: &SpoolError) {
        for ack in acks {
            self.count_unrecorded(error);
            let _ = ack.send(Err(error.clone()));
        }
    }

    fn count_unrecorded(&self, error: &SpoolError) {
        let mut state = self.lock();
        state.unrecorded += 1;
        let (cause, unrecorded) = (std::mem::discriminant(error), state.unrecorded);
        if state.last_refusal.as_ref().is_some_and(|last| last.cause == cause && last.at.elapsed() < QUIET) {
            return;
        }
        state.last_refusal = Some(Refusal { cause, at: Instant::now() });
        drop(state);
        tracing::error!(%error, unrecorded, "exchanges are not recorded");
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

    /// Removes the files of segments that nobody needs, or puts them aside: at once, or where results are to be synced
    /// before, at the next [`sync`](super::sync).
    pub(super) fn dispose(&self, retired: impl IntoIterator<Item = Retired>) {
        for segment in retired {
            if self.options.results.is_some() && !segment.damaged {
                self.lock().finished.push(segment);
            } else {
                let _ = self.remove(segment);
            }
        }
    }

    /// As [`Shared::dispose`], at once. What cannot be removed is tried again at the next sync.
    pub(super) fn remove(&self, segment: Retired) -> Result<(), String> {
        let outcome = self.dispose_one(&segment);
        let mut state = self.lock();
        match &outcome {
            Ok(()) => state.ledger.removed(&segment),
            Err(_) => state.finished.push(segment),
        }
        outcome
    }

    fn dispose_one(&self, retired: &Retired) -> Result<(), String> {
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
                Err(format!("cannot remove {}, which is recorded: {}", path.display(), with_remedy(&error)))
            }
            _ => Ok(()),
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
        self.0.refuse(orphans.into_iter().map(|orphan| orphan.ack), &SpoolError::Closed);
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
        match shared.reserve(bytes) {
            Ok(()) => shared.enqueue(Pending { spooled: exchange(1).into(), bytes, ack }),
            Err(refusal) => shared.refuse([ack], &refusal),
        }
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
        assert!(matches!(queued.blocking_recv().unwrap(), Err(SpoolError::Closed)));
        assert!(matches!(enqueue(&shared, 1).blocking_recv().unwrap(), Err(SpoolError::Closed)));
        let unread = shared.wait_for_unread(Position::default(), Duration::from_secs(60));
        assert!(matches!(unread, Err(SpoolError::Closed)));
        assert!(shared.wait_for_stop(Duration::from_secs(60)));
    }
}
