//! What copilens counts about itself, for `/metrics`: made once by the composition root and handed to whoever counts.
//!
//! All series exist from the start, with labels of fixed values: nothing that a client sends can make one, and no user is
//! named. So counting is an addition to an atomic number and takes no lock. What this version does not know has no fixed
//! values: [`Bounded`] limits them. What people use is told by clients' words, and has limits and a page of its own:
//! [`UsageMetrics`].

mod bounded;
mod histogram;
mod labels;
mod runtime;
mod scraped;
mod series;
mod usage;

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub use self::bounded::Bounded;
pub use self::histogram::Histogram;
pub use self::labels::{Credentials, RequestKind, StatusClass, TunnelRoute, UpstreamFailure};
pub use self::runtime::register_runtime;
pub use self::scraped::{register_scraped, tell};
pub use self::series::{Labelled, Series};
pub use self::usage::{Gained, UsageMetrics, is_word, register_usage};
use crate::copilot::Reason;
use crate::copilot::vocabulary::{Class, Kind};

/// The word that all names begin with.
pub const PREFIX: &str = "copilens";

/// Seconds. A commit takes a fraction of a millisecond; `capture.commit_timeout_ms` is 250 by default.
const COMMIT_BUCKETS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
/// Seconds. Those of OpenTelemetry's `gen_ai.client.operation.duration` and `.time_to_first_chunk`.
const GEN_AI_SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Everything that is counted where it happens. What the spool knows by itself is read from it at each scrape.
#[derive(Debug)]
pub struct Metrics {
    tunnels_open: Labelled<TunnelRoute, Gauge>,
    tunnels_opened: Labelled<TunnelRoute, Counter>,
    /// Requests by how they came and how they were answered.
    pub requests: Labelled<(RequestKind, StatusClass), Counter>,
    /// Requests answered with 407.
    pub unauthenticated: Labelled<Credentials, Counter>,
    /// Failures of the upstream leg.
    pub upstream_errors: Labelled<UpstreamFailure, Counter>,
    /// From request to first byte of the answer's body, of exchanges that are recorded.
    pub first_byte: Histogram,
    /// How long the end of an answer was held until the spool had the exchange.
    pub commit_wait: Histogram,
    /// Exchanges whose end was released before the spool had them.
    pub late: Counter,
    /// WebSockets to a model whose messages could not be read to their end.
    pub unread_websockets: Counter,
    /// Exchanges that the recorder has done.
    pub exchanges: Labelled<(Kind, Class), Counter>,
    /// Those of `exchanges` that are noise.
    pub noise: Labelled<Reason, Counter>,
    /// Requests to models' hosts that this version does not know, by the shape of their path.
    pub unknown_requests: Bounded,
    /// What in captured traffic could not be read as expected, by place; `logs/unrecognised/` has a sample of each.
    pub unrecognised: Bounded,
    /// Record files and archives removed by the retention.
    pub records_removed: Counter,
    /// Record files that were compacted.
    pub records_compacted: Counter,
    /// Panics in whatever thread or task.
    pub panics: Counter,
    /// What people use, told apart from all this and read by another page.
    pub usage: Arc<UsageMetrics>,
}

impl Metrics {
    /// Makes all series, at zero, in a registry with [`PREFIX`].
    #[must_use]
    pub fn register(to: &mut Registry) -> Self {
        let metrics = Self {
            tunnels_open: Labelled::register(to, "tunnels_open", "Tunnels that are open"),
            tunnels_opened: Labelled::register(to, "tunnels_opened", "Tunnels opened since the start"),
            requests: Labelled::register(to, "requests", "Requests answered, by the status class of the answer"),
            unauthenticated: Labelled::register(to, "unauthenticated_requests", "Requests answered with 407"),
            upstream_errors: Labelled::register(to, "upstream_errors", "Failures on the way to and from servers"),
            first_byte: Histogram::new(&GEN_AI_SECONDS),
            commit_wait: Histogram::new(COMMIT_BUCKETS),
            late: Counter::default(),
            unread_websockets: Counter::default(),
            exchanges: Labelled::register(to, "exchanges", "Captured exchanges that the recorder has done"),
            noise: Labelled::register(to, "noise_exchanges", "Captured exchanges that count for nothing"),
            unknown_requests: Bounded::register(
                to,
                "unknown_requests",
                "Requests to hosts of models that this version does not know and leaves unrecorded",
                "path",
            ),
            unrecognised: Bounded::register(
                to,
                "unrecognised",
                "What in captured traffic is not as this version knows it, by place (a sample of each is in logs/unrecognised)",
                "place",
            ),
            records_removed: Counter::default(),
            records_compacted: Counter::default(),
            panics: Counter::default(),
            usage: Arc::default(),
        };
        metrics.register_unlabelled(to);
        metrics
    }

    fn register_unlabelled(&self, to: &mut Registry) {
        let first_byte = "From request to first byte of the answer's body, of captured exchanges";
        to.register_with_unit("time_to_first_byte", first_byte, Unit::Seconds, self.first_byte.clone());
        let commit_wait = "How long the end of an answer was held until its copy was safe from a crash";
        to.register_with_unit("commit_wait", commit_wait, Unit::Seconds, self.commit_wait.clone());
        let late = "Exchanges whose end was released before their copy was safe (capture.commit_timeout_ms)";
        to.register("late_exchanges", late, self.late.clone());
        let unread = "WebSockets whose messages could not be read any further, and so are not recorded";
        to.register("unread_websockets", unread, self.unread_websockets.clone());
        let removed =
            "Record files removed because of their age or size (records.retention_days, records.retention_size)";
        to.register("records_removed", removed, self.records_removed.clone());
        let compacted = "Record files put into archives (records.compact_after_days)";
        to.register("records_compacted", compacted, self.records_compacted.clone());
        to.register("panics", "Panics, each of which ended one exchange or one task", self.panics.clone());
    }

    /// Counts a tunnel as open until the guard is dropped.
    #[must_use]
    pub fn open_tunnel(&self, route: TunnelRoute) -> OpenTunnel {
        self.tunnels_opened.inc(route);
        let open = self.tunnels_open.get(route).cloned().unwrap_or_default();
        open.inc();
        OpenTunnel(open)
    }
}

/// For tests of what counts.
#[cfg(test)]
impl Default for Metrics {
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

/// A tunnel that counts as open.
#[derive(Debug)]
pub struct OpenTunnel(Gauge);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts every panic of the process from now on, besides what is done about it already.
pub fn count_panics(metrics: Arc<Metrics>) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        metrics.panics.inc();
        before(panic);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_is_caught_is_counted() {
        let metrics = Arc::new(Metrics::default());
        count_panics(Arc::clone(&metrics));
        assert!(std::panic::catch_unwind(|| panic!("by the test")).is_err());
        // Other tests of this process may panic, too.
        assert!(metrics.panics.get() >= 1);
    }
}
