//! The exchanges on one WebSocket: each request with the messages that answer it goes to the recorder as one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::messages::{Event, Fault, Side};
use crate::copilot::{Conversation, ends_answer};
use crate::exchange::{Ending, Head};
use crate::metrics::Metrics;
use crate::proxy::capture::{Copy, Recording};
use crate::proxy::tap::Commit;
use crate::recorder::Intake;

/// What both directions of a connection tell, and what comes of it.
pub(crate) struct Exchanges {
    /// The upgrade's, of which each exchange has a copy.
    head: Head,
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
    /// Bytes kept of a body.
    limit: usize,
    /// How long the end of an answer waits for the spool.
    patience: Duration,
    /// Empty while no answer is under way.
    under_way: TaskTracker,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    conversation: Conversation,
    open: Option<Recording>,
    is_lost: bool,
}

/// A message that is not to be passed on before the commit: the end of an answer, or a request that gives up on the one before.
pub(crate) struct Held {
    pub(crate) commit: Commit,
    /// Counts as under way until the client has it.
    _recording: Recording,
}

impl Exchanges {
    pub(crate) fn new(
        head: Head,
        intake: Arc<Intake>,
        metrics: Arc<Metrics>,
        limit: usize,
        patience: Duration,
        under_way: TaskTracker,
    ) -> Self {
        Self { head, intake, metrics, limit, patience, under_way, state: Mutex::default() }
    }

    /// A message or close frame has come whole. What is given back is held until the commit.
    pub(crate) fn take(&self, from: Side, event: Event) -> Option<Held> {
        let state = &mut *self.lock();
        match (from, event) {
            (_, Event::Close) => {
                drop(self.close(state, from));
                None
            }
            (Side::Client, Event::Message(message)) => self.ask(state, message),
            (Side::Server, Event::Message(message)) => self.answer(state, &message),
        }
    }

    /// The connection has ended at this side.
    pub(crate) fn end(&self, at: Side) {
        // Nobody waits for the end of an answer that has none.
        drop(self.close(&mut self.lock(), at));
    }

    /// The messages cannot be read any further. The exchange under way is handed over as one whose end is not known.
    pub(crate) fn lose(&self, fault: Fault) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.is_lost, true) {
            lost(&self.metrics, &self.head.user, fault);
        }
        if let Some(recording) = state.open.take() {
            recording.cut_short();
            drop(recording.finish(Ending::Completed));
        }
    }

    /// Whether nothing more is to be read, of either side.
    pub(crate) fn is_lost(&self) -> bool {
        self.lock().is_lost
    }

    fn ask(&self, state: &mut State, message: Copy) -> Option<Held> {
        let request_headers = state.conversation.request(&message.kept, &self.head.request_headers)?;
        // A client that asks again has given up on the answer (VS Code: "superseded"). It waits for the spool, which requests
        // of a few bytes each could otherwise flood: each is kept with the head of the upgrade.
        let superseded = self.close(state, Side::Client);
        let head = Head { request_headers, ..self.head.clone() };
        let (intake, under_way) = (Arc::clone(&self.intake), self.under_way.token());
        let recording = Recording::of_message(intake, self.limit, head, message, under_way);
        state.open = Some(recording);
        superseded
    }

    fn answer(&self, state: &mut State, message: &Copy) -> Option<Held> {
        if let Some(waited) = state.open.as_ref()?.response_message(message) {
            self.metrics.first_byte.observe(waited);
        }
        if !ends_answer(&message.kept) {
            return None;
        }
        self.finish(state, Ending::Completed)
    }

    fn close(&self, state: &mut State, by: Side) -> Option<Held> {
        let ending = match by {
            Side::Client => Ending::Canceled,
            Side::Server => Ending::UpstreamFailed,
        };
        self.finish(state, ending)
    }

    /// Hands over the exchange under way.
    fn finish(&self, state: &mut State, ending: Ending) -> Option<Held> {
        let recording = state.open.take()?;
        let ack = recording.finish(ending)?;
        let commit = Commit::new(ack, self.patience, Arc::clone(&self.metrics));
        Some(Held { commit, _recording: recording })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts and names a WebSocket whose exchanges are not recorded any more.
pub(super) fn lost(metrics: &Metrics, user: &str, fault: Fault) {
    metrics.unread_websockets.inc();
    tracing::warn!(user, error = %fault, "a WebSocket passes unrecorded from here on");
}
