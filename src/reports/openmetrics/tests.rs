//! The file for backfilling keeps OpenMetrics' order: families whole, series whole in them, times ascending in these.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::*;
use crate::config::Unknown;
use crate::reports::Roster;
use crate::store::SqliteStore;
use crate::usage::UsageEvent;
use crate::usage::sample::{chat, completion, noon};
use std::sync::Arc;

fn written(events: &[UsageEvent], from: NaiveDate, to: NaiveDate) -> String {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_or_renew(&folder.path().join("usage.sqlite3")).unwrap();
    crate::store::UsageStore::insert(&store, events).unwrap();
    let roster = Arc::new(Roster::of([], &store).unwrap());
    let reports = Reports { store: Arc::new(store), roster, organization: "octo".to_owned(), unknown: Unknown::Zero };
    let mut text = Vec::new();
    reports.openmetrics(from, to, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Asserts that equal ones stand together.
fn assert_together<'a>(all: impl Iterator<Item = &'a str>) {
    let (mut seen, mut last) = (BTreeSet::new(), "");
    for one in all.filter(|one| !one.is_empty()) {
        assert!(one == last || seen.insert(one), "{one} comes again");
        last = one;
    }
}

#[test]
fn families_and_series_are_whole_and_times_ascend_over_many_days_and_users() {
    let later = |event: UsageEvent, days: i64| UsageEvent { ended_at: event.ended_at + TimeDelta::days(days), ..event };
    let mut events = Vec::new();
    for n in 0..40_u32 {
        let user = ["ada", "grace", "linus"][n as usize % 3];
        events.push(later(chat(2 * n, user), i64::from(n) * 11));
        events.push(later(completion(2 * n + 1, user), i64::from(n) * 11));
    }
    // So many days that each user is a batch.
    let (from, to) = (noon().date_naive() - Days::new(8000), noon().date_naive() + Days::new(500));
    let text = written(&events, from, to);
    let samples: Vec<(&str, i64)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, at) = line.rsplit_once(' ').unwrap();
            (series.rsplit_once(' ').unwrap().0, at.parse().unwrap())
        })
        .collect();
    assert_together(samples.iter().map(|(series, _)| series.split('{').next().unwrap()));
    assert_together(samples.iter().map(|(series, _)| *series));
    for pair in samples.windows(2) {
        assert!(pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1, "{pair:?}");
    }
    let users = samples
        .iter()
        .filter(|(series, _)| series.starts_with("github_copilot_user_cli_") || series.contains("user_login=\"ada\""));
    assert!(users.count() > 100);
    let active = samples.iter().filter(|(series, _)| *series == "copilens_daily_active_users").count();
    assert_eq!(active, 40);
    assert!(text.ends_with("\n# EOF\n"));
    assert!(samples.iter().all(|(_, at)| at.rem_euclid(86_400) == 86_399), "the last second of a day");
}

#[test]
fn without_days_there_is_the_end_alone() {
    let day = noon().date_naive();
    assert_eq!(written(&[], day, day), "# EOF\n");
    assert_eq!(written(&[chat(1, "ada")], day, day - Days::new(1)), "# EOF\n");
}
