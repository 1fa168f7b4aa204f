//! What Copilot's traffic means. Pure functions: no I/O, no clock, no runtime.
//!
//! The proxy asks little on its hot path: [`capture`] and [`EndScanner`], and of a WebSocket's messages [`Conversation`] and
//! [`ends_answer`]. The recorder asks the rest, once an exchange:
//! [`understand`] turns its bytes into record content and [`Facts`], and [`classify`] says what the facts count as.
//!
//! A further endpoint starts in `endpoint.rs`; how its answers are read goes beside `answer.rs`.

mod account;
mod action;
mod answer;
mod classify;
mod content;
mod decode;
mod dialogue;
mod editor;
mod edits;
mod end;
mod endpoint;
mod escapes;
mod facts;
mod feature;
mod language;
mod message;
mod model;
pub mod observation;
mod problem;
mod prompt;
mod quota;
#[cfg(test)]
mod sample;
pub mod sse;
mod suggestion;
mod telemetry;
mod understand;
pub mod unrecognised;
pub mod vocabulary;

pub use account::{AccountSeen, account, tracking_id};
pub use classify::{History, Reason, Verdict, classify};
pub use decode::{Decoded, decode};
pub use editor::Ide;
pub use end::EndScanner;
pub use endpoint::{Capture, Endpoint, capture, capture_websocket, path_shape};
pub use facts::{Facts, Initiator};
pub use feature::Feature;
pub use message::{Conversation, ends_answer};
pub use problem::Problem;
pub use telemetry::{Reported, telemetry};
pub use understand::{Understanding, understand};
