//! What is counted in one place of the table.

use crate::copilot::Feature;
use crate::copilot::vocabulary::{Class, Edits, Kind};
use crate::usage::{Acceptance, UsageEvent};

/// One count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Turns,
    Steps,
    Interactions,
    SuggestionsReturned,
    SuggestionLinesReturned,
    CodeBlocks,
    CodeBlockLines,
    InputTokens,
    OutputTokens,
    CachedTokens,
    CacheWrittenTokens,
    ReasoningTokens,
    NanoAiu,
    FileEdits,
    FileLinesAdded,
    FileLinesRemoved,
    Shown,
    Accepted,
    AcceptedPartially,
    Rejected,
    LinesShown,
    LinesAccepted,
    Kept,
    Lost,
    Copied,
    Inserted,
    Applied,
    EditsKept,
    EditsUndone,
    ChatLinesTaken,
    CliSessions,
}

const COLUMNS: usize = Column::CliSessions as usize + 1;

/// The counts. What is unknown adds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Row([u64; COLUMNS]);

impl Row {
    /// An exchange, but for its file edits.
    pub(super) fn of(event: &UsageEvent, is_interaction: bool) -> Self {
        let is_turn = event.class == Class::Turn;
        let (generations, lines, is_suggested) = match event.kind {
            Kind::Completions => (Column::SuggestionsReturned, Column::SuggestionLinesReturned, is_turn),
            // The code blocks of an instant apply are the file itself, which another exchange proposed.
            Kind::Chat => (Column::CodeBlocks, Column::CodeBlockLines, event.feature != Feature::AgentEdit.as_str()),
        };
        let suggested = |count| if is_suggested { count } else { 0 };
        Self::with(&[
            (if is_turn { Column::Turns } else { Column::Steps }, 1),
            (Column::Interactions, is_interaction.into()),
            (generations, suggested(event.generations)),
            (lines, suggested(event.lines_suggested)),
            (Column::InputTokens, event.tokens.input.unwrap_or(0)),
            (Column::OutputTokens, event.tokens.output.unwrap_or(0)),
            (Column::CachedTokens, event.tokens.cached.unwrap_or(0)),
            (Column::CacheWrittenTokens, event.tokens.cache_written.unwrap_or(0)),
            (Column::ReasoningTokens, event.tokens.reasoning.unwrap_or(0)),
            (Column::NanoAiu, event.nano_aiu.unwrap_or(0)),
        ])
    }

    pub(super) fn of_edits(edits: Edits) -> Self {
        Self::with(&[
            (Column::FileEdits, edits.files),
            (Column::FileLinesAdded, edits.lines_added),
            (Column::FileLinesRemoved, edits.lines_removed),
        ])
    }

    pub(super) fn of_suggestions(told: &Acceptance) -> Self {
        let mut fates = told.completions;
        fates.add(&told.next_edits);
        Self::with(&[
            (Column::Shown, fates.shown),
            (Column::Accepted, fates.accepted),
            (Column::AcceptedPartially, fates.accepted_partially),
            (Column::Rejected, fates.rejected),
            (Column::LinesShown, fates.lines_shown),
            (Column::LinesAccepted, fates.lines_accepted),
            (Column::Kept, fates.kept),
            (Column::Lost, fates.lost),
        ])
    }

    /// What was done with answers of chat, and the CLI's sessions.
    pub(super) fn of_chat(told: &Acceptance) -> Self {
        Self::with(&[
            (Column::Copied, told.chat.copied),
            (Column::Inserted, told.chat.inserted),
            (Column::Applied, told.chat.applied),
            (Column::EditsKept, told.chat.edits_kept),
            (Column::EditsUndone, told.chat.edits_undone),
            (Column::ChatLinesTaken, told.chat.lines),
            (Column::CliSessions, told.sessions.count),
        ])
    }

    fn with(counts: &[(Column, u64)]) -> Self {
        let mut row = Self::default();
        for (column, count) in counts {
            if let Some(counter) = row.0.get_mut(*column as usize) {
                *counter = *count;
            }
        }
        row
    }

    pub(super) fn get(&self, column: Column) -> u64 {
        self.0.get(column as usize).copied().unwrap_or(0)
    }

    /// Wraps like Prometheus' own counters would, after more years than there are.
    pub(super) fn add(&mut self, more: &Self) {
        for (count, more) in self.0.iter_mut().zip(more.0) {
            *count = count.wrapping_add(more);
        }
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
