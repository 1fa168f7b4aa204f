//! The durable queue between proxy and recorder: what makes capture survive `kill -9`.
//!
//! The proxy appends each exchange when it ends and lets the client see that end only after the [`Ack`]; the recorder
//! reads entries in order and settles each one when its record file and its event are in place. An acknowledged entry is
//! in the operating system's page cache, so it outlives the process; within `sync_interval` it outlives a power loss too.
//!
//! On disk: segment files in one folder, append-only, each removed when all of its entries are settled. At a restart
//! every entry of the segments still there is read again, settled or not: consumers are idempotent by exchange id.
//! Of a segment that a crash cut, what precedes the cut is read. A segment with anything else unreadable in it is not
//! removed in the end but renamed to `*.damaged`, for somebody to look at until the retention removes it.
//!
//! One process at a time may use a folder; the lock on the log folder sees to that.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

pub mod entry;
mod error;
mod ledger;
mod metrics;
mod reader;
mod segment;
mod shared;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

pub use entry::{Spooled, Told};
pub use error::SpoolError;
pub(crate) use error::with_remedy;
pub use ledger::Token;
pub use metrics::SpoolMetrics;
pub use reader::{Entry, Reader};
pub(crate) use segment::is_set_aside;

use crate::exchange::Exchange;
use crate::identity::secret_file::create_folder;
use ledger::{Ledger, Retired};
use segment::{Scan, Seq, Tail};
use shared::{Pending, Sender, Shared};
use writer::Writer;

/// How large the spool may grow and how often it is synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes in segments and in memory from which on exchanges are refused (`capture.spool_limit`). A segment counts whole
    /// until its last entry is settled.
    pub limit_bytes: u64,
    /// Time between two fdatasyncs (`capture.sync_interval`): what a power loss, as opposed to a crash, can cost.
    pub sync_interval: Duration,
    /// Size from which on a new segment is begun.
    pub segment_bytes: u64,
    /// Where the reader keeps what it makes of entries: that file system is synced before segments are removed, so that a
    /// power loss does not take results whose entries are gone. `None`: they are removed at once.
    pub results: Option<PathBuf>,
}

impl Default for Options {
    /// The defaults of the configuration: 10 GiB, 1 s, segments of 16 MiB.
    fn default() -> Self {
        Self { limit_bytes: 10 << 30, sync_interval: Duration::from_secs(1), segment_bytes: 16 << 20, results: None }
    }
}

/// How the spool is doing, for `/readyz` and `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Entries on disk that are not settled.
    pub entries_unsettled: u64,
    /// Bytes of the segments on disk.
    pub bytes: u64,
    /// Bytes that wait in memory to be written.
    pub queued_bytes: u64,
    /// [`Options::limit_bytes`].
    pub limit: u64,
    /// Why writing or syncing fails at present; `None` when it works.
    pub last_error: Option<String>,
    /// About since when the oldest unsettled entry waits; never later than it was written.
    pub oldest: Option<DateTime<Utc>>,
    /// Entries and ends of segments found unreadable since the start (see `*.damaged`).
    pub unreadable: u64,
    /// Exchanges refused since the start, for want of room or by the disk.
    pub unrecorded: u64,
}

/// The durable queue. Share it in an [`Arc`]; dropping it closes it.
pub struct Spool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Spool {
    /// Opens the queue in `dir`, which is created if need be (mode 0700), with all that an earlier run left in it.
    ///
    /// # Errors
    /// Where the folder cannot be created, read or written, or the threads cannot be started.
    pub fn open(dir: &Path, options: Options) -> Result<Self, SpoolError> {
        create_folder(dir).map_err(|error| SpoolError::open(dir, error))?;
        let found = segment::list(dir).map_err(|error| SpoolError::open(dir, error))?;
        let (last, mut ledger, mut empty) = (found.last().copied(), Ledger::default(), Vec::new());
        for seq in found {
            let scan = recover(dir, seq).map_err(|error| SpoolError::open(&segment::path(dir, seq), error))?;
            ledger.recover(seq, &scan);
            empty.extend(ledger.seal(seq));
        }
        let shared = Arc::new(Shared::new(dir.to_owned(), options, ledger));
        shared.dispose(empty);
        let mut writer = Writer::new(Arc::clone(&shared), last.unwrap_or_default());
        writer.try_out()?;
        Self::start(shared, writer).map_err(|error| SpoolError::open(dir, error))
    }

    fn start(shared: Arc<Shared>, writer: Writer) -> io::Result<Self> {
        let spool = Self { shared: Arc::clone(&shared), threads: Mutex::default() };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let writing = thread("spool-write").spawn(|| writer.run())?;
        let syncing = thread("spool-sync").spawn(move || sync::run(&shared));
        spool.lock_threads().push(writing);
        spool.lock_threads().push(syncing?);
        Ok(spool)
    }

