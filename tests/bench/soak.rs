//! Half an hour of steady load: memory, descriptors and tasks must come to a level and stay there.
//!
//! Each worker opens a tunnel, asks some times, sometimes leaves in the middle of an answer, and opens the next one. The
//! first sample that counts is the fifth: by then all that is made once has been made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use copilens::sim::tls::Alpn;
use tokio::task::JoinSet;

use crate::load::{Load, Shape, ask, leave};
use crate::process::{Kind, Origin, Target};

/// Tunnels at a time.
const WORKERS: usize = 40;
/// Requests in a tunnel before it is closed.
const IN_A_TUNNEL: usize = 20;
/// Between two requests of a worker.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(60);

pub async fn run(origin: &Origin) {
    let minutes = std::env::var("BENCH_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(30);
    println!("\nsoak: {minutes} minutes, {WORKERS} workers, tunnels of {IN_A_TUNNEL} requests");
    let target = Target::start(Kind::Copilens, origin);
    let copilens = target.copilens.as_ref().unwrap();
    let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        workers.spawn(work(target.load.clone(), number, Arc::clone(&done), Arc::clone(&stop)));
    }
    println!("  minute   exchanges  resident MiB  descriptors  tasks  open tunnels  in spool  CPU s/1000");
    let mut before = (0, Duration::ZERO);
    for minute in 1..=minutes {
        tokio::time::sleep(SAMPLE).await;
        let (exchanges, cpu) = (done.load(Ordering::Relaxed), target.cpu());
        println!(
            "  {minute:6} {exchanges:11} {:13.1} {:12} {:6} {:13} {:9} {:11.3}",
            target.resident() / 1024.0,
            copilens.descriptors(),
            copilens.metric("copilens_tasks").await,
            copilens.metric("copilens_tunnels_open{route=\"intercept\"}").await,
            copilens.metric("copilens_spool_entries").await,
            (cpu - before.1).as_secs_f64() * 1000.0 / (exchanges - before.0) as f64,
        );
        before = (exchanges, cpu);
    }
    stop.store(true, Ordering::Relaxed);
    workers.join_all().await;
    target.wait_until_idle().await;
    println!(
        "  afterwards: resident {:.1} MiB, {} descriptors, {} tasks, {} tunnels; lost {}, panics {}",
        target.resident() / 1024.0,
        copilens.descriptors(),
        copilens.metric("copilens_tasks").await,
        copilens.metric("copilens_tunnels_open{route=\"intercept\"}").await,
        copilens.metric("copilens_unrecorded_exchanges_total").await,
        copilens.metric("copilens_panics_total").await,
    );
}

async fn work(load: Load, number: usize, done: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let kind = if number.is_multiple_of(4) { Shape::CHAT } else { Shape::COMPLETION };
    let alpn = if number.is_multiple_of(2) { Alpn::Http1 } else { Alpn::Http2 };
    let shape = Shape { alpn, pace: 2, ..kind };
    while !stop.load(Ordering::Relaxed) {
        let tunnel = load.open(shape).await;
        for _ in 0..IN_A_TUNNEL {
            ask(&tunnel, shape).await;
            done.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
        leave(&tunnel, shape).await;
    }
}
