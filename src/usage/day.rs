//! The rollup of one day: what its users did, from events in whatever order and however split they come.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::{Acceptance, UsageEvent};
use crate::copilot::vocabulary::{Class, Edits, Kind, Tokens};

/// The key that stands for an editor or a language that the client did not tell.
pub const UNKNOWN: &str = "unknown";

/// Counts by name.
type Counts = BTreeMap<String, u64>;

/// What all users did on one UTC day. Adding and merging give the same value in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayUsage {
    /// The UTC day.
    pub day: NaiveDate,
    /// Those who had a turn or a step, or whose clients sent telemetry, by name. Noise alone brings nobody in.
    pub users: BTreeMap<String, UserUsage>,
}

/// What one user did on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserUsage {
    /// Chat turns by editor and version.
    pub chat: Counts,
    /// Completions by editor and version, then by language.
    pub completions: BTreeMap<String, Counts>,
    /// Turns by model, where the model is known.
    pub models: Counts,
    /// Turns by GitHub's feature name.
    pub features: Counts,
    /// Turns by the legacy add-on's action type, where there is one.
    pub actions: Counts,
    /// Tokens of turns and steps; a count is `None` where no event told it.
    pub tokens: Tokens,
    /// Billionths of an AI credit that turns and steps cost; `None` where no event told it.
    pub nano_aiu: Option<u64>,
    /// File edits of turns and steps.
    pub edits: Edits,
    /// Agents' follow-up calls.
    pub steps: u64,
    /// Lines suggested in turns.
    pub lines_suggested: u64,
    /// Interaction ids of chat turns.
    pub interaction_ids: BTreeSet<String>,
    /// Chat turns without an interaction id.
    pub turns_without_interaction: u64,
    /// What became of suggestions; `None` where no telemetry came.
    pub acceptance: Option<Acceptance>,
}

/// Events alike in everything that a rollup tells apart, with their number and sums: what a database's `GROUP BY` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventGroup<'a> {
    /// Turn, step or noise.
    pub class: Class,
    /// Completions or chat.
    pub kind: Kind,
    /// See [`UsageEvent::editor`].
    pub editor: Option<&'a str>,
    /// See [`UsageEvent::language`].
    pub language: Option<&'a str>,
    /// See [`UsageEvent::model`].
    pub model: Option<&'a str>,
    /// See [`UsageEvent::feature`].
    pub feature: &'a str,
    /// See [`UsageEvent::action`].
    pub action: Option<&'a str>,
    /// How many events.
    pub count: u64,
    /// The sum of their tokens.
    pub tokens: Tokens,
    /// The sum of what they cost, as in [`UsageEvent::nano_aiu`].
    pub nano_aiu: Option<u64>,
    /// The sum of their file edits.
    pub edits: Edits,
    /// The sum of their suggested lines.
    pub lines_suggested: u64,
}

impl<'a> EventGroup<'a> {
    fn of_one(event: &'a UsageEvent) -> Self {
        Self {
            class: event.class,
            kind: event.kind,
            editor: event.editor.as_deref(),
            language: event.language.as_deref(),
            model: event.model.as_deref(),
            feature: &event.feature,
            action: event.action.as_deref(),
            count: 1,
            tokens: event.tokens,
            nano_aiu: event.nano_aiu,
            edits: event.edits,
            lines_suggested: event.lines_suggested,
        }
    }
}

impl DayUsage {
    /// A day on which nothing has happened yet.
    #[must_use]
    pub fn new(day: NaiveDate) -> Self {
        Self { day, users: BTreeMap::new() }
    }

    /// Adds one event of this day. Adding an event twice counts it twice: ask the store first whether it is new.
    pub fn add(&mut self, event: &UsageEvent) {
        debug_assert_eq!(event.day(), self.day, "an event is booked on its own day");
        self.add_group(&event.user, &EventGroup::of_one(event));
        if event.class == Class::Turn && event.kind == Kind::Chat {
            self.add_interaction(&event.user, event.interaction_id.as_deref(), 1);
        }
    }

    /// Adds a group of a user's events, all but their interactions.
    pub fn add_group(&mut self, user: &str, group: &EventGroup<'_>) {
        match group.class {
            Class::Turn => self.user(user).add_turns(group),
            Class::Step => self.user(user).add_steps(group),
            Class::Noise => {}
        }
    }

    /// Adds the interaction of `turns` chat turns of a user that name it alike, or that name none.
    pub fn add_interaction(&mut self, user: &str, interaction_id: Option<&str>, turns: u64) {
        let user = self.user(user);
        match interaction_id {
            Some(id) => drop(user.interaction_ids.insert(id.to_owned())),
            None => user.turns_without_interaction += turns,
        }
    }

