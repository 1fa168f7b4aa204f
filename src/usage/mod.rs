//! Usage: what is counted.

mod event;

pub use event::UsageEvent;
