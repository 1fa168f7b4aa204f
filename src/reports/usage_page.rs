//! What `/metrics/usage` tells of days: gauges of the last complete UTC day, made from the store and kept for a while, so that
//! a scrape costs next to nothing and can hold up neither traffic nor recorder.

use std::collections::BTreeSet;
use std::fmt::{Debug, Error, Formatter};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;

use super::breakdown::Words;
use super::coralogix::{self, ORGANIZATION_WORDS};
use super::exposition::{Labels, Sheet};
use super::gcp_exporter::{self, Engaged};
use super::openmetrics::last_second;
use super::{Person, ReportSource, Reports, Result, day_gauges};
use crate::config::Compat;
use crate::usage::github::{Audience, Gaps, phase};
use crate::usage::{OTHERS, OrganizationDay, UserDay};

/// How long what was made is good for: this, or as many times what it took to make.
const GOOD_FOR: (Duration, u32) = (Duration::from_secs(15), 20);
/// How long it is better than nothing, while the store is slow.
const BETTER_THAN_NOTHING: Duration = Duration::from_secs(10 * 60);

/// Gauges as text.
#[derive(Debug, Clone)]
struct Made {
    text: Arc<str>,
    at: Instant,
    until: Instant,
}

/// The page's part that is made from the store.
pub struct UsagePage {
    source: Arc<ReportSource>,
    made: Mutex<Option<Made>>,
    /// Held by whoever makes it.
    making: Mutex<()>,
    requests: Counter,
    failures: Counter,
    readings: Counter,
    cache_hits: Counter,
}

impl UsagePage {
    /// Of what the store has, for settings and allowlist as they are at each time.
    #[must_use]
    pub fn new(source: Arc<ReportSource>) -> Self {
        Self {
            source,
            made: Mutex::default(),
            making: Mutex::default(),
            requests: Counter::default(),
            failures: Counter::default(),
            readings: Counter::default(),
            cache_hits: Counter::default(),
        }
    }

    /// Counts a scrape.
    pub fn count_request(&self) {
        self.requests.inc();
    }

    /// Gauges in Prometheus' text format, as of `now`. Asks the store where it is time, so it may take long.
    #[must_use]
    pub fn text(&self, now: DateTime<Utc>) -> Arc<str> {
        let _making = match self.making.try_lock() {
            Ok(making) => making,
            Err(TryLockError::Poisoned(making)) => making.into_inner(),
            // Somebody else makes it, and the store is no faster for being asked twice.
            Err(TryLockError::WouldBlock) => return self.last_text(),
        };
        if let Some(made) = self.last().filter(|made| Instant::now() < made.until) {
            self.cache_hits.inc();
            return made.text;
        }
        let begun = Instant::now();
        self.readings.inc();
        let text: Arc<str> = self.make(now).map_or_else(
            |error| {
                tracing::warn!(%error, "the store could not be asked for the gauges of /metrics/usage");
                self.failures.inc();
                Arc::from(unanswered())
            },
            Arc::from,
        );
        let at = Instant::now();
        let until = at + GOOD_FOR.0.max((at - begun) * GOOD_FOR.1);
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(Made { text: Arc::clone(&text), at, until });
        text
    }

    /// What was made last, unless it is too old: then, that there is nothing.
    #[must_use]
    pub fn last_text(&self) -> Arc<str> {
        if let Some(made) = self.last().filter(|made| made.at.elapsed() < BETTER_THAN_NOTHING) {
            self.cache_hits.inc();
            return made.text;
        }
        self.failures.inc();
        Arc::from(unanswered())
    }

