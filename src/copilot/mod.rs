//! What Copilot's traffic means. Pure functions: no I/O, no clock, no runtime.
//!
//! The proxy asks little on its hot path: [`capture`] and [`EndScanner`], and of a WebSocket's messages [`Conversation`] and
//! [`ends_answer`]; of a request's token it asks the [`tracking_id`]. The recorder asks the rest, once an exchange:
//! [`understand`] turns its bytes into record content and [`Facts`], and [`classify`] says what the facts count as. What is
//! told beside exchanges is read by [`telemetry`] and [`account`].
//!
//! | asked | read by |
//! |---|---|
//! | is it worth a copy, and where does the answer end? | `endpoint`; `end` (HTTP), `message` (WebSocket) |
//! | what do the bodies say? | `understand`: `decode`, `content` (`sse`), then `prompt` and `answer`, one file an interface |
//! | what is known of the exchange? | `facts`, from those and `dialogue`, `editor`, `feature`, `action`, `language`, `model`, `suggestion`, `edits`, `quota` |
//! | what does it count as? | `classify` |
//! | what became of suggestions, and whose account is it? | `telemetry`, `account`, in the words of [`observation`] |
//! | what could not be read? | `problem`, [`unrecognised`] |
//!
//! A further endpoint starts in `endpoint.rs`; how its answers are read goes beside `answer.rs`. A further event of telemetry
//! starts in `telemetry.rs`.

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
pub use editor::{Ide, label as editor_label};
pub use end::EndScanner;
pub use endpoint::{Capture, Endpoint, capture, capture_websocket, path_shape};
pub use facts::{Facts, Initiator};
pub use feature::Feature;
pub use message::{Conversation, ends_answer};
pub use model::split_version;
pub use problem::Problem;
pub use telemetry::{Reported, telemetry};
pub use understand::{Understanding, understand};
