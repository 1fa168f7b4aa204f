//! The record of users-1-day and users-28-day.

use chrono::NaiveDate;
use serde::Serialize;

use super::adoption::AdoptionPhase;
use super::breakdown::{Breakdown, Source};
use super::client::ClientTotals;
use super::{Gaps, Identity};
use crate::usage::{Surface, UserDay};

/// Billionths of an AI credit in one.
const NANO: f64 = 1e9;

/// The days that a report over several covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Its first day.
    pub report_start_day: NaiveDate,
    /// Its last day.
    pub report_end_day: NaiveDate,
}

/// What one user did on one day.
///
/// Of GitHub's fields there are missing: the entity's ids and partitions (not known here), and what clients report to GitHub alone:
/// third-party and custom agents, skills, MCP servers, slash commands and plugins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct User<'a> {
    #[serde(flatten)]
    window: Option<Window>,
    day: NaiveDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<u64>,
    user_login: &'a str,
    #[serde(flatten)]
    breakdown: Breakdown<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals_by_cli: Option<ClientTotals<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals_by_copilot_app: Option<ClientTotals<'a>>,
    used_agent: bool,
    used_chat: bool,
    used_cli: bool,
    used_copilot_app: bool,
    #[serde(flatten)]
    unseen: Option<Unseen>,
    /// An estimate: see [`super::adoption`].
    ai_adoption_phase: AdoptionPhase,
    /// What answers told of their price.
    #[serde(skip_serializing_if = "Option::is_none")]
    ai_credits_used: Option<f64>,
}

/// What works on GitHub's side and never passes a proxy. Code review is null where there is no sign of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Unseen {
    used_copilot_cloud_agent: bool,
    used_copilot_coding_agent: bool,
    used_copilot_code_review_active: Option<bool>,
    used_copilot_code_review_passive: Option<bool>,
    used_vscode_agent: bool,
}

/// The record of a user's day. `window` is there in a report over several days.
#[must_use]
pub fn user<'a>(
    identity: Identity<'a>,
    (window, day): (Option<Window>, NaiveDate),
    usage: &'a UserDay,
    phase: AdoptionPhase,
    gaps: Gaps,
) -> User<'a> {
    let UserDay { cells, telemetry, clients, .. } = usage;
    let (telemetry, clients) = (*telemetry, Some(clients));
    let source =
        Source { by_ide: cells, by_language: cells, by_model: cells, by_language_and_model: cells, telemetry, clients };
    let surfaces = usage.surfaces();
    let nano_aiu = source.total().counts.nano_aiu;
    User {
        window,
        day,
        user_id: identity.id,
        user_login: identity.login,
        breakdown: source.breakdown(gaps),
        totals_by_cli: ClientTotals::of_cli(&source, usage.cli_sessions, gaps),
        totals_by_copilot_app: ClientTotals::of_app(&source, usage.app_sessions, gaps),
        used_agent: surfaces.has(Surface::Agent),
        used_chat: surfaces.has(Surface::Chat),
        used_cli: surfaces.has(Surface::Cli),
        used_copilot_app: surfaces.has(Surface::App),
        unseen: gaps.fill(None),
        ai_adoption_phase: phase,
        ai_credits_used: gaps.told(nano_aiu).map(|nano| nano as f64 / NANO),
    }
}
