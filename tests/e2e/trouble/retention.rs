//! Many records, and their removal: what is too old goes and nothing else, readers beside it are not disturbed, and a start
//! does not look through what is there.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant, SystemTime};

use copilens::exchange::ExchangeId;
use copilens::recorder::Record;
use copilens::store::{SqliteStore, UsageStore as _};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn age(path: &Path, days: u32) {
    fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - DAY * days).unwrap();
}

/// A record of this machine's copilens and the site it came from, stopped.
async fn recorded_once() -> (Upstream, Site, String) {
    let mut trial = Trial::start(|site| site).await;
    trial.ask().await;
    trial.has_recorded(1);
    let (_, site) = trial.copilens.stop();
    let path = files_in(&site.path("logs/usage/alice/completions")).remove(0);
    (trial.upstream, site, fs::read_to_string(path).unwrap())
}

/// Copies of a record, as if they had come on that day and were so old.
fn plant(folder: &Path, record: &str, count: usize, day: &str, days_old: u32) {
    fs::create_dir_all(folder).unwrap();
    let parsed: Value = serde_json::from_str(record).unwrap();
    let (id, own_day) = (parsed["id"].as_str().unwrap(), &parsed["timestamp"].as_str().unwrap()[..10]);
    for number in 0..count {
        let path = folder.join(format!("{day}T00-00-00.{number:06}_planted.json"));
        let text = record.replace(id, &ExchangeId::now().to_string()).replace(own_day, day);
        fs::write(&path, text).unwrap();
        age(&path, days_old);
    }
}

