//! Tunnels that are open and do nothing, which is what most tunnels do: what they cost in memory.

use std::time::Instant;

use copilens::sim::tls::Alpn;

use crate::figures::{Spread, milliseconds};
use crate::load::{Shape, ask};
use crate::process::{Kind, Origin, Target};

/// Requests before the first look, so that what is made once is not charged to the tunnels.
const WARM: usize = 1000;
/// Of the idle tunnels, those that are used again in the end.
const WOKEN: usize = 100;

pub async fn compare(origin: &Origin, tunnels: usize) {
    println!("\nidle: {tunnels} tunnels, each silent after one request");
    for alpn in [Alpn::Http1, Alpn::Http2] {
        for kind in [Kind::Pass, Kind::Copilens] {
            hold(origin, kind, tunnels, Shape { alpn, tunnels: 1, ..Shape::COMPLETION }).await;
        }
    }
}

async fn hold(origin: &Origin, kind: Kind, tunnels: usize, shape: Shape) {
    let target = Target::start(kind, origin);
    target.wait_until_idle().await;
    let fresh = target.resident();
    target.load.burst(shape, WARM).await;
    target.wait_until_idle().await;
    let (before, alone) = (target.resident(), target.load.latency(shape).await);
    let begun = Instant::now();
    let open = target.load.open_idle(shape, tunnels).await;
    let opened = begun.elapsed();
    target.wait_until_idle().await;
    let after = target.resident();
    let in_company = target.load.latency(shape).await;
    let mut woken = Vec::new();
    for tunnel in open.iter().step_by(tunnels / WOKEN) {
        woken.push(milliseconds(ask(tunnel, shape).await.first_event()));
    }
    let woken = Spread::of(woken);
    println!(
        "  {:13} {:?}: resident {:.1} MiB at start, {:.1} after {WARM} requests, {:.1} with the tunnels: {:.1} KiB each",
        kind.name(),
        shape.alpn,
        fresh / 1024.0,
        before / 1024.0,
        after / 1024.0,
        (after - before) / tunnels as f64,
    );
    println!(
        "                opened {:.0}/s; first event {:.3} ms in a busy tunnel ({:.3} without the idle ones), {:.3} (at most {:.3}) in {WOKEN} woken ones",
        tunnels as f64 / opened.as_secs_f64(),
        in_company.0,
        alone.0,
        woken.median,
        woken.greatest,
    );
}
