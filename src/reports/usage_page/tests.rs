//! What the page tells of the last complete day, how much of it, how often it is made, and what it tells without a store.

use chrono::TimeDelta;
use tempfile::TempDir;

use super::*;
use crate::config::{Live, Loaded, Settings};
use crate::identity::{Account, Directory, Seed, UserName};
use crate::store::{SqliteStore, UsageStore};
use crate::usage::sample::{chat, noon};

/// A day after the sample day.
fn now() -> DateTime<Utc> {
    noon() + TimeDelta::days(1)
}

fn store(folder: &TempDir) -> SqliteStore {
    SqliteStore::open_or_renew(&folder.path().join("usage.sqlite3")).unwrap()
}

/// A page for users in one team.
fn page(store: SqliteStore, users: &[String], compat: &[Compat], user_limit: usize) -> UsagePage {
    let seed = Seed::generate().unwrap();
    let accounts = users.iter().map(|user| {
        let name: UserName = user.parse().unwrap();
        Account { teams: vec!["core".to_owned()], ..Account::new(name) }
    });
    let mut settings = Settings::default();
    (settings.metrics.compat, settings.metrics.user_limit) = (compat.to_vec(), user_limit);
    let loaded = Loaded { settings, directory: Directory::new(accounts, &seed), seed };
    UsagePage::new(Arc::new(ReportSource::new(Arc::new(Live::new(loaded)), Arc::new(store))))
}

/// User number n has n + 1 chat turns.
fn busy(count: u32) -> Vec<String> {
    (0..count).map(|n| format!("user-{n}")).collect()
}

fn fill(store: &SqliteStore, users: &[String]) {
    let mut events = Vec::new();
    for (n, user) in users.iter().enumerate() {
        for _ in 0..=n {
            events.push(chat(u32::try_from(events.len()).unwrap(), user));
        }
    }
    store.insert(&events).unwrap();
}

#[test]
fn users_beyond_the_limit_are_one_and_the_sum_is_everybodys() {
    let (folder, users) = (tempfile::tempdir().unwrap(), busy(7));
    let store = store(&folder);
    fill(&store, &users);
    let text = page(store, &users, &[Compat::Coralogix], 3).text(now());
    let name = "github_copilot_user_user_initiated_interaction_count{";
    let told: Vec<_> = text.lines().filter(|line| line.starts_with(name)).collect();
    let of = |user: &str| {
        let line = told.iter().find(|line| line.contains(&format!("user_login=\"{user}\""))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!([of("user-6"), of("user-5"), of("user-4"), of("others")], [7, 6, 5, 10]);
    assert_eq!(text.matches("\ngithub_copilot_user_team_membership{").count(), 3, "{text}");
    assert!(text.contains("\ncopilens_daily_active_users 7\n") && text.contains("\ncopilens_today_active_users 0\n"));
    let end = now().date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp() - 1;
    assert!(text.contains(&format!("\ncopilens_report_day_timestamp_seconds {end}\n")), "{text}");
}

#[test]
fn names_of_others_are_served_on_request_alone() {
    let (folder, users) = (tempfile::tempdir().unwrap(), busy(1));
    let store = store(&folder);
    fill(&store, &users);
    let text = page(store, &users, &[], 1000).text(now());
    assert!(
        text.contains("copilens_daily_interactions{") && !text.contains("github_") && !text.contains("total_"),
        "{text}"
    );
    assert!(!text.contains("user-0"), "{text}");
}

#[test]
fn what_was_made_is_served_again_for_a_while() {
    let (folder, users) = (tempfile::tempdir().unwrap(), busy(1));
    let store = store(&folder);
    fill(&store, &users);
    let page = page(store, &users, &[], 1000);
    let first = page.text(now());
    page.source.reports().unwrap().store.insert(&[chat(99, "user-0")]).unwrap();
    assert_eq!(page.text(now()), first);
    assert_eq!((page.readings.get(), page.cache_hits.get()), (1, 1));
    // While somebody makes it anew, others have what was made last.
    page.made.lock().unwrap().as_mut().unwrap().until = Instant::now();
    let making = page.making.lock().unwrap();
    assert_eq!(page.text(now()), first);
    drop(making);
    assert_ne!(page.text(now()), first);
    assert_eq!((page.readings.get(), page.failures.get()), (2, 0));
}

#[test]
fn a_store_that_does_not_answer_is_told_and_leaves_no_old_numbers() {
    let (folder, users) = (tempfile::tempdir().unwrap(), busy(1));
    let store = store(&folder);
    fill(&store, &users);
    let page = page(store, &users, &[Compat::GcpExporter], 1000);
    assert!(page.text(now()).contains("\ncopilens_usage_store_up 1\n"));
    let spoiler = rusqlite::Connection::open(folder.path().join("usage.sqlite3")).unwrap();
    spoiler.execute_batch("DROP TABLE usage_event").unwrap();
    page.made.lock().unwrap().as_mut().unwrap().until = Instant::now();
    let text = page.text(now());
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(), ["copilens_usage_store_up 0"]);
    assert_eq!(page.failures.get(), 1);
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(Arc::new(page)));
    let mut counters = String::new();
    prometheus_client::encoding::text::encode(&mut counters, &registry).unwrap();
    assert!(counters.contains("copilot_exporter_requests_failed_total{status_code=\"503\"} 1\n"), "{counters}");
    assert!(counters.contains("copilot_exporter_github_api_requests_total 2\n"), "{counters}");
}

#[test]
fn of_days_before_anything_was_captured_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let text = page(store(&folder), &busy(2), &[Compat::Coralogix, Compat::GcpExporter], 1000).text(now());
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(), ["copilens_usage_store_up 1"]);
}
