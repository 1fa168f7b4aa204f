//! Keeps `[records]`: looks after the record files at the start and every few hours.

use std::time::SystemTime;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::SWEEP_EVERY;
use crate::config::{Live, Records};
use crate::metrics::Metrics;
use crate::recorder::{self, RecordFiles, Swept};

/// Sweeps for as long as it is polled.
pub(super) async fn sweep_often(live: &Live, files: &RecordFiles, metrics: &Metrics) {
    let end = CancellationToken::new();
    let _ended = end.clone().drop_guard();
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        let records = live.current().settings.records.clone();
        match sweep(files.clone(), records, end.clone()).await {
            Some(swept) => tell(swept, metrics),
            None => tracing::error!("the record files could not be looked after (`[records]`)"),
        }
    }
}

/// On a thread of its own that lets traffic go first; the end of the process need not wait for it.
async fn sweep(files: RecordFiles, records: Records, end: CancellationToken) -> Option<Swept> {
    let (done, swept) = oneshot::channel();
    let work = move || {
        recorder::stand_back();
        let _ = done.send(recorder::sweep(&files, &records, SystemTime::now(), &|| !end.is_cancelled()));
    };
    std::thread::Builder::new().name("sweep".to_owned()).spawn(work).ok()?;
    swept.await.ok()
}

fn tell(swept: Swept, metrics: &Metrics) {
    metrics.records_removed.inc_by(swept.removed);
    metrics.records_compacted.inc_by(swept.compacted);
    if swept != Swept::default() {
        tracing::info!(swept.removed, swept.compacted, swept.failed, "old record files were looked after");
    }
}
