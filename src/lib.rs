//! copilens (under construction).

pub mod admin;
pub mod app;
pub mod certs;
pub mod cli;
pub mod config;
pub mod copilot;
pub mod exchange;
pub mod identity;
pub mod proxy;
pub mod recorder;
#[cfg(feature = "sim")]
pub mod sim;
pub mod spool;
pub mod store;
pub mod usage;
