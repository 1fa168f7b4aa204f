//! The families that show the table: each by as many labels as its sums make sense of.

use std::collections::BTreeMap;
use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::row::{Column, Row};
use super::table::{Limited, Table};
use crate::usage::Cell;

/// A label of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Feature,
    Ide,
    Language,
    Model,
}

impl Label {
    fn of(self, cell: &Cell) -> (&'static str, &str) {
        match self {
            Self::Feature => ("feature", &cell.feature),
            Self::Ide => ("ide", &cell.ide),
            Self::Language => ("language", &cell.language),
            Self::Model => ("model", &cell.model),
        }
    }
}

/// All that is told of an exchange.
const EXCHANGE: &[Label] = &[Label::Feature, Label::Ide, Label::Language, Label::Model];
/// Chat seldom has a language.
const WORK: &[Label] = &[Label::Feature, Label::Ide, Label::Model];
/// Suggestions are of one feature.
const SUGGESTION: &[Label] = &[Label::Ide, Label::Language, Label::Model];
/// Telemetry does not tell the editor in which an answer of chat was used.
const CHAT_ACTION: &[Label] = &[Label::Language, Label::Model];

/// What has its 0 told where another of it is known.
const FATES: &[Column] = &[Column::Shown, Column::Accepted, Column::Rejected];

/// A family of counters.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [Label],
    column: Column,
    /// A series exists where any of these is not 0, or the column itself.
    beside: &'static [Column],
}

const fn family(name: &'static str, labels: &'static [Label], column: Column, help: &'static str) -> Family {
    Family { name, help, labels, column, beside: &[] }
}

const fn fate(name: &'static str, column: Column, help: &'static str) -> Family {
    Family { name, help, labels: SUGGESTION, column, beside: FATES }
}

const FAMILIES: [Family; 24] = [
    family("turns", EXCHANGE, Column::Turns, "Completions and chat turns"),
    family("steps", WORK, Column::Steps, "Agents' follow-up calls of a model"),
    family("interactions", WORK, Column::Interactions, "Prompts that people sent"),
    family("suggestions_returned", SUGGESTION, Column::SuggestionsReturned, "Suggestions that models returned"),
    family("suggestion_lines_returned", SUGGESTION, Column::SuggestionLinesReturned, "Lines of returned suggestions"),
    fate("suggestions_shown", Column::Shown, "Suggestions shown, as telemetry tells"),
    fate("suggestions_accepted", Column::Accepted, "Suggestions accepted in full or in part, as telemetry tells"),
    fate("suggestions_rejected", Column::Rejected, "Suggestions dismissed or typed over, as telemetry tells"),
    family(
        "suggestions_accepted_partially",
        SUGGESTION,
        Column::AcceptedPartially,
        "Those of the accepted suggestions of which only a part was",
    ),
    family("suggestion_lines_shown", SUGGESTION, Column::LinesShown, "Lines of shown suggestions, where told"),
    family("suggestion_lines_accepted", SUGGESTION, Column::LinesAccepted, "Lines accepted, where told"),
    family("suggestions_kept", SUGGESTION, Column::Kept, "Accepted suggestions in the code at the editor's last look"),
    family("suggestions_lost", SUGGESTION, Column::Lost, "Accepted suggestions gone at the editor's last look"),
    family("chat_code_blocks", WORK, Column::CodeBlocks, "Code blocks of chat answers"),
    family("chat_code_block_lines", WORK, Column::CodeBlockLines, "Lines of code blocks of chat answers"),
    family("chat_lines_taken", CHAT_ACTION, Column::ChatLinesTaken, "Lines copied, inserted or applied"),
    family("input_tokens", WORK, Column::InputTokens, "Tokens of prompts, cached ones included"),
    family("output_tokens", WORK, Column::OutputTokens, "Tokens of answers, reasoning included"),
    family("cached_input_tokens", WORK, Column::CachedTokens, "Those of the input tokens that came from a cache"),
    family(
        "cache_written_input_tokens",
        WORK,
        Column::CacheWrittenTokens,
        "Those of the input tokens written to a cache",
    ),
    family("reasoning_output_tokens", WORK, Column::ReasoningTokens, "Those of the output tokens spent on reasoning"),
    family("file_edits", WORK, Column::FileEdits, "Edits of files that agents asked for"),
    family("file_lines_added", WORK, Column::FileLinesAdded, "Lines that these edits add"),
    family("file_lines_removed", WORK, Column::FileLinesRemoved, "Lines that these edits remove"),
];

/// Values of the label `action`.
const ACTIONS: [(Column, &str); 5] = [
    (Column::Copied, "copied"),
    (Column::Inserted, "inserted"),
    (Column::Applied, "applied"),
    (Column::EditsKept, "edit_kept"),
    (Column::EditsUndone, "edit_undone"),
];

