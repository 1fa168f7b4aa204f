//! A recorder that stalls: the spool grows to its limit and no further.

use rusqlite::Connection;

use super::*;

const LIMIT: u64 = 200_000;
/// More than one exchange takes in the spool.
const ONE: u64 = 8_000;

fn size_of(folder: &Path) -> u64 {
    files_in(folder).iter().map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len())).sum()
}

async fn stalled_recorder(policy: Policy) {
    let limit = format!("\"{LIMIT}B\"");
    let mut trial =
        Trial::start(|site| policy.set(site).set("capture.max_body", "\"20KB\"").set("capture.spool_limit", &limit))
            .await;
    trial.ask().await;
    trial.has_recorded(1);
    let other = Connection::open(trial.path("logs/usage.sqlite3")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut largest = 0;
    for _ in 0..200 {
        trial.ask().await;
        largest = largest.max(size_of(&trial.path("logs/spool")));
    }
    assert!((LIMIT - ONE..LIMIT + ONE).contains(&largest), "{largest}");
    trial.wait_for_trouble(&["the spool is full", "in use by another process"]).await;
    trial.ask_in_trouble(policy).await;
    assert_eq!(trial.unrecorded().await > 3, policy == Policy::Pass);
    other.execute_batch("ROLLBACK").unwrap();
    trial.recovers().await;
    wait_until("an empty spool", || (size_of(&trial.path("logs/spool")) < ONE).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_recorder_grows_the_spool_to_its_limit_and_no_further() {
    tokio::join!(stalled_recorder(Policy::Pass), stalled_recorder(Policy::Refuse));
}
