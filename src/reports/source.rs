//! What reports of a running proxy are made of: its store, and its configuration as it is at the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Reports, Result, Roster};
use crate::config::{Live, Loaded};
use crate::store::UsageStore;

/// How long a roster is used: GitHub accounts that traffic told by then are in the next one. A changed allowlist is in use
/// at once.
const ROSTER_AGE: Duration = Duration::from_secs(10);

/// Gives out [`Reports`].
pub struct ReportSource {
    live: Arc<Live>,
    store: Arc<dyn UsageStore>,
    kept: Mutex<Option<Kept>>,
}

/// A roster, and what it was made of and when.
struct Kept {
    loaded: Arc<Loaded>,
    made: Instant,
    roster: Arc<Roster>,
}

impl ReportSource {
    /// Of a store and the configuration that goes with it.
    #[must_use]
    pub fn new(live: Arc<Live>, store: Arc<dyn UsageStore>) -> Self {
        Self { live, store, kept: Mutex::default() }
    }

    /// The configuration.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What reports are made of now. May read the store, so it blocks.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn reports(&self) -> Result<Reports> {
        let loaded = self.live.current();
        let settings = &loaded.settings;
        let (organization, unknown) = (settings.organization.clone(), settings.reports.unknown);
        Ok(Reports { store: Arc::clone(&self.store), roster: self.roster(&loaded)?, organization, unknown })
    }

    fn roster(&self, loaded: &Arc<Loaded>) -> Result<Arc<Roster>> {
        // One at a time: others would ask the store the same.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = |kept: &&Kept| Arc::ptr_eq(&kept.loaded, loaded) && kept.made.elapsed() < ROSTER_AGE;
        if let Some(kept) = kept.as_ref().filter(usable) {
            return Ok(Arc::clone(&kept.roster));
        }
        let accounts = loaded.directory.users().map(|user| user.account());
        let roster = Arc::new(Roster::of(accounts, &*self.store)?);
        *kept = Some(Kept { loaded: Arc::clone(loaded), made: Instant::now(), roster: Arc::clone(&roster) });
        Ok(roster)
    }
}
