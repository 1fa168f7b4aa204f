//! Metrics that nobody counts: asked for at each scrape.

use std::fmt::{Debug, Error, Formatter};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Writes one metric of a collector, described as a registry describes its own.
///
/// # Errors
/// Where the text cannot be written to.
pub fn tell(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> Result<(), Error> {
    // A registry ends the help of its own metrics with this stop.
    let help = format!("{help}.");
    metric.encode(to.encode_descriptor(name, &help, unit, metric.metric_type())?)
}

/// Tells a registry of a number that `value` gives. Called at each scrape, so it must not block.
pub fn register_scraped(
    to: &mut Registry,
    name: &'static str,
    help: &'static str,
    value: impl Fn() -> i64 + Send + Sync + 'static,
) {
    to.register_collector(Box::new(Scraped { name, help, value }));
}

struct Scraped<V> {
    name: &'static str,
    help: &'static str,
    value: V,
}

impl<V> Debug for Scraped<V> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Scraped").field(&self.name).finish_non_exhaustive()
    }
}

impl<V: Fn() -> i64 + Send + Sync + 'static> Collector for Scraped<V> {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), Error> {
        tell(&mut to, self.name, self.help, None, &ConstGauge::new((self.value)()))
    }
}
