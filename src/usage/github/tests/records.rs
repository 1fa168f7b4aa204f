//! What a user's and an organisation's record say of the invented day.

use serde_json::{Value, json};

use super::*;
use crate::usage::Activity;

fn line<'a>(record: &'a Value, breakdown: &str, name: &str, is: &str) -> &'a Value {
    record[breakdown].as_array().unwrap().iter().find(|line| line[name] == is).unwrap()
}

#[test]
fn a_users_record() {
    insta::assert_snapshot!(shown(&record_of(&ada(), Gaps::Zero)));
}

#[test]
fn an_organizations_record() {
    let grace = without_telemetry();
    insta::assert_snapshot!(shown(&organization_of([&ada(), &grace], Gaps::Zero)));
}

#[test]
fn without_telemetry_zeros_stand_for_what_is_unknown() {
    let record = record_of(&without_telemetry(), Gaps::Zero);
    assert_eq!(record["code_acceptance_activity_count"], 0);
    assert_eq!(record["loc_added_sum"], 126);
    assert_eq!(record["used_copilot_cloud_agent"], false);
    assert_eq!(record["used_copilot_code_review_active"], Value::Null);
}

#[test]
fn what_is_unknown_is_left_out_wherever_it_is() {
    let record = record_of(&without_telemetry(), Gaps::Omit);
    let has =
        |line: &Value| ["code_acceptance_activity_count", "loc_added_sum"].map(|counter| line.get(counter).is_some());
    assert_eq!(has(&record), [false; 2]);
    for (feature, is_known) in
        [("code_completion", false), ("chat_inline", false), ("agent_edit", true), ("copilot_cli", true)]
    {
        assert_eq!(has(line(&record, "totals_by_feature", "feature", feature)), [is_known; 2], "{feature}");
        if feature != "chat_inline" {
            let by_language = line(&record, "totals_by_language_feature", "feature", feature);
            assert_eq!(has(by_language), [is_known; 2], "{feature}");
        }
    }
    assert_eq!(has(line(&record, "totals_by_ide", "ide", "vscode")), [false; 2]);
    assert_eq!(has(line(&record, "totals_by_language_model", "language", "rust")), [true; 2]);
    assert_eq!(line(&record, "totals_by_feature", "feature", "agent_edit")["loc_added_sum"], 120);
    for field in ["used_copilot_cloud_agent", "used_copilot_coding_agent", "used_copilot_code_review_active"] {
        assert_eq!(record.get(field), None, "{field}");
    }
    assert_eq!(has(&record_of(&ada(), Gaps::Omit)), [true; 2]);
}

#[test]
fn tokens_and_credits_that_nobody_told_are_unknown() {
    let mut usage = ada();
    for counts in usage.cells.values_mut() {
        (counts.input_tokens, counts.output_tokens, counts.nano_aiu) = (0, 0, 0);
    }
    usage.cli_sessions = 0;
    let omitted = record_of(&usage, Gaps::Omit);
    assert_eq!(omitted.get("ai_credits_used"), None);
    let cli = &omitted["totals_by_cli"];
    assert_eq!((&cli["token_usage"], cli.get("session_count")), (&json!({}), None));
    assert_eq!((&cli["request_count"], &cli["prompt_count"]), (&json!(8), &json!(3)));
    let zero = record_of(&usage, Gaps::Zero);
    assert_eq!(zero["ai_credits_used"], 0.0);
    let tokens = json!({"output_tokens_sum": 0, "prompt_tokens_sum": 0, "avg_tokens_per_request": 0.0});
    assert_eq!(zero["totals_by_cli"]["token_usage"], tokens);
}

#[test]
fn a_cli_without_version_is_of_an_unknown_one() {
    let mut usage = ada();
    usage.clients.get_mut("copilot_cli").unwrap().version = None;
    let cli = &record_of(&usage, Gaps::Zero)["totals_by_cli"]["last_known_cli_version"];
    assert_eq!(*cli, json!({"cli_version": "unknown", "sampled_at": "2026-03-12T09:01:30.000Z"}));
}

#[test]
fn of_an_organization_acceptance_is_known_where_one_user_tells() {
    let told = organization_of([&ada(), &without_telemetry()], Gaps::Omit);
    assert_eq!(told["code_acceptance_activity_count"], 6);
    let untold = organization_of([&without_telemetry()], Gaps::Omit);
    assert_eq!(untold.get("code_acceptance_activity_count"), None);
    assert_eq!(untold.get("pull_requests"), None);
    assert_eq!(untold.get("weekly_active_copilot_cloud_agent_users"), None);
}

