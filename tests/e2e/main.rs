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

mod admission;
mod capture;
mod crash;
mod destinations;
mod lifecycle;
mod onboarding;
mod recording;
mod secrets;
mod transparency;
mod tunnel;
mod upstream;
mod websocket;