    /// Queues `exchange` to be written. Never blocks; the outcome is the [`Ack`]'s. An exchange whose ack is dropped is
    /// written all the same.
    pub fn append(&self, exchange: Exchange) -> Ack {
        let (ack, place) = self.place(&exchange);
        if let Some(place) = place {
            place.fill(exchange.into());
        }
        ack
    }

    /// Takes a place for `exchange`, to be filled when it is ready to be kept. Never blocks; without a place the ack says why.
    pub fn place(&self, exchange: &Exchange) -> (Ack, Option<Place>) {
        let (ack, receiver) = oneshot::channel();
        let bytes = entry::size_hint(exchange);
        let place = match self.shared.reserve(bytes) {
            Ok(()) => Some(Place { shared: Arc::clone(&self.shared), bytes, ack: Some(ack) }),
            Err(refusal) => {
                self.shared.refuse([ack], &refusal);
                None
            }
        };
        (Ack(receiver), place)
    }

    /// A reader that begins with the oldest unsettled entry. Use one at a time: each gets all entries. A new one takes over
    /// from one that was lost, and sees again what that one had not settled.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// The entries need the spool no more. Removes each segment of which these were the last; settling twice is harmless.
    pub fn settle(&self, tokens: impl IntoIterator<Item = Token>) {
        let mut state = self.shared.lock();
        let done: Vec<Retired> = tokens.into_iter().filter_map(|token| state.ledger.settle(token)).collect();
        drop(state);
        self.shared.dispose(done);
    }

    /// How the spool is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        Status {
            entries_unsettled: state.ledger.unsettled(),
            bytes: state.ledger.bytes(),
            queued_bytes: state.queued_bytes,
            limit: self.shared.options.limit_bytes,
            last_error: state.write_error.clone().or_else(|| state.sync_error.clone()),
            oldest: state.ledger.oldest(),
            unreadable: state.ledger.unreadable(),
            unrecorded: state.unrecorded,
        }
    }

    /// True where an exchange appended now would be refused for want of room, on disk or in memory.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shared.lock().no_room(self.shared.options.limit_bytes).is_some()
    }

    /// Writes what is queued, syncs, and ends the threads; blocks until then. Later appends are refused; what is on disk can
    /// still be read and settled. Does nothing the second time.
    pub fn close(&self) {
        self.shared.ask_to_close();
        let threads = std::mem::take(&mut *self.lock_threads());
        for thread in threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "a spool thread had panicked");
            }
        }
    }

    /// A spool whose writer never begins: a test decides with [`Spool::commit_queued`] when exchanges are safe.
    #[cfg(test)]
    pub(crate) fn unstarted() -> Self {
        let shared = Shared::new(PathBuf::new(), Options::default(), Ledger::default());
        Self { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Takes what is queued and acknowledges it.
    #[cfg(test)]
    pub(crate) fn commit_queued(&self) -> Vec<Exchange> {
        let queued = self.shared.dequeue(Duration::ZERO).unwrap_or_default();
        let commit = |Pending { spooled, ack, .. }| {
            let _ = ack.send(Ok(()));
            match spooled {
                Spooled::AsSent(exchange) => Some(exchange),
                Spooled::Understood(_) | Spooled::Told(_) => None,
            }
        };
        queued.into_iter().filter_map(commit).collect()
    }

    /// Removes the segments that were finished after [`Spool::close`].
    pub fn clear_up(&self) {
        sync::sync(&self.shared);
    }

    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Room for an exchange that is not ready yet; closing the spool waits for it. Dropped unfilled, the exchange counts as
/// unrecorded.
pub struct Place {
    shared: Arc<Shared>,
    bytes: u64,
    ack: Option<Sender>,
}

impl Place {
    /// Queues what is to be kept of the exchange.
    pub fn fill(mut self, spooled: Spooled) {
        if let Some(ack) = self.ack.take() {
            self.shared.enqueue(Pending { spooled, bytes: self.bytes, ack });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ack) = self.ack.take() {
            self.shared.release(self.bytes);
            self.shared.refuse([ack], &SpoolError::Abandoned);
        }
    }
}

/// Scans a segment of an earlier run and cuts its unfinished last write.
fn recover(dir: &Path, seq: Seq) -> io::Result<Scan> {
    let path = segment::path(dir, seq);
    let scan = segment::scan(&File::open(&path)?)?;
    match scan.tail {
        Tail::Clean => {}
        Tail::Unfinished => OpenOptions::new().write(true).open(&path)?.set_len(scan.end)?,
        Tail::Damaged => {
            tracing::error!(path = %path.display(), readable = scan.entries, "a spool segment is damaged; its rest is kept");
        }
    }
    Ok(scan)
}

/// Resolves when the appended exchange is safe from a crash of this process, or with the reason why it is not recorded.
#[must_use = "only the ack says whether the exchange will be recorded"]
pub struct Ack(oneshot::Receiver<Result<(), SpoolError>>);

impl Future for Ack {
    type Output = Result<(), SpoolError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(SpoolError::Closed)))
    }
}
