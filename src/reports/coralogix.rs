//! GitHub's reports as gauges with the names of Coralogix's integration for GitHub Copilot: of its 110 those that captured
//! traffic can know. They are read from the same records that the reports have, field by field as the integration does; what
//! is not known is absent. Each is of one complete UTC day; the original, too, serves the newest report as it is.

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::Value;

use super::breakdown::bounded;
use super::exposition::{Labels, Sheet};
use super::{Person, team_id};
use crate::usage::github::{AdoptionPhase, Audience, Gaps, PhaseTotals};
use crate::usage::{OrganizationDay, OrganizationSums, UserDay, github};

/// Words of one kind that an organization's series tell apart, and those that a user's do.
pub(super) const ORGANIZATION_WORDS: usize = 48;
const USER_WORDS: usize = 12;

/// A field of a record, as a path of keys, with the name of its gauge and what it is.
type Field = (&'static [&'static str], &'static str, &'static str);

const AUDIENCE: [Field; 6] = [
    (&["daily_active_users"], "daily_active_users", "Users active on a UTC day"),
    (&["weekly_active_users"], "weekly_active_users", "Users active in the 7 UTC days that end with it"),
    (&["monthly_active_users"], "monthly_active_users", "Users active in the 28 UTC days that end with it"),
    (&["monthly_active_chat_users"], "monthly_active_chat_users", "Users of chat in the 28 UTC days that end with it"),
    (
        &["monthly_active_agent_users"],
        "monthly_active_agent_users",
        "Users of agents in the 28 UTC days that end with it",
    ),
    (&["daily_active_cli_users"], "daily_active_cli_users", "Users of the Copilot CLI on a UTC day"),
];

const INTERACTIONS: Field = (
    &["user_initiated_interaction_count"],
    "user_initiated_interaction_count",
    "Prompts that people sent on a UTC day",
);
const GENERATIONS: Field = (
    &["code_generation_activity_count"],
    "code_generation_activity_count",
    "Suggestions shown (returned, without telemetry), code blocks of answers and file edits of a UTC day",
);
const ACCEPTANCES: Field = (
    &["code_acceptance_activity_count"],
    "code_acceptance_activity_count",
    "Suggestions accepted and code blocks copied, inserted or applied on a UTC day, of users with telemetry",
);
const SUGGESTED: Field = (
    &["loc_suggested_to_add_sum"],
    "loc_suggested_to_add_sum",
    "Lines of code suggested on a UTC day, but for file edits",
);
const SUGGESTED_TO_DELETE: Field = (
    &["loc_suggested_to_delete_sum"],
    "loc_suggested_to_delete_sum",
    "Lines of code suggested for deletion on a UTC day: 0, as in GitHub's reports",
);
const ADDED: Field = (
    &["loc_added_sum"],
    "loc_added_sum",
    "Lines of code accepted, of users with telemetry, and of file edits of a UTC day",
);
const DELETED: Field = (&["loc_deleted_sum"], "loc_deleted_sum", "Lines of code that file edits of a UTC day delete");

const COUNTERS: [Field; 7] = [INTERACTIONS, GENERATIONS, ACCEPTANCES, SUGGESTED, SUGGESTED_TO_DELETE, ADDED, DELETED];
const BY_LANGUAGE: [Field; 6] = [GENERATIONS, ACCEPTANCES, SUGGESTED, SUGGESTED_TO_DELETE, ADDED, DELETED];
const BY_MODEL: [Field; 3] = [INTERACTIONS, GENERATIONS, ADDED];

const COMMAND_LINE: [Field; 6] = [
    (&["totals_by_cli", "session_count"], "cli_session_count", "Sessions of the Copilot CLI on a UTC day"),
    (&["totals_by_cli", "request_count"], "cli_request_count", "Calls of a model by the Copilot CLI on a UTC day"),
    (&["totals_by_cli", "prompt_count"], "cli_prompt_count", "Prompts sent with the Copilot CLI on a UTC day"),
    (
        &["totals_by_cli", "token_usage", "output_tokens_sum"],
        "cli_output_tokens_sum",
        "Tokens of answers to the Copilot CLI on a UTC day",
    ),
    (
        &["totals_by_cli", "token_usage", "prompt_tokens_sum"],
        "cli_prompt_tokens_sum",
        "Tokens of prompts of the Copilot CLI on a UTC day",
    ),
    (
        &["totals_by_cli", "token_usage", "avg_tokens_per_request"],
        "cli_avg_tokens_per_request",
        "Tokens of a call of the Copilot CLI on a UTC day, on average",
    ),
];

