//! The recorder's thread: batch by batch from the spool to record files, store and day files, then settled.
//!
//! A batch that meets a fault of the disk or the store is done again from its beginning after a pause, for as long as it
//! takes; meanwhile the spool grows on disk, and `/readyz` says why. Recovery needs no hand.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::days::DayFiles;
use super::files::{FileError, RecordFiles};
use super::record::{Record, RecordError};
use crate::copilot::vocabulary::Class;
use crate::copilot::{self, Understanding};
use crate::exchange::Exchange;
use crate::spool::{Entry, Reader, Spool, SpoolError};
use crate::store::{StoreError, UsageStore};
use crate::usage::UsageEvent;

/// Entries done together: one transaction of the store.
const BATCH: usize = 256;
/// Bytes of a batch in memory.
const BATCH_BYTES: u64 = 8 << 20;
/// How long the thread waits for work before it looks at the day files.
const WAIT: Duration = Duration::from_millis(200);
/// Pauses after a fault: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A decoded body is cut here: forty times what fits a large model's context.
const DECODE_LIMIT: usize = 64 << 20;

/// What the recorder is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderOptions {
    /// `capture.noise = "record"`: noise gets a record file, too.
    pub record_noise: bool,
}

/// Why a batch could not be finished.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What the thread tells the outside.
#[derive(Debug, Default)]
struct Progress {
    stop: AtomicBool,
    fault: Mutex<Option<String>>,
}

/// The running recorder. Dropping it stops it.
pub struct RunningRecorder {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl RunningRecorder {
    /// What keeps the recorder from its work at present.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.progress.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finishes what is in the spool (closed before) as far as that works at once, writes the day files and ends.
    pub fn stop(&mut self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the recorder had panicked");
        }
    }
}

impl Drop for RunningRecorder {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The recorder before it runs.
pub struct Recorder {
    spool: Arc<Spool>,
    store: Arc<dyn UsageStore>,
    files: RecordFiles,
    days: DayFiles,
    options: RecorderOptions,
    progress: Arc<Progress>,
}

impl Recorder {
    /// Puts the parts together.
    #[must_use]
    pub fn new(spool: Arc<Spool>, store: Arc<dyn UsageStore>, files: RecordFiles, options: RecorderOptions) -> Self {
        let days = DayFiles::new(Arc::clone(&store), files.clone());
        Self { spool, store, files, days, options, progress: Arc::default() }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system has no thread to give.
    pub fn start(self) -> std::io::Result<RunningRecorder> {
        let progress = Arc::clone(&self.progress);
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(move || self.run())?;
        Ok(RunningRecorder { progress, thread: Some(thread) })
    }

    fn run(mut self) {
        self.attempt("the day files", |recorder| Ok(recorder.days.catch_up()?));
        let mut reader = self.spool.reader();
        while let Some(batch) = self.next(&mut reader) {
            if !batch.is_empty() && !self.attempt("a batch", |recorder| recorder.record(&batch)) {
                break;
            }
            self.spool.settle(batch.into_iter().map(|entry| entry.token));
            self.days.write_if_due();
        }
        if let Err(error) = self.days.write() {
            tracing::error!(%error, "a day file could not be written; the next start writes it");
        }
    }

    /// The next entries, which may be none; `None` when there is nothing more to come.
    fn next(&self, reader: &mut Reader) -> Option<Vec<Entry>> {
        match reader.next_batch(BATCH, BATCH_BYTES, WAIT) {
            Ok(batch) => Some(batch),
            Err(SpoolError::Closed) => None,
            Err(error) => {
                self.report(Some(error.to_string()));
                std::thread::sleep(RETRY.0);
                (!self.stopping()).then(Vec::new)
            }
        }
    }

    /// Does the work, again and again if need be. False where it was given up because of the end of the program.
    fn attempt(&mut self, what: &str, mut work: impl FnMut(&mut Self) -> Result<(), Fault>) -> bool {
        let mut pause = RETRY.0;
        loop {
            match work(self) {
                Ok(()) => {
                    self.report(None);
                    return true;
                }
                Err(fault) => self.report(Some(format!("{what} cannot be recorded: {fault}"))),
            }
            if self.stopping() {
                return false;
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(RETRY.1);
        }
    }

    fn stopping(&self) -> bool {
        self.progress.stop.load(Ordering::Relaxed)
    }

    /// Keeps the present fault for `/readyz`; the log has each change of it once.
    fn report(&self, fault: Option<String>) {
        let mut known = self.progress.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != fault {
            match &fault {
                Some(fault) => tracing::error!(%fault, "the recorder is held up; exchanges wait in the spool"),
                None => tracing::info!("the recorder goes on"),
            }
            *known = fault;
        }
    }

    fn record(&mut self, batch: &[Entry]) -> Result<(), Fault> {
        let mut answered = Answered::default();
        let mut events = Vec::with_capacity(batch.len());
        for entry in batch {
            let record = self.understand(&entry.exchange, &mut answered)?;
            if record.class != Class::Noise || self.options.record_noise {
                self.files.write(&record, entry.exchange.head.client)?;
            }
            events.push(record.event()?);
        }
        let new = self.store.insert(&events)?;
        self.days.add(&events, &new)?;
        events.iter().for_each(log);
        Ok(())
    }

    fn understand(&self, exchange: &Exchange, answered: &mut Answered) -> Result<Record, Fault> {
        let understanding = understand_safely(exchange);
        let head = &exchange.head;
        let repeat = match &understanding.facts.request_id {
            None => false,
            Some(id) if answered.has(&head.user, id) => true,
            Some(id) => self.store.was_answered(&head.user, id, (head.timings.ended_at, head.id))?,
        };
        let verdict = copilot::classify(&understanding.facts, repeat);
        if let (Some(id), Some(200..=299)) = (&understanding.facts.request_id, head.status()) {
            answered.add(&head.user, id);
        }
        Ok(Record::new(head, understanding, &verdict))
    }
}

/// A fault in the code that reads bodies must cost neither the record nor the recorder: the exchange is then understood
/// from its head alone.
fn understand_safely(exchange: &Exchange) -> Understanding {
    catch_unwind(AssertUnwindSafe(|| copilot::understand(exchange, DECODE_LIMIT))).unwrap_or_else(|_| {
        tracing::error!(id = %exchange.head.id, "an exchange could not be understood; its bodies are left out. Please report this");
        let head = exchange.head.clone();
        copilot::understand(&Exchange { head, request_body: bytes::Bytes::new(), response_body: bytes::Bytes::new() }, 0)
    })
}

/// Requests of this batch that were answered with success; the store has them only afterwards.
#[derive(Default)]
struct Answered(HashMap<String, Vec<String>>);

impl Answered {
    fn has(&self, user: &str, request_id: &str) -> bool {
        self.0.get(user).is_some_and(|ids| ids.iter().any(|id| id == request_id))
    }

    fn add(&mut self, user: &str, request_id: &str) {
        self.0.entry(user.to_owned()).or_default().push(request_id.to_owned());
    }
}

/// One line an exchange.
fn log(event: &UsageEvent) {
    tracing::info!(
        id = %event.id,
        user = event.user,
        kind = event.kind.as_str(),
        class = event.class.as_str(),
        reason = event.reason,
        status = event.status,
        ms = event.duration_ms,
        bytes = event.request_bytes + event.response_bytes,
        "exchange"
    );
}
