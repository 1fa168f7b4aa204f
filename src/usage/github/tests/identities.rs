//! GitHub's identities between totals and breakdowns, of whatever cells.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::*;
use crate::copilot::observation::ChatActionKind;
use crate::usage::sample::any_events;
use crate::usage::{Told, ToldAction, ToldSuggestion, id_digest};

const ALL: [&str; 7] = [
    "user_initiated_interaction_count",
    "code_generation_activity_count",
    "code_acceptance_activity_count",
    "loc_suggested_to_add_sum",
    "loc_suggested_to_delete_sum",
    "loc_added_sum",
    "loc_deleted_sum",
];

fn counts() -> impl Strategy<Value = Counts> {
    prop::array::uniform14(prop_oneof![Just(0), 0_u64..1 << 40]).prop_map(|numbers| {
        let mut counts = Counts::default();
        counts.counters().into_iter().zip(numbers).for_each(|(count, number)| *count = number);
        counts
    })
}

fn features() -> impl Strategy<Value = &'static str> {
    let of_editors = ["code_completion", "chat_inline", "chat_panel_agent_mode", "agent_edit", "others", ""];
    select([&of_editors[..], &["copilot_cli", "copilot_app"]].concat())
}

fn cells() -> impl Strategy<Value = Cell> {
    let ide = select(vec!["vscode", "intellij", "others", "", "\u{202e}\"\n"]);
    let feature = features();
    let language = select(vec!["python", "unknown", "c#"]);
    let model = select(vec!["gpt-5.4", "unknown", "auto"]);
    (ide, feature, language, model).prop_map(|(ide, feature, language, model)| cell([ide, feature, language, model]))
}

fn days() -> impl Strategy<Value = UserDay> {
    (btree_map(cells(), counts(), 0..12), any::<bool>(), 0..3_u64)
        .prop_map(|(cells, telemetry, cli_sessions)| UserDay { telemetry, cells, cli_sessions, ..UserDay::default() })
}

/// What telemetry told, mostly of the sample events' requests and interactions.
fn told() -> impl Strategy<Value = Told> {
    let id = || option::of(select(vec!["request-0", "request-1", "interaction-1", "gone"]).prop_map(id_digest));
    let suggestion = (id(), any::<bool>(), any::<bool>(), 0..9_u64, 0..9_u64);
    let suggestion = suggestion.prop_map(|(request, shown, accepted, lines_shown, lines_accepted)| ToldSuggestion {
        request,
        shown,
        accepted,
        lines_shown,
        lines_accepted,
        ..ToldSuggestion::default()
    });
    let kinds = [ChatActionKind::Copied, ChatActionKind::Inserted, ChatActionKind::Applied, ChatActionKind::EditKept];
    let action = (id(), select(kinds.to_vec()), 0..9_u64).prop_map(|(exchange, kind, lines)| ToldAction {
        exchange,
        kind,
        lines,
        language: None,
        model: Some("gpt-5.4".to_owned()),
    });
    let lists = (vec(suggestion, 0..5), vec(action, 0..5));
    (any::<bool>(), lists).prop_map(|(telemetry, (suggestions, actions))| Told { telemetry, suggestions, actions })
}

/// A day as it is made of whatever exchanges and telemetry.
fn folded() -> impl Strategy<Value = UserDay> {
    (any_events(), vec(features(), 40), told()).prop_map(|(mut events, features, told)| {
        for (event, feature) in events.iter_mut().zip(features) {
            feature.clone_into(&mut event.feature);
        }
        UserDay::of(&events, told)
    })
}

fn sum(lines: &Value, counter: &str, is_in: impl Fn(&Value) -> bool) -> u64 {
    let lines = lines.as_array().unwrap();
    lines.iter().filter(|line| is_in(line)).map(|line| line[counter].as_u64().unwrap()).sum()
}

fn assert_identities(record: &Value) {
    let every = |_: &Value| true;
    let is_client = |line: &Value| ["copilot_cli", "copilot_app"].iter().any(|feature| line["feature"] == **feature);
    for (place, counter) in ALL.iter().enumerate() {
        let top = record[counter].as_u64().unwrap();
        assert_eq!(top, sum(&record["totals_by_feature"], counter, every), "by feature: {counter}");
        let of_clients = sum(&record["totals_by_feature"], counter, is_client);
        assert_eq!(top, sum(&record["totals_by_ide"], counter, every) + of_clients, "by ide: {counter}");
        if place > 0 {
            assert_eq!(top, sum(&record["totals_by_language_feature"], counter, every), "by language: {counter}");
            let models = sum(&record["totals_by_model_feature"], counter, every);
            assert_eq!(models, sum(&record["totals_by_language_model"], counter, every), "by model: {counter}");
        }
    }
    assert_no_twins(record);
}

/// No breakdown has two lines for the same.
fn assert_no_twins(record: &Value) {
    for (name, lines) in record.as_object().unwrap().iter().filter(|(_, lines)| lines.is_array()) {
        let key = |line: &Value| {
            let names = ["ide", "feature", "language", "model"].map(|name| line[name].as_str().map(str::to_owned));
            names.to_vec()
        };
        let mut keys: Vec<_> = lines.as_array().unwrap().iter().map(key).collect();
        keys.sort();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn totals_are_the_sums_of_breakdowns(days in vec(prop_oneof![days(), folded()], 0..4)) {
        for day in &days {
            let record = record_of(day, Gaps::Zero);
            assert_identities(&record);
            let has_chat = record["totals_by_feature"].as_array().unwrap().iter()
                .any(|line| line["feature"].as_str().unwrap().starts_with("chat_"));
            prop_assert_eq!(&record["used_chat"], has_chat);
            prop_assert_eq!(&record["used_cli"], record.get("totals_by_cli").is_some());
        }
        assert_identities(&organization_of(&days, Gaps::Zero));
    }

    /// What is left out is left out, and nothing else is other than where it is 0.
    #[test]
    fn leaving_out_changes_nothing_else(day in days()) {
        fn is_part(part: &Value, whole: &Value) -> bool {
            match (part, whole) {
                (Value::Object(part), Value::Object(whole)) => {
                    part.iter().all(|(name, value)| whole.get(name).is_some_and(|of| is_part(value, of)))
                }
                (Value::Array(part), Value::Array(whole)) => {
                    part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_part(part, whole))
                }
                _ => part == whole,
            }
        }
        prop_assert!(is_part(&record_of(&day, Gaps::Omit), &record_of(&day, Gaps::Zero)));
        prop_assert!(is_part(&organization_of([&day], Gaps::Omit), &organization_of([&day], Gaps::Zero)));
    }
}
