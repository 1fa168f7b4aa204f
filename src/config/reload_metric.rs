//! Whether the configuration in use is the one in the files, as Prometheus reads it.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::Live;

/// Tells a registry of a running configuration.
#[derive(Debug)]
pub struct ReloadMetric(pub Arc<Live>);

impl Collector for ReloadMetric {
    /// The name's second half is the one that Prometheus and Alertmanager give theirs.
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), Error> {
        let successful = ConstGauge::new(i64::from(self.0.reload_fault().is_none()));
        let help = "Whether the configuration files as they are now are in use: 1, or 0 where they have a fault.";
        let descriptor = to.encode_descriptor("config_last_reload_successful", help, None, successful.metric_type())?;
        successful.encode(descriptor)
    }
}
