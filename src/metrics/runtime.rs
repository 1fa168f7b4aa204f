//! The async runtime and the build, as Prometheus reads them.

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use super::scraped::register_scraped;

/// Tells a registry of the runtime that this is called in, and of the version that runs.
///
/// Of tasks there are some for each connection, and some that always run. A number that only rises is a leak.
pub fn register_runtime(to: &mut Registry) {
    to.register("build", "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    let runtime = Handle::current();
    register_scraped(to, "tasks", "Tasks of the runtime that are alive", move || {
        i64::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(i64::MAX)
    });
}
