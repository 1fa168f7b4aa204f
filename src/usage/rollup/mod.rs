//! Roll-ups: what a user, or everybody, did on a day, by everything that reports tell apart.
//!
//! A [`UserDay`] is made of the user's events and of what telemetry told of them, and of nothing else, so it can be made anew
//! at any time. All else here is sums of user days.

mod fold;
mod sums;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use fold::{Fold, IdDigest, OTHERS, Told, ToldAction, ToldSuggestion, id_digest};

/// What the counts of a day are told apart by. The names are GitHub's, as in its usage metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// GitHub's editor name; `others` where the editor is none of GitHub's or unknown; empty for the CLI and the Copilot app, which are in
    /// no `totals_by_ide`.
    pub ide: String,
    /// GitHub's feature name.
    pub feature: String,
    /// Lower-case language id, or `unknown`.
    pub language: String,
    /// Model without date, or `unknown`.
    pub model: String,
}

/// What is counted in a cell. File edits by tool calls are in cells of `agent_edit`; those of the CLI and the app in their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Calls of a model that count: turns and steps.
    #[serde(skip_serializing_if = "is_zero")]
    pub requests: u64,
    /// Those of them that are turns.
    #[serde(skip_serializing_if = "is_zero")]
    pub turns: u64,
    /// Prompts that a person sent: chat turns, those of one `X-Interaction-Id` once. GitHub's
    /// `user_initiated_interaction_count`.
    #[serde(skip_serializing_if = "is_zero")]
    pub interactions: u64,
    /// GitHub's `code_generation_activity_count`: completions shown (returned, where the user's editors send no telemetry),
    /// code blocks of chat answers, file edits.
    #[serde(skip_serializing_if = "is_zero")]
    pub generations: u64,
    /// GitHub's `code_acceptance_activity_count`: completions accepted, code blocks copied, inserted and applied.
    #[serde(skip_serializing_if = "is_zero")]
    pub acceptances: u64,
    /// GitHub's `loc_suggested_to_add_sum`: lines of what `generations` counts, file edits excepted.
    #[serde(skip_serializing_if = "is_zero")]
    pub lines_suggested: u64,
    /// GitHub's `loc_added_sum`: lines of accepted completions, of inserted and applied code blocks, and of file edits.
    #[serde(skip_serializing_if = "is_zero")]
    pub lines_added: u64,
    /// GitHub's `loc_deleted_sum`: lines that file edits remove.
    #[serde(skip_serializing_if = "is_zero")]
    pub lines_removed: u64,
    /// Code blocks copied.
    #[serde(skip_serializing_if = "is_zero")]
    pub copied: u64,
    /// Code blocks inserted at the cursor or into the terminal, and applied.
    #[serde(skip_serializing_if = "is_zero")]
    pub inserted: u64,
    /// Tokens of prompts, as far as told.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_tokens: u64,
    /// Tokens of answers, as far as told.
    #[serde(skip_serializing_if = "is_zero")]
    pub output_tokens: u64,
    /// Those of `input_tokens` that came from the model's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Billionths of an AI credit that GitHub charges, as far as told.
    #[serde(skip_serializing_if = "is_zero")]
    pub nano_aiu: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The number of [`Counts::counters`].
pub const COUNTERS: usize = 14;

impl Counts {
    /// Every count, always in the order of the fields.
    pub fn counters(&mut self) -> [&mut u64; COUNTERS] {
        [
            &mut self.requests,
            &mut self.turns,
            &mut self.interactions,
            &mut self.generations,
            &mut self.acceptances,
            &mut self.lines_suggested,
            &mut self.lines_added,
            &mut self.lines_removed,
            &mut self.copied,
            &mut self.inserted,
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.cached_tokens,
            &mut self.nano_aiu,
        ]
    }

    /// Adds others.
    pub fn add(&mut self, more: &Self) {
        for (count, more) in self.counters().into_iter().zip({ *more }.counters()) {
            *count = count.saturating_add(*more);
        }
    }

    /// Takes back what [`Counts::add`] added.
    pub fn subtract(&mut self, less: &Self) {
        for (count, less) in self.counters().into_iter().zip({ *less }.counters()) {
            *count = count.saturating_sub(*less);
        }
    }

    /// Whether there is nothing to count.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Counts by cell, written out as a list of pairs.
pub type Cells = BTreeMap<Cell, Counts>;

/// A part of Copilot that a person can use, as GitHub's `used_*` flags and adoption phases tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Surface {
    /// `code_completion`.
    Completion,
    /// Any `chat_*` feature.
    Chat,
    /// Agent mode of an editor, and file edits.
    Agent,
    /// The CLI.
    Cli,
    /// The Copilot app.
    App,
}

