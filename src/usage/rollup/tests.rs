//! What a user's day is made of, and that sums of days are sums.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::copilot::observation::ChatActionKind;
use crate::copilot::vocabulary::{Class, Edits, Kind, Tokens};
use crate::usage::UsageEvent;
use crate::usage::sample::{any_usage, chat, completion, noise, step};

fn cell(ide: &str, feature: &str, language: &str, model: &str) -> Cell {
    let [ide, feature, language, model] = [ide, feature, language, model].map(str::to_owned);
    Cell { ide, feature, language, model }
}

fn python() -> Cell {
    cell("vscode", "code_completion", "python", "gpt-4o-copilot")
}

fn day(events: &[UsageEvent], told: Told) -> UserDay {
    UserDay::of(events, told)
}

/// Telemetry came, and told of a suggestion of `request-1`.
fn shown(suggestion: ToldSuggestion) -> Told {
    let request = Some(id_digest("request-1"));
    let suggestion = ToldSuggestion { request, shown: true, lines_shown: 7, ..suggestion };
    Told { telemetry: true, suggestions: vec![suggestion], actions: Vec::new() }
}

#[test]
fn without_telemetry_what_was_returned_stands_for_what_was_shown() {
    let events = [completion(1, "ada"), UsageEvent { generations: 3, ..completion(2, "ada") }];
    let day = day(&events, Told::default());
    let counts = Counts { requests: 2, turns: 2, generations: 4, lines_suggested: 4, ..Counts::default() };
    assert_eq!((day.telemetry, day.cells), (false, Cells::from([(python(), counts)])));
}

#[test]
fn with_telemetry_what_was_shown_counts_on_its_exchanges_cell() {
    let other = UsageEvent { language: Some("rust".to_owned()), ..completion(2, "ada") };
    let accepted = ToldSuggestion { accepted: true, lines_accepted: 5, ..ToldSuggestion::default() };
    let day = day(&[completion(1, "ada"), other], shown(accepted));
    let counts = Counts {
        requests: 1,
        turns: 1,
        generations: 1,
        lines_suggested: 7,
        acceptances: 1,
        lines_added: 5,
        ..Counts::default()
    };
    assert_eq!(day.cells[&python()], counts);
    let rust = Cell { language: "rust".to_owned(), ..python() };
    assert_eq!(day.cells[&rust], Counts { requests: 1, turns: 1, ..Counts::default() });
}

#[test]
fn what_is_told_of_an_exchange_of_another_day_counts_by_what_is_told() {
    let told = |editor: Option<&str>| {
        shown(ToldSuggestion {
            language: Some("go".to_owned()),
            model: Some("gpt-4o-2024-05-13".to_owned()),
            editor: editor.map(str::to_owned),
            ..ToldSuggestion::default()
        })
    };
    let one = Counts { generations: 1, lines_suggested: 7, ..Counts::default() };
    for (editor, ide) in [(Some("JetBrains-IC/2026.1"), "intellij"), (None, "others")] {
        let day = day(&[completion(2, "ada")], told(editor));
        assert_eq!(day.cells[&cell(ide, "code_completion", "go", "gpt-4o")], one);
    }
    let late = Told { telemetry: false, ..told(None) };
    assert!(day(&[], late).telemetry, "an editor told it on another day");
}

#[test]
fn of_the_attempts_of_a_request_the_one_that_counts_has_the_suggestion() {
    let failed = UsageEvent { language: None, ..noise(0, "ada", "status") };
    let attempt = |event| UsageEvent { request_id: Some("request-1".to_owned()), ..event };
    for events in [[attempt(failed.clone()), completion(1, "ada")], [completion(1, "ada"), attempt(failed)]] {
        let day = day(&events, shown(ToldSuggestion::default()));
        assert_eq!(day.cells.keys().collect::<Vec<_>>(), [&python()]);
    }
    let rejected = ToldSuggestion { shown: false, ..shown(ToldSuggestion::default()).suggestions.remove(0) };
    let day = day(&[], Told { telemetry: true, suggestions: vec![rejected], actions: vec![] });
    assert_eq!((day.telemetry, day.cells), (true, Cells::new()), "nothing to count, and known to be nothing");
}

