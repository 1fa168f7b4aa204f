//! GitHub's reports as gauges with the names of Coralogix's integration for GitHub Copilot: of the 110 those that captured
//! traffic can know. Each is of one complete UTC day; the original, too, serves the newest report as it is.

use super::breakdown::{Sum, bounded, sums};
use super::exposition::{Labels, Sheet};
use super::{Person, team_id};
use crate::copilot::Feature;
use crate::usage::{Activity, Cells, OrganizationDay, Surface, UserDay};

/// Words of one kind that an organization's series tell apart, and those that a user's do.
pub(super) const ORGANIZATION_WORDS: usize = 48;
const USER_WORDS: usize = 12;

/// One of GitHub's counters: its name, what it is, and its value where that is known.
type Counter = (&'static str, &'static str, fn(&Sum) -> Option<u64>);

const INTERACTIONS: Counter =
    ("user_initiated_interaction_count", "Prompts that people sent on a UTC day", |sum| Some(sum.counts.interactions));
const GENERATIONS: Counter = (
    "code_generation_activity_count",
    "Suggestions shown (returned, without telemetry), code blocks of answers and file edits of a UTC day",
    |sum| Some(sum.counts.generations),
);
const ACCEPTANCES: Counter = (
    "code_acceptance_activity_count",
    "Suggestions accepted and code blocks copied, inserted or applied on a UTC day, of users with telemetry",
    Sum::acceptances,
);
const SUGGESTED: Counter =
    ("loc_suggested_to_add_sum", "Lines of code suggested on a UTC day, but for file edits", |sum| {
        Some(sum.counts.lines_suggested)
    });
/// GitHub's own reports have 0 here ("reserved for future support").
const SUGGESTED_TO_DELETE: Counter = (
    "loc_suggested_to_delete_sum",
    "Lines of code suggested for deletion on a UTC day: 0, as in GitHub's reports",
    |_| Some(0),
);
const ADDED: Counter = (
    "loc_added_sum",
    "Lines of code added on a UTC day, those of suggestions for users with telemetry",
    Sum::lines_added,
);
const DELETED: Counter =
    ("loc_deleted_sum", "Lines of code that file edits of a UTC day delete", |sum| Some(sum.counts.lines_removed));

const ALL: [Counter; 7] = [INTERACTIONS, GENERATIONS, ACCEPTANCES, SUGGESTED, SUGGESTED_TO_DELETE, ADDED, DELETED];
const BY_LANGUAGE: [Counter; 6] = [GENERATIONS, ACCEPTANCES, SUGGESTED, SUGGESTED_TO_DELETE, ADDED, DELETED];
const BY_MODEL: [Counter; 3] = [INTERACTIONS, GENERATIONS, ADDED];

/// Whose gauges they are.
struct Scope {
    /// `org` or `user`.
    name: &'static str,
    labels: Labels,
    telemetry: bool,
}

impl Scope {
    fn set(&self, sheet: &mut Sheet, by: &str, labels: &Labels, counters: &[Counter], sum: &Sum) {
        for (counter, help, value) in counters {
            let name = format!("github_copilot_{}_{counter}{by}", self.name);
            sheet.set_known(&name, help, labels, value(sum));
        }
    }

    fn cells(&self, sheet: &mut Sheet, cells: &Cells) {
        let mut all = sums(cells, self.telemetry, |_| Some(()));
        let total = all.remove(&()).unwrap_or_default();
        self.set(sheet, "", &self.labels, &ALL, &total);
        // The command line and the app are no editors.
        let ides = sums(cells, self.telemetry, |cell| (!cell.ide.is_empty()).then_some(&cell.ide));
        for (ide, sum) in ides {
            self.set(sheet, "_by_ide", &self.labels.with("ide", ide), &ALL, &sum);
        }
        for (feature, sum) in sums(cells, self.telemetry, |cell| Some(&cell.feature)) {
            self.set(sheet, "_by_feature", &self.labels.with("feature", feature), &ALL, &sum);
        }
        for ((language, feature), sum) in sums(cells, self.telemetry, |cell| Some((&cell.language, &cell.feature))) {
            let labels = self.labels.with("language", language).with("feature", feature);
            self.set(sheet, "_by_language_feature", &labels, &BY_LANGUAGE, &sum);
        }
        for ((model, feature), sum) in sums(cells, self.telemetry, |cell| Some((&cell.model, &cell.feature))) {
            let labels = self.labels.with("model", model).with("feature", feature);
            self.set(sheet, "_by_model_feature", &labels, &BY_MODEL, &sum);
        }
    }

