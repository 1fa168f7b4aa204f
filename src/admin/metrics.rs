//! `/metrics` and `/metrics/usage`: OpenMetrics for those who ask for it, as Prometheus does, and Prometheus' older text format
//! for others.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::Utc;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::reports::UsagePage;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The last line of OpenMetrics.
const END: &str = "# EOF\n";
/// How long a scrape waits for the store: scrapers themselves wait for 10 s, as a rule.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// What `/metrics/usage` tells.
#[derive(Clone)]
pub struct UsageMetrics {
    /// Live counters.
    pub registry: Arc<Registry>,
    /// Gauges of days.
    pub page: Arc<UsagePage>,
}

pub(super) fn routes(registry: Arc<Registry>, of_usage: UsageMetrics) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(registry);
    metrics.merge(Router::new().route("/metrics/usage", get(usage)).with_state(of_usage))
}

async fn metrics(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    told(&registry, "", &headers)
}

async fn usage(State(usage): State<UsageMetrics>, headers: HeaderMap) -> Response {
    usage.page.count_request();
    let page = Arc::clone(&usage.page);
    let making = tokio::task::spawn_blocking(move || page.text(Utc::now()));
    // Where it takes longer it goes on, for the next scrape.
    let gauges = match tokio::time::timeout(STORE_PATIENCE, making).await {
        Ok(Ok(gauges)) => gauges,
        _ => usage.page.last_text(),
    };
    told(&usage.registry, &gauges, &headers)
}

/// A registry's metrics and gauges that are text already, in the format that is asked for.
fn told(registry: &Registry, gauges: &str, headers: &HeaderMap) -> Response {
    let mut text = String::with_capacity(gauges.len());
    if encode(&mut text, registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let accept = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    if accept.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        text.truncate(text.trim_end_matches(END).len());
        text.extend([gauges, END]);
        ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response()
    } else {
        let mut text = older_text(&text);
        text.push_str(gauges);
        ([(CONTENT_TYPE, TEXT)], text).into_response()
    }
}

/// The same in Prometheus' text format, version 0.0.4, where metadata name a metric as its samples are named, there is no type
/// `info`, and units and the end are not told.
fn older_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(told) = line.strip_prefix("# HELP ") {
            help = told.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|told| told.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            let help = help.take().map_or("", |(_, help)| help);
            let _ = writeln!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with("# ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::Unit;

    use super::*;

    #[test]
    fn the_older_text_names_metrics_as_their_samples_are_named() {
        let mut registry = Registry::default();
        registry.register("exchanges", "Exchanges # HELP done", Counter::<u64>::default());
        registry.register_with_unit("spool", "Size", Unit::Bytes, Gauge::<i64>::default());
        registry.register("build", "What runs", Info::new([("version", "1")]));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        insta::assert_snapshot!(older_text(&text), @r#"
        # HELP exchanges_total Exchanges # HELP done.
        # TYPE exchanges_total counter
        exchanges_total 0
        # HELP spool_bytes Size.
        # TYPE spool_bytes gauge
        spool_bytes 0
        # HELP build_info What runs.
        # TYPE build_info gauge
        build_info{version="1"} 1
        "#);
    }
}
