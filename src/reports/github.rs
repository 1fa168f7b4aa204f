//! GitHub's formats, asked of the store: see [`crate::usage::github`] for what they look like.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::ops::ControlFlow;

use chrono::{Datelike as _, Days, NaiveDate, Utc};

use super::lines::Lines;
use super::{Person, Reports, Result, team_id};
use crate::config::Unknown;
use crate::usage::github::{
    Audience, Billing, ClosedMetrics, Gaps, Holder, OrganizationReport, PhaseTotals, Seats, TeamMember, Window,
    billing, closed_metrics, organization, phase, phases, seat, user,
};
use crate::usage::{Activity, OrganizationDay, OrganizationSums};

/// Days of a report over a month.
const MONTH: u64 = 28;

impl Reports {
    /// users-1-day: a record for each user who did anything on the day, by name. Gives their number.
    ///
    /// # Errors
    /// See [`super::ReportError`]; what was written by then stays.
    pub fn users_1_day(&self, day: NaiveDate, out: &mut dyn Write) -> Result<u64> {
        self.users(None, (day, day), out)
    }

    /// users-28-day: a record for each user and day of the 28 that end with `end`, by day and name. Gives their number.
    ///
    /// # Errors
    /// See [`Reports::users_1_day`].
    pub fn users_28_day(&self, end: NaiveDate, out: &mut dyn Write) -> Result<u64> {
        let window = window(end);
        self.users(Some(window), (window.report_start_day, end), out)
    }

    fn users(&self, window: Option<Window>, (from, to): (NaiveDate, NaiveDate), out: &mut dyn Write) -> Result<u64> {
        let activity = self.store.activity(to)?;
        let activity: HashMap<&str, &Activity> = activity.iter().map(|user| (&*user.user, user)).collect();
        let mut lines = Lines::to(out);
        let mut written = Ok(());
        self.store.user_days(from, to, None, &mut |day, name, usage| {
            if usage.cells.is_empty() {
                return ControlFlow::Continue(());
            }
            let person = self.roster.person(name);
            let phase = phase(activity.get(name).copied(), days_between(day, to));
            written = lines.write(&user(person.identity(), (window, day), &usage, phase, self.gaps()));
            go_on(&written)
        })?;
        written?;
        Ok(lines.count())
    }

    /// organization-1-day and enterprise-1-day: the record of the day; none, and 0, where nobody was active on it and the 27
    /// days before.
    ///
    /// # Errors
    /// See [`Reports::users_1_day`].
    pub fn organization_1_day(&self, day: NaiveDate, out: &mut dyn Write) -> Result<u64> {
        let activity = self.store.activity(day)?;
        let audience = Audience::of(&activity, 0);
        let mut lines = Lines::to(out);
        if audience.is_empty() {
            return Ok(lines.count());
        }
        let usage = self.store.organization_sums(day, day)?.remove(&day).unwrap_or_default();
        let phases = self.phases(day, &activity, 0, self.gaps())?;
        lines.write(&organization(day, &usage, audience, Some(phases), self.gaps()))?;
        Ok(lines.count())
    }

    /// Who was in which phase of adoption on a day that lies `ago` days before the end of `activity`, and did what on it.
    pub(super) fn phases(
        &self,
        day: NaiveDate,
        activity: &[Activity],
        ago: u32,
        gaps: Gaps,
    ) -> Result<Vec<PhaseTotals>> {
        let totals = self.store.totals(day, day)?;
        let users = activity.iter().filter_map(|user| Some((phase(Some(user), ago), totals.get(&user.user)?)));
        Ok(phases(users, gaps))
    }

    /// organization-28-day and enterprise-28-day: one wrapper with the records of the 28 days that end with `end`, without those
    /// for which [`Reports::organization_1_day`] has none. They do not tell the phases of adoption, which would cost as much as 28
    /// reports.
    ///
    /// # Errors
    /// See [`Reports::users_1_day`].
    pub fn organization_28_day(&self, end: NaiveDate, out: &mut dyn Write) -> Result<u64> {
        let window = window(end);
        let activity = self.store.activity(end)?;
        let usage = self.store.organization_sums(window.report_start_day, end)?;
        let none = OrganizationSums::default();
        let day_totals = window.report_start_day.iter_days().take_while(|day| *day <= end).filter_map(|day| {
            let audience = Audience::of(&activity, days_between(day, end));
            let usage = usage.get(&day).unwrap_or(&none);
            (!audience.is_empty()).then(|| organization(day, usage, audience, None, self.gaps()))
        });
        let report = OrganizationReport { window, created_at: Utc::now(), day_totals: day_totals.collect() };
        let mut lines = Lines::to(out);
        lines.write(&report)?;
        Ok(lines.count())
    }

