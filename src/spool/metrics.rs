//! How the spool is doing, as Prometheus reads it: asked at each scrape, because the spool keeps these numbers anyhow.

use std::fmt::{Error, Formatter};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::Spool;
use crate::metrics::tell;

/// Tells a registry of a spool.
pub struct SpoolMetrics(pub Arc<Spool>);

impl std::fmt::Debug for SpoolMetrics {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SpoolMetrics").finish_non_exhaustive()
    }
}

impl Collector for SpoolMetrics {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), Error> {
        let status = self.0.status();
        let count = |value: u64| ConstCounter::new(value);
        let unrecorded = "Captured exchanges that were lost for want of room or by the disk";
        tell(&mut to, "unrecorded_exchanges", unrecorded, None, &count(status.unrecorded))?;
        let unreadable = "Entries and ends of segments that could not be read";
        tell(&mut to, "spool_unreadable", unreadable, None, &count(status.unreadable))?;
        let waiting = "Exchanges that wait to be recorded";
        tell(&mut to, "spool_entries", waiting, None, &gauge(status.entries_unsettled))?;
        let bytes = Some(Unit::Bytes);
        tell(&mut to, "spool", "Size of the spool on disk", bytes.as_ref(), &gauge(status.bytes))?;
        let queued = "Size of what waits in memory to be written to the spool";
        tell(&mut to, "spool_queued", queued, bytes.as_ref(), &gauge(status.queued_bytes))?;
        let limit = "Size at which exchanges are no longer captured (capture.spool_limit)";
        tell(&mut to, "spool_limit", limit, bytes.as_ref(), &gauge(status.limit))?;
        let lag = "Age of the oldest exchange that waits to be recorded";
        let age = ConstGauge::new(status.oldest.map_or(0.0, age));
        tell(&mut to, "recorder_lag", lag, Some(&Unit::Seconds), &age)
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

fn age(since: DateTime<Utc>) -> f64 {
    (Utc::now() - since).to_std().map_or(0.0, |age| age.as_secs_f64())
}