#[test]
fn without_cli_and_app_there_are_none_of_their_fields() {
    let mut usage = ada();
    usage.cells.retain(|cell, _| !cell.ide.is_empty());
    for record in [record_of(&usage, Gaps::Zero), organization_of([&usage], Gaps::Zero)] {
        assert_eq!((record.get("totals_by_cli"), record.get("totals_by_copilot_app")), (None, None));
        assert_eq!((record.get("daily_active_cli_users"), record.get("daily_active_copilot_app_users")), (None, None));
    }
    let record = record_of(&usage, Gaps::Zero);
    assert_eq!((&record["used_cli"], &record["used_copilot_app"]), (&json!(false), &json!(false)));
}

#[test]
fn a_phase_takes_two_days_of_28() {
    let number = |surfaces: [u64; 5], ago: u32| {
        let activity = Activity { user: String::new(), active: u64::MAX, surfaces };
        value(&phase(Some(&activity), ago))["phase_number"].as_u64().unwrap()
    };
    let far = |days: u32| 1 | 1 << days;
    for (surfaces, expected) in [
        ([0; 5], 0),
        ([far(27), 0, 0, 0, 0], 1),
        ([far(28), 0, 0, 0, 0], 0),
        ([1, 0, 0, 0, 0], 0),
        // One day of completions and another of agent mode.
        ([1, 0, 2, 0, 0], 1),
        ([0, u64::MAX, 0, 0, 0], 0),
        ([0, 0, 3, 0, 0], 1),
        ([3, 0, 3, 3, 0], 2),
        ([3, 3, 3, 1, 3], 3),
    ] {
        assert_eq!(number(surfaces, 0), expected, "{surfaces:?}");
    }
    // Seen from 27 days before.
    assert_eq!(number([far(27), 0, 0, 0, 0], 27), 0);
    assert_eq!(number([1 << 27 | 1 << 54, 0, 0, 0, 0], 27), 1);
    assert_eq!(number([1 << 27 | 1 << 55, 0, 0, 0, 0], 27), 0);
    assert_eq!(value(&phase(None, 0)), json!({"phase_number": 0, "phase": "No Cohort", "version": "v1"}));
}

#[test]
fn active_users_of_a_day_a_week_and_a_month() {
    let user = |active: u64, surfaces: [u64; 5]| Activity { user: String::new(), active, surfaces };
    let everybody = [
        user(1, [1, 0, 0, 0, 0]),
        user(1 << 6, [0, 1 << 6, 0, 0, 0]),
        user(1 << 7, [0, 0, 1 << 7, 1 << 7, 0]),
        user(1 << 27, [0, 1 << 27, 1 << 27, 0, 0]),
        user(1 << 28, [0, 1 << 28, 1 << 28, 0, 1 << 28]),
    ];
    let seen = |ago: u32| {
        let usage = OrganizationSums::default();
        let record = value(&organization(day(), &usage, Audience::of(&everybody, ago), None, Gaps::Zero));
        let names = ["daily", "weekly", "monthly"].map(|span| format!("{span}_active_users"));
        let more = ["monthly_active_chat_users", "monthly_active_agent_users"].map(str::to_owned);
        let counts: Vec<_> = names.iter().chain(&more).map(|name| record[name].as_u64().unwrap()).collect();
        (counts, record["daily_active_cli_users"].as_u64(), record["daily_active_copilot_app_users"].as_u64())
    };
    assert_eq!(seen(0), (vec![1, 2, 4, 2, 2], None, None));
    assert_eq!(seen(7), (vec![1, 1, 3, 2, 3], Some(1), None));
    assert_eq!(seen(28), (vec![1, 1, 1, 1, 1], None, Some(1)));
    assert!(Audience::of(&everybody, 29).is_empty() && !Audience::of(&everybody, 28).is_empty());
}

#[test]
fn phases_of_an_organization_average_over_their_users() {
    let told = ada().totals();
    let untold = without_telemetry().totals();
    let [first, second] = [[3, 0, 0, 0, 0], [0, 0, 0, 3, 0]]
        .map(|surfaces| phase(Some(&Activity { user: String::new(), active: 3, surfaces }), 0));
    let lines = |gaps| value(&phases([(second, &told), (first, &untold), (second, &untold)], gaps));
    let zero = lines(Gaps::Zero);
    assert_eq!([&zero[0]["phase"], &zero[1]["phase"]], ["Phase 1", "Phase 2"]);
    assert_eq!([&zero[0]["total_engaged_users"], &zero[1]["total_engaged_users"]], [1, 2]);
    assert_eq!(zero[1]["avg_user_initiated_interactions"], 8.0);
    assert_eq!(zero[1]["avg_code_acceptance_activities"], 6.0, "over those with telemetry");
    assert_eq!(
        (&zero[0]["avg_code_acceptance_activities"], &zero[0]["avg_pull_requests_merged"]),
        (&json!(0.0), &json!(0.0))
    );
    let omitted = lines(Gaps::Omit);
    assert_eq!(omitted[0].get("avg_code_acceptance_activities").or(omitted[0].get("avg_pull_requests_merged")), None);
    assert_eq!(omitted[1]["avg_code_acceptance_activities"], 6.0);
}
