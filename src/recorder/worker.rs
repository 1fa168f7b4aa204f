//! The recorder's thread: batch by batch from the spool to record files, store and day files, then settled.
//!
//! A batch that meets a fault of the disk or the store is done again from its beginning after a pause, for as long as it
//! takes; meanwhile the spool grows on disk, and `/readyz` says why. Recovery needs no hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::days::DayFiles;
use super::files::{FileError, RecordFiles};
use super::rebuild::{RebuildError, rebuild};
use super::record::{Record, RecordError};
use super::understanding::{understand, without_content};
use crate::config::{Capture, Content, Live, Noise};
use crate::copilot::vocabulary::Class;
use crate::copilot::{self, History, Reason, Understanding};
use crate::exchange::ExchangeId;
use crate::metrics::Metrics;
use crate::spool::{Entry, Reader, Spool, SpoolError, Spooled};
use crate::store::{StoreError, UsageStore};
use crate::usage::UsageEvent;

/// Entries done together: one transaction of the store.
const BATCH: usize = 256;
/// Bytes of a batch in memory.
const BATCH_BYTES: u64 = 8 << 20;
/// Pause after a batch that emptied the spool, so that entries come together: a transaction for each costs more than its work.
const GATHER: Duration = Duration::from_millis(50);
/// Nice value of the thread (setpriority(2)): where traffic and records want the same core, traffic goes first and the spool
/// takes up the difference.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// How long the thread waits for work before it looks at the day files.
const WAIT: Duration = Duration::from_millis(200);
/// Pauses after a fault: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why a batch could not be finished.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

impl Fault {
    /// The store's error, where only opening it anew may help.
    fn of_store(self) -> Result<StoreError, Self> {
        match self {
            Self::Store(error) | Self::Rebuild(RebuildError::Store(error)) if !error.is_temporary() => Ok(error),
            other => Err(other),
        }
    }
}

/// How the store is, as far as the recorder knows.
enum Footing {
    /// It has all that the records tell.
    Sure,
    /// It has to be looked at, at the start.
    Unknown,
    /// It has to be opened anew.
    Lost(StoreError),
}

/// What may be held up: the work on batches, and the day files behind it.
const RECORDS: &str = "records";
const DAY_FILES: &str = "the day file";

