//! What became of suggestions, from clients' telemetry. Where a client sends none, all of it is unknown, never 0.

use std::iter;

use serde::Serialize;

use crate::copilot::observation::{ChatActionKind, SuggestionKind};

/// What one user did with suggestions on one day. It exists only where the user's clients sent telemetry that day.
///
/// A suggestion, and what was done with a chat answer, is booked on the day of its exchange; where that is not on record, on
/// the day when its telemetry came first, and so are CLI sessions. Written out, a part of which there is nothing to count is
/// left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Acceptance {
    /// Ghost text.
    #[serde(skip_serializing_if = "is_zero")]
    pub completions: Fates,
    /// Next-edit suggestions.
    #[serde(skip_serializing_if = "is_zero")]
    pub next_edits: Fates,
    /// What was done with chat answers.
    #[serde(skip_serializing_if = "is_zero")]
    pub chat: ChatActions,
    /// CLI sessions that ended.
    #[serde(rename = "cli_sessions", skip_serializing_if = "is_zero")]
    pub sessions: Sessions,
    /// Whether only the CLI sent telemetry, which tells nothing of suggestions.
    #[serde(skip)]
    pub is_of_cli_alone: bool,
}

fn is_zero<T: Default + PartialEq>(counts: &T) -> bool {
    *counts == T::default()
}

/// What became of suggestions of one kind. Written out as [`Fates::told`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(into = "ToldFates")]
pub struct Fates {
    /// Displayed.
    pub shown: u64,
    /// Accepted, in full or in part.
    pub accepted: u64,
    /// Those of them of which only a part was.
    pub accepted_partially: u64,
    /// Dismissed or typed over, and no part of it accepted.
    pub rejected: u64,
    /// Lines of those shown.
    pub lines_shown: u64,
    /// Lines accepted.
    pub lines_accepted: u64,
    /// Characters of those shown.
    pub characters_shown: u64,
    /// Characters accepted.
    pub characters_accepted: u64,
    /// Accepted ones of which the client told that they were in the code at its last look.
    pub kept: u64,
    /// Accepted ones of which the client told that they were no longer.
    pub lost: u64,
}

/// [`Fates`] without what clients did not tell: of next edits they tell no sizes, nor whether they stayed in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ToldFates {
    shown: u64,
    accepted: u64,
    accepted_partially: u64,
    rejected: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_shown: Option<u64>,
    /// Unknown where something was accepted and nothing told of its lines, for it has one at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines_accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    characters_shown: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    characters_accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
}

impl From<Fates> for ToldFates {
    fn from(fates: Fates) -> Self {
        // Of what there is, a size is never 0; of nothing it is.
        let told = |size: u64, of: u64| (size > 0 || of == 0).then_some(size);
        let looks = |count: u64| told(fates.kept + fates.lost, fates.accepted).map(|_| count);
        Self {
            shown: fates.shown,
            accepted: fates.accepted,
            accepted_partially: fates.accepted_partially,
            rejected: fates.rejected,
            lines_shown: told(fates.lines_shown, fates.shown),
            lines_accepted: told(fates.lines_accepted, fates.accepted),
            characters_shown: told(fates.characters_shown, fates.shown),
            characters_accepted: told(fates.characters_accepted, fates.accepted),
            kept: looks(fates.kept),
            lost: looks(fates.lost),
        }
    }
}

/// Counts of [`ChatActionKind`], and the lines of the first three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ChatActions {
    /// Copied code blocks.
    pub copied: u64,
    /// Inserted code blocks.
    pub inserted: u64,
    /// Applied code blocks.
    pub applied: u64,
    /// Agent edits kept.
    pub edits_kept: u64,
    /// Agent edits undone.
    pub edits_undone: u64,
    /// Lines copied, inserted or applied.
    pub lines: u64,
}

/// Sums of CLI sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sessions {
    /// Sessions that ended.
    pub count: u64,
    /// Lines added to files.
    pub lines_added: u64,
    /// Lines removed from files.
    pub lines_removed: u64,
    /// Files changed.
    pub files_modified: u64,
}

