//! Keeps the store's roll-ups in step with its events, behind the recorder's work.
//!
//! Reports are right without it, and slower the more is left to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::{StoreError, UsageStore};

/// Days of users that are done at once: some tens of milliseconds, and with ten thousand users 130, most of it for everybody's day
/// whatever their number. Exchanges wait in the spool meanwhile.
const AT_ONCE: usize = 256;
/// The least time between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// Of the time passed, at most one part in this many is spent while exchanges wait, and while none do.
const SHARE: (u32, u32) = (20, 2);

/// Likewise, where nothing else waits.
const AT_ONCE_ALONE: usize = 1000;

/// Brings all roll-ups in step, for commands that have changed many days: each question would fold what is left anew.
///
/// # Errors
/// Where the store cannot be read or written.
pub fn refresh_all(store: &dyn UsageStore) -> Result<(), StoreError> {
    while store.refresh(AT_ONCE_ALONE)? {}
    Ok(())
}

/// Refreshes roll-ups when it is time.
pub(super) struct RollUps {
    store: Arc<dyn UsageStore>,
    next: Instant,
}

impl RollUps {
    pub(super) fn new(store: Arc<dyn UsageStore>) -> Self {
        Self { store, next: Instant::now() }
    }

    /// Does a part of what is left, if it is time; `idle` where no exchange waits.
    pub(super) fn refresh_if_due(&mut self, idle: bool) -> Option<Result<(), StoreError>> {
        let begun = Instant::now();
        if begun < self.next {
            return None;
        }
        let refreshed = self.store.refresh(AT_ONCE);
        let share = if idle { SHARE.1 } else { SHARE.0 };
        let rest = begun.elapsed() * (share - 1);
        let is_done = !matches!(refreshed, Ok(true));
        self.next = Instant::now() + if is_done { rest.max(PAUSE) } else { rest };
        Some(refreshed.map(drop))
    }
}