    /// user-teams-1-day: a record for each user on the allowlist and each of the user's teams, of whatever size. Teams are those
    /// of the allowlist as it is, for any day. Gives their number.
    ///
    /// # Errors
    /// See [`Reports::users_1_day`].
    pub fn user_teams_1_day(&self, day: NaiveDate, out: &mut dyn Write) -> Result<u64> {
        let mut lines = Lines::to(out);
        for person in self.roster.people() {
            for (slug, _) in person.teams_by_slug() {
                lines.write(&TeamMember::new(person.identity(), day, (team_id(&slug), &slug)))?;
            }
        }
        Ok(lines.count())
    }

    /// The closed `/copilot/metrics`, of all or of the team with that slug: a record for each day on which anybody was active,
    /// by day. A team that is not there has none: see [`super::Roster::team`].
    ///
    /// # Errors
    /// See [`super::ReportError`].
    pub fn copilot_metrics(&self, from: NaiveDate, to: NaiveDate, team: Option<&str>) -> Result<Vec<ClosedMetrics>> {
        let days = match team {
            None => self.store.organization_days(from, to)?,
            Some(slug) => self.team_days(from, to, slug)?,
        };
        Ok(days.iter().map(|(day, usage)| closed_metrics(*day, usage, self.gaps())).collect())
    }

    /// What the members of a team did, by day.
    fn team_days(&self, from: NaiveDate, to: NaiveDate, slug: &str) -> Result<BTreeMap<NaiveDate, OrganizationDay>> {
        let mut days: BTreeMap<NaiveDate, OrganizationDay> = BTreeMap::new();
        let Some(members) = self.roster.team(slug) else { return Ok(days) };
        self.store.user_days(from, to, Some(&members), &mut |day, _, usage| {
            if !usage.cells.is_empty() {
                days.entry(day).or_default().add(&usage);
            }
            ControlFlow::Continue(())
        })?;
        Ok(days)
    }

    /// Seats: the users who may pass, by name, `per_page` of them a page; pages begin at 1.
    ///
    /// # Errors
    /// See [`super::ReportError`].
    pub fn seats(&self, page: usize, per_page: usize) -> Result<Seats> {
        let clients = self.store.last_seen()?;
        let holders: Vec<&Person> = self.holders().collect();
        let first = page.saturating_sub(1).saturating_mul(per_page);
        let of = |person: &&Person| {
            let teams = person.teams_by_slug();
            let team = teams.first().map(|(slug, name)| (team_id(slug), *name, &**slug));
            let (plan, client) = (person.plan.as_deref(), clients.get(&person.name));
            seat(&self.organization, Holder { identity: person.identity(), plan, team, client }, self.gaps())
        };
        let seats = holders.iter().skip(first).take(per_page).map(of).collect();
        Ok(Seats { total_seats: holders.len(), seats })
    }

    /// The subscription, of which a cycle is the calendar month that holds `today`.
    ///
    /// # Errors
    /// See [`super::ReportError`].
    pub fn billing(&self, today: NaiveDate) -> Result<Billing> {
        let activity = self.store.activity(today)?;
        let month = (1_u64 << today.day()) - 1;
        let active: HashMap<&str, bool> = activity.iter().map(|user| (&*user.user, user.active & month != 0)).collect();
        let is_active = |person: &&Person| active.get(&*person.name).copied().unwrap_or_default();
        let plan = self.holders().filter_map(|person| person.plan.as_deref()).last();
        Ok(billing(self.holders().count(), self.holders().filter(is_active).count(), plan, self.gaps()))
    }

    fn holders(&self) -> impl Iterator<Item = &Person> {
        self.roster.people().filter(|person| person.enabled)
    }

    fn gaps(&self) -> Gaps {
        match self.unknown {
            Unknown::Zero => Gaps::Zero,
            Unknown::Omit => Gaps::Omit,
        }
    }
}

fn go_on(written: &io::Result<()>) -> ControlFlow<()> {
    if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// The 28 days that end with `end`.
fn window(end: NaiveDate) -> Window {
    let start = end.checked_sub_days(Days::new(MONTH - 1)).unwrap_or(NaiveDate::MIN);
    Window { report_start_day: start, report_end_day: end }
}

/// How many days `day` lies before `end`.
pub(super) fn days_between(day: NaiveDate, end: NaiveDate) -> u32 {
    u32::try_from((end - day).num_days()).unwrap_or_default()
}
