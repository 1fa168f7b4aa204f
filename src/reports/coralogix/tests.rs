//! The names and labels of Coralogix's gauges, and that what is unknown is in none of them.

use std::collections::BTreeSet;

use super::*;
use crate::usage::github::{phase, phases};
use crate::usage::{Activity, Cell, Cells, Counts, Totals};

/// The metrics of Coralogix's integration ("GitHub Copilot" in its documentation) that traffic can know, without the prefix that
/// all have. Those of billing, pull requests,
/// cloud agent and code review GitHub alone knows.
const SERVED: [&str; 84] = [
    "org_adoption_phase_avg_code_acceptance_activities",
    "org_adoption_phase_avg_code_generation_activities",
    "org_adoption_phase_avg_loc_added",
    "org_adoption_phase_avg_user_initiated_interactions",
    "org_adoption_phase_engaged_users",
    "org_cli_avg_tokens_per_request",
    "org_cli_output_tokens_sum",
    "org_cli_prompt_count",
    "org_cli_prompt_tokens_sum",
    "org_cli_request_count",
    "org_cli_session_count",
    "org_code_acceptance_activity_count",
    "org_code_acceptance_activity_count_by_feature",
    "org_code_acceptance_activity_count_by_ide",
    "org_code_acceptance_activity_count_by_language_feature",
    "org_code_generation_activity_count",
    "org_code_generation_activity_count_by_feature",
    "org_code_generation_activity_count_by_ide",
    "org_code_generation_activity_count_by_language_feature",
    "org_code_generation_activity_count_by_model_feature",
    "org_daily_active_cli_users",
    "org_daily_active_users",
    "org_loc_added_sum",
    "org_loc_added_sum_by_feature",
    "org_loc_added_sum_by_ide",
    "org_loc_added_sum_by_language_feature",
    "org_loc_added_sum_by_model_feature",
    "org_loc_deleted_sum",
    "org_loc_deleted_sum_by_feature",
    "org_loc_deleted_sum_by_ide",
    "org_loc_deleted_sum_by_language_feature",
    "org_loc_suggested_to_add_sum",
    "org_loc_suggested_to_add_sum_by_feature",
    "org_loc_suggested_to_add_sum_by_ide",
    "org_loc_suggested_to_add_sum_by_language_feature",
    "org_loc_suggested_to_delete_sum",
    "org_loc_suggested_to_delete_sum_by_feature",
    "org_loc_suggested_to_delete_sum_by_ide",
    "org_loc_suggested_to_delete_sum_by_language_feature",
    "org_monthly_active_agent_users",
    "org_monthly_active_chat_users",
    "org_monthly_active_users",
    "org_user_initiated_interaction_count",
    "org_user_initiated_interaction_count_by_feature",
    "org_user_initiated_interaction_count_by_ide",
    "org_user_initiated_interaction_count_by_model_feature",
    "org_weekly_active_users",
    "user_cli_avg_tokens_per_request",
    "user_cli_output_tokens_sum",
    "user_cli_prompt_count",
    "user_cli_prompt_tokens_sum",
    "user_cli_request_count",
    "user_cli_session_count",
    "user_code_acceptance_activity_count",
    "user_code_acceptance_activity_count_by_feature",
    "user_code_acceptance_activity_count_by_ide",
    "user_code_acceptance_activity_count_by_language_feature",
    "user_code_generation_activity_count",
    "user_code_generation_activity_count_by_feature",
    "user_code_generation_activity_count_by_ide",
    "user_code_generation_activity_count_by_language_feature",
    "user_code_generation_activity_count_by_model_feature",
    "user_loc_added_sum",
    "user_loc_added_sum_by_feature",
    "user_loc_added_sum_by_ide",
    "user_loc_added_sum_by_language_feature",
    "user_loc_added_sum_by_model_feature",
    "user_loc_deleted_sum",
    "user_loc_deleted_sum_by_feature",
    "user_loc_deleted_sum_by_ide",
    "user_loc_deleted_sum_by_language_feature",
    "user_loc_suggested_to_add_sum",
    "user_loc_suggested_to_add_sum_by_feature",
    "user_loc_suggested_to_add_sum_by_ide",
    "user_loc_suggested_to_add_sum_by_language_feature",
    "user_loc_suggested_to_delete_sum",
    "user_loc_suggested_to_delete_sum_by_feature",
    "user_loc_suggested_to_delete_sum_by_ide",
    "user_loc_suggested_to_delete_sum_by_language_feature",
    "user_team_membership",
    "user_user_initiated_interaction_count",
    "user_user_initiated_interaction_count_by_feature",
    "user_user_initiated_interaction_count_by_ide",
    "user_user_initiated_interaction_count_by_model_feature",
];