impl Surface {
    /// All, in the order of their bits.
    pub const ALL: [Self; 5] = [Self::Completion, Self::Chat, Self::Agent, Self::Cli, Self::App];
}

/// A set of surfaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surfaces(pub u8);

impl Surfaces {
    /// Whether the surface is in it.
    #[must_use]
    pub fn has(self, surface: Surface) -> bool {
        self.0 & Self::bit(surface) != 0
    }

    /// Puts a surface in.
    pub fn insert(&mut self, surface: Surface) {
        self.0 |= Self::bit(surface);
    }

    fn bit(surface: Surface) -> u8 {
        1 << surface as u8
    }
}

/// A client as it was last seen on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The editor's version as the client says it, without its name: `1.96.2`; the CLI's version for the CLI.
    pub version: Option<String>,
    /// The plugin's name and version as the client says it: `copilot-chat/0.31.1`.
    pub plugin: Option<String>,
    /// See [`UsageEvent::editor`](super::UsageEvent::editor).
    pub editor: Option<String>,
    /// End of the exchange that told it.
    pub seen_at: DateTime<Utc>,
}

/// One user's day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDay {
    /// Whether any editor of the user sent telemetry. Without, acceptances and what is made of them are unknown, and the zeros
    /// here say nothing.
    pub telemetry: bool,
    /// What was done. A user with telemetry alone has none.
    #[serde(with = "pairs")]
    pub cells: Cells,
    /// Sessions of the CLI, by their ids in requests.
    pub cli_sessions: u64,
    /// Sessions of the Copilot app likewise.
    pub app_sessions: u64,
    /// The last client of each editor, by its `ide`; the CLI's under `copilot_cli`, the app's under `copilot_app`.
    pub clients: BTreeMap<String, Client>,
}

/// The counts of one user over some days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The sum over all cells.
    pub counts: Counts,
    /// Those of `counts.turns` that are completions; the others are chat turns.
    pub completions: u64,
    /// Surfaces used.
    pub surfaces: Surfaces,
    /// Whether telemetry came on any of the days.
    pub telemetry: bool,
}

/// Everybody's day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationDay {
    /// Users with any count.
    pub users: u64,
    /// Users whose editors sent telemetry.
    pub users_with_telemetry: u64,
    /// Users by [`Surface`], in the order of [`Surface::ALL`].
    pub users_by_surface: [u64; 5],
    /// The sum of the users' cells.
    #[serde(with = "pairs")]
    pub cells: Cells,
    /// The sum of the users' CLI sessions.
    pub cli_sessions: u64,
    /// The sum of the users' app sessions.
    pub app_sessions: u64,
    /// Users that any line of `engaged` counts.
    pub engaged_users: u64,
    /// How many users each line of the closed metrics endpoint counts.
    #[serde(with = "pairs")]
    pub engaged: BTreeMap<Engagement, u64>,
}

/// Everybody's day as GitHub's daily record of an organization tells it, which tells no three things at once apart: these cells are
/// a tenth as many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrganizationSums {
    /// See [`OrganizationDay::users`].
    pub users: u64,
    /// See [`OrganizationDay::users_with_telemetry`].
    pub users_with_telemetry: u64,
    /// The sums by editor and feature; the other words are empty.
    pub by_ide: Cells,
    /// The sums by feature and language.
    pub by_language: Cells,
    /// The sums by feature and model.
    pub by_model: Cells,
    /// The sums by language and model of all but completions. Features are there that tell by themselves what was accepted;
    /// the others are empty.
    pub by_language_and_model: Cells,
    /// See [`OrganizationDay::cli_sessions`].
    pub cli_sessions: u64,
    /// See [`OrganizationDay::app_sessions`].
    pub app_sessions: u64,
}

/// A line of the closed `/copilot/metrics` endpoint that counts users; `None` stands for all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Engagement {
    /// `copilot_ide_chat` (prompted) rather than `copilot_ide_code_completions` (accepted).
    pub chat: bool,
    /// `ide`.
    pub editor: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Language.
    pub language: Option<String>,
}

/// On which days a user was active: bit 0 is the last day asked for, bit n the day n days before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Allowlist name.
    pub user: String,
    /// Days with any count.
    pub active: u64,
    /// Days by [`Surface`], in the order of [`Surface::ALL`].
    pub surfaces: [u64; 5],
}

/// Maps whose keys are no strings, as lists of pairs: JSON has no other keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::de::Deserializer;
    use serde::ser::Serializer;
    use serde::{Deserialize, Serialize};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Vec::<(K, V)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}