    fn last(&self) -> Option<Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn make(&self, now: DateTime<Utc>) -> Result<String> {
        let reports = self.source.reports()?;
        let settings = &self.source.live().current().settings.metrics;
        let mut sheet = Sheet::default();
        reports.gauges(now, &settings.compat, settings.user_limit, &mut sheet)?;
        let mut text = Vec::new();
        sheet.write(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The whole text where the store does not answer.
fn unanswered() -> String {
    let (mut sheet, mut text) = (Sheet::default(), Vec::new());
    answered(&mut sheet, false);
    // Writing to memory cannot fail.
    let _ = sheet.write(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn answered(sheet: &mut Sheet, answered: bool) {
    let help = "Whether the store answered: 1, or 0, and then what is known of days is absent";
    sheet.set("copilens_usage_store_up", help, &Labels::default(), f64::from(u8::from(answered)));
}

impl Reports {
    /// What is served as of `now`: of the last complete day, and who was active today.
    fn gauges(&self, now: DateTime<Utc>, compat: &[Compat], user_limit: usize, sheet: &mut Sheet) -> Result<()> {
        answered(sheet, true);
        let today = now.date_naive();
        let Some(yesterday) = today.pred_opt() else { return Ok(()) };
        let activity = self.store.activity(today)?;
        if activity.is_empty() {
            // Nothing was captured for weeks, if ever; that is not the same as nobody at work.
            return Ok(());
        }
        let help = "Users active on the current UTC day so far";
        sheet.set("copilens_today_active_users", help, &Labels::default(), Audience::of(&activity, 0).daily as f64);
        let help = "Last second of the complete UTC day that gauges of days are of, in seconds since 1970";
        let stamp = last_second(yesterday) as f64;
        sheet.set("copilens_report_day_timestamp_seconds", help, &Labels::default(), stamp);
        let day = self.store.organization_days(yesterday, yesterday)?.remove(&yesterday).unwrap_or_default();
        let audience = Audience::of(&activity, 1);
        day_gauges::organization(sheet, &day, audience);
        if compat.contains(&Compat::Coralogix) {
            let phases = self.phases(yesterday, &activity, 1, Gaps::Omit)?;
            coralogix::organization(sheet, &self.organization, (yesterday, &day), audience, phases);
        }
        if !compat.is_empty() {
            let mut users = Vec::new();
            self.store.user_days(yesterday, yesterday, None, &mut |_, name, day| {
                users.push((name.to_owned(), day));
                ControlFlow::Continue(())
            })?;
            if compat.contains(&Compat::GcpExporter) {
                self.gcp_exporter(&day, &users, sheet);
            }
            if compat.contains(&Compat::Coralogix) {
                self.coralogix_users(yesterday, users, user_limit, sheet);
            }
        }
        Ok(())
    }

    fn gcp_exporter(&self, day: &OrganizationDay, users: &[(String, UserDay)], sheet: &mut Sheet) {
        let words = Words::of(&day.cells, ORGANIZATION_WORDS);
        let mut engaged = Engaged::default();
        for (_, user) in users {
            engaged.add(&words.bound(&user.cells));
        }
        gcp_exporter::gauges(sheet, &self.organization, day, &words.bound(&day.cells), &engaged);
    }

    /// Those with the most requests each, and the rest as one; teams of as many people.
    fn coralogix_users(&self, date: NaiveDate, mut users: Vec<(String, UserDay)>, limit: usize, sheet: &mut Sheet) {
        let requests = |day: &UserDay| day.cells.values().map(|counts| counts.requests).sum::<u64>();
        users.sort_by_cached_key(|(name, day)| (std::cmp::Reverse(requests(day)), name.clone()));
        let rest = users.split_off(limit.min(users.len()));
        for (name, day) in &users {
            coralogix::user(sheet, &self.organization, &self.roster.person(name), (date, day), phase(None, 0));
        }
        if !rest.is_empty() {
            let others = Person { name: OTHERS.to_owned(), login: OTHERS.to_owned(), ..Person::default() };
            coralogix::user(sheet, &self.organization, &others, (date, &sum(&rest)), phase(None, 0));
        }
        let names: BTreeSet<&String> = users.iter().map(|(name, _)| name).collect();
        let seen = names.iter().map(|name| self.roster.person(name));
        let unseen = self.roster.people().filter(|person| person.enabled && !names.contains(&person.name));
        for person in seen.chain(unseen.cloned()).take(limit) {
            coralogix::membership(sheet, &self.organization, &person);
        }
    }
}

/// The days of several users as one.
fn sum(users: &[(String, UserDay)]) -> UserDay {
    let mut sum = UserDay::default();
    for (_, day) in users {
        sum.telemetry |= day.telemetry;
        sum.cli_sessions += day.cli_sessions;
        for (cell, counts) in &day.cells {
            sum.cells.entry(cell.clone()).or_default().add(counts);
        }
    }
    sum
}

impl Debug for UsagePage {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UsagePage").finish_non_exhaustive()
    }
}

/// The counters of gcp-metrics-exporter about itself, where its names are served.
impl Collector for UsagePage {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> std::result::Result<(), Error> {
        if !self.source.live().current().settings.metrics.compat.contains(&Compat::GcpExporter) {
            return Ok(());
        }
        for (name, help, counter) in [
            ("requests", "Scrapes.", &self.requests),
            ("github_api_requests", "Readings of the store, which take the place of GitHub's API.", &self.readings),
            ("cache_hits", "Scrapes that were served with what was read before.", &self.cache_hits),
        ] {
            let name = format!("copilot_exporter_{name}");
            let mut encoder = to.encode_descriptor(&name, help, None, MetricType::Counter)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(&counter.get(), None)?;
        }
        let help = "Scrapes for which the store did not answer.";
        let name = "copilot_exporter_requests_failed";
        let mut encoder = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        // The original has the status of GitHub's answer here.
        let mut encoder = encoder.encode_family(&[("status_code", "503")])?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&self.failures.get(), None)
    }
}

#[cfg(test)]
mod tests;