fn cell(ide: &str, feature: &str, language: &str, model: &str) -> Cell {
    let [ide, feature, language, model] = [ide, feature, language, model].map(str::to_owned);
    Cell { ide, feature, language, model }
}

fn completions() -> (Cell, Counts) {
    let counts = Counts {
        requests: 5,
        turns: 5,
        generations: 4,
        acceptances: 2,
        lines_suggested: 9,
        lines_added: 3,
        ..Counts::default()
    };
    (cell("vscode", "code_completion", "go", "gpt-41-copilot"), counts)
}

fn edits() -> (Cell, Counts) {
    let counts = Counts { generations: 2, lines_added: 20, lines_removed: 7, ..Counts::default() };
    (cell("vscode", "agent_edit", "unknown", "gpt-4o"), counts)
}

fn command_line() -> (Cell, Counts) {
    let counts =
        Counts { requests: 4, turns: 1, interactions: 1, input_tokens: 900, output_tokens: 100, ..Counts::default() };
    (cell("", "copilot_cli", "unknown", "gpt-4o"), counts)
}

fn ada() -> Person {
    let name = |name: &str| name.to_owned();
    Person {
        name: name("ada"),
        login: name("ada-l"),
        github_id: Some(7),
        email: Some(name("ada@example.com")),
        teams: vec![name("core")],
        enabled: true,
        plan: None,
    }
}

fn day(telemetry: bool) -> UserDay {
    let cells = [completions(), edits(), command_line()].into();
    UserDay { telemetry, cells, cli_sessions: 2, ..UserDay::default() }
}

fn written(sheet: &Sheet) -> String {
    let mut text = Vec::new();
    sheet.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

const DATE: NaiveDate = NaiveDate::from_ymd_opt(2025, 3, 14).unwrap();

fn told(telemetry: bool) -> String {
    let mut sheet = Sheet::default();
    let users_with_telemetry = u64::from(telemetry);
    let everybody = OrganizationDay {
        users: 1,
        users_with_telemetry,
        cells: day(true).cells,
        cli_sessions: 2,
        ..OrganizationDay::default()
    };
    let activity = [Activity { user: "ada".to_owned(), active: 3, surfaces: [3, 0, 3, 1, 0] }];
    let totals = Totals { telemetry, ..Totals::default() };
    let phases = phases([(phase(activity.first(), 0), &totals)], Gaps::Omit);
    organization(&mut sheet, "octo", (DATE, &everybody), Audience::of(&activity, 0), phases);
    user(&mut sheet, "octo", &ada(), (DATE, &day(telemetry)), phase(None, 0));
    membership(&mut sheet, "octo", &ada());
    written(&sheet)
}

fn names(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE github_copilot_")?.strip_suffix(" gauge")).collect()
}

fn value<'a>(text: &'a str, series: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix("github_copilot_")?.strip_prefix(series)?.strip_prefix(' '))
}

#[test]
fn every_gauge_that_traffic_can_know_is_served_and_no_other() {
    assert_eq!(names(&told(true)), SERVED.into());
}

