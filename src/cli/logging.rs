//! The log: readable lines on a terminal, JSON elsewhere, always on standard error. `RUST_LOG` chooses what is said.

use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

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
        std::panic::set_hook(Box::new(log_panic));
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    // Not the panic's own text: it may hold a part of what was being read.
    tracing::error!(place, "a fault in copilens itself ended one exchange; please report it with this line");
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_panic_is_logged_by_its_place_and_not_its_text() {
        let mut log = tempfile::tempfile().unwrap();
        let layer = tracing_subscriber::fmt::layer().with_writer(Arc::new(log.try_clone().unwrap()));
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        let caught = tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            std::panic::catch_unwind(|| panic!("the password is hunter2"))
        });
        std::panic::set_hook(before);
        assert!(caught.is_err());
        let mut text = String::new();
        io::Seek::rewind(&mut log).and_then(|()| log.read_to_string(&mut text)).unwrap();
        assert!(text.contains(file!()) && !text.contains("hunter2"), "{text}");
    }
}
