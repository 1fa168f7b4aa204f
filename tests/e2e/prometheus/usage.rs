//! `/metrics/usage`, scraped and asked with the queries that dashboards have.

use std::collections::BTreeMap;
use std::path::Path;

use copilens::sim::tls::Alpn;
use serde_json::json;

use super::server::{Prometheus, Series};
use super::{History, promtool, yesterday};
use crate::asking::Ask;
use crate::metrics::{scrape_page, text_page, token};
use crate::support::{Copilens, Site, Upstream};
use crate::telemetry::Suggestion;

const COMPAT: &str = r#"["coralogix", "gcp-exporter"]"#;

/// Two teams of one, of which one has telemetry, yesterday.
fn site(upstream: &Upstream) -> Site {
    let site = Site::new(upstream)
        .set("organization", "\"octo\"")
        .set("metrics.compat", COMPAT)
        .set("metrics.user_labels", "true");
    let users = [("alice", "core"), ("bob", "web")].map(|(name, team)| {
        format!("[[user]]\nname = \"{name}\"\nteams = [\"{team}\"]\nemail = \"{name}@example.com\"\n")
    });
    std::fs::write(site.path("config/allowlist.toml"), users.concat()).unwrap();
    let day = yesterday();
    let history = History::new().completions(day, "alice", 4, Some(2)).chats(day, "alice", 2);
    history.completions(day, "bob", 2, None).chats(day, "bob", 5).write(&site);
    site
}

async fn send(copilens: &Copilens, ask: &Ask) {
    let (status, _) = ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
    assert_eq!(status, 200);
}

/// Two completions, both shown and one of them accepted, and a chat turn.
async fn make_traffic(copilens: &Copilens) {
    let asks = [Ask::completion(), Ask::completion()];
    let [first, second] = [&asks[0], &asks[1]].map(Suggestion::of);
    for ask in &asks {
        send(copilens, ask).await;
    }
    send(copilens, &Ask::telemetry(&[first.shown(), first.accepted("full", 40, 3), second.shown()])).await;
    send(copilens, &Ask::chat()).await;
}