impl Acceptance {
    /// The counts of one kind of suggestion.
    pub fn fates(&mut self, kind: SuggestionKind) -> &mut Fates {
        match kind {
            SuggestionKind::Completion => &mut self.completions,
            SuggestionKind::NextEdit => &mut self.next_edits,
        }
    }

    /// Ghost text and next edits together; `None` where no editor told.
    #[must_use]
    pub fn suggestions(&self) -> Option<Fates> {
        let mut both = self.completions;
        both.add(&self.next_edits);
        (!self.is_of_cli_alone).then_some(both)
    }

    /// Adds to a sum that nothing may have been added to yet.
    pub fn add_to(&self, sum: &mut Option<Self>) {
        match sum {
            Some(sum) => sum.add(self),
            None => *sum = Some(self.clone()),
        }
    }

    /// Adds the counts of another part of the day, or of another day or user.
    pub fn add(&mut self, more: &Self) {
        add(self.counters(), more.clone().counters());
        self.is_of_cli_alone &= more.is_of_cli_alone;
    }

    /// Takes back what [`Acceptance::add`] added.
    pub fn subtract(&mut self, less: &Self) {
        for (count, less) in self.counters().zip(less.clone().counters()) {
            *count = count.saturating_sub(*less);
        }
    }

    /// Every count, always in the same order: that of the fields.
    pub fn counters(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self { completions, next_edits, chat, sessions, is_of_cli_alone: _ } = self;
        completions.counters().chain(next_edits.counters()).chain(chat.counters()).chain(sessions.counters())
    }
}

fn add<'a>(counts: impl Iterator<Item = &'a mut u64>, more: impl Iterator<Item = &'a mut u64>) {
    for (count, more) in iter::zip(counts, more) {
        *count = count.saturating_add(*more);
    }
}

impl Fates {
    /// Without what is not known.
    #[must_use]
    pub fn told(self) -> ToldFates {
        self.into()
    }

    /// Adds the counts of others.
    pub fn add(&mut self, more: &Self) {
        add(self.counters(), { *more }.counters());
    }

    fn counters(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self {
            shown,
            accepted,
            accepted_partially,
            rejected,
            lines_shown,
            lines_accepted,
            characters_shown,
            characters_accepted,
            kept,
            lost,
        } = self;
        let events = [shown, accepted, accepted_partially, rejected];
        let sizes = [lines_shown, lines_accepted, characters_shown, characters_accepted, kept, lost];
        events.into_iter().chain(sizes)
    }
}

impl ChatActions {
    /// Counts actions of one kind.
    pub fn add(&mut self, kind: ChatActionKind, count: u64) {
        let counter = match kind {
            ChatActionKind::Copied => &mut self.copied,
            ChatActionKind::Inserted => &mut self.inserted,
            ChatActionKind::Applied => &mut self.applied,
            ChatActionKind::EditKept => &mut self.edits_kept,
            ChatActionKind::EditUndone => &mut self.edits_undone,
        };
        *counter = counter.saturating_add(count);
    }

    fn counters(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self { copied, inserted, applied, edits_kept, edits_undone, lines } = self;
        [copied, inserted, applied, edits_kept, edits_undone, lines].into_iter()
    }
}

impl Sessions {
    fn counters(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self { count, lines_added, lines_removed, files_modified } = self;
        [count, lines_added, lines_removed, files_modified].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_size_that_nobody_told_is_no_zero() {
        let next_edits = Fates { shown: 2, accepted: 1, rejected: 1, ..Fates::default() };
        let told = json!({"shown": 2, "accepted": 1, "accepted_partially": 0, "rejected": 1});
        assert_eq!(serde_json::to_value(next_edits).unwrap(), told);
        let told = Fates { shown: 1, lines_shown: 3, characters_shown: 40, ..Fates::default() }.told();
        assert_eq!((told.lines_shown, told.lines_accepted, told.characters_accepted), (Some(3), Some(0), Some(0)));
        let kept = Fates { accepted: 2, kept: 1, ..Fates::default() }.told();
        assert_eq!((kept.kept, kept.lost), (Some(1), Some(0)));
    }
}