#[test]
fn gauges_have_the_labels_and_sums_of_the_reports() {
    let text = told(true);
    let ada = r#"organization="octo",user_login="ada-l",user_id="7",user_email="ada@example.com",user_name="ada""#;
    for (series, expected) in [
        (r#"org_code_generation_activity_count{organization="octo"}"#.to_owned(), "6"),
        (r#"org_loc_added_sum_by_ide{organization="octo",ide="vscode"}"#.to_owned(), "23"),
        (r#"org_loc_deleted_sum_by_feature{organization="octo",feature="agent_edit"}"#.to_owned(), "7"),
        (r#"org_cli_avg_tokens_per_request{organization="octo"}"#.to_owned(), "250"),
        (format!("user_code_acceptance_activity_count{{{ada}}}"), "2"),
        (
            format!(
                r#"user_loc_suggested_to_add_sum_by_language_feature{{{ada},language="go",feature="code_completion"}}"#
            ),
            "9",
        ),
        (
            format!(
                r#"user_user_initiated_interaction_count_by_model_feature{{{ada},model="gpt-4o",feature="copilot_cli"}}"#
            ),
            "1",
        ),
        (format!("user_cli_session_count{{{ada}}}"), "2"),
        (
            format!(
                r#"user_team_membership{{organization="octo",user_login="ada-l",user_id="7",team_slug="core",team_id="{}"}}"#,
                team_id("core")
            ),
            "1",
        ),
    ] {
        assert_eq!(value(&text, &series), Some(expected), "{series} in\n{text}");
    }
    assert!(!text.contains("_by_ide{organization=\"octo\",ide=\"\"}"), "the command line is no editor");
}

#[test]
fn what_telemetry_alone_tells_is_absent_without_it() {
    let (with, without) = (told(true), told(false));
    for name in ["org_code_acceptance_activity_count", "org_loc_added_sum"] {
        let total = format!(r#"{name}{{organization="octo"}}"#);
        assert!(value(&with, &total).is_some() && value(&without, &total).is_none(), "{without}");
        // Of edits of files the requests tell all, and nobody accepts them.
        let of = |feature: &str| format!(r#"{name}_by_feature{{organization="octo",feature="{feature}"}}"#);
        assert!(value(&without, &of("agent_edit")).is_some() && value(&without, &of("code_completion")).is_none());
    }
    assert!(!without.contains("adoption_phase_avg_code_acceptance"), "{without}");
}

#[test]
fn the_command_line_is_absent_where_nobody_used_it_and_its_tokens_where_none_were_told() {
    let mut cells: Cells = [completions()].into();
    let mut sheet = Sheet::default();
    user(&mut sheet, "octo", &ada(), (DATE, &UserDay { cells: cells.clone(), ..UserDay::default() }), phase(None, 0));
    assert!(!written(&sheet).contains("_cli_"));
    let (cell, counts) = command_line();
    cells.insert(cell, Counts { input_tokens: 0, output_tokens: 0, ..counts });
    user(&mut sheet, "octo", &ada(), (DATE, &UserDay { cells, ..UserDay::default() }), phase(None, 0));
    let text = written(&sheet);
    assert!(text.contains("_cli_request_count") && !text.contains("_cli_output_tokens_sum"), "{text}");
    assert!(!text.contains("_cli_avg"), "{text}");
}

#[test]
fn however_many_words_clients_send_a_day_has_few_series() {
    let cells: Cells = (0..3000)
        .map(|n| (cell(&format!("i{n}"), &format!("f{n}"), &format!("l{n}"), &format!("m{n}")), completions().1))
        .collect();
    let mut sheet = Sheet::default();
    let day = UserDay { telemetry: true, cells: cells.clone(), ..UserDay::default() };
    user(&mut sheet, "octo", &ada(), (DATE, &day), phase(None, 0));
    let users = written(&sheet).lines().count();
    let day = OrganizationDay { cells, ..OrganizationDay::default() };
    organization(&mut sheet, "octo", (DATE, &day), Audience::default(), Vec::new());
    let all = written(&sheet).lines().count();
    assert!(users < 500 && all - users < 2000, "{users} and {}", all - users);
}
