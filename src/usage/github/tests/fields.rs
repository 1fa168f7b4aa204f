//! Every field that GitHub documents is served, or left out for a reason that is told here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::usage::{Activity, Totals};

/// `github/docs`, "Data available in Copilot usage metrics" and "Example schema for Copilot usage metrics", September 2026. A
/// path with `+7` stands for GitHub's seven counters below it, one with `+6` for those without interactions.
const USER: &str = "
day string
user_id integer
user_login string
enterprise_id string
organization_id string
etl_id string
day_partition string
entity_id_partition integer
+7
used_agent boolean
used_chat boolean
used_cli boolean
used_copilot_app boolean
used_copilot_cloud_agent boolean
used_copilot_coding_agent boolean
used_copilot_code_review_active null
used_copilot_code_review_passive null
used_vscode_agent boolean
ai_credits_used number
ai_adoption_phase.phase_number integer
ai_adoption_phase.phase string
ai_adoption_phase.version string
totals_by_ide[].ide string
totals_by_ide[].+7
totals_by_ide[].last_known_ide_version.ide_version string
totals_by_ide[].last_known_ide_version.sampled_at string
totals_by_ide[].last_known_plugin_version.plugin string
totals_by_ide[].last_known_plugin_version.plugin_version string
totals_by_ide[].last_known_plugin_version.sampled_at string
totals_by_feature[].feature string
totals_by_feature[].+7
totals_by_language_feature[].language string
totals_by_language_feature[].feature string
totals_by_language_feature[].+6
totals_by_language_model[].language string
totals_by_language_model[].model string
totals_by_language_model[].+6
totals_by_model_feature[].model string
totals_by_model_feature[].feature string
totals_by_model_feature[].+7
totals_by_cli.session_count integer
totals_by_cli.request_count integer
totals_by_cli.prompt_count integer
totals_by_cli.token_usage.output_tokens_sum integer
totals_by_cli.token_usage.prompt_tokens_sum integer
totals_by_cli.token_usage.avg_tokens_per_request number
totals_by_cli.last_known_cli_version.cli_version string
totals_by_cli.last_known_cli_version.sampled_at string
totals_by_copilot_app.session_count integer
totals_by_copilot_app.request_count integer
totals_by_copilot_app.prompt_count integer
totals_by_copilot_app.token_usage.output_tokens_sum integer
totals_by_copilot_app.token_usage.prompt_tokens_sum integer
totals_by_copilot_app.token_usage.avg_tokens_per_request number
totals_by_vscode_agent.session_count integer
totals_by_vscode_agent.total_user_messages integer
totals_by_3rd_party_agent[].agent_id string
totals_by_3rd_party_agent[].agent_name string
totals_by_3rd_party_agent[].user_initiated_interaction_count integer
totals_by_3rd_party_agent[].session_count integer
totals_by_skill[].skill string
totals_by_skill[].interaction_count integer
totals_by_custom_agent[].custom_agent string
totals_by_custom_agent[].interaction_count integer
totals_by_mcp[].mcp string
totals_by_mcp[].interaction_count integer
totals_by_slash_cmd[].slash_cmd string
totals_by_slash_cmd[].interaction_count integer
totals_by_plugin[].plugin string
totals_by_plugin[].interaction_count integer
distinct_skill_use_count integer
distinct_custom_agent_use_count integer
distinct_mcp_use_count integer
distinct_slash_cmd_use_count integer
distinct_plugin_use_count integer
";

