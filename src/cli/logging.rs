//! The log: readable lines on a terminal, JSON elsewhere, always on standard error. `RUST_LOG` chooses what is said.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Turns the log on and makes a panic one line of it. `default` is what is said without `RUST_LOG`.
pub(crate) fn start(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    let started = if io::stderr().is_terminal() {
        registry.with(tracing_subscriber::fmt::layer().with_writer(io::stderr)).try_init()
    } else {
        registry.with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init()
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            // Not the panic's own text: it may hold a part of what was being read.
            tracing::error!(place, "a fault in copilens itself ended one exchange; please report it with this line");
        }));
    }
}
