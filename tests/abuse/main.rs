//! Clients that mean harm, against the real binary. A file is a group of cases, and a test's name begins with its case:
//!
//! | case | what | where |
//! |---|---|---|
//! | A1-A5, A7 | missing, wrong and malformed credentials, two users on one connection or address, revocation, bursts | e2e `admission` |
//! | A9, E12, E13 | client-sent text in logs, paths and names | e2e `capture`, `secrets` |
//! | A10 | error pages reflect nothing | e2e `admission`, `tunnel` |
//! | B1-B4, B9, B10 | relay, forbidden addresses and ports, own listeners | e2e `destinations`, `onboarding` |
//! | B5-B8 | other authority, SNI or CONNECT in a tunnel, WebSocket | e2e `tunnel`, `websocket` |
//! | B11 | upstream's certificates | e2e `upstream` |
//! | C1 | request smuggling | `c1_smuggling` |
//! | C2 | HTTP/2 to HTTP/1.1 | `c2_http2_to_http1` |
//! | C3 | slow and silent clients | `c3_slow`; the handshake after CONNECT: e2e `tunnel` |
//! | C4 | HTTP/2 floods | `c4_http2_floods` |
//! | C5 | heads without measure | `c5_sizes` |
//! | C6, C11-C13 | big bodies, framings, fidelity, first byte | e2e `transparency` |
//! | C7-C10 | bombs, streams and bodies that make no sense | e2e `malformed` |
//! | D1-D6 | upstream's refusals, silence, resets; clients that leave | e2e `upstream`, `noise` |
//! | E1-E8, E10 | disk, kill, restart, rebuild, midnight, a second instance | e2e `held_up`, `commands`, `crash`, `lifecycle`, `midnight` |
//! | F1-F4 | secrets and who may read what | e2e `secrets`, `commands`, `onboarding`, `capture` |
//! | G1, G3 | shutdown, a bad reload | e2e `lifecycle` |
//! | G2 | out of descriptors | `g2_descriptors` |
//!
//! Without a test through the binary so far: A6, A8, E9, E11, E14-E16, F5-F8, G4, G5.
//!
//! hudsucker's hazards: H1, H2, H3 e2e `tunnel`; H4 `c3_slow` and e2e `tunnel`; H5 e2e `destinations`; H6 e2e `websocket`;
//! H7 e2e `transparency`; H8 `c3_slow`, `c5_sizes`; H9 `g2_descriptors`; H10 e2e `tunnel`; H11 e2e `malformed`;
//! H12 e2e `upstream`; H13 e2e `admission`; H14 `c3_slow` and e2e `tunnel`.

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

mod a5_revocation;
mod a8_floods;
mod c1_smuggling;
mod c2_http2_to_http1;
mod c3_slow;
mod c4_http2_floods;
mod c5_sizes;
mod c6_streams;
mod c7_bombs;
mod d1_names;
mod d4_leaving;
mod f5_secrets;
mod f7_shown;
mod f8_expiry;
mod frames;
mod g2_descriptors;
mod g4_panics;
mod torrent;
mod watching;
