//! GitHub's phases of adoption, as far as they can be told from what passes the proxy.
//!
//! An estimate, and a lower bound: the cloud agent and code review, which lead to phases 2 and 3, work on GitHub's side and
//! are not seen. A phase takes use on two days or more of the last 28: phase 1 of completions or an editor's agent mode,
//! phase 2 of one of cloud agent, code review and CLI, phase 3 of two of those or of the Copilot app.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Gaps;
use crate::usage::{Activity, Counts, Totals};

/// Days that a phase, and what GitHub calls a month, looks back upon.
const MONTH: u32 = 28;
/// Days on which a surface has to be used.
const ENOUGH_DAYS: u32 = 2;

/// `ai_adoption_phase` of a user: an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AdoptionPhase {
    phase_number: u8,
    phase: &'static str,
    version: &'static str,
}

impl AdoptionPhase {
    const ALL: [Self; 4] =
        [Self::new(0, "No Cohort"), Self::new(1, "Phase 1"), Self::new(2, "Phase 2"), Self::new(3, "Phase 3")];

    const fn new(phase_number: u8, phase: &'static str) -> Self {
        Self { phase_number, phase, version: "v1" }
    }
}

/// The days of `bits` in a window of so many days that ends so many days before bit 0.
pub(super) fn window(bits: u64, ago: u32, days: u32) -> u64 {
    let mask = 1_u64.checked_shl(days).map_or(u64::MAX, |bit| bit - 1);
    bits.checked_shr(ago).unwrap_or_default() & mask
}

/// The phase that a user has reached so many days before the last one of `activity`; the first one where there is none.
#[must_use]
pub fn phase(activity: Option<&Activity>, ago: u32) -> AdoptionPhase {
    let [none, first, second, third] = AdoptionPhase::ALL;
    let Some(activity) = activity else { return none };
    let [completion, _, agent, cli, app] = activity.surfaces.map(|bits| window(bits, ago, MONTH));
    let is_enough = |bits: u64| bits.count_ones() >= ENOUGH_DAYS;
    match () {
        () if is_enough(app) => third,
        () if is_enough(cli) => second,
        () if is_enough(completion | agent) => first,
        () => none,
    }
}

/// A line of `totals_by_ai_adoption_phase`: those of the day's users that are in one phase, and what they did that day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseTotals {
    phase: &'static str,
    phase_number: u8,
    total_engaged_users: u64,
    avg_user_initiated_interactions: f64,
    avg_code_generation_activities: f64,
    /// Over the users with telemetry, and so the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_code_acceptance_activities: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_loc_added: Option<f64>,
    avg_loc_deleted: f64,
    #[serde(flatten)]
    pull_requests: Option<PhasePullRequests>,
}

/// What capture cannot see of pull requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct PhasePullRequests {
    total_pull_requests_merged: u64,
    avg_pull_requests_reviewed: f64,
    avg_pull_requests_created: f64,
    avg_pull_requests_merged: f64,
    avg_pull_requests_median_minutes_to_merge: f64,
    avg_pull_requests_minutes_to_review: f64,
    avg_pull_requests_review_cycles: f64,
}

/// Users of one phase.
#[derive(Debug, Clone, Copy, Default)]
struct Cohort {
    users: u64,
    counts: Counts,
    users_with_telemetry: u64,
    /// Of the users with telemetry.
    told: Counts,
}

impl Cohort {
    fn add(&mut self, day: &Totals) {
        self.users += 1;
        self.counts.add(&day.counts);
        if day.telemetry {
            self.users_with_telemetry += 1;
            self.told.add(&day.counts);
        }
    }

    fn totals(&self, phase: AdoptionPhase, gaps: Gaps) -> PhaseTotals {
        let average = |count: u64| mean(count, self.users).unwrap_or_default();
        let told = |count: u64| gaps.fill(mean(count, self.users_with_telemetry));
        PhaseTotals {
            phase: phase.phase,
            phase_number: phase.phase_number,
            total_engaged_users: self.users,
            avg_user_initiated_interactions: average(self.counts.interactions),
            avg_code_generation_activities: average(self.counts.generations),
            avg_code_acceptance_activities: told(self.told.acceptances),
            avg_loc_added: told(self.told.lines_added),
            avg_loc_deleted: average(self.counts.lines_removed),
            pull_requests: gaps.fill(None),
        }
    }
}

fn mean(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

/// `totals_by_ai_adoption_phase` of a day, from its users' counts and the phase that each is in.
pub fn phases<'a>(users: impl IntoIterator<Item = (AdoptionPhase, &'a Totals)>, gaps: Gaps) -> Vec<PhaseTotals> {
    let mut cohorts: BTreeMap<AdoptionPhase, Cohort> = BTreeMap::new();
    for (phase, day) in users {
        cohorts.entry(phase).or_default().add(day);
    }
    cohorts.into_iter().map(|(phase, cohort)| cohort.totals(phase, gaps)).collect()
}
