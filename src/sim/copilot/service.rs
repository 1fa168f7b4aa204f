//! What all connections of a fake share, whichever HTTP version they speak.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::answer::{self, Answer};
use super::control::Control;
use super::pacing::Performance;
use super::seen::{Ledger, OpenExchange, SeenRequest};

/// What all open connections are told to do. The number makes each order a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    Retire(u64),
    HangUp(u64),
}

/// Settings and records that connections share.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) ledger: Arc<Ledger>,
    pub(super) seed: u64,
    pub(super) max_concurrent_streams: u32,
    pub(super) head_delay: Duration,
    pub(super) event_delay: Duration,
    pub(super) gate: Option<Arc<Semaphore>>,
}

impl Service {
    /// Waits until the head of an answer may go; for ever where the request asked for no answer.
    pub(super) async fn wait_for_head(&self, control: &Control) {
        if control.never_answer {
            std::future::pending::<()>().await;
        }
        let delay = control.head_delay.unwrap_or(self.head_delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    pub(super) fn answer(&self, request: &SeenRequest, control: &Control, open: &OpenExchange) -> Answer {
        let answer = answer::answer(request, control, self.seed);
        if answer.streamed {
            open.answered(answer.pieces.concat().into());
        }
        answer
    }

    pub(super) fn performance(&self, answer: Answer, control: &Control) -> Performance {
        let gate = self.gate.clone().filter(|_| answer.streamed);
        let delay = if answer.streamed { self.event_delay } else { Duration::ZERO };
        Performance::new(answer.pieces, control, delay, gate)
    }
}
