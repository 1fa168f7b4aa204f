//! An HTTPS intercepting proxy for teams that use GitHub Copilot. It lets allowlisted users through, passes every byte on
//! unchanged, records completions and chats for each user, and counts usage by user, editor, language, model and feature.
//!
//! This page is the story. The crate is a library only so that tests and benches can reach its parts; the product is the
//! binary, and [`cli`] is its front door.
//!
//! # The way of an exchange
//!
//! ```text
//! IDE ──CONNECT + Basic──► admission ──► interception ──► upstream leg ──► Copilot
//!                                             │  bytes untouched, a copy taken
//!                                             ▼
//!                                        spool    durable queue on the local disk
//!                                             ▼
//!                                        recorder    understand, classify, write
//!                                          │      │
//!                 logs/usage/<user>/<kind>/*.json  usage events ──► store
//!                                                                    ▼
//!                                   logs/metrics/copilot-usage_<day>.json, report
//! ```
//!
//! 1. A client asks for a tunnel. [`proxy`] looks at its credentials before anything else of the request. Without valid
//!    ones it answers 407, and nothing is resolved, dialled or written. From here on the tunnel carries a
//!    [`identity::UserName`]. An address stands for a user only with `auth.remember_address`, which is off by default.
//! 2. The destination decides. Hosts on the intercept list are met with a certificate from [`certs`], and the requests inside
//!    are served. Other hosts are tunnelled unread, or denied. An address is dialled only after it was vetted, and it is
//!    the vetted one that is dialled.
//! 3. Each request goes upstream over our own connections, HTTP/1.1 or HTTP/2 as either side likes. Where
//!    [`copilot::capture`] says that an exchange is worth it, a tap copies what passes. It decodes nothing and delays nothing
//!    but the very end. On a WebSocket to a model each request with its answer is such an exchange.
//! 4. At the end, the copy goes, without credentials, to the [`spool`]. Only then is the end released to the client, or after
//!    `capture.commit_timeout_ms`. So an exchange that a client saw finish outlives `kill -9`.
//! 5. The [`recorder`] takes it from there, on a thread of its own. [`copilot::understand`] reads bodies and headers,
//!    [`copilot::classify`] says whether it was a person's turn, an agent's step or noise, and why. A turn or step
//!    becomes a record file; all become a [`usage::UsageEvent`] in the [`store`]. Then the spool's entry is settled.
//! 6. What clients and GitHub tell beside that goes the same way, but as a [`copilot::observation::Notice`], made before the
//!    spool: from telemetry what became of suggestions, from answers about the account whose it is. The bodies are kept
//!    nowhere. The store joins the facts to their exchanges, whichever come first. A completion that was fetched ahead of need
//!    waits until telemetry says that it was shown, and is a turn then.
//! 7. Day files and reports are projections of the store. They are written behind the work, and `rebuild` makes them anew from
//!    the record files.
//!
//! There is one direction and no way back. Everything after the spool can fall behind, crash or be rebuilt without a
//! developer noticing. The proxy knows HTTP and users, not Copilot; the recorder knows Copilot, not sockets.
//!
//! # The layers
//!
//! A module imports from lines below its own, and within a line only as noted.
//!
//! | modules | know |
//! |---|---|
//! | [`cli`] | arguments, terminal, exit codes |
//! | [`app`] | how the parts are put together, started and drained |
//! | [`proxy`], [`admin`] | sockets, TLS and HTTP; the pages |
//! | [`recorder`], [`reports`] | what becomes of a captured exchange, and the layout of record files; usage in the formats that others read |
//! | [`spool`], [`store`], [`certs`] | one kind of file each: queue, usage events, CA |
//! | [`config`], [`identity`], [`metrics`] | settings and allowlist, hot reload; names and passwords (`config` builds on `identity`); what copilens counts about itself |
//! | [`usage`], [`copilot`], [`exchange`] | what is counted, what traffic means, what was captured: pure, no I/O, no clock (`usage` builds on the other two) |
//!
//! Beside them stands `sim`: a fake Copilot and simulated developers, for `copilens demo`, the tests and the benches.
//!
//! Types carry the checks. A [`identity::UserName`] that exists is safe as a folder's name, a
//! [`config::Loaded`] configuration has no faults, and an [`exchange::Exchange`] has no credentials in it.
//!
//! # The promises
//!
//! Each is held by tests that use the real binary, real TLS and real sockets.
//!
//! - A client's bytes and headers are what they would be without the proxy, less hop-by-hop and `Proxy-*` fields; each
//!   server-sent event reaches it before the next one is sent.
//! - No request without valid credentials reaches an upstream, a resolver or a file.
//! - Every exchange that a client saw finish is recorded once and counted once, across crashes, restarts, rebuilds and
//!   midnight. Those released late or unrecorded are excepted, and counted.
//! - One user's exchanges are never booked on another.
//! - No secret is in any output. No client-sent text chooses a path, a host or an address to dial.
//! - The cost of an exchange does not grow with the number of users, days or exchanges on record.
//!
//! Days are UTC days of an exchange's end, everywhere. What is unknown is absent, never 0.

pub mod admin;
pub mod app;
pub mod certs;
pub mod cli;
pub mod config;
pub mod copilot;
pub mod exchange;
pub mod identity;
pub mod metrics;
pub mod proxy;
pub mod recorder;
pub mod reports;
#[cfg(feature = "sim")]
pub mod sim;
pub mod spool;
pub mod store;
pub mod usage;
