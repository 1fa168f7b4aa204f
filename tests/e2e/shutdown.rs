//! SIGTERM while every connection is busy: each answer that began comes whole, and what came is recorded.

use std::sync::Arc;
use std::time::Duration;

use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::rng::Seeded;
use copilens::sim::tls::Alpn;
use rustix::process::Signal;

use crate::asking::Ask;
use crate::load::{Load, Seen, assert_balanced, is_long, patient_site};
use crate::support::{CHAT_HOST, Copilens, Site, Upstream, wait_until};

/// Signals in one run; `./tests/run --long` has the second number.
const SIGNALS: (usize, usize) = (2, 20);

/// So slow that each connection is in the middle of an answer whenever the signal comes.
async fn slow_upstream() -> Upstream {
    let options = FakeOptions { event_delay: Duration::from_millis(10), ..FakeOptions::default() };
    Upstream::with(options, Alpn::Both).await
}

fn terminate(copilens: &Copilens) {
    copilens.signal(Signal::TERM);
    wait_until("the signal's line", || copilens.log().contains("shutting down").then_some(()));
}

async fn stop_under_load(site: Site, seen: &Arc<Seen>, rng: &mut Seeded) -> Site {
    let mut copilens = site.start();
    let load = Load::start(&copilens, seen);
    seen.wait_for(seen.finished() + 6 + usize::try_from(rng.below(20)).unwrap()).await;
    tokio::time::sleep(Duration::from_millis(rng.below(100))).await;
    terminate(&copilens);
    load.broken().await;
    assert_eq!(copilens.exit_code(), Some(0));
    wait_until("the last line of the log", || copilens.log().contains("\"finished\":true").then_some(()));
    copilens.kill()
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_sigterm_under_load_cuts_no_answer_and_loses_none() {
    let upstream = slow_upstream().await;
    let (mut site, mut rng) = (patient_site(&upstream), Seeded::new(7));
    let seen = Arc::new(Seen::default());
    for _ in 0..if is_long() { SIGNALS.1 } else { SIGNALS.0 } {
        site = stop_under_load(site, &seen, &mut rng).await;
        assert_eq!(seen.cut(), 0, "of {} answers", seen.finished());
        let answered = u64::try_from(seen.finished()).unwrap();
        assert_eq!(upstream.fake.seen().request_count, answered, "a request that went out has its answer come back");
    }
    assert_eq!(assert_balanced(&site, &seen), seen.finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_a_second_signal_under_load_ends_at_once_and_loses_nothing_that_was_seen_to_finish() {
    let upstream = slow_upstream().await;
    let mut copilens = patient_site(&upstream).set("shutdown_grace", "\"1h\"").start();
    let seen = Arc::new(Seen::default());
    let load = Load::start(&copilens, &seen);
    let tunnel = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
    let mut endless = Ask::chat().prompt("without end").with(control::STALL, "1").send(&tunnel).await;
    endless.chunk().await.unwrap();
    seen.wait_for(12).await;
    terminate(&copilens);
    copilens.signal(Signal::TERM);
    assert_eq!(copilens.exit_code(), Some(130));
    load.broken().await;
    let (code, site) = copilens.kill().start().stop();
    assert_eq!(code, Some(0));
    assert_balanced(&site, &seen);
}
