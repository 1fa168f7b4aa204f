//! The async runtime and the build, as Prometheus reads them.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

/// Tells a registry of the runtime that this is called in, and of the version that runs.
pub fn register_runtime(to: &mut Registry) {
    to.register("build", "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    to.register_collector(Box::new(Tasks(Handle::current())));
}

/// Tasks that are alive: some for each connection, and some that always run. A number that only rises is a leak.
#[derive(Debug)]
struct Tasks(Handle);

impl Collector for Tasks {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), Error> {
        let alive = ConstGauge::new(i64::try_from(self.0.metrics().num_alive_tasks()).unwrap_or(i64::MAX));
        alive.encode(to.encode_descriptor(
            "tasks",
            "Tasks of the runtime that are alive.",
            None,
            alive.metric_type(),
        )?)
    }
}
