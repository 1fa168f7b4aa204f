//! Where the proxy hands over its exchanges.
//!
//! Most go to the spool as they were sent. Three kinds are understood first, and only the result is spooled: all of them with
//! `content = "metadata"` for their user, since no prompt or answer may touch the disk then; those with a content coding, since
//! the secrets in their bodies can only be removed once it is undone; and what is told in passing, of which only the facts
//! are kept.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::understanding::{told, understand};
use crate::config::Live;
use crate::copilot;
use crate::exchange::Exchange;
use crate::identity::Content;
use crate::spool::{Ack, Spool, Spooled};

/// The recorder's front: an exchange given to it is on its way to the disk.
pub struct Intake {
    spool: Arc<Spool>,
    live: Arc<Live>,
    /// Exchanges understood at a time: bodies may grow a thousandfold when they are decoded.
    at_once: Arc<Semaphore>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    /// An intake into this spool.
    #[must_use]
    pub fn new(spool: Arc<Spool>, live: Arc<Live>) -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { spool, live, at_once: Arc::new(Semaphore::new(at_once)) }
    }

    /// Queues the exchange, which is worth a copy for `purpose`; the answer comes when it is safe from a crash of this
    /// process. Never blocks within a runtime.
    pub fn submit(&self, exchange: Exchange, purpose: copilot::Capture) -> Ack {
        let loaded = self.live.current();
        let content = loaded.content_of(&exchange.head.user);
        let is_exchange = matches!(purpose, copilot::Capture::Exchange(_));
        let is_coded = exchange.head.request_is_coded() || exchange.head.response_is_coded();
        if is_exchange && content == Content::Full && !is_coded {
            return self.spool.append(exchange);
        }
        let (ack, place) = self.spool.place(&exchange);
        if let Some(place) = place {
            self.run(move || {
                let decode_limit = loaded.settings.capture.decode_limit();
                place.fill(match purpose {
                    copilot::Capture::Exchange(_) => understood(exchange, decode_limit, content),
                    _ => {
                        let told = told(&exchange, purpose, &loaded.seed, decode_limit);
                        Spooled::Told(Box::new((exchange.head, told)))
                    }
                });
            });
        }
        ack
    }

    /// Runs the work on a thread where it may block.
    fn run(&self, work: impl FnOnce() + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else { return work() };
        let at_once = Arc::clone(&self.at_once);
        runtime.spawn(async move {
            let _permit = at_once.acquire_owned().await;
            let _ = tokio::task::spawn_blocking(work).await;
        });
    }

    /// Whether an exchange submitted now can be expected to be recorded.
    #[must_use]
    pub fn accepts(&self) -> bool {
        !self.spool.is_full() && self.spool.status().last_error.is_none()
    }
}

fn understood(exchange: Exchange, decode_limit: usize, content: Content) -> Spooled {
    let mut understanding = understand(&exchange, decode_limit);
    understanding.keep(content);
    Spooled::Understood(Box::new((exchange.head, understanding)))
}
