//! How fast the spool is: to be looked at, not asserted. `cargo test --release --lib spool::tests::speed -- --ignored --nocapture`

use std::sync::Arc;

use super::*;

#[test]
#[ignore = "prints timings"]
fn time_from_append_to_ack() {
    for (kilobytes, writers, each, pause) in [(5, 1, 400, 5), (5, 1, 5000, 0), (5, 50, 400, 0), (60, 50, 40, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::open(dir.path(), Options::default()).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
        let began = Instant::now();
        let mut waits = runtime.block_on(append_all(&spool, kilobytes << 10, writers, each, pause));
        let total = began.elapsed();
        waits.sort();
        let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
        println!(
            "{kilobytes} kB, {writers} writers, pause {pause} ms: p50 {:?}, p99 {:?}, max {:?}, {:.0}/s",
            at(50),
            at(99),
            at(100),
            waits.len() as f64 / total.as_secs_f64()
        );
    }
}

async fn append_all(spool: &Arc<Spool>, bytes: usize, writers: usize, each: usize, pause: u64) -> Vec<Duration> {
    let writer = |_| {
        let (spool, exchange) = (Arc::clone(spool), large(1, bytes));
        tokio::spawn(async move {
            let mut waits = Vec::new();
            for _ in 0..each {
                if pause > 0 {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                let began = Instant::now();
                spool.append(exchange.clone()).await.unwrap();
                waits.push(began.elapsed());
            }
            waits
        })
    };
    let tasks: Vec<_> = (0..writers).map(writer).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}
