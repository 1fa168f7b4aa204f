//! What users did on all days of a report, added up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::accounts::UsedAccount;
use crate::copilot::observation::Quota;
use crate::copilot::vocabulary::{Edits, Tokens};
use crate::usage::{Acceptance, Fates, UserUsage, add_edits, add_known, add_tokens};

/// One row of the table.
#[derive(Serialize)]
pub(super) struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    pub(super) completions: u64,
    /// Ghost text and next edits together; these four are unknown where no telemetry came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shown: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted: Option<u64>,
    /// Of those shown, per cent; unknown also where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted_percent: Option<f64>,
    pub(super) chat_turns: u64,
    pub(super) steps: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tokens: Option<Tokens>,
    /// Billionths of an AI credit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nano_aiu: Option<u64>,
    #[serde(skip_serializing_if = "Edits::is_none")]
    pub(super) edits: Edits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_editor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_language: Option<String>,
    pub(super) lines_suggested: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lines_accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acceptance: Option<Acceptance>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) accounts: Vec<UsedAccount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) quotas: Vec<Quota>,
}

/// What a user, or all of them, did on all days of the report.
#[derive(Default)]
pub(super) struct Sum {
    completions: u64,
    chat_turns: u64,
    steps: u64,
    tokens: Tokens,
    nano_aiu: Option<u64>,
    edits: Edits,
    acceptance: Option<Acceptance>,
    models: BTreeMap<String, u64>,
    editors: BTreeMap<String, u64>,
    languages: BTreeMap<String, u64>,
    lines_suggested: u64,
}

impl Sum {
    pub(super) fn add(&mut self, usage: &UserUsage) {
        self.completions += usage.completions_count();
        self.chat_turns += usage.chat_turns();
        self.steps += usage.steps;
        add_tokens(&mut self.tokens, usage.tokens);
        add_known(&mut self.nano_aiu, usage.nano_aiu);
        add_edits(&mut self.edits, usage.edits);
        if let Some(acceptance) = &usage.acceptance {
            acceptance.add_to(&mut self.acceptance);
        }
        add_counts(&mut self.models, &usage.models);
        add_counts(&mut self.editors, &usage.chat);
        for (editor, languages) in &usage.completions {
            *self.editors.entry(editor.clone()).or_default() += languages.values().sum::<u64>();
            add_counts(&mut self.languages, languages);
        }
        self.lines_suggested += usage.lines_suggested;
    }

    pub(super) fn line(self, user: Option<String>) -> Line {
        let suggestions = self.acceptance.as_ref().and_then(Acceptance::suggestions);
        Line {
            user,
            completions: self.completions,
            shown: suggestions.map(|fates| fates.shown),
            accepted: suggestions.map(|fates| fates.accepted),
            accepted_percent: suggestions.and_then(percent),
            chat_turns: self.chat_turns,
            steps: self.steps,
            tokens: Some(self.tokens).filter(|tokens| *tokens != Tokens::default()),
            nano_aiu: self.nano_aiu,
            edits: self.edits,
            top_model: top(self.models),
            top_editor: top(self.editors),
            top_language: top(self.languages),
            lines_suggested: self.lines_suggested,
            lines_accepted: suggestions.and_then(|fates| fates.told().lines_accepted),
            acceptance: self.acceptance,
            accounts: Vec::new(),
            quotas: Vec::new(),
        }
    }
}

/// With one decimal; `None` where nothing was shown.
#[expect(clippy::cast_precision_loss, reason = "counts of suggestions are far below 2^53")]
fn percent(fates: Fates) -> Option<f64> {
    (fates.shown > 0).then(|| (1000.0 * fates.accepted as f64 / fates.shown as f64).round() / 10.0)
}

fn add_counts(sum: &mut BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) {
    for (name, count) in counts {
        *sum.entry(name.clone()).or_default() += count;
    }
}

/// The name with the highest count; of several, the first by name.
fn top(counts: BTreeMap<String, u64>) -> Option<String> {
    counts.into_iter().min_by_key(|(_, count)| Reverse(*count)).map(|(name, _)| name)
}