    /// Sets what became of suggestions, for all users of the day anew. It brings in users who had nothing else that day, and
    /// takes those out that it had brought in before and does not now.
    pub fn set_acceptance(&mut self, acceptance: BTreeMap<String, Acceptance>) {
        self.users.values_mut().for_each(|user| user.acceptance = None);
        self.users.retain(|_, user| *user != UserUsage::default());
        for (name, acceptance) in acceptance {
            self.user(&name).acceptance = Some(acceptance);
        }
    }

    /// Adds another part of the same day.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(other.day, self.day, "only parts of one day make a day");
        for (name, usage) in &other.users {
            self.user(name).merge(usage);
        }
    }

    fn user(&mut self, name: &str) -> &mut UserUsage {
        self.users.entry(name.to_owned()).or_default()
    }
}

impl UserUsage {
    /// Chat turns in all editors.
    #[must_use]
    pub fn chat_turns(&self) -> u64 {
        self.chat.values().sum()
    }

    /// Completions in all editors and languages.
    #[must_use]
    pub fn completions_count(&self) -> u64 {
        self.completions.values().flat_map(BTreeMap::values).sum()
    }

    /// User prompts: chat turns with a distinct interaction id, and each turn without one.
    #[must_use]
    pub fn interactions(&self) -> u64 {
        self.interaction_ids.len() as u64 + self.turns_without_interaction
    }

    fn add_turns(&mut self, turns: &EventGroup<'_>) {
        let editor = turns.editor.unwrap_or(UNKNOWN);
        match turns.kind {
            Kind::Chat => count(&mut self.chat, editor, turns.count),
            Kind::Completions => {
                let languages = self.completions.entry(editor.to_owned()).or_default();
                count(languages, turns.language.unwrap_or(UNKNOWN), turns.count);
            }
        }
        if let Some(model) = turns.model {
            count(&mut self.models, model, turns.count);
        }
        if let Some(action) = turns.action {
            count(&mut self.actions, action, turns.count);
        }
        count(&mut self.features, turns.feature, turns.count);
        self.add_amounts(turns);
        self.lines_suggested += turns.lines_suggested;
    }

    fn add_steps(&mut self, steps: &EventGroup<'_>) {
        self.steps += steps.count;
        self.add_amounts(steps);
    }

    fn add_amounts(&mut self, group: &EventGroup<'_>) {
        add_tokens(&mut self.tokens, group.tokens);
        add_known(&mut self.nano_aiu, group.nano_aiu);
        add_edits(&mut self.edits, group.edits);
    }

    fn merge(&mut self, other: &Self) {
        merge_counts(&mut self.chat, &other.chat);
        for (editor, languages) in &other.completions {
            merge_counts(self.completions.entry(editor.clone()).or_default(), languages);
        }
        merge_counts(&mut self.models, &other.models);
        merge_counts(&mut self.features, &other.features);
        merge_counts(&mut self.actions, &other.actions);
        add_tokens(&mut self.tokens, other.tokens);
        add_known(&mut self.nano_aiu, other.nano_aiu);
        add_edits(&mut self.edits, other.edits);
        self.steps += other.steps;
        self.lines_suggested += other.lines_suggested;
        self.interaction_ids.extend(other.interaction_ids.iter().cloned());
        self.turns_without_interaction += other.turns_without_interaction;
        if let Some(acceptance) = &other.acceptance {
            acceptance.add_to(&mut self.acceptance);
        }
    }
}

/// Adds token counts to a sum, in which only what nobody told stays unknown.
pub fn add_tokens(sum: &mut Tokens, more: Tokens) {
    add_known(&mut sum.input, more.input);
    add_known(&mut sum.output, more.output);
    add_known(&mut sum.cached, more.cached);
    add_known(&mut sum.cache_written, more.cache_written);
    add_known(&mut sum.reasoning, more.reasoning);
}