/// What is told of a user: each by the user alone.
const OF_USERS: [(&str, Column, &str); 14] = [
    ("turns", Column::Turns, "Completions and chat turns"),
    ("steps", Column::Steps, "Agents' follow-up calls of a model"),
    ("interactions", Column::Interactions, "Prompts sent"),
    ("suggestions_returned", Column::SuggestionsReturned, "Suggestions that models returned"),
    ("suggestions_shown", Column::Shown, "Suggestions shown, as telemetry tells"),
    ("suggestions_accepted", Column::Accepted, "Suggestions accepted, as telemetry tells"),
    ("suggestions_rejected", Column::Rejected, "Suggestions dismissed or typed over, as telemetry tells"),
    ("suggestion_lines_accepted", Column::LinesAccepted, "Lines accepted, where told"),
    ("chat_lines_taken", Column::ChatLinesTaken, "Lines of chat answers copied, inserted or applied"),
    ("input_tokens", Column::InputTokens, "Tokens of prompts, cached ones included"),
    ("output_tokens", Column::OutputTokens, "Tokens of answers, reasoning included"),
    ("file_edits", Column::FileEdits, "Edits of files that agents asked for"),
    ("file_lines_added", Column::FileLinesAdded, "Lines that these edits add"),
    ("file_lines_removed", Column::FileLinesRemoved, "Lines that these edits remove"),
];

/// Labels with their values.
type Labels<'a> = Vec<(&'static str, &'a str)>;

pub(super) fn encode_cells(table: &Table, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    for family in &FAMILIES {
        let mut sums = BTreeMap::<Labels<'_>, u64>::new();
        for (cell, row) in &table.cells {
            if family.beside.iter().chain([&family.column]).any(|column| row.get(*column) > 0) {
                let labels = family.labels.iter().map(|label| label.of(cell)).collect();
                *sums.entry(labels).or_default() += row.get(family.column);
            }
        }
        encode(to, &format!("copilens_usage_{}", family.name), family.help, sums)?;
    }
    let mut actions = BTreeMap::<Labels<'_>, u64>::new();
    for (cell, row) in &table.cells {
        for (column, action) in ACTIONS.into_iter().filter(|(column, _)| row.get(*column) > 0) {
            let mut labels: Labels<'_> = vec![("action", action)];
            labels.extend(CHAT_ACTION.iter().map(|label| label.of(cell)));
            *actions.entry(labels).or_default() += row.get(column);
        }
    }
    encode(to, "copilens_usage_chat_actions", "What people did with answers of chat, as telemetry tells", actions)?;
    let sessions = table.cells.values().map(|row| row.get(Column::CliSessions)).sum::<u64>();
    let sessions = (sessions > 0).then_some((Vec::new(), sessions)).into_iter().collect();
    encode(to, "copilens_usage_cli_sessions", "Sessions of the CLI that ended, as telemetry tells", sessions)?;
    let mut credits = BTreeMap::<Labels<'_>, u64>::new();
    for (cell, row) in table.cells.iter().filter(|(_, row)| row.get(Column::NanoAiu) > 0) {
        let labels = WORK.iter().map(|label| label.of(cell)).collect();
        *credits.entry(labels).or_default() += row.get(Column::NanoAiu);
    }
    encode_credits(to, "copilens_usage_ai_credits", credits)
}

pub(super) fn encode_users(users: &BTreeMap<String, Row>, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    if users.is_empty() {
        return Ok(());
    }
    let of = |column| {
        let known = users.iter().map(move |(user, row)| (vec![("user", user.as_str())], row.get(column)));
        known.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>()
    };
    for (name, column, help) in OF_USERS {
        encode(to, &format!("copilens_usage_user_{name}"), help, of(column))?;
    }
    encode_credits(to, "copilens_usage_user_ai_credits", of(Column::NanoAiu))
}

pub(super) fn encode_limited(limited: &Limited, users: u64, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let counts =
        [("languages", limited.languages), ("models", limited.models), ("series", limited.cells), ("users", users)];
    let counts = counts.into_iter().map(|(limit, count)| (vec![("limit", limit)], count)).collect();
    let help = "Times that something was counted under \"others\", by the limit that was reached";
    encode(to, "copilens_usage_limited", help, counts)
}

fn encode(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    sums: BTreeMap<Labels<'_>, u64>,
) -> Result<(), Error> {
    let mut encoder = descriptor(to, name, help)?;
    for (labels, sum) in sums {
        encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&sum, None)?;
    }
    Ok(())
}

fn encode_credits(to: &mut DescriptorEncoder<'_>, name: &str, sums: BTreeMap<Labels<'_>, u64>) -> Result<(), Error> {
    let mut encoder = descriptor(to, name, "AI credits that GitHub charges, where answers tell them")?;
    for (labels, nano) in sums {
        let credits = nano as f64 / 1e9;
        encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&credits, None)?;
    }
    Ok(())
}

fn descriptor<'a>(to: &'a mut DescriptorEncoder<'_>, name: &'a str, help: &str) -> Result<MetricEncoder<'a>, Error> {
    to.encode_descriptor(name, &format!("{help}, since the start of this process."), None, MetricType::Counter)
}
