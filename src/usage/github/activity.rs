//! The seven counters that GitHub's records and their breakdowns have in common.

use serde::Serialize;

use super::Gaps;
use crate::copilot::Feature;
use crate::usage::{Cell, Counts};

/// The feature of the CLI.
pub(super) const CLI: &str = Feature::CopilotCli.as_str();
/// The feature of the Copilot app.
pub(super) const APP: &str = Feature::CopilotApp.as_str();
/// The feature of completions.
pub(super) const COMPLETION: &str = Feature::CodeCompletion.as_str();

/// Counts of some cells, and whether all of them are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) counts: Counts,
    /// Whether acceptances, and the lines that they add, are known.
    is_known: bool,
}

impl Default for Sum {
    fn default() -> Self {
        Self { counts: Counts::default(), is_known: true }
    }
}

impl Sum {
    pub(super) fn add(&mut self, cell: &Cell, counts: &Counts, telemetry: bool) {
        self.counts.add(counts);
        // GitHub counts no acceptance of file edits.
        self.is_known &= telemetry || cell.tells_acceptance();
    }

    /// Whether GitHub's counters are all zero.
    pub(super) fn is_idle(&self) -> bool {
        let Counts { interactions, .. } = self.counts;
        interactions == 0 && self.has_no_code()
    }

    /// The same without interactions.
    pub(super) fn has_no_code(&self) -> bool {
        let Counts { generations, acceptances, lines_suggested, lines_added, lines_removed, .. } = self.counts;
        [generations, acceptances, lines_suggested, lines_added, lines_removed] == [0; 5]
    }

    pub(super) fn counters(&self, gaps: Gaps) -> Counters {
        let known = |count: u64| gaps.count(count, self.is_known);
        Counters {
            user_initiated_interaction_count: Some(self.counts.interactions),
            code_generation_activity_count: self.counts.generations,
            code_acceptance_activity_count: known(self.counts.acceptances),
            loc_suggested_to_add_sum: self.counts.lines_suggested,
            loc_suggested_to_delete_sum: 0,
            loc_added_sum: known(self.counts.lines_added),
            loc_deleted_sum: self.counts.lines_removed,
        }
    }
}

/// GitHub's counters of a record or of a line of a breakdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Counters {
    /// Prompts that a person sent; not in breakdowns by language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_initiated_interaction_count: Option<u64>,
    /// Completions shown, code blocks of chat answers, file edits.
    code_generation_activity_count: u64,
    /// Completions accepted, code blocks copied, inserted and applied: known from telemetry alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    code_acceptance_activity_count: Option<u64>,
    /// Lines of completions shown and of code blocks.
    loc_suggested_to_add_sum: u64,
    /// 0, as at GitHub.
    loc_suggested_to_delete_sum: u64,
    /// Lines of what was accepted (known from telemetry alone) and of file edits.
    #[serde(skip_serializing_if = "Option::is_none")]
    loc_added_sum: Option<u64>,
    /// Lines that file edits removed.
    loc_deleted_sum: u64,
}

impl Counters {
    /// As breakdowns by language have them.
    pub(super) fn without_interactions(self) -> Self {
        Self { user_initiated_interaction_count: None, ..self }
    }
}