/// Adds a number to a sum that stays unknown until one is known.
pub fn add_known(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

/// Adds file edits to a sum.
pub fn add_edits(sum: &mut Edits, more: Edits) {
    sum.files += more.files;
    sum.lines_added += more.lines_added;
    sum.lines_removed += more.lines_removed;
}

fn count(counts: &mut Counts, name: &str, more: u64) {
    match counts.get_mut(name) {
        Some(count) => *count += more,
        None => drop(counts.insert(name.to_owned(), more)),
    }
}

fn merge_counts(counts: &mut Counts, others: &Counts) {
    for (name, more) in others {
        count(counts, name, *more);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::{any_events, chat, completion, noise, noon, step};
    use super::*;

    fn fold<'a>(events: impl IntoIterator<Item = &'a UsageEvent>) -> DayUsage {
        let mut day = DayUsage::new(noon().date_naive());
        events.into_iter().for_each(|event| day.add(event));
        day
    }

    fn of_ada(events: &[UsageEvent]) -> UserUsage {
        fold(events).users.remove("ada").unwrap()
    }

    #[test]
    fn a_completion_counts_by_editor_and_language() {
        let ada = of_ada(&[completion(1, "ada"), UsageEvent { editor: None, language: None, ..completion(2, "ada") }]);
        assert_eq!(ada.completions_count(), 2);
        assert_eq!(ada.chat_turns(), 0);
        assert_eq!(ada.completions["vscode-1.99.0"]["python"], 1);
        assert_eq!(ada.completions[UNKNOWN][UNKNOWN], 1);
        assert_eq!(ada.lines_suggested, 4);
        assert_eq!(ada.tokens, Tokens::default());
    }

    #[test]
    fn a_chat_turn_counts_by_editor_and_an_unknown_model_is_absent() {
        let ada = of_ada(&[chat(1, "ada"), UsageEvent { model: None, ..chat(2, "ada") }]);
        assert_eq!(ada.chat["vscode-1.99.0"], 2);
        assert_eq!(ada.models, Counts::from([("gpt-4o".to_owned(), 1)]));
        assert_eq!(ada.features["chat_panel_ask_mode"], 2);
    }

    #[test]
    fn a_step_counts_its_tokens_and_nothing_else() {
        let ada = of_ada(&[step(1, "ada")]);
        let tokens = Tokens { input: Some(900), output: Some(120), cached: Some(512), ..Tokens::default() };
        assert_eq!(ada, UserUsage { tokens, steps: 1, ..UserUsage::default() });
    }

    #[test]
    fn noise_counts_for_nothing() {
        assert!(fold(&[noise(1, "ada", "no_text")]).users.is_empty());
    }

    #[test]
    fn turns_of_one_interaction_are_one_and_those_without_count_each() {
        let again = UsageEvent { interaction_id: Some("interaction-1".to_owned()), ..chat(2, "ada") };
        let without = |n| UsageEvent { interaction_id: None, ..chat(n, "ada") };
        assert_eq!(of_ada(&[chat(1, "ada"), again, chat(3, "ada"), without(4), without(5)]).interactions(), 4);
    }

    #[test]
    fn an_unknown_token_count_does_not_hide_a_known_one() {
        let told = UsageEvent { tokens: Tokens { input: Some(7), ..Tokens::default() }, ..completion(1, "ada") };
        let ada = of_ada(&[told, completion(2, "ada")]);
        assert_eq!(ada.tokens, Tokens { input: Some(7), output: None, cached: None, ..Tokens::default() });
    }

    #[test]
    fn acceptance_brings_users_in_and_is_set_anew_each_time() {
        let accepted = |accepted| {
            let mut acceptance = Acceptance::default();
            acceptance.completions.accepted = accepted;
            acceptance
        };
        let mut day = fold(&[completion(1, "ada")]);
        day.set_acceptance([("ada".to_owned(), accepted(1)), ("mary".to_owned(), accepted(2))].into());
        assert_eq!(day.users["mary"], UserUsage { acceptance: Some(accepted(2)), ..UserUsage::default() });
        let mut both = day.clone();
        both.merge(&day);
        assert_eq!(both.users["mary"].acceptance, Some(accepted(4)));
        day.set_acceptance([("ada".to_owned(), accepted(3))].into());
        let mut ada = of_ada(&[completion(1, "ada")]);
        ada.acceptance = Some(accepted(3));
        assert_eq!(day.users, BTreeMap::from([("ada".to_owned(), ada)]));
    }

    proptest! {
        #[test]
        fn the_order_of_events_does_not_matter(
            (events, shuffled) in any_events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
        ) {
            prop_assert_eq!(fold(&events), fold(&shuffled));
        }

        #[test]
        fn merged_parts_make_the_whole(events in any_events(), parts in 1..5_usize) {
            let mut merged = fold([]);
            for part in (0..parts).rev() {
                merged.merge(&fold(events.iter().skip(part).step_by(parts)));
            }
            prop_assert_eq!(merged, fold(&events));
        }
    }
}
