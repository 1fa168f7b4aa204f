//! The record of organization-1-day and enterprise-1-day, and the wrapper of the reports over 28 days.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::adoption::{PhaseTotals, window};
use super::breakdown::{Breakdown, Source};
use super::client::ClientTotals;
use super::{Gaps, Window, milliseconds};
use crate::usage::{Activity, OrganizationSums, Surface};

const DAY: u32 = 1;
const WEEK: u32 = 7;
const MONTH: u32 = 28;

/// How many users were active on a day and in the days before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audience {
    /// On the day.
    pub daily: u64,
    /// In the 7 days that end with it.
    pub weekly: u64,
    /// In the 28 days that end with it.
    pub monthly: u64,
    monthly_chat: u64,
    monthly_agent: u64,
    daily_cli: u64,
    daily_app: u64,
}

impl Audience {
    /// Of the day so many days before the last one of everybody's activity.
    #[must_use]
    pub fn of(everybody: &[Activity], ago: u32) -> Self {
        let active = |days: u32| count(everybody, |user| window(user.active, ago, days));
        let used = |surface: Surface, days: u32| {
            let bits = move |user: &Activity| user.surfaces.get(surface as usize).copied().unwrap_or_default();
            count(everybody, move |user| window(bits(user), ago, days))
        };
        Self {
            daily: active(DAY),
            weekly: active(WEEK),
            monthly: active(MONTH),
            monthly_chat: used(Surface::Chat, MONTH),
            monthly_agent: used(Surface::Agent, MONTH),
            daily_cli: used(Surface::Cli, DAY),
            daily_app: used(Surface::App, DAY),
        }
    }

    /// Whether nobody was active for 28 days.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.monthly == 0
    }
}

fn count(everybody: &[Activity], days: impl Fn(&Activity) -> u64) -> u64 {
    everybody.iter().filter(|user| days(user) != 0).count() as u64
}

/// What everybody did on one day.
///
/// Of GitHub's fields there are missing: the entity's ids and partitions (not known here), and what clients report to GitHub alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Organization<'a> {
    day: NaiveDate,
    daily_active_users: u64,
    weekly_active_users: u64,
    monthly_active_users: u64,
    monthly_active_chat_users: u64,
    monthly_active_agent_users: u64,
    /// Left out where there are none, as at GitHub.
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_active_cli_users: Option<u64>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_active_copilot_app_users: Option<u64>,
    #[serde(flatten)]
    unseen: Option<Unseen>,
    #[serde(flatten)]
    breakdown: Breakdown<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals_by_cli: Option<ClientTotals<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals_by_copilot_app: Option<ClientTotals<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals_by_ai_adoption_phase: Option<Vec<PhaseTotals>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_requests: Option<PullRequests>,
}

/// Users of what works on GitHub's side and never passes a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Unseen {
    daily_active_copilot_cloud_agent_users: u64,
    weekly_active_copilot_cloud_agent_users: u64,
    monthly_active_copilot_cloud_agent_users: u64,
    daily_active_copilot_code_review_users: u64,
    weekly_active_copilot_code_review_users: u64,
    monthly_active_copilot_code_review_users: u64,
    daily_passive_copilot_code_review_users: u64,
    weekly_passive_copilot_code_review_users: u64,
    monthly_passive_copilot_code_review_users: u64,
    daily_active_vscode_agent_users: u64,
    weekly_active_vscode_agent_users: u64,
    monthly_active_vscode_agent_users: u64,
}

/// `pull_requests`, which never pass a proxy either. Medians are left out, as GitHub does where nothing was merged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct PullRequests {
    total_created: u64,
    total_reviewed: u64,
    total_merged: u64,
    total_suggestions: u64,
    total_applied_suggestions: u64,
    total_created_by_copilot: u64,
    total_reviewed_by_copilot: u64,
    total_merged_created_by_copilot: u64,
    total_merged_reviewed_by_copilot: u64,
    total_copilot_suggestions: u64,
    total_copilot_applied_suggestions: u64,
    copilot_suggestions_by_comment_type: [(); 0],
}

/// The record of everybody's day. Acceptances are the sum over the users with telemetry, and unknown where there are none.
/// `phases` is `None` where they were not asked for.
#[must_use]
pub fn organization(
    day: NaiveDate,
    usage: &OrganizationSums,
    audience: Audience,
    phases: Option<Vec<PhaseTotals>>,
    gaps: Gaps,
) -> Organization<'_> {
    let source = Source {
        by_ide: &usage.by_ide,
        by_language: &usage.by_language,
        by_model: &usage.by_model,
        by_language_and_model: &usage.by_language_and_model,
        telemetry: usage.users_with_telemetry > 0,
        clients: None,
    };
    Organization {
        day,
        daily_active_users: audience.daily,
        weekly_active_users: audience.weekly,
        monthly_active_users: audience.monthly,
        monthly_active_chat_users: audience.monthly_chat,
        monthly_active_agent_users: audience.monthly_agent,
        daily_active_cli_users: Some(audience.daily_cli).filter(|users| *users > 0),
        daily_active_copilot_app_users: Some(audience.daily_app).filter(|users| *users > 0),
        unseen: gaps.fill(None),
        breakdown: source.breakdown(gaps),
        totals_by_cli: ClientTotals::of_cli(&source, usage.cli_sessions, gaps),
        totals_by_copilot_app: ClientTotals::of_app(&source, usage.app_sessions, gaps),
        totals_by_ai_adoption_phase: phases.filter(|phases| !phases.is_empty()),
        pull_requests: gaps.fill(None),
    }
}

/// The wrapper of organization-28-day and enterprise-28-day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrganizationReport<'a> {
    /// The days it covers.
    #[serde(flatten)]
    pub window: Window,
    /// When it was made.
    #[serde(serialize_with = "milliseconds")]
    pub created_at: DateTime<Utc>,
    /// One record a day.
    pub day_totals: Vec<Organization<'a>>,
}
