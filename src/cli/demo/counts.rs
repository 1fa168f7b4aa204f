//! What was sent beside what was recorded: the demo's proof that nothing got lost and nothing was counted twice.

use std::fmt;

use crate::sim::ide::Tally;
use crate::store::{self, UsageStore};

/// Exchanges by what they count as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    completions: u64,
    chat_turns: u64,
    steps: u64,
    noise: u64,
}

impl Counts {
    /// What the developers know that they did. What was fetched ahead is noise unless it is shown after all, and so is the
    /// call for a next question.
    pub(super) fn sent(tally: Tally) -> Self {
        Self {
            completions: tally.completion_turns(),
            chat_turns: tally.chats,
            steps: tally.steps,
            noise: tally.noise() + tally.prefetched + tally.follow_ups,
        }
    }

    /// What the store has.
    pub(super) fn recorded(store: &dyn UsageStore) -> store::Result<Self> {
        let mut counts = Self::default();
        for day in store.days()? {
            for usage in store.day(day)?.users.values() {
                counts.completions += usage.completions_count();
                counts.chat_turns += usage.chat_turns();
                counts.steps += usage.steps;
            }
            counts.noise += store.noise_counts(day, day, None)?.values().sum::<u64>();
        }
        Ok(counts)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { completions, chat_turns, steps, noise } = self;
        write!(f, "completions {completions}, chat turns {chat_turns}, agent steps {steps}, noise {noise}")
    }
}