fn days_ago(days: u64) -> String {
    (chrono::Utc::now().date_naive() - chrono::Days::new(days)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_old_records_and_what_the_spool_set_aside_and_follows_no_link() {
    let (_upstream, site, record) = recorded_once().await;
    let (old, usage) = (days_ago(5), site.path("logs/usage"));
    let (user_elsewhere, kind_elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    plant(&user_elsewhere.path().join("chat"), &record, 1, &old, 5);
    plant(kind_elsewhere.path(), &record, 1, &old, 5);
    symlink(user_elsewhere.path(), usage.join("mallory")).unwrap();
    symlink(kind_elsewhere.path(), usage.join("alice/chat")).unwrap();
    let file_elsewhere = files_in(&user_elsewhere.path().join("chat")).remove(0);
    symlink(file_elsewhere, usage.join(format!("alice/completions/{old}.json"))).unwrap();
    plant(&usage.join("bob/chat"), &record, 3, &old, 5);
    for (name, days) in [("0000000000000007.damaged", 5), ("0000000000000008.damaged", 0)] {
        fs::write(site.path("logs/spool").join(name), "prompts").unwrap();
        age(&site.path("logs/spool").join(name), days);
    }
    let copilens = site.set("records.retention_days", "2").start();
    wait_until("the sweep", || copilens.log().contains("\"swept.removed\":4").then_some(()));
    assert_eq!(copilens.records("bob", "chat").len(), 0);
    assert_eq!(copilens.records("alice", "completions").len(), 2, "the new one and the link");
    let kept = files_in(&copilens.site.path("logs/spool"));
    assert!(kept.iter().any(|path| path.ends_with("0000000000000008.damaged")), "{kept:?}");
    assert!(!kept.iter().any(|path| path.ends_with("0000000000000007.damaged")), "{kept:?}");
    assert_eq!(files_in(&user_elsewhere.path().join("chat")).len(), 1);
    assert_eq!(files_in(kind_elsewhere.path()).len(), 1);
}

/// At this start, a new store is filled from the records while the retention removes half of them.
#[tokio::test(flavor = "multi_thread")]
async fn retention_does_not_disturb_who_reads_the_records() {
    let (_upstream, site, record) = recorded_once().await;
    let many = 1000;
    plant(&site.path("logs/usage/bob/completions"), &record, many, &days_ago(5), 5);
    plant(&site.path("logs/usage/alice/completions"), &record, many, &days_ago(0), 0);
    fs::remove_file(site.path("logs/usage.sqlite3")).unwrap();
    let copilens = site.set("records.retention_days", "2").start();
    let swept = format!("\"swept.removed\":{many}");
    let told = wait_until("both", || {
        let log = copilens.log();
        let filled = log.lines().find(|line| line.contains("made anew from the records"))?.to_owned();
        log.contains(&swept).then_some(filled)
    });
    assert!(told.contains("\"unreadable\":0"), "{told}");
    assert_eq!(copilens.wait_for_readyz(200).await, "ready\n");
    assert_eq!(copilens.day_file()["usage"]["alice"]["completions_count"], many + 1);
}

/// The records of a day do not all go at once, and an archive may be damaged; but counts stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_keeps_the_counts_of_records_that_are_gone() {
    let (_upstream, site, record) = recorded_once().await;
    let (folder, day) = (site.path("logs/usage/bob/completions"), days_ago(5));
    plant(&folder, &record.replace("alice", "bob"), 5, &day, 5);
    site.stdout(&["rebuild"]);
    for path in files_in(&folder).iter().take(2) {
        age(path, 1);
    }
    let file = site.path(&format!("logs/metrics/copilot-usage_{day}.json"));
    let told = |site: &Site| (json(&file), site.stdout(&["report"]));
    let before = told(&site);
    assert_eq!(before.0["usage"]["bob"]["completions_count"], 5);
    let copilens = site.set("records.retention_days", "2").start();
    wait_until("the sweep", || copilens.log().contains("\"swept.removed\":3").then_some(()));
    let (_, site) = copilens.stop();
    fs::write(folder.join(format!("{day}.ndjson.zst")), "no zstd").unwrap();
    let said = site.stdout(&["rebuild"]);
    assert!(said.contains("left out") && said.contains("2 days from 3 records"), "{said}");
    assert_eq!(told(&site), before);
}

/// A new store is filled at this start, too, while the records that it reads become archives.
#[tokio::test(flavor = "multi_thread")]
async fn compaction_does_not_disturb_who_reads_the_records_and_archives_count_like_files() {
    let (_upstream, site, record) = recorded_once().await;
    let (many, day) = (500, days_ago(5));
    for user in ["alice", "bob"] {
        plant(&site.path(&format!("logs/usage/{user}/completions")), &record.replace("alice", user), many, &day, 5);
    }
    fs::remove_file(site.path("logs/usage.sqlite3")).unwrap();
    let copilens = site.set("records.compact_after_days", "2").start();
    let compacted = format!("\"swept.compacted\":{}", 2 * many);
    wait_until("both", || {
        let log = copilens.log();
        (log.contains("made anew from the records") && log.contains(&compacted)).then_some(())
    });
    let (_, site) = copilens.stop();
    let file = site.path(&format!("logs/metrics/copilot-usage_{day}.json"));
    let counts = |user: &str| json(&file)["usage"][user]["completions_count"].clone();
    assert_eq!((counts("alice"), counts("bob")), (many.into(), many.into()));
    for user in ["alice", "bob"] {
        let files = files_in(&site.path(&format!("logs/usage/{user}/completions")));
        let archive = files.iter().filter(|path| path.ends_with(format!("{day}.ndjson.zst"))).count();
        assert_eq!((archive, files.len()), (1, 1 + usize::from(user == "alice")), "{files:?}");
    }
    let before = fs::read_to_string(&file).unwrap();
    fs::remove_file(site.path("logs/usage.sqlite3")).unwrap();
    fs::remove_file(&file).unwrap();
    let said = site.stdout(&["rebuild"]);
    assert!(said.contains(&format!("2 days from {} records", 2 * many + 1)), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_size_that_is_set_the_days_that_came_first_go() {
    let (_upstream, site, record) = recorded_once().await;
    plant(&site.path("logs/usage/bob/chat"), &record, 10, &days_ago(9), 9);
    plant(&site.path("logs/usage/bob/completions"), &record, 10, &days_ago(3), 3);
    let size = format!("\"{}B\"", record.len() * 15);
    let copilens = site.set("records.retention_size", &size).start();
    wait_until("the sweep", || copilens.log().contains("\"swept.removed\":10").then_some(()));
    assert_eq!(copilens.wait_for_readyz(200).await, "ready\n");
    let left = ["chat", "completions"].map(|kind| copilens.records("bob", kind).len());
    assert_eq!((left, copilens.records("alice", "completions").len()), ([0, 10], 1));
}

/// Bytes that a process has read so far, from files and pipes.
fn bytes_read(copilens: &Copilens) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", copilens.pid())).unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_look_through_a_million_exchanges() {
    let (files, events) = if std::env::var_os("LONG_TESTS").is_some() { (100_000, 1_000_000) } else { (5_000, 20_000) };
    let (_upstream, site, record) = recorded_once().await;
    let before = site.start();
    let (read_before, site) = (bytes_read(&before), before.stop().1);

    for (number, day) in [0, 7, 14, 21, 28].into_iter().enumerate() {
        let folder = format!("logs/usage/user{number}/completions");
        plant(&site.path(&folder), &record, files / 5, &days_ago(day), 0);
    }
    let event = serde_json::from_str::<Record>(&record).unwrap().event().unwrap();
    let store = SqliteStore::open(&site.path("logs/usage.sqlite3")).unwrap();
    for batch in 0..events / 10_000 {
        let another = |number: u32| {
            let mut event = event.clone();
            (event.id, event.user) = (ExchangeId::now(), format!("user{}", number % 100));
            event.ended_at -= chrono::TimeDelta::days(batch % 90);
            event
        };
        store.insert(&(0..10_000).map(another).collect::<Vec<_>>()).unwrap();
    }
    drop(store);
    let begun = Instant::now();
    let after = site.start();
    let (took, read_after) = (begun.elapsed(), bytes_read(&after));
    let _ = writeln!(
        std::io::stderr(),
        "start with {files} record files and {events} events: {took:?}, {read_after} bytes read; before: {read_before}"
    );
    // What is read is libraries, configuration and roots; a few of the index's pages come with the newest days.
    assert!(read_after < read_before + 10_000_000, "{read_after} after {read_before}");
    assert_eq!(after.wait_for_readyz(200).await, "ready\n");
}
