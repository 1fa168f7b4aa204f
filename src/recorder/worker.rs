//! The recorder's thread: batch by batch from the spool to record files, store and day files, then settled.
//!
//! A batch that meets a fault of the disk or the store is done again from its beginning after a pause, for as long as it
//! takes; meanwhile the spool grows on disk, and `/readyz` says why. Recovery needs no hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::booking::Booking;
use super::fault::Fault;
use super::files::RecordFiles;
use super::rebuild::rebuild;
use super::rollups::RollUps;
use crate::config::Live;
use crate::metrics::Metrics;
use crate::spool::{Entry, Reader, Spool, SpoolError};
use crate::store::{StoreError, UsageStore};

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

/// The least time between two looks at what other proxies brought to a shared store, and the most of the time that they take.
const FLEET_PAUSE: Duration = Duration::from_secs(10);
const FLEET_SHARE: u32 = 20;

/// How the store is, as far as the recorder knows.
enum Footing {
    /// It has all that the records tell.
    Sure,
    /// It has to be looked at, at the start.
    Unknown,
    /// It has to be opened anew.
    Lost(StoreError),
}

/// Longer than a piece of its work takes, and than the store tells of trouble by itself.
const STALLED: Duration = Duration::from_secs(60);

/// What may be held up: the work on batches, and the projections behind it.
const RECORDS: &str = "records";
const DAY_FILES: &str = "the day file";
const ROLL_UPS: &str = "the roll-ups";

/// What the thread tells the outside.
#[derive(Debug, Default)]
struct Progress {
    stop: AtomicBool,
    /// What is held up, and by what.
    faults: Mutex<BTreeMap<&'static str, String>>,
    /// When the thread last came around.
    beat: Mutex<Option<Instant>>,
}

impl Progress {
    fn beat(&self) {
        *self.beat.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_stalled(&self) -> bool {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|beat| beat.elapsed() > STALLED)
    }
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
        let mut told: Vec<_> =
            faults.iter().map(|(what, fault)| format!("{what} cannot be written: {fault}")).collect();
        if told.is_empty() && self.progress.is_stalled() {
            told.push(format!(
                "the disk or the store has kept the recorder waiting for {} s or more",
                STALLED.as_secs()
            ));
        }
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
    booking: Booking,
    rollups: RollUps,
    /// When to look at what other proxies brought.
    next_look: Instant,
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
        let booking = Booking::new(Arc::clone(&store), files.clone(), live, metrics);
        let rollups = RollUps::new(Arc::clone(&store));
        Self {
            spool,
            store,
            files,
            footing: Footing::Unknown,
            booking,
            rollups,
            next_look: Instant::now() + FLEET_PAUSE,
            progress: Arc::default(),
        }
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
            self.progress.beat();
            let is_idle = batch.is_empty();
            let was_short = !is_idle && batch.len() < BATCH;
            if !is_idle && !self.attempt(|recorder| recorder.booking.book(&batch)) {
                break;
            }
            self.spool.settle(batch.into_iter().map(|entry| entry.token));
            if self.store.is_shared() && Instant::now() >= self.next_look && !self.follow_fleet() {
                break;
            }
            if let Some(written) = self.booking.days.write_if_due() {
                self.report(DAY_FILES, written.err().map(|error| error.to_string()));
            }
            if let Some(refreshed) = self.rollups.refresh_if_due(is_idle) {
                self.report(ROLL_UPS, refreshed.err().map(|error| error.to_string()));
            }
            if was_short && !self.stopping() {
                std::thread::park_timeout(GATHER);
            }
        }
        if self.store.is_shared() && matches!(self.footing, Footing::Sure) {
            self.follow_fleet();
        }
        if let Err(error) = self.booking.days.write() {
            tracing::error!(%error, "a day file could not be written; the next start writes it");
        }
    }

    /// False where it was given up because of the end of the program.
    fn follow_fleet(&mut self) -> bool {
        let begun = Instant::now();
        let done = self.attempt(|recorder| recorder.booking.follow_fleet());
        self.next_look = Instant::now() + FLEET_PAUSE.max(begun.elapsed() * FLEET_SHARE);
        done
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
            self.progress.beat();
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
        self.booking.days.catch_up()?;
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
}

/// Lets the threads that serve clients go before the one that calls this. Linux has a priority for each thread.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "a thread of the recorder runs at the priority of the traffic");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_come_around_is_told_of() {
        let recorder = RunningRecorder { progress: Arc::default(), thread: None };
        recorder.progress.beat();
        assert_eq!(recorder.fault(), None);
        *recorder.progress.beat.lock().unwrap() = Instant::now().checked_sub(STALLED + Duration::from_secs(1));
        assert!(recorder.fault().unwrap().contains("kept the recorder waiting for 60 s"));
    }
}