#[test]
fn a_prompt_is_one_interaction_on_the_cell_of_its_first_turn() {
    let again = |n, model: &str| UsageEvent {
        interaction_id: Some("interaction-1".to_owned()),
        model: Some(model.to_owned()),
        ..chat(n, "ada")
    };
    let of_step = UsageEvent { interaction_id: Some("interaction-1".to_owned()), ..step(3, "ada") };
    let apply = UsageEvent { feature: "agent_edit".to_owned(), interaction_id: None, ..chat(4, "ada") };
    let alone = UsageEvent { interaction_id: None, ..chat(5, "ada") };
    let day = day(&[chat(1, "ada"), again(2, "o1"), of_step, apply, alone], Told::default());
    let ask = |model| cell("vscode", "chat_panel_ask_mode", "unknown", model);
    let counted = |cell: &Cell| {
        let counts = day.cells[cell];
        [counts.requests, counts.turns, counts.interactions, counts.generations, counts.input_tokens]
    };
    assert_eq!(counted(&ask("gpt-4o")), [3, 2, 2, 3, 2700]);
    assert_eq!(counted(&ask("o1")), [1, 1, 0, 1, 900]);
    let apply = cell("vscode", "agent_edit", "unknown", "gpt-4o");
    assert_eq!(counted(&apply), [1, 1, 0, 0, 900], "its code blocks are the file");
}

#[test]
fn file_edits_are_an_editors_agent_edits_and_the_command_lines_own() {
    let edits = Edits { files: 2, lines_added: 30, lines_removed: 4 };
    let in_editor = UsageEvent { edits, ..step(1, "ada") };
    let cli = |n, session: &str| UsageEvent {
        feature: "copilot_cli".to_owned(),
        ide: None,
        editor: Some("copilot-1.0.102".to_owned()),
        session_id: Some(session.to_owned()),
        edits,
        ..chat(n, "ada")
    };
    let app = UsageEvent { feature: "copilot_app".to_owned(), ..cli(5, "s1") };
    let events = [in_editor, cli(2, "s1"), cli(3, "s2"), cli(4, "s1"), app];
    let day = day(&events, Told::default());
    let of = |ide, feature| {
        let counts = day.cells[&cell(ide, feature, "unknown", "gpt-4o")];
        [counts.requests, counts.generations, counts.lines_suggested, counts.lines_added, counts.lines_removed]
    };
    assert_eq!(of("vscode", "chat_panel_ask_mode"), [1, 1, 2, 0, 0]);
    assert_eq!(of("vscode", "agent_edit"), [0, 2, 0, 30, 4]);
    assert_eq!(of("", "copilot_cli"), [3, 9, 6, 90, 12]);
    assert_eq!((day.cli_sessions, day.app_sessions), (2, 1));
    assert_eq!(day.clients.keys().collect::<Vec<_>>(), ["copilot_app", "copilot_cli", "vscode"]);
    assert_eq!(day.clients["copilot_cli"].version.as_deref(), Some("1.0.102"));
    let surfaces = Surface::ALL.map(|surface| day.surfaces().has(surface));
    assert_eq!(surfaces, [false, true, true, true, true]);
}

#[test]
fn what_was_done_with_code_blocks_is_accepted_on_the_answers_cell() {
    let action = |kind, exchange: Option<&str>| ToldAction {
        exchange: exchange.map(id_digest),
        kind,
        lines: 4,
        language: Some("rust".to_owned()),
        model: None,
    };
    let actions = vec![
        action(ChatActionKind::Copied, Some("request-1")),
        action(ChatActionKind::Inserted, Some("interaction-1")),
        action(ChatActionKind::Applied, None),
        action(ChatActionKind::EditKept, Some("request-1")),
    ];
    let day = day(&[chat(1, "ada")], Told { actions, ..Told::default() });
    let of = |cell: Cell| {
        let counts = day.cells[&cell];
        [counts.acceptances, counts.copied, counts.inserted, counts.lines_added]
    };
    assert_eq!(of(cell("vscode", "chat_panel_ask_mode", "unknown", "gpt-4o")), [2, 1, 1, 4]);
    assert_eq!(of(cell("others", "chat_panel_unknown_mode", "rust", "unknown")), [1, 0, 1, 4]);
    assert!(day.telemetry);
}

#[test]
fn a_clients_lies_about_languages_and_models_make_few_cells() {
    let lie = |n: u32| UsageEvent { language: Some(format!("language-{n}")), ..completion(n, "ada") };
    let long = UsageEvent { model: Some("x".repeat(101)), ..completion(0, "ada") };
    let events: Vec<_> = [long].into_iter().chain((1..1000).map(lie)).collect();
    let day = day(&events, Told::default());
    assert_eq!(day.cells.len(), 201);
    assert_eq!(day.cells[&cell("vscode", "code_completion", "others", "others")].requests, 800);
    assert_eq!(day.cells[&cell("vscode", "code_completion", "python", "others")].requests, 1);
    assert_eq!(day.totals().counts.requests, 1000);
}