/// The same page; GitHub has no example of an organisation's record, and that of an enterprise differs in its id alone.
const ORGANIZATION: &str = "
day string
enterprise_id string
organization_id string
etl_id string
day_partition string
entity_id_partition integer
+7
daily_active_users integer
weekly_active_users integer
monthly_active_users integer
monthly_active_chat_users integer
monthly_active_agent_users integer
daily_active_cli_users integer
daily_active_copilot_app_users integer
daily_active_copilot_cloud_agent_users integer
weekly_active_copilot_cloud_agent_users integer
monthly_active_copilot_cloud_agent_users integer
daily_active_copilot_code_review_users integer
weekly_active_copilot_code_review_users integer
monthly_active_copilot_code_review_users integer
daily_passive_copilot_code_review_users integer
weekly_passive_copilot_code_review_users integer
monthly_passive_copilot_code_review_users integer
daily_active_vscode_agent_users integer
weekly_active_vscode_agent_users integer
monthly_active_vscode_agent_users integer
totals_by_ide[].ide string
totals_by_ide[].+7
totals_by_feature[].feature string
totals_by_feature[].+7
totals_by_language_feature[].language string
totals_by_language_feature[].feature string
totals_by_language_feature[].+6
totals_by_language_model[].language string
totals_by_language_model[].model string
totals_by_language_model[].+6
totals_by_model_feature[].model string
totals_by_model_feature[].feature string
totals_by_model_feature[].+7
totals_by_cli.session_count integer
totals_by_cli.request_count integer
totals_by_cli.prompt_count integer
totals_by_cli.token_usage.output_tokens_sum integer
totals_by_cli.token_usage.prompt_tokens_sum integer
totals_by_cli.token_usage.avg_tokens_per_request number
totals_by_copilot_app.session_count integer
totals_by_copilot_app.request_count integer
totals_by_copilot_app.prompt_count integer
totals_by_copilot_app.token_usage.output_tokens_sum integer
totals_by_copilot_app.token_usage.prompt_tokens_sum integer
totals_by_copilot_app.token_usage.avg_tokens_per_request number
totals_by_ai_adoption_phase[].phase string
totals_by_ai_adoption_phase[].phase_number integer
totals_by_ai_adoption_phase[].total_engaged_users integer
totals_by_ai_adoption_phase[].avg_user_initiated_interactions number
totals_by_ai_adoption_phase[].avg_code_generation_activities number
totals_by_ai_adoption_phase[].avg_code_acceptance_activities number
totals_by_ai_adoption_phase[].avg_loc_added number
totals_by_ai_adoption_phase[].avg_loc_deleted number
totals_by_ai_adoption_phase[].total_pull_requests_merged integer
totals_by_ai_adoption_phase[].avg_pull_requests_reviewed number
totals_by_ai_adoption_phase[].avg_pull_requests_created number
totals_by_ai_adoption_phase[].avg_pull_requests_merged number
totals_by_ai_adoption_phase[].avg_pull_requests_median_minutes_to_merge number
totals_by_ai_adoption_phase[].avg_pull_requests_minutes_to_review number
totals_by_ai_adoption_phase[].avg_pull_requests_review_cycles number
pull_requests.total_created integer
pull_requests.total_reviewed integer
pull_requests.total_merged integer
pull_requests.median_minutes_to_merge number
pull_requests.total_suggestions integer
pull_requests.total_applied_suggestions integer
pull_requests.total_created_by_copilot integer
pull_requests.total_reviewed_by_copilot integer
pull_requests.total_merged_created_by_copilot integer
pull_requests.total_merged_reviewed_by_copilot integer
pull_requests.median_minutes_to_merge_copilot_authored number
pull_requests.median_minutes_to_merge_copilot_reviewed number
pull_requests.total_copilot_suggestions integer
pull_requests.total_copilot_applied_suggestions integer
pull_requests.copilot_suggestions_by_comment_type[].comment_type string
pull_requests.copilot_suggestions_by_comment_type[].total_copilot_suggestions integer
pull_requests.copilot_suggestions_by_comment_type[].total_copilot_applied_suggestions integer
totals_by_skill[].skill string
totals_by_custom_agent[].custom_agent string
totals_by_mcp[].mcp string
totals_by_slash_cmd[].slash_cmd string
totals_by_plugin[].plugin string
";

/// Fields that are not served, by the beginning of their paths, and why.
const LEFT_OUT: [(&str, &str); 20] = [
    ("enterprise_id", "GitHub's number of the enterprise is not known"),
    ("organization_id", "GitHub's number of the organisation is not known"),
    ("etl_id", "housekeeping of GitHub's"),
    ("day_partition", "housekeeping of GitHub's"),
    ("entity_id_partition", "housekeeping of GitHub's"),
    ("totals_by_vscode_agent", "optional; which requests GitHub counts is not documented"),
    ("totals_by_3rd_party_agent", "optional; they run on GitHub's side"),
    ("totals_by_skill", "optional; its unit is told to GitHub alone"),
    ("totals_by_custom_agent", "optional; its unit is told to GitHub alone"),
    ("totals_by_mcp", "optional; its unit, attempts to connect, is told to GitHub alone"),
    ("totals_by_slash_cmd", "optional; its unit is told to GitHub alone"),
    ("totals_by_plugin", "optional; its unit is told to GitHub alone"),
    ("distinct_skill_use_count", "optional; as totals_by_skill"),
    ("distinct_custom_agent_use_count", "optional; as totals_by_custom_agent"),
    ("distinct_mcp_use_count", "optional; as totals_by_mcp"),
    ("distinct_slash_cmd_use_count", "optional; as totals_by_slash_cmd"),
    ("distinct_plugin_use_count", "optional; as totals_by_plugin"),
    ("pull_requests.median_minutes_to_merge", "as where nothing was merged, as authored and reviewed"),
    ("pull_requests.copilot_suggestions_by_comment_type[]", "the list is empty"),
    ("pull_requests.median_minutes_to_merge_copilot", "as where nothing was merged"),
];

