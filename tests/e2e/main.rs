//! Behaviour through the real binary, real TLS and real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod admission;
mod asking;
mod capture;
mod clock;
mod commands;
mod crash;
mod destinations;
mod endpoints;
mod export;
mod forget;
mod github;
mod held_up;
mod import;
mod keeping;
mod kills;
mod lifecycle;
mod load;
mod malformed;
mod metadata;
mod metrics;
mod midnight;
mod names;
mod noise;
mod onboarding;
mod postgres;
mod prometheus;
mod reading;
mod recording;
mod reload;
mod secrets;
mod shown;
mod shutdown;
mod telemetry;
mod tokens;
mod transparency;
mod trouble;
mod tunnel;
mod upstream;
mod websocket;