#[test]
fn the_last_client_of_each_editor_is_known_by_version_and_plugin() {
    let with = |n, editor: &str| UsageEvent { editor: Some(editor.to_owned()), ..completion(n, "ada") };
    let versions = [
        ("vscode-1.120.0-insider", Some("1.120.0-insider")),
        ("JetBrains-PC-243.22562.220", Some("243.22562.220")),
        ("VS-VisualStudio.18.Preview-18.8.11904.113", Some("18.8.11904.113")),
        ("Vim", None),
    ];
    for (editor, version) in versions {
        let day =
            day(&[with(2, editor), UsageEvent { ended_at: with(1, "").ended_at, ..with(3, "old-1") }], Told::default());
        let client = day.last_client().unwrap();
        assert_eq!((client.version.as_deref(), client.editor.as_deref()), (version, Some(editor)));
        assert_eq!(client.plugin.as_deref(), Some("copilot/1.297.0"));
    }
}

#[test]
fn the_closed_endpoints_lines_count_who_accepted_and_who_prompted() {
    let accepted = ToldSuggestion { accepted: true, ..ToldSuggestion::default() };
    let one = day(&[completion(1, "ada"), chat(2, "ada")], shown(accepted));
    let other = day(&[completion(3, "grace"), chat(4, "grace"), step(5, "grace")], Told::default());
    let sum = OrganizationDay::of([&one, &other]);
    let line = |chat, editor: Option<&str>, model: Option<&str>, language: Option<&str>| {
        let [editor, model, language] = [editor, model, language].map(|name| name.map(str::to_owned));
        sum.engaged.get(&Engagement { chat, editor, model, language }).copied()
    };
    let (vscode, model, python) = (Some("vscode"), Some("gpt-4o-copilot"), Some("python"));
    for (editor, model, language) in
        [(None, None, None), (None, None, python), (vscode, None, None), (vscode, model, None), (vscode, model, python)]
    {
        assert_eq!(line(false, editor, model, language), Some(1), "{editor:?} {model:?} {language:?}");
    }
    assert_eq!(line(true, None, None, None), Some(2));
    assert_eq!(line(true, vscode, Some("gpt-4o"), None), Some(2));
    assert_eq!(sum.engaged.len(), 8);
    assert_eq!((sum.users, sum.users_with_telemetry, sum.users_by_surface), (2, 1, [2, 2, 0, 0, 0]));
}

fn is_counted(event: &&UsageEvent) -> bool {
    event.class != Class::Noise
}

fn interactions(events: &[UsageEvent]) -> usize {
    let prompts = events
        .iter()
        .filter(|event| (event.kind, event.class) == (Kind::Chat, Class::Turn) && event.feature != "agent_edit");
    let named: BTreeSet<_> = prompts.clone().filter_map(|event| event.interaction_id.as_ref()).collect();
    named.len() + prompts.filter(|event| event.interaction_id.is_none()).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_identities_hold_for_any_events(events in any_usage(), telemetry in any::<bool>()) {
        let day = day(&events, Told { telemetry, ..Told::default() });
        let totals = day.totals();
        let sum = |count: fn(&UsageEvent) -> u64| events.iter().filter(is_counted).map(count).sum::<u64>();
        prop_assert_eq!(totals.counts.requests, sum(|_| 1));
        prop_assert_eq!(totals.counts.turns, sum(|event| (event.class == Class::Turn).into()));
        prop_assert_eq!(totals.counts.interactions, interactions(&events) as u64);
        prop_assert_eq!(totals.counts.lines_removed, sum(|event| event.edits.lines_removed));
        prop_assert_eq!(totals.counts.lines_added, sum(|event| event.edits.lines_added));
        let Tokens { input, .. } = events.iter().filter(is_counted).fold(Tokens::default(), |mut sum, event| {
            sum.input = Some(sum.input.unwrap_or_default() + event.tokens.input.unwrap_or_default());
            sum
        });
        prop_assert_eq!(totals.counts.input_tokens, input.unwrap_or_default());
        for (cell, counts) in &day.cells {
            let is_no_editor = ["copilot_cli", "copilot_app"].contains(&&*cell.feature);
            prop_assert_eq!(cell.ide.is_empty(), is_no_editor);
            let has_no_prompts = ["code_completion", "agent_edit"].contains(&&*cell.feature);
            prop_assert!(!has_no_prompts || counts.interactions == 0);
            prop_assert!(cell.feature != "agent_edit" || (counts.lines_suggested, counts.acceptances) == (0, 0));
            prop_assert!(cell.feature != "code_completion" || !telemetry || counts.generations == 0);
            prop_assert!(!counts.is_none());
        }
    }

    #[test]
    fn everybodys_day_is_the_sum_whoever_came_and_went(days in proptest::collection::vec(any_usage(), 1..5)) {
        let days: Vec<_> = days.iter().map(|events| day(events, Told::default())).collect();
        let mut sum = OrganizationDay::of(&days);
        for (gone, out) in days.iter().enumerate() {
            sum.subtract(out);
            prop_assert_eq!(&sum, &OrganizationDay::of(&days[gone + 1..]));
        }
        prop_assert_eq!(sum, OrganizationDay::default());
    }
}