    /// What GitHub tells of the command line apart; nothing where nobody used it.
    fn command_line(&self, sheet: &mut Sheet, cells: &Cells, sessions: u64) {
        let is_cli = |feature: &str| feature == Feature::CopilotCli.as_str();
        let of_cli = sums(cells, self.telemetry, |cell| is_cli(&cell.feature).then_some(())).remove(&());
        let Some(counts) = of_cli.map(|sum| sum.counts) else { return };
        let (output, prompt) = (counts.output_tokens, counts.input_tokens);
        // No call has no tokens: none are told, then.
        let tokens = output.saturating_add(prompt);
        let known = |count| (tokens > 0).then_some(count);
        let told = [
            ("session_count", "Sessions of the Copilot CLI on a UTC day", Some(sessions)),
            ("request_count", "Calls of a model by the Copilot CLI on a UTC day", Some(counts.requests)),
            ("prompt_count", "Prompts sent with the Copilot CLI on a UTC day", Some(counts.interactions)),
            ("output_tokens_sum", "Tokens of answers to the Copilot CLI on a UTC day", known(output)),
            ("prompt_tokens_sum", "Tokens of prompts of the Copilot CLI on a UTC day", known(prompt)),
        ];
        for (name, help, value) in told {
            sheet.set_known(&format!("github_copilot_{}_cli_{name}", self.name), help, &self.labels, value);
        }
        if counts.requests > 0 && tokens > 0 {
            let name = format!("github_copilot_{}_cli_avg_tokens_per_request", self.name);
            let help = "Tokens of a call of the Copilot CLI on a UTC day, on average";
            sheet.set(&name, help, &self.labels, tokens as f64 / counts.requests as f64);
        }
    }
}

/// How many users were active up to a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Active {
    pub(super) daily: u64,
    pub(super) weekly: u64,
    pub(super) monthly: u64,
    pub(super) monthly_chat: u64,
    pub(super) monthly_agent: u64,
    pub(super) daily_cli: u64,
}

impl Active {
    /// Days of GitHub's month.
    pub(super) const MONTH: u32 = 28;

    /// Of the day that lies `ago` days before the last of `activities`.
    pub(super) fn of(activities: &[Activity], ago: u32) -> Self {
        let users = |days: u32, of: &dyn Fn(&Activity) -> u64| {
            let is_in = |user: &&Activity| of(user).checked_shr(ago).unwrap_or(0) & ((1 << days) - 1) != 0;
            activities.iter().filter(is_in).count() as u64
        };
        let surface = |surface: Surface| {
            move |user: &Activity| {
                Surface::ALL.iter().zip(user.surfaces).find(|(one, _)| **one == surface).map_or(0, |(_, days)| days)
            }
        };
        let any = |user: &Activity| user.active;
        Self {
            daily: users(1, &any),
            weekly: users(7, &any),
            monthly: users(Self::MONTH, &any),
            monthly_chat: users(Self::MONTH, &surface(Surface::Chat)),
            monthly_agent: users(Self::MONTH, &surface(Surface::Agent)),
            daily_cli: users(1, &surface(Surface::Cli)),
        }
    }
}

/// The organization's day.
pub(super) fn organization(sheet: &mut Sheet, organization: &str, day: &OrganizationDay, active: &Active) {
    let labels = Labels::default().with("organization", organization);
    let cli = (active.daily_cli > 0).then_some(active.daily_cli);
    for (name, help, users) in [
        ("daily_active_users", "Users active on a UTC day", Some(active.daily)),
        ("weekly_active_users", "Users active in the 7 UTC days that end with it", Some(active.weekly)),
        ("monthly_active_users", "Users active in the 28 UTC days that end with it", Some(active.monthly)),
        ("monthly_active_chat_users", "Users of chat in the 28 UTC days that end with it", Some(active.monthly_chat)),
        (
            "monthly_active_agent_users",
            "Users of agents in the 28 UTC days that end with it",
            Some(active.monthly_agent),
        ),
        ("daily_active_cli_users", "Users of the Copilot CLI on a UTC day", cli),
    ] {
        sheet.set_known(&format!("github_copilot_org_{name}"), help, &labels, users);
    }
    let scope = Scope { name: "org", labels, telemetry: day.users_with_telemetry > 0 };
    let cells = bounded(&day.cells, ORGANIZATION_WORDS);
    scope.cells(sheet, &cells);
    scope.command_line(sheet, &cells, day.cli_sessions);
}

/// A user's day.
pub(super) fn user(sheet: &mut Sheet, organization: &str, person: &Person, day: &UserDay) {
    let scope = Scope { name: "user", labels: of_person(organization, person), telemetry: day.telemetry };
    let cells = bounded(&day.cells, USER_WORDS);
    scope.cells(sheet, &cells);
    scope.command_line(sheet, &cells, day.cli_sessions);
}

fn of_person(organization: &str, person: &Person) -> Labels {
    Labels::default()
        .with("organization", organization)
        .with("user_login", &person.login)
        .with("user_id", &person.github_id.map_or_else(String::new, |id| id.to_string()))
        .with("user_email", person.email.as_deref().unwrap_or_default())
        // The original asks GitHub for the name of the profile; the allowlist's name is what is known here.
        .with("user_name", &person.name)
}

/// The teams that a person is in, as joins need them.
pub(super) fn membership(sheet: &mut Sheet, organization: &str, person: &Person) {
    let help = "1 for each team of the allowlist that a user is in";
    for team in &person.teams {
        let labels = Labels::default()
            .with("organization", organization)
            .with("user_login", &person.login)
            .with("user_id", &person.github_id.map_or_else(String::new, |id| id.to_string()))
            .with("team_slug", team)
            .with("team_id", &team_id(team).to_string());
        sheet.set("github_copilot_user_team_membership", help, &labels, 1.0);
    }
}

#[cfg(test)]
mod tests;