/// What the thread tells the outside.
#[derive(Debug, Default)]
struct Progress {
    stop: AtomicBool,
    /// What is held up, and by what.
    faults: Mutex<BTreeMap<&'static str, String>>,
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
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            return Some(
                "the recorder ended by a fault of its own; exchanges wait in the spool for a restart".to_owned(),
            );
        }
        let faults = self.progress.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<_> = faults.iter().map(|(what, fault)| format!("{what} cannot be written: {fault}")).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// Finishes what is in the spool (closed before) as far as that works at once, writes the day files and ends.
    pub fn stop(&mut self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        // It may be pausing after a fault.
        thread.thread().unpark();
        if thread.join().is_err() {
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
    footing: Footing,
    days: DayFiles,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    progress: Arc<Progress>,
}

impl Recorder {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        spool: Arc<Spool>,
        store: Arc<dyn UsageStore>,
        files: RecordFiles,
        live: Arc<Live>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let days = DayFiles::new(Arc::clone(&store), files.clone());
        Self { spool, store, files, footing: Footing::Unknown, days, live, metrics, progress: Arc::default() }
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
        stand_back();
        self.attempt(|_| Ok(()));
        let mut reader = self.spool.reader();
        while let Some(batch) = self.next(&mut reader) {
            let was_short = !batch.is_empty() && batch.len() < BATCH;
            if !batch.is_empty() && !self.attempt(|recorder| recorder.record(&batch)) {
                break;
            }
            self.spool.settle(batch.into_iter().map(|entry| entry.token));
            if let Some(written) = self.days.write_if_due() {
                self.report(DAY_FILES, written.err().map(|error| error.to_string()));
            }
            if was_short && !self.stopping() {
                std::thread::park_timeout(GATHER);
            }
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
                self.report(RECORDS, Some(error.to_string()));
                std::thread::sleep(RETRY.0);
                (!self.stopping()).then(Vec::new)
            }
        }
    }

    /// Does the work, again and again if need be. False where it was given up because of the end of the program.
    fn attempt(&mut self, mut work: impl FnMut(&mut Self) -> Result<(), Fault>) -> bool {
        let mut pause = RETRY.0;
        loop {
            match self.find_footing().and_then(|()| work(self)) {
                Ok(()) => {
                    self.report(RECORDS, None);
                    return true;
                }
                Err(fault) => {
                    self.report(RECORDS, Some(fault.to_string()));
                    if let Ok(error) = fault.of_store() {
                        self.footing = Footing::Lost(error);
                    }
                }
            }
            if self.stopping() {
                return false;
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Makes sure of a store that has all that the records tell, and of day files that say the same.
    fn find_footing(&mut self) -> Result<(), Fault> {
        match std::mem::replace(&mut self.footing, Footing::Unknown) {
            Footing::Sure => {
                self.footing = Footing::Sure;
                return Ok(());
            }
            Footing::Unknown => {}
            Footing::Lost(error) => self.store.reopen(&error)?,
        }
        if !self.store.is_whole()? {
            self.make_whole()?;
        }
        self.days.catch_up()?;
        self.footing = Footing::Sure;
        Ok(())
    }

    /// Fills a new store from the record files. Exchanges wait in the spool meanwhile.
    fn make_whole(&self) -> Result<(), Fault> {
        if self.files.usage_dir().exists() {
            self.report(RECORDS, Some("the usage store is new and is being filled from the record files".to_owned()));
        }
        let rebuilt = rebuild(&self.files, &*self.store, None, None)?;
        self.store.mark_whole()?;
        let (days, records, unreadable) = (rebuilt.days.len(), rebuilt.records, rebuilt.unreadable.len());
        if records + unreadable > 0 {
            tracing::warn!(days, records, unreadable, "the usage store was made anew from the records");
        }
        Ok(())
    }

    fn stopping(&self) -> bool {
        self.progress.stop.load(Ordering::Relaxed)
    }

    /// Keeps the present fault for `/readyz`; the log has each change of it once.
    fn report(&self, what: &'static str, fault: Option<String>) {
        let mut known = self.progress.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(what) == fault.as_ref() {
            return;
        }
        match fault {
            Some(fault) => {
                tracing::error!(what, %fault, "the recorder is held up; it tries again by itself");
                known.insert(what, fault);
            }
            None => {
                tracing::info!(what, "the recorder goes on");
                known.remove(what);
            }
        }
    }

    fn record(&mut self, batch: &[Entry]) -> Result<(), Fault> {
        let capture = self.live.current().settings.capture.clone();
        let mut answered = Answered::default();
        let mut events = Vec::with_capacity(batch.len());
        for entry in batch {
            let record = self.record_of(&entry.spooled, &capture, &mut answered)?;
            if record.class != Class::Noise || capture.noise == Noise::Record {
                self.files.write(&record, entry.spooled.head().client)?;
            }
            events.push(record.event()?);
        }
        let inserted = self.store.insert(&events)?;
        self.count(&events, &inserted.new);
        self.days.add(&events, &inserted.new)?;
        events.iter().for_each(log);
        Ok(())
    }

    /// Those that were new: a batch is done again after a fault, and after a crash.
    fn count(&self, events: &[UsageEvent], new: &[bool]) {
        for (event, _) in events.iter().zip(new).filter(|(_, new)| **new) {
            self.metrics.exchanges.inc((event.kind, event.class));
            let reason = Reason::ALL.into_iter().find(|reason| Some(reason.as_str()) == event.reason.as_deref());
            if let Some(reason) = reason.filter(|reason| reason.class() == Class::Noise) {
                self.metrics.noise.inc(reason);
            }
        }
    }

    fn record_of(&self, spooled: &Spooled, capture: &Capture, answered: &mut Answered) -> Result<Record, Fault> {
        let understanding = understanding(spooled, capture);
        let head = spooled.head();
        let mut is_repeat = false;
        if let Some(id) = &understanding.facts.request_id {
            let (request, end) = ((head.user.clone(), id.clone()), (head.timings.ended_at, head.id));
            is_repeat = answered.before(&request, end) || self.store.was_answered(&head.user, id, end)?;
            if let Some(200..=299) = head.status() {
                answered.add(request, end);
            }
        }
        let history = History { repeat_of_success: is_repeat, ..History::default() };
        let verdict = copilot::classify(&understanding.facts, history);
        Ok(Record::new(head, understanding, &verdict))
    }
}

/// Lets the threads that serve clients go first. Linux has a priority for each thread.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "the recorder runs at the priority of the traffic");
    }
}

fn understanding(spooled: &Spooled, capture: &Capture) -> Understanding {
    let understanding = match spooled {
        Spooled::AsSent(exchange) => understand(exchange, capture.decode_limit()),
        Spooled::Understood(understood) => understood.1.clone(),
    };
    match capture.content {
        Content::Full => understanding,
        // Exchanges may still wait in the spool from before the setting was changed.
        Content::Metadata => without_content(understanding),
    }
}

/// Requests of this batch that were answered with success, and when first; the store has them only afterwards.
#[derive(Default)]
struct Answered(HashMap<(String, String), (DateTime<Utc>, ExchangeId)>);

impl Answered {
    fn before(&self, request: &(String, String), end: (DateTime<Utc>, ExchangeId)) -> bool {
        self.0.get(request).is_some_and(|first| *first < end)
    }

    fn add(&mut self, request: (String, String), end: (DateTime<Utc>, ExchangeId)) {
        let first = self.0.entry(request).or_insert(end);
        *first = end.min(*first);
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