fn labelled<'a>(series: &'a [Series], label: &str) -> BTreeMap<&'a str, f64> {
    series.iter().map(|(labels, value)| (labels[label].as_str(), *value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_scrapes_both_pages_and_answers_what_dashboards_ask() {
    let upstream = Upstream::start().await;
    let copilens = site(&upstream).start();
    make_traffic(&copilens).await;
    let job = |name: &str, path: &str| {
        format!(
            "  - {{job_name: {name}, metrics_path: {path}, scrape_interval: 500ms, \
             authorization: {{credentials: {}}}, static_configs: [{{targets: [\"{}\"]}}]}}\n",
            token(&copilens),
            copilens.admin
        )
    };
    let jobs = format!("scrape_configs:\n{}{}", job("copilens", "/metrics"), job("copilens-usage", "/metrics/usage"));
    let Some(prometheus) = Prometheus::start(&jobs, None).await else { return };
    prometheus.value("sum(up)", |up| up == 2.0).await;
    prometheus.value("sum(copilens_usage_turns_total)", |turns| turns == 3.0).await;
    // Live.
    let accepted = "sum(copilens_usage_suggestions_accepted_total) / sum(copilens_usage_suggestions_shown_total)";
    assert_eq!(prometheus.value(accepted, |_| true).await, 0.5);
    assert_eq!(prometheus.value("copilens_usage_user_turns_total{user=\"alice\"}", |_| true).await, 3.0);
    let calls = "sum(gen_ai_client_operation_duration_seconds_count{gen_ai_provider_name=\"github\"})";
    assert_eq!(prometheus.value(calls, |_| true).await, 3.0);
    assert_eq!(prometheus.value("copilens_today_active_users", |_| true).await, 1.0);
    // Of yesterday: two of the six completions shown or returned were accepted.
    let rate = "sum(github_copilot_org_code_acceptance_activity_count) / sum(github_copilot_org_code_generation_activity_count)";
    assert!((prometheus.value(rate, |_| true).await - 2.0 / 6.0).abs() < 1e-9);
    assert_eq!(prometheus.value("github_copilot_org_daily_active_users", |_| true).await, 2.0);
    let top = prometheus.query("topk(1, github_copilot_user_user_initiated_interaction_count)", None).await;
    assert_eq!(labelled(&top, "user_login"), BTreeMap::from([("bob", 5.0)]));
    let join = "github_copilot_user_user_initiated_interaction_count \
                * on(user_login) group_left(team_slug) github_copilot_user_team_membership";
    let joined = prometheus.query(join, None).await;
    assert_eq!(labelled(&joined, "team_slug"), BTreeMap::from([("core", 2.0), ("web", 5.0)]));
    // What nobody told is in no series.
    let accepted = prometheus.query("github_copilot_user_code_acceptance_activity_count", None).await;
    assert_eq!(labelled(&accepted, "user_login"), BTreeMap::from([("alice", 2.0)]));
    assert_eq!(prometheus.value("sum(total_code_suggestions)", |_| true).await, 6.0);
    assert_eq!(prometheus.value("total_chats{editor=\"vscode\",org=\"octo\"}", |_| true).await, 7.0);
    let age = "time() - copilens_report_day_timestamp_seconds";
    assert!((0.0..86_402.0).contains(&prometheus.value(age, |_| true).await));
    assert_eq!(prometheus.complaints(), [""; 0]);
}

/// promtool holds against names of the exporters that gauges end like parts of a histogram; ours it has nothing against.
#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_against_our_names() {
    let upstream = Upstream::start().await;
    let copilens = site(&upstream).start();
    make_traffic(&copilens).await;
    let text = text_page(&copilens, "/metrics/usage").await;
    let Some((_, said)) = promtool(Path::new("."), &["check", "metrics"], &text) else { return };
    let known = |line: &&str| {
        line.starts_with("github_copilot_")
            && (line.contains("should not have \"_count\"") || line.contains("should not have \"_sum\""))
    };
    let complaints: Vec<_> = said.lines().filter(|line| !known(line)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}\n{text}");
    assert!(text.contains("github_copilot_user_loc_added_sum{") && text.contains("\ntotal_engaged_users{"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_clients_send_the_series_are_few() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("metrics.user_labels", "true").set("metrics.user_limit", "1").start();
    for user in ["alice", "bob"] {
        let connection = copilens.tunnel(user, Ask::completion().host, Alpn::Http2).await;
        for n in 0..80 {
            let ask = Ask::completion().with("editor-version", &format!("Editor-{n}/1.0"));
            let odd = if n % 8 == 0 { "\u{0}\n" } else { "\"\\" };
            ask.field("extra", json!({"language": format!("tongue-{user}-{n}{odd}")})).finish(&connection).await;
        }
    }
    let sum = |text: &str| {
        let values =
            text.lines().filter_map(|line| line.strip_prefix("copilens_usage_turns_total{")?.rsplit_once("} "));
        values.map(|(_, value)| value.parse::<u64>().unwrap()).sum::<u64>()
    };
    let begun = std::time::Instant::now();
    let text = loop {
        let text = scrape_page(&copilens, "/metrics/usage").await;
        if sum(&text) == 160 {
            break text;
        }
        assert!(begun.elapsed() < crate::support::PATIENCE, "{} of 160", sum(&text));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(text.lines().filter(|line| line.starts_with("copilens_usage_turns_total{")).count() <= 66, "{text}");
    assert!(text.contains(r#"language="tongue-alice-1\"\\""#), "{text}");
    assert!(!text.contains("Editor-") && !text.contains('\u{0}'), "{text}");
    assert!(text.contains("copilens_usage_user_turns_total{user=\"others\"} 80\n"), "{text}");
    assert!(!text.contains("copilens_usage_limited_total{limit=\"languages\"} 0\n"), "{text}");
}
