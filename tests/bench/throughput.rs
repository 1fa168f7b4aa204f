//! Requests one after the other in many tunnels: how many a second, for how much CPU time, and how long one waits.

use std::time::Instant;

use crate::figures::Rounds;
use crate::load::{LATENCY_REQUESTS, Shape};
use crate::process::{Kind, Origin, Target};

/// What one round told of one target.
pub struct Figures {
    /// Answers a second as the clients saw them, what the spool took in included.
    pub burst: f64,
    /// The same number divided by the time until all of it was recorded, too.
    pub sustained: f64,
    /// Seconds, recording included.
    pub cpu_per_1000: f64,
    /// Milliseconds, one tunnel alone.
    pub first_event: f64,
    /// Milliseconds from there to the end.
    rest: f64,
}

pub async fn compare(name: &str, origin: &Origin, rounds: usize, shape: Shape) {
    println!(
        "\n{name}: {} tunnels ({:?}), {} requests each, {} events; medians of {rounds} rounds",
        shape.tunnels, shape.alpn, shape.requests, shape.events
    );
    let rounds = Rounds::measure(rounds, origin, async |target| measure(target, "alice", shape).await).await;
    for kind in Kind::ALL {
        println!(
            "  {:13} burst {:6.0}/s  sustained {:6.0}/s  CPU {:.3} s/1000  first event {:.3} ms  first to end {:.3} ms",
            kind.name(),
            rounds.median(kind, |f| f.burst),
            rounds.median(kind, |f| f.sustained),
            rounds.median(kind, |f| f.cpu_per_1000),
            rounds.median(kind, |f| f.first_event),
            rounds.median(kind, |f| f.rest),
        );
    }
    let ratio = |value: fn(&Figures) -> f64| rounds.ratio(Kind::Copilens, Kind::Pass, value);
    let more = |value: fn(&Figures) -> f64| rounds.difference(Kind::Copilens, Kind::Pass, value);
    println!(
        "  copilens : pass-through   burst {}  sustained {}  CPU {}",
        ratio(|f| f.burst),
        ratio(|f| f.sustained),
        ratio(|f| f.cpu_per_1000)
    );
    println!(
        "  copilens - pass-through   first event {} ms  first to end {} ms",
        more(|f| f.first_event),
        more(|f| f.rest)
    );
}

pub async fn measure(target: &Target, user: &str, shape: Shape) -> Figures {
    let recorded = || target.copilens.as_ref().map(|copilens| copilens.records(user, shape));
    let recorded_before = recorded();
    target.load.burst(shape, shape.requests / 10).await;
    target.settle().await;
    let cpu_before = target.cpu();
    let took = target.load.burst(shape, shape.requests).await;
    let answered = Instant::now();
    target.settle().await;
    let until_recorded = took + answered.elapsed();
    let cpu = target.cpu() - cpu_before;
    let (first_event, rest) = target.load.latency(shape).await;
    target.settle().await;
    let sent = shape.tunnels * (shape.requests + shape.requests / 10) + LATENCY_REQUESTS;
    assert_eq!(recorded(), recorded_before.map(|before| before + sent));
    let count = (shape.tunnels * shape.requests) as f64;
    Figures {
        burst: count / took.as_secs_f64(),
        sustained: count / until_recorded.as_secs_f64(),
        cpu_per_1000: cpu.as_secs_f64() * 1000.0 / count,
        first_event,
        rest,
    }
}
