//! History as OpenMetrics, made into blocks by promtool and asked of a Prometheus that reads them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use chrono::Days;
use copilens::config::Unknown;
use copilens::reports::{Reports, Roster};

use super::server::Prometheus;
use super::{History, promtool, yesterday};
use crate::support::{Site, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn promtool_makes_blocks_of_days_and_prometheus_answers_from_them() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    // Further apart than one look at activity reaches, and longer ago than a Prometheus takes samples by itself.
    let last = yesterday() - Days::new(1);
    let first = last - Days::new(50);
    let history = History::new().chats(first, "alice", 3).completions(first, "bob", 4, Some(1));
    let store = history.chats(last, "alice", 1).chats(last, "bob", 2).write(&site);
    let reports = Reports {
        roster: Arc::new(Roster::of([], &store).unwrap()),
        store: Arc::new(store),
        organization: "octo".to_owned(),
        unknown: Unknown::Zero,
    };
    let mut text = Vec::new();
    reports.openmetrics(first, last, &mut text).unwrap();
    fs::write(site.path("history.om"), &text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    assert_eq!(text.matches("# TYPE github_copilot_user_loc_added_sum gauge\n").count(), 1);

    let arguments = ["tsdb", "create-blocks-from", "openmetrics", "history.om", "data"];
    let Some((is_good, said)) = promtool(&site.path(""), &arguments, "") else { return };
    assert!(is_good, "{said}");
    let Some(prometheus) = Prometheus::start("scrape_configs: []\n", Some(&site.path("data"))).await else { return };
    let end = |day: chrono::NaiveDate| day.and_hms_opt(23, 59, 59).unwrap().and_utc().timestamp();
    for (day, users, interactions) in [(first, 2.0, 3.0), (last, 2.0, 3.0)] {
        let active = prometheus.query("github_copilot_org_daily_active_users", Some(end(day))).await;
        assert_eq!(active.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [users]);
        let asked = prometheus.query("sum(copilens_daily_interactions)", Some(end(day))).await;
        assert_eq!(asked.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [interactions]);
    }
    let of_users = "sum by (user_login) (last_over_time(github_copilot_user_user_initiated_interaction_count[2d]))";
    let by_user = |series: Vec<super::server::Series>| -> BTreeMap<String, f64> {
        series.into_iter().map(|(labels, value)| (labels["user_login"].clone(), value)).collect()
    };
    let told = by_user(prometheus.query(of_users, Some(end(last) + 43_200)).await);
    assert_eq!(told, [("alice".to_owned(), 1.0), ("bob".to_owned(), 2.0)].into());
    let accepted = prometheus.query("github_copilot_user_code_acceptance_activity_count", Some(end(first))).await;
    assert_eq!(by_user(accepted), [("bob".to_owned(), 1.0)].into());
    // A month after the first day its users are no longer active, and the last day's are.
    let monthly = prometheus.query("copilens_monthly_active_users", Some(end(last))).await;
    assert_eq!(monthly[0].1, 2.0);
    assert_eq!(prometheus.complaints(), [""; 0]);
}