const COUNTERS: [&str; 7] = [
    "user_initiated_interaction_count",
    "code_generation_activity_count",
    "code_acceptance_activity_count",
    "loc_suggested_to_add_sum",
    "loc_suggested_to_delete_sum",
    "loc_added_sum",
    "loc_deleted_sum",
];

/// Paths and types of a table above.
fn documented(table: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for line in table.lines().filter(|line| !line.is_empty()) {
        match line.split_once(' ') {
            Some((path, kind)) => drop(fields.insert(path.to_owned(), kind.to_owned())),
            None => {
                let skipped = if line.ends_with("+6") { 1 } else { 0 };
                let place = line.trim_end_matches(['+', '6', '7']);
                let counters = COUNTERS.iter().skip(skipped);
                fields.extend(counters.map(|counter| (format!("{place}{counter}"), "integer".to_owned())));
            }
        }
    }
    fields
}

/// Paths and types of what a record holds at its leaves.
fn found(record: &Value) -> BTreeMap<String, String> {
    fn look(value: &Value, path: &str, fields: &mut BTreeMap<String, String>) {
        let dot = if path.is_empty() { "" } else { "." };
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| look(value, &format!("{path}{dot}{name}"), fields));
            }
            Value::Array(items) => items.iter().for_each(|item| look(item, &format!("{path}[]"), fields)),
            leaf => drop(fields.insert(path.to_owned(), kind(leaf).to_owned())),
        }
    }
    let mut fields = BTreeMap::new();
    look(record, "", &mut fields);
    fields
}

fn kind(leaf: &Value) -> &'static str {
    match leaf {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        _ => "null",
    }
}

#[track_caller]
fn assert_documented(record: &Value, table: &str) {
    let (documented, found) = (documented(table), found(record));
    for (path, kind) in &found {
        assert_eq!(documented.get(path), Some(kind), "{path}");
    }
    let is_excused = |path: &&String| LEFT_OUT.iter().any(|(start, _)| path.starts_with(start));
    let missing: BTreeSet<_> = documented.keys().filter(|path| !found.contains_key(*path)).collect();
    let unexcused: Vec<_> = missing.iter().filter(|path| !is_excused(path)).collect();
    assert!(unexcused.is_empty(), "neither served nor excused: {unexcused:?}");
}

fn activity(surface: usize) -> Activity {
    let mut surfaces = [0; 5];
    surfaces[surface] = 0b11;
    Activity { user: "ada".to_owned(), active: 0b11, surfaces }
}

#[test]
fn a_users_record_has_githubs_fields() {
    assert_documented(&record_of(&ada(), Gaps::Zero), USER);
}

#[test]
fn an_organizations_record_has_githubs_fields() {
    let ada = ada();
    let (usage, totals) =
        (OrganizationSums::of(&OrganizationDay::of([&ada])), Totals { telemetry: true, ..ada.totals() });
    let everybody = [activity(3), Activity { surfaces: [0, 0, 0, 0, 1], ..activity(4) }];
    let phases = phases([(phase(everybody.first(), 0), &totals)], Gaps::Zero);
    let record = organization(day(), &usage, Audience::of(&everybody, 0), Some(phases), Gaps::Zero);
    assert_documented(&value(&record), ORGANIZATION);
}

#[test]
fn every_excuse_is_needed() {
    let all: BTreeMap<String, String> = documented(USER).into_iter().chain(documented(ORGANIZATION)).collect();
    for (start, reason) in LEFT_OUT {
        assert!(all.keys().any(|path| path.starts_with(start)), "{start}: {reason}");
    }
}
