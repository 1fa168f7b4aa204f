//! When each piece of an answer may leave: delays, gates, silences and breaks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::control::Control;

/// What the sender of a body does next.
#[derive(Debug)]
pub(super) enum Act {
    Send(Bytes),
    BreakOff,
}

/// A body that is about to be sent, piece by piece.
#[derive(Debug)]
pub(super) struct Performance {
    pieces: std::vec::IntoIter<Bytes>,
    sent: usize,
    delay: Duration,
    gate: Option<Arc<Semaphore>>,
    break_off: Option<usize>,
    stall: Option<usize>,
}

impl Performance {
    pub(super) fn new(pieces: Vec<Bytes>, control: &Control, delay: Duration, gate: Option<Arc<Semaphore>>) -> Self {
        let delay = control.event_delay.unwrap_or(delay);
        let (break_off, stall) = (control.break_off, control.stall);
        Self { pieces: pieces.into_iter(), sent: 0, delay, gate, break_off, stall }
    }

    /// Waits until the next piece may go; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Act> {
        if self.break_off == Some(self.sent) {
            return Some(Act::BreakOff);
        }
        if self.stall == Some(self.sent) {
            std::future::pending::<()>().await;
        }
        if self.pieces.as_slice().is_empty() {
            return None;
        }
        self.wait_turn().await;
        self.sent += 1;
        self.pieces.next().map(Act::Send)
    }

    async fn wait_turn(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if let Some(gate) = &self.gate
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
    }
}
