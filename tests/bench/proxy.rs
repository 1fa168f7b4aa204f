//! Speed, side by side in one run: direct, a bare hudsucker pass-through, and copilens with everything recorded.
//!
//! `cargo bench --bench proxy` prints ratios to the pass-through, paired by round, because this kind of machine is noisy.
//! Upstream, proxies and load generator are processes of their own, so that CPU time can be told apart.

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

mod load;
mod pass;
mod process;
mod upstream;

use std::time::Duration;

use load::{Load, Shape};
use process::{Copilens, Pass, Upstream};

/// Rounds of which the median is printed.
const ROUNDS: usize = 5;

fn main() {
    let role = std::env::var("BENCH_ROLE").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match role.as_str() {
        "upstream" => runtime.block_on(upstream::run()),
        "pass" => runtime.block_on(pass::run()),
        _ => runtime.block_on(compare()),
    }
}

/// What one round told of one target.
#[derive(Default, Clone, Copy)]
struct Figures {
    per_second: f64,
    cpu_per_1000: f64,
    first_event: Duration,
    tail: Duration,
}

async fn compare() {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let upstream = Upstream::start();
    for (name, shape) in [("completions", Shape::COMPLETION), ("chat", Shape::CHAT)] {
        println!("\n{name}: {} events, {} tunnels", shape.events, shape.tunnels);
        let mut table: Vec<[Figures; 3]> = Vec::new();
        for _ in 0..rounds {
            table.push([
                direct(&upstream, shape).await,
                pass(&upstream, shape).await,
                copilens(&upstream, shape).await,
            ]);
        }
        print(&table);
    }
}

async fn direct(upstream: &Upstream, shape: Shape) -> Figures {
    let load = Load::direct(upstream.address, upstream.roots());
    measure(&load, shape, || Duration::ZERO, || {}).await
}

async fn pass(upstream: &Upstream, shape: Shape) -> Figures {
    let pass = Pass::start(upstream);
    let load = Load::through(pass.address, pass.roots(), None);
    measure(&load, shape, || process::cpu(pass.pid()), || {}).await
}

async fn copilens(upstream: &Upstream, shape: Shape) -> Figures {
    let copilens = Copilens::start(upstream);
    let load = Load::through(copilens.address, copilens.roots(), Some(copilens.credentials()));
    let figures = measure(&load, shape, || process::cpu(copilens.pid()), || copilens.wait_until_recorded()).await;
    copilens.assert_recorded(shape);
    figures
}

async fn measure(load: &Load, shape: Shape, cpu: impl Fn() -> Duration, settle: impl Fn()) -> Figures {
    load.burst(shape, shape.requests / 10).await;
    settle();
    let (before, begun) = (cpu(), std::time::Instant::now());
    load.burst(shape, shape.requests).await;
    let elapsed = begun.elapsed();
    settle();
    let spent = cpu() - before;
    let count = (shape.tunnels * shape.requests) as f64;
    let (first_event, tail) = load.latency(shape).await;
    Figures {
        per_second: count / elapsed.as_secs_f64(),
        cpu_per_1000: spent.as_secs_f64() * 1000.0 / count,
        first_event,
        tail,
    }
}

fn print(table: &[[Figures; 3]]) {
    let column = |target: usize, value: fn(&Figures) -> f64| median(table.iter().map(|round| value(&round[target])));
    for (target, name) in ["direct", "pass-through", "copilens"].iter().enumerate() {
        println!(
            "  {name:13} {:8.0}/s  {:.3} CPU s/1000  first event {:.3} ms  first to end {:.3} ms",
            column(target, |f| f.per_second),
            column(target, |f| f.cpu_per_1000),
            column(target, |f| f.first_event.as_secs_f64() * 1000.0),
            column(target, |f| f.tail.as_secs_f64() * 1000.0),
        );
    }
    let ratio = |value: fn(&Figures) -> f64| median(table.iter().map(|round| value(&round[2]) / value(&round[1])));
    println!(
        "  copilens : pass-through   throughput {:.2}   CPU {:.2}",
        ratio(|f| f.per_second),
        ratio(|f| f.cpu_per_1000)
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
