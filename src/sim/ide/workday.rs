//! A developer's day: typing, pausing, accepting, a chat now and then; and the count of it.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use super::{Developer, Suggestion, WorkError};
use crate::sim::rng::Seeded;

/// How many actions lie between two batches of telemetry.
const TELEMETRY_EVERY: u64 = 8;

/// What a developer did, as far as the whole answer was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ghost texts with text in them, asked for while typing.
    pub completions: u64,
    /// Ghost texts fetched ahead and never reported as shown.
    pub prefetched: u64,
    /// Ghost texts fetched ahead and reported as shown later.
    pub prefetched_shown: u64,
    /// Next edits, each of which was considered.
    pub next_edits: u64,
    /// Ghost texts that were empty.
    pub empty: u64,
    /// Ghost texts that were given up while they arrived.
    pub canceled: u64,
    /// Chat turns, agent turns among them.
    pub chats: u64,
    /// An agent's calls inside a turn.
    pub steps: u64,
    /// Calls for a title and a next question after an answer.
    pub follow_ups: u64,
    /// Suggestions reported as shown.
    pub shown: u64,
    /// Suggestions reported as accepted.
    pub accepted: u64,
    /// Lines of those.
    pub accepted_lines: u64,
    /// Requests that failed, and batches of telemetry lost.
    pub failures: u64,
}

impl Tally {
    /// Suggestions that count as a person's: ghost texts asked for and not empty, or shown later, and next edits.
    #[must_use]
    pub fn completion_turns(&self) -> u64 {
        self.completions + self.prefetched_shown + self.next_edits
    }

    /// Requests that mean nothing for usage: empty or given up.
    #[must_use]
    pub fn noise(&self) -> u64 {
        self.empty + self.canceled
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.completions += other.completions;
        self.prefetched += other.prefetched;
        self.prefetched_shown += other.prefetched_shown;
        self.next_edits += other.next_edits;
        self.empty += other.empty;
        self.canceled += other.canceled;
        self.chats += other.chats;
        self.steps += other.steps;
        self.follow_ups += other.follow_ups;
        self.shown += other.shown;
        self.accepted += other.accepted;
        self.accepted_lines += other.accepted_lines;
        self.failures += other.failures;
    }
}

/// One thing that a developer did, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Asked for ghost text and looked at it.
    Completion {
        /// Language of the file.
        language: String,
        /// Whether it was kept.
        accepted: bool,
    },
    /// Looked at a change that Copilot proposed near the cursor.
    NextEdit {
        /// Language of the file.
        language: String,
        /// Whether it was made.
        accepted: bool,
    },
    /// Paused where Copilot had nothing to add.
    NothingToAdd,
    /// Typed on while the ghost text arrived.
    TypedOver,
    /// Asked something and got the answer.
    Chat {
        /// Language of the file.
        language: String,
    },
    /// Gave a task to an agent, which brought it to an end.
    Agent {
        /// Language of the file.
        language: String,
        /// The agent's calls after the first.
        steps: u64,
    },
    /// Got no answer, or a refusal: see [`Workday::last_error`].
    Failure,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completion { language, accepted: true } => write!(f, "{language} · completion accepted"),
            Self::Completion { language, accepted: false } => write!(f, "{language} · completion passed over"),
            Self::NextEdit { language, accepted: true } => write!(f, "{language} · next edit accepted"),
            Self::NextEdit { language, accepted: false } => write!(f, "{language} · next edit passed over"),
            Self::NothingToAdd => f.write_str("nothing to complete"),
            Self::TypedOver => f.write_str("typed on before the completion came"),
            Self::Chat { language } => write!(f, "{language} · chat answered"),
            Self::Agent { language, steps: 1 } => write!(f, "{language} · agent done after 1 step"),
            Self::Agent { language, steps } => write!(f, "{language} · agent done after {steps} steps"),
            Self::Failure => f.write_str("a request failed"),
        }
    }
}

/// A developer at work.
#[derive(Debug)]
pub struct Workday {
    developer: Developer,
    pace: Duration,
    rng: Seeded,
    tally: Tally,
    actions: u64,
    last_error: Option<WorkError>,
}

