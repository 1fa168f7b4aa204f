//! The programs that developers really use, sent through the real proxy to a fake Copilot.
//!
//! A client that is not on the machine is left out with a line `skipped: NAME: WHY`; `tests/run` installs what it can
//! before, and repeats those lines at its end.

#![cfg(feature = "sim")]
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

mod cli;
mod curl;
mod editors;
mod exports;
mod github;
mod githubkit;
mod job;
mod language_server;
mod programs;
mod rpc;
mod scenario;
mod stage;
mod websocket;

/// What every client has to show.
macro_rules! client {
    ($client:ident, $version:literal, $command:expr) => {
        mod $client {
            use crate::{programs, scenario};

            #[tokio::test(flavor = "multi_thread")]
            async fn gets_each_event_as_it_is_sent_and_is_recorded() {
                scenario::served(stringify!($client), $command, $version).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn with_a_wrong_password_sees_407_and_nothing_is_dialled() {
                scenario::refused(stringify!($client), $command, $version).await;
            }
        }
    };
}

client!(curl_over_http_1, "1.1", programs::curl_with_user);
client!(curl_over_http_2, "2", programs::curl_with_url);
client!(python_http_client, "1.1", programs::python_http_client);
client!(python_requests, "1.1", programs::python_requests);
client!(python_aiohttp, "1.1", programs::python_aiohttp);
client!(python_httpx_over_http_1, "1.1", programs::python_httpx);
client!(python_httpx_over_http_2, "2", programs::python_httpx);
client!(node_undici_over_http_1, "1.1", programs::node_undici);
client!(node_undici_over_http_2, "2", programs::node_undici);
client!(node_fetch_by_environment, "1.1", programs::node_fetch);
client!(java_over_http_1, "1.1", programs::java);
client!(java_over_http_2, "2", programs::java);
client!(chromium, "2", programs::chromium);