const PHASES: [Field; 5] = [
    (
        &["total_engaged_users"],
        "adoption_phase_engaged_users",
        "Users of a UTC day by phase of adoption, a low estimate: cloud agent and code review are not seen",
    ),
    (
        &["avg_user_initiated_interactions"],
        "adoption_phase_avg_user_initiated_interactions",
        "Prompts of a UTC day, on average over the users of a phase",
    ),
    (
        &["avg_code_generation_activities"],
        "adoption_phase_avg_code_generation_activities",
        "Generations of a UTC day, on average over the users of a phase",
    ),
    (
        &["avg_code_acceptance_activities"],
        "adoption_phase_avg_code_acceptance_activities",
        "Acceptances of a UTC day, on average over the users of a phase with telemetry",
    ),
    (
        &["avg_loc_added"],
        "adoption_phase_avg_loc_added",
        "Lines of code added on a UTC day, on average over the users of a phase with telemetry",
    ),
];

/// An array of a record: the end of the gauges' names, the keys that are labels, and the fields of each line.
type List = (&'static str, &'static str, &'static [&'static str], &'static [Field]);

const BREAKDOWNS: [List; 4] = [
    ("totals_by_ide", "_by_ide", &["ide"], &COUNTERS),
    ("totals_by_feature", "_by_feature", &["feature"], &COUNTERS),
    ("totals_by_language_feature", "_by_language_feature", &["language", "feature"], &BY_LANGUAGE),
    ("totals_by_model_feature", "_by_model_feature", &["model", "feature"], &BY_MODEL),
];
const PHASE_LINES: List = ("totals_by_ai_adoption_phase", "", &["phase"], &PHASES);

/// A record on its way into gauges.
struct Record {
    /// `org` or `user`.
    scope: &'static str,
    labels: Labels,
    json: Value,
}

impl Record {
    fn new(scope: &'static str, labels: Labels, record: &impl Serialize) -> Self {
        // A record is plain data with keys that are strings, so it has a JSON; an absent one would have no gauges.
        Self { scope, labels, json: serde_json::to_value(record).unwrap_or_default() }
    }

    fn fields(&self, sheet: &mut Sheet, of: &Value, by: &str, labels: &Labels, fields: &[Field]) {
        for (path, name, help) in fields {
            let value = path.iter().try_fold(of, |value, key| value.get(key)).and_then(Value::as_f64);
            if let Some(value) = value {
                sheet.set(&format!("github_copilot_{}_{name}{by}", self.scope), help, labels, value);
            }
        }
    }

    fn list(&self, sheet: &mut Sheet, (list, by, keys, fields): List) {
        for line in self.json.get(list).and_then(Value::as_array).into_iter().flatten() {
            let labels = keys.iter().fold(self.labels.clone(), |labels, key| {
                labels.with(key, line.get(key).and_then(Value::as_str).unwrap_or_default())
            });
            self.fields(sheet, line, by, &labels, fields);
        }
    }

    fn write(&self, sheet: &mut Sheet, fields: &[Field]) {
        for fields in [fields, &COUNTERS, &COMMAND_LINE] {
            self.fields(sheet, &self.json, "", &self.labels, fields);
        }
        BREAKDOWNS.into_iter().chain([PHASE_LINES]).for_each(|list| self.list(sheet, list));
    }
}

/// The organization's day.
pub(super) fn organization(
    sheet: &mut Sheet,
    organization: &str,
    (date, day): (NaiveDate, &OrganizationDay),
    audience: Audience,
    phases: Vec<PhaseTotals>,
) {
    let day = OrganizationDay { cells: bounded(&day.cells, ORGANIZATION_WORDS), ..day.clone() };
    let sums = OrganizationSums::of(&day);
    let record = github::organization(date, &sums, audience, Some(phases), Gaps::Omit);
    Record::new("org", Labels::default().with("organization", organization), &record).write(sheet, &AUDIENCE);
}

/// A user's day.
pub(super) fn user(
    sheet: &mut Sheet,
    organization: &str,
    person: &Person,
    (date, day): (NaiveDate, &UserDay),
    phase: AdoptionPhase,
) {
    let day = UserDay { cells: bounded(&day.cells, USER_WORDS), ..day.clone() };
    let record = github::user(person.identity(), (None, date), &day, phase, Gaps::Omit);
    Record::new("user", of_person(organization, person), &record).write(sheet, &[]);
}

fn of_person(organization: &str, person: &Person) -> Labels {
    named(organization, person)
        .with("user_email", person.email.as_deref().unwrap_or_default())
        // The original asks GitHub for the name of the profile; the allowlist's name is what is known here.
        .with("user_name", &person.name)
}

fn named(organization: &str, person: &Person) -> Labels {
    let id = person.github_id.map_or_else(String::new, |id| id.to_string());
    Labels::default().with("organization", organization).with("user_login", &person.login).with("user_id", &id)
}

/// The teams that a person is in, as joins need them.
pub(super) fn membership(sheet: &mut Sheet, organization: &str, person: &Person) {
    let help = "1 for each team of the allowlist that a user is in";
    for (slug, _) in person.teams_by_slug() {
        let id = team_id(&slug).to_string();
        let labels = named(organization, person).with("team_slug", &slug).with("team_id", &id);
        sheet.set("github_copilot_user_team_membership", help, &labels, 1.0);
    }
}

#[cfg(test)]
mod tests;
