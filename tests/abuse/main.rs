//! Clients that mean harm, against the real binary. A file is a group of cases, and a test's name begins with its case:
//!
//! | case | what | where |
//! |---|---|---|
//! | A1, A2 | missing, wrong and malformed credentials, on every way in | e2e `admission::every_way_in_asks_for_credentials`, `malformed_credentials_...`; HTTP/2 in clear text: 505 for all, e2e `tunnel::http2_in_clear_text_...` |
//! | A3, A4 | users on one connection, users behind one address | e2e `admission::users_on_one_connection_...`, `two_users_behind_one_address_...` |
//! | A5 | removed, disabled, rotated | requests: e2e `admission::whoever_loses_access_...`; unseen bytes and WebSockets: `a5_revocation` |
//! | A6 | same work for every name | `identity::directory::a6_...` |
//! | A7 | bursts of wrong passwords: 407, no lock-out, few lines | e2e `admission::a_burst_of_failures_...`; many addresses: `a8_floods::a7_...` |
//! | A8 | what a wrong password costs | `a8_floods::a8_...` |
//! | A9 | client-sent text in the log | `a8_floods::a9_...` |
//! | A10 | error pages reflect nothing | `proxy::answer` (constants); e2e `destinations`, `upstream::assert_fails` |
//! | B1 | other hosts: tunnelled, denied or listed | e2e `destinations::other_hosts_can_be_denied_or_listed` |
//! | B2 | forbidden addresses in every spelling | e2e `destinations::forbidden` |
//! | B3 | names that lead to forbidden addresses | e2e `forbidden::an_intercepted_name_...`; one look-up, whose very address is dialled: the type `VettedAddr` |
//! | B4 | ports, malformed and lookalike targets | e2e `destinations::only_listed_ports_...`, `a_target_that_makes_no_sense_...` |
//! | B5 | other `:authority`, `:scheme`, `Host` | e2e `tunnel::over_http2_no_other_...`, `over_http1_no_other_host_...` |
//! | B6 | other SNI, none, addresses | e2e `tunnel::a_server_name_other_than_...`, `the_certificate_names_...` |
//! | B7 | CONNECT in a tunnel | e2e `tunnel::connect_inside_a_tunnel_...` |
//! | B8 | WebSockets go where their tunnel goes | e2e `websocket`, and B5's tests, which come before the upgrade |
//! | B9 | loops | e2e `forbidden::the_proxys_own_ports_...` |
//! | B10 | admin pages through the proxy, foreign `Host`, headers | e2e `onboarding::the_admin_listener_cannot_be_reached_...`, `admin::tests` |
//! | B11 | upstream's certificates | e2e `upstream::certificates` |
//! | C1, C2 | request smuggling, in HTTP/1.1 and from HTTP/2 | `c1_smuggling`, `c2_http2_to_http1` |
//! | C3 | slow and silent: before CONNECT, in its head, in the handshake, in an inner head, in a body, reading | `c3_slow`; silence after CONNECT: e2e `tunnel::a_client_that_is_silent_...`; a body that drips: SECURITY |
//! | C4, C5 | HTTP/2 floods, heads without measure | `c4_http2_floods`, `c5_sizes` |
//! | C6 | big bodies | e2e `transparency::sizes` (64 MiB, every version); `c6_streams` (1 GiB each way, `LONG_TESTS`) |
//! | C7 | bombs | requests: e2e `malformed`; answers: `c7_bombs`; every coding and nesting: `copilot::decode` |
//! | C8 | streams without end, without lines, cut anywhere | `c6_streams::c8_...`; e2e `malformed::a_stream_cut_anywhere_...`; any chunking: `copilot::end`, `copilot::sse` |
//! | C9, C10 | JSON and bytes that make no sense | e2e `malformed::answers_that_...`, `requests_that_...` |
//! | C11-C13 | framings, fidelity, first byte | e2e `transparency` |
//! | D1 | refused, no such name, no handshake, wrong certificate | e2e `upstream::faults`, `upstream::certificates`; `d1_names` |
//! | D2, D3 | silence, resets | e2e `upstream::faults`, `upstream::breaks` |
//! | D4 | clients that leave | e2e `upstream::breaks`; nothing stays of them: `d4_leaving` |
//! | D5 | who does not read holds up who sends | e2e `transparency::sizes::a_slow_reader_...`; `c6_streams::d5_...` |
//! | D6 | never sent twice | e2e `upstream::pool` |
//! | E1 | disks that are full, read-only, broken; folders that are gone or closed; a store that is locked or damaged | e2e `trouble::disks`, `folders`, `store`; EIO itself is not injected |
//! | E2 | a log folder that cannot be had | e2e `commands::a_log_folder_that_cannot_be_had_is_74_and_named` |
//! | E3 | a recorder that stalls | e2e `trouble::limit`, `held_up` |
//! | E4 | `kill -9` at any moment | e2e `kills`, `crash` |
//! | E5, E6 | restart, rebuild | e2e `crash`, `commands`; every test of `load::assert_balanced` |
//! | E7 | torn day files and stores | e2e `trouble::store`: day files are never read, so they are replaced; a store is set aside and made anew |
//! | E8 | midnight | e2e `midnight` |
//! | E9, E11 | clocks that jump or nearly stand still | e2e `clock` |
//! | E10 | a second instance | e2e `crash` |
//! | E12 | user names as paths | `identity::name` |
//! | E13 | client-sent text in file names and series | e2e `capture::nothing_that_a_client_sends_...`; `f7_shown::e13_...` |
//! | E14 | planted links | e2e `trouble::links` |
//! | E15, E16 | retention beside readers, a start with a million on record | e2e `trouble::retention`; the bench's `preloaded` |
//! | F1 | no secret in any output | e2e `secrets` |
//! | F2-F4 | keys and modes | e2e `commands::a_key_that_others_can_read_...`, `onboarding::the_downloads_...`, `capture::a_record_file_has_...` |
//! | F5 | `/proc`, core dumps, `Debug`, panics | `f5_secrets::f5_...`, `cli::logging` |
//! | F6 | the parent proxy's credentials | `f5_secrets::f6_...`; e2e `secrets::the_parent_proxys_...`, `upstream::parent` |
//! | F7 | what clients made up, on a page and in a terminal | `f7_shown::f7_...`; `admin::tests::a_hostile_host_header_...` |
//! | F8 | the CA's end | `f8_expiry`; `certs::authority::a_leaf_never_outlives_the_ca` |
//! | G1 | shutdown, under load too | e2e `lifecycle`, `shutdown` |
//! | G2 | out of descriptors | `g2_descriptors` |
//! | G3 | good and bad reloads, under load too | e2e `lifecycle`, `reload` |
//! | G4 | panics | `g4_panics`; in what reads bodies: `recorder::understanding` |
//! | G5 | half an hour of load | the bench's `soak` |
//! | G6, G7 | dependencies, fuzzing | `.ci/run` (`deny.toml`), `tests/fuzz` |
//! | I1 | telemetry: bombs, events, depth, names, ids and numbers without measure; cut off | `i1_telemetry::i1_...`; ids of other users: `recorder::booking::tests::what_a_user_tells_...` |
//! | I2 | completions that wait to be seen, with any ids | `i1_telemetry::i2_...`; swept after a day: `recorder::retention` |
//! | I3 | paths, places, models and user agents without end | `i1_telemetry::i3_...`; `recorder::editors`, `metrics::bounded` |
//! | I4 | account answers that are huge or lie, tokens that are refused | `i1_telemetry::i4_...` |
//! | I5 | WebSockets: tiny frames, huge lengths, unfinished messages, requests without end, bombs | `i5_websocket`; every byte: `proxy::websocket::messages`, fuzz target `websocket` |
//!
//! hudsucker's hazards: H1, H2, H3 as B7, B5 and row 2 below; H4, H8, H14 `c3_slow`, `c5_sizes` and e2e `tunnel`; H5 as B2 and B3;
//! H6 as B8; H7 row 4 below; H9 `g2_descriptors`; H10 row 11 below; H11 as C7; H12 as D2; H13 as A3 and A4.
//!
//! What hudsucker does by itself, row by row, and what stands in its place here:
//!
//! | row | subject | where |
//! |---|---|---|
//! | 1 | TCP_NODELAY | `proxy::tests::accepted_connections_...`, `upstream::dial::tests::dialled_connections_...` |
//! | 2 | interception passed by | e2e `tunnel::a_client_hello_in_two_pieces_...`, `what_is_not_tls_...`, `clear_text_ends_...` |
//! | 3 | panics | e2e `tunnel::connect_inside_a_tunnel_...`; `g4_panics` |
//! | 4 | `Proxy-Authorization` sent on | e2e `transparency::raw`, `destinations::a_clear_text_request_...` (all bytes of the head) |
//! | 5, 6 | `Host`, cookies, case and order of fields | e2e `transparency::raw`, `differential`; `tunnel` |
//! | 7 | head limits | `c5_sizes` |
//! | 8 | no timeouts | `c3_slow`; e2e `tunnel::a_client_that_is_silent_...`, `upstream::faults`; silence before the first byte: SECURITY |
//! | 9 | accept loop | `g2_descriptors`; without a pause at the limit: SECURITY |
//! | 10 | shutdown | e2e `lifecycle`, `websocket::a_shutdown_...` |
//! | 11 | leaf certificates | `certs::authority::leaves_are_short_lived_...`, `calls_at_once_...`; e2e `tunnel::an_address_on_the_intercept_list_...` |
//! | 12 | kinds of CA keys | `certs::ca_files::a_pair_of_another_tool_works` (P-384) |
//! | 13 | upstream's roots | e2e `upstream::certificates` |
//! | 14, 15 | connections to upstream | e2e `upstream::pool` |
//! | 16 | WebSockets | e2e `websocket` |
//! | 17 | parent proxy | e2e `upstream::parent` |
//! | 18 | upstream down | e2e `upstream::faults`, `destinations::a_tunnel_that_cannot_be_had_...` |
//! | 19 | origin-form, requests for the proxy itself | e2e `admission::every_way_in_...`, `destinations::a_target_that_...`, `forbidden::the_proxys_own_ports_...` |
//! | 20, 21 | own CONNECT, own client | all of e2e goes through them |
//! | 22 | transparent mode, SOCKS, TLS to the proxy | not offered |
//! | 23 | log noise | `d4_leaving`, `g2_descriptors`; e2e `admission::a_burst_of_failures_...` |
//! | 24 | any host and port | as B1, B2 and B4 |

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
mod i1_telemetry;
mod i5_websocket;
mod torrent;
mod watching;