impl Workday {
    /// A day of `developer`, with `pace` as the mean pause between two actions; 1 s is a busy person.
    #[must_use]
    pub fn new(developer: Developer, pace: Duration) -> Self {
        let rng = Seeded::named(developer.person().seed, &format!("{} at work", developer.person().name));
        Self { developer, pace, rng, tally: Tally::default(), actions: 0, last_error: None }
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Why the last failure happened.
    #[must_use]
    pub fn last_error(&self) -> Option<&WorkError> {
        self.last_error.as_ref()
    }

    /// The developer.
    #[must_use]
    pub fn developer(&self) -> &Developer {
        &self.developer
    }

    /// Signs in and works until `until` comes true. An action that has begun is brought to its end, and telemetry is
    /// sent, so that the tally is exact.
    pub async fn work(&mut self, until: impl Future<Output = ()>) -> Tally {
        self.work_watched(until, |_, _| ()).await
    }

    /// As [`Workday::work`], and tells `watch` each thing done, with the tally up to it.
    pub async fn work_watched(
        &mut self,
        until: impl Future<Output = ()>,
        mut watch: impl FnMut(&Deed, Tally),
    ) -> Tally {
        let signed_in = self.developer.sign_in().await;
        self.note(signed_in);
        let mut until = std::pin::pin!(until);
        loop {
            let deed = self.act().await;
            watch(&deed, self.tally);
            let pause = self.pause();
            tokio::select! {
                biased;
                () = until.as_mut() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.finish().await
    }

    /// Sends the telemetry that is left, and tells what was done.
    pub async fn finish(&mut self) -> Tally {
        let sent = self.developer.send_telemetry().await;
        self.note(sent);
        self.tally
    }

    /// Does one thing, by chance.
    pub async fn act(&mut self) -> Deed {
        let done = match self.rng.below(100) {
            0..60 => self.type_on().await,
            60..68 => self.edit_on().await,
            68..77 => self.pause_at_the_end().await,
            77..84 => self.type_over().await,
            84..94 => self.ask().await,
            _ => self.delegate().await,
        };
        let deed = self.note(done).unwrap_or(Deed::Failure);
        self.actions += 1;
        if self.actions.is_multiple_of(TELEMETRY_EVERY) {
            let sent = self.developer.send_telemetry().await;
            self.note(sent);
        }
        deed
    }

    async fn type_on(&mut self) -> Result<Deed, WorkError> {
        let suggestion = self.developer.complete().await?;
        self.tally.completions += 1;
        let accepted = self.consider(&suggestion);
        if accepted && self.rng.chance(50) {
            self.look_ahead().await?;
        }
        Ok(Deed::Completion { language: suggestion.language, accepted })
    }

    async fn look_ahead(&mut self) -> Result<(), WorkError> {
        let ahead = self.developer.complete_speculatively().await?;
        // Whether it was shown is known from telemetry alone.
        if self.developer.person().telemetry && self.rng.chance(40) {
            self.tally.prefetched_shown += 1;
            self.consider(&ahead);
        } else {
            self.tally.prefetched += 1;
        }
        Ok(())
    }

    async fn edit_on(&mut self) -> Result<Deed, WorkError> {
        let edit = self.developer.suggest_edit().await?;
        self.tally.next_edits += 1;
        let accepted = self.rng.chance(50);
        if accepted {
            self.developer.accept(&edit);
        } else {
            self.developer.reject(&edit);
        }
        // Telemetry of next edits has no lines.
        self.count_shown(accepted, 0);
        Ok(Deed::NextEdit { language: edit.language, accepted })
    }

    /// Looks at a suggestion and decides; true where it was accepted, in full or in part.
    fn consider(&mut self, suggestion: &Suggestion) -> bool {
        self.developer.show(suggestion);
        match self.rng.below(100) {
            0..30 => {
                self.developer.accept(suggestion);
                if self.rng.chance(60) {
                    self.developer.keep(suggestion);
                }
                self.count_shown(true, suggestion.lines());
                true
            }
            30..38 if suggestion.lines() > 1 => {
                self.developer.accept_part(suggestion);
                self.count_shown(true, 1);
                true
            }
            _ => {
                self.developer.reject(suggestion);
                self.count_shown(false, 0);
                false
            }
        }
    }

    fn count_shown(&mut self, accepted: bool, lines: u64) {
        if self.developer.person().telemetry {
            self.tally.shown += 1;
            self.tally.accepted += u64::from(accepted);
            self.tally.accepted_lines += lines;
        }
    }

    async fn pause_at_the_end(&mut self) -> Result<Deed, WorkError> {
        self.developer.complete_in_vain().await?;
        self.tally.empty += 1;
        Ok(Deed::NothingToAdd)
    }

    async fn type_over(&mut self) -> Result<Deed, WorkError> {
        self.developer.cancel_completion().await?;
        self.tally.canceled += 1;
        Ok(Deed::TypedOver)
    }

    async fn ask(&mut self) -> Result<Deed, WorkError> {
        // Language servers speak chat completions alone, and fetch a next question.
        let embedded = self.developer.person().editor.language_server.is_some();
        let turn = match self.rng.below(3) {
            0 if !embedded => self.developer.ask_over_responses().await?,
            1 if !embedded => self.developer.ask_over_messages().await?,
            _ => self.developer.ask().await?,
        };
        self.tally.chats += 1;
        if embedded {
            self.developer.fetch_follow_up(&turn).await?;
            self.tally.follow_ups += 1;
        }
        Ok(Deed::Chat { language: turn.language })
    }

    async fn delegate(&mut self) -> Result<Deed, WorkError> {
        let steps = 1 + self.rng.below(4);
        let turn = self.developer.agent_turn(steps).await?;
        self.tally.chats += 1;
        self.tally.steps += steps;
        Ok(Deed::Agent { language: turn.language, steps })
    }

    fn note<T>(&mut self, done: Result<T, WorkError>) -> Option<T> {
        done.map_err(|error| {
            self.tally.failures += 1;
            self.last_error = Some(error);
        })
        .ok()
    }

    /// From a fifth of the pace to nearly twice of it.
    fn pause(&mut self) -> Duration {
        let percent = 20 + self.rng.below(160);
        self.pace.mul_f64(percent as f64 / 100.0)
    }
}
