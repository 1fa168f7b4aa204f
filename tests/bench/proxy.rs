//! Speed, side by side in one run: direct, a bare hudsucker pass-through, and copilens with everything recorded.
//!
//! `cargo bench --bench proxy` prints ratios to the pass-through, paired by round, because this kind of machine is noisy;
//! `cargo bench --bench proxy -- CASE...` runs some cases, among them those that are too long for every time ([`CASES`]).
//! In the environment, `BENCH_ROUNDS` sets the number of rounds, `BENCH_DIR` the folder for all files (`target/tmp`).
//! Upstream, proxies and load generator are processes of their own, so that CPU time can be told apart. The pass-through
//! speaks HTTP/1.1 to upstream, copilens HTTP/2, as each does by default.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::large_futures,
    missing_docs,
    unreachable_pub,
    reason = "a bench ends by panicking"
)]

mod cold;
mod figures;
mod gaps;
mod idle;
mod load;
mod pass;
mod preloaded;
mod process;
mod soak;
mod throughput;
mod upstream;

use copilens::sim::tls::Alpn;

use load::Shape;
use process::{Origin, Upstream};

/// The cases by name, and whether a run without names has them.
const CASES: [(&str, bool); 9] = [
    ("completions", true),
    ("chat", true),
    ("http2", true),
    ("gaps", true),
    ("idle", true),
    ("cold", true),
    ("tunnels", false),
    ("preloaded", false),
    ("soak", false),
];

fn main() {
    let role = std::env::var("BENCH_ROLE").unwrap_or_default();
    take_all_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match role.as_str() {
        "upstream" => runtime.block_on(upstream::run()),
        "pass" => runtime.block_on(pass::run()),
        _ => runtime.block_on(run_cases()),
    }
}

/// Ten thousand tunnels are as many sockets.
fn take_all_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

async fn run_cases() {
    // Cargo adds options of its own.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let unknown = named.iter().find(|name| CASES.iter().all(|(case, _)| case != name));
    assert!(unknown.is_none(), "no case {unknown:?}; there are {CASES:?}");
    let upstream = Upstream::start();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("before: load {}; {:.0} files/s", load.trim(), upstream.origin.files_a_second());
    for (case, always) in CASES {
        if named.iter().any(|name| name == case) || named.is_empty() && always {
            run(case, &upstream.origin).await;
        }
    }
}

async fn run(case: &str, origin: &Origin) {
    let wanted = std::env::var("BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds = wanted.unwrap_or(5);
    match case {
        "completions" => throughput::compare(case, origin, rounds, Shape::COMPLETION).await,
        "chat" => throughput::compare(case, origin, rounds, Shape::CHAT).await,
        "http2" => {
            let shape = Shape { alpn: Alpn::Http2, ..Shape::COMPLETION };
            throughput::compare("completions over HTTP/2", origin, rounds, shape).await;
        }
        "gaps" => gaps::compare(origin, rounds).await,
        "idle" => idle::compare(origin, 1000).await,
        "cold" => cold::compare(origin).await,
        "soak" => soak::run(origin).await,
        "tunnels" => idle::compare(origin, 10_000).await,
        _ => preloaded::compare(origin, wanted.unwrap_or(10)).await,
    }
}
