//! Where the proxy hands over its exchanges.

use std::sync::Arc;

use crate::exchange::Exchange;
use crate::spool::{Ack, Spool};

/// The recorder's front: an exchange given to it is on its way to the disk.
pub struct Intake {
    spool: Arc<Spool>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    /// An intake into this spool.
    #[must_use]
    pub fn new(spool: Arc<Spool>) -> Self {
        Self { spool }
    }

    /// Queues the exchange; the answer comes when it is safe from a crash of this process. Never blocks.
    pub fn submit(&self, exchange: Exchange) -> Ack {
        self.spool.append(exchange)
    }

    /// Whether an exchange submitted now can be expected to be recorded.
    #[must_use]
    pub fn accepts(&self) -> bool {
        !self.spool.is_full() && self.spool.status().last_error.is_none()
    }
}
