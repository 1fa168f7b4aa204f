//! The store: busy, damaged, removed, half filled; and the day files that are made of it.

use std::io::{Seek, SeekFrom, Write};

use copilens::store::SqliteStore;
use rusqlite::Connection;

use super::*;

const STORE: &str = "logs/usage.sqlite3";

/// Damaged stores that were set aside.
fn set_aside(trial: &Trial) -> usize {
    let is_aside = |path: &&std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("usage.sqlite3.corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    files_in(&trial.path("logs")).iter().filter(is_aside).count()
}

/// Overwrites all but the first page, in place.
fn damage(store: &Path) {
    let length = fs::metadata(store).unwrap().len();
    let mut file = fs::OpenOptions::new().write(true).open(store).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xA5; usize::try_from(length).unwrap() - 4096]).unwrap();
}

async fn busy_store(policy: Policy) {
    let mut trial = Trial::start(|site| policy.set(site)).await;
    trial.ask_times(1).await;
    trial.has_recorded(1);
    let other = Connection::open(trial.path(STORE)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    trial.ask_times(5).await;
    trial.wait_for_trouble(&[STORE, "in use by another process"]).await;
    other.execute_batch("ROLLBACK").unwrap();
    trial.recovers().await;
    assert_eq!(trial.unrecorded().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_store_that_another_process_has_locked() {
    tokio::join!(busy_store(Policy::Pass), busy_store(Policy::Refuse));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_damaged_before_the_start_is_made_anew_from_the_records() {
    let mut trial = Trial::start(|site| site).await;
    trial.ask_times(5).await;
    trial.has_recorded(5);
    let before = trial.copilens.day_file();
    for (times, garbage) in [(1, "no database".repeat(1000)), (2, String::new())] {
        trial = trial
            .restart(
                |copilens| copilens.stop().1,
                |site| {
                    if times == 1 { fs::write(site.path(STORE), garbage).unwrap() } else { damage(&site.path(STORE)) }
                },
            )
            .await;
        trial.recovers().await;
        assert_eq!(set_aside(&trial), times);
        assert!(trial.copilens.log().contains("a damaged usage store was set aside"));
    }
    let after = trial.copilens.day_file();
    assert_eq!(
        after["usage"]["alice"]["tokens"]["input"].as_u64(),
        before["usage"]["alice"]["tokens"]["input"].as_u64().map(|five| five / 5 * 7)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_damaged_in_use_is_made_anew_from_the_records() {
    let mut trial = Trial::start(|site| Policy::Refuse.set(site)).await;
    trial.ask_times(5).await;
    trial.has_recorded(5);
    // After a restart nothing of it is in memory.
    trial = trial.restart(|copilens| copilens.stop().1, |_| {}).await;
    trial.copilens.wait_for_readyz(200).await;
    damage(&trial.path(STORE));
    trial.ask_times(3).await;
    trial.recovers().await;
    assert_eq!((set_aside(&trial), trial.unrecorded().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_removed_in_use_is_made_anew_from_the_records() {
    let mut trial = Trial::start(|site| Policy::Refuse.set(site)).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    for parts in [["", "-wal", "-shm"].as_slice(), &["-wal"], &[""]] {
        parts.iter().for_each(|part| fs::remove_file(trial.path(&format!("{STORE}{part}"))).unwrap());
        trial.ask_times(3).await;
        trial.recovers().await;
    }
    assert_eq!((set_aside(&trial), trial.unrecorded().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_filling_was_cut_short_is_filled_at_the_next_start() {
    let mut trial = Trial::start(|site| site).await;
    trial.ask_times(4).await;
    trial.has_recorded(4);
    for empty_one in [true, false] {
        let removed = |site: &Site| {
            fs::remove_file(site.path(STORE)).unwrap();
            if empty_one {
                drop(SqliteStore::open(&site.path(STORE)).unwrap());
            }
        };
        trial = trial.restart(|copilens| copilens.stop().1, removed).await;
        trial.recovers().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_file_torn_edited_or_removed_is_made_anew_with_its_numbers() {
    let mut trial = Trial::start(|site| site).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    let day = files_in(&trial.path("logs/metrics")).pop().unwrap();
    let edits: [fn(&Path); 3] = [
        |day| fs::write(day, &fs::read(day).unwrap()[..100]).unwrap(),
        |day| {
            let edited = fs::read_to_string(day).unwrap().replace("_count\": ", "_count\": 9");
            fs::write(day, edited).unwrap();
        },
        |day| fs::remove_dir_all(day.parent().unwrap()).unwrap(),
    ];
    let shows = |count: usize| {
        wait_until("the day file", || {
            let whole = fs::read(&day).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            whole.filter(|whole| whole["usage"]["alice"]["completions_count"] == count)
        })
    };
    for edit in edits {
        trial = trial.restart(|copilens| copilens.stop().1, |_| edit(&day)).await;
        shows(trial.sent);
        edit(&day);
        trial.ask().await;
        shows(trial.sent);
        trial.has_recorded(trial.sent);
    }
}
