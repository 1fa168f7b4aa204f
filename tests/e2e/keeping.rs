//! `kill -9` at random moments of what looks after old records: compaction and retention under traffic, `rebuild`, `forget`.
//! Each exchange is recorded once and counted once all the same, and a person who was forgotten is.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use copilens::sim::rng::Seeded;
use serde_json::Value;

use crate::clock::FakeTime;
use crate::kills::{SEED, kill_command, pause, seed};
use crate::load::{Books, Load, Seen, assert_balanced, busy_upstream, patient_site};
use crate::metadata::files_with;
use crate::support::{Site, files_below, wait_until};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers of five days ago, some of which are still in the spool when copilens is killed.
async fn work_days_ago(faketime: &FakeTime, site: Site, seen: &Arc<Seen>) -> Site {
    let copilens = faketime.start_at(site, "-5d");
    let load = Load::start(&copilens, seen);
    seen.wait_for(seen.finished() + 40).await;
    let site = copilens.kill();
    load.broken().await;
    site
}

/// Record files, or archives, of the days before yesterday.
fn old_files(site: &Site, ending: &str) -> Vec<PathBuf> {
    let yesterday = (chrono::Utc::now() - DAY).date_naive().to_string();
    let is_old = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(ending) && name < &*yesterday)
    };
    files_below(&site.path("logs/usage")).into_iter().filter(is_old).collect()
}

/// As if they had come on their days.
fn age(site: &Site) {
    for path in old_files(site, ".json") {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - DAY * 5).unwrap();
    }
}

/// A sweep runs at once after the start.
async fn killed_in_a_sweep(site: Site, seen: &Arc<Seen>, rng: &mut Seeded) -> Site {
    let copilens = site.start();
    let load = Load::start(&copilens, seen);
    pause(rng, 150).await;
    let site = copilens.kill();
    load.broken().await;
    site
}

fn totals(site: &Site) -> Value {
    let report: Value = serde_json::from_str(&site.stdout(&["report", "--json"])).unwrap();
    report["total"].clone()
}

/// The prompts of a user's records.
fn prompts(books: &Books, user: &str) -> BTreeSet<String> {
    let of_user = Books { records: books.records.iter().filter(|record| record["user"] == user).cloned().collect() };
    of_user.prompts().into_keys().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_after_old_records_loses_and_doubles_nothing_wherever_it_is_killed() {
    let Some(faketime) = FakeTime::find() else { return };
    let seed = seed();
    println!("{SEED}={seed}");
    let mut rng = Seeded::new(seed);
    let upstream = busy_upstream().await;
    let mut site = patient_site(&upstream).set("records.compact_after_days", "2");
    let seen = Arc::new(Seen::default());
    for round in 0..5 {
        site = work_days_ago(&faketime, site, &seen).await;
        age(&site);
        if round % 2 == 1 {
            kill_command(site.command(&["rebuild"]), &mut rng).await;
        }
        site = killed_in_a_sweep(site, &seen, &mut rng).await;
    }
    age(&site);
    let copilens = site.start();
    copilens.wait_for_readyz(200).await;
    let (_, site) = copilens.stop();
    age(&site);
    let copilens = site.start();
    wait_until("archives alone", || old_files(&copilens.site, ".json").is_empty().then_some(()));
    let (_, site) = copilens.stop();
    let records = assert_balanced(&site, &seen);
    println!("answers seen to finish: {}, cut: {}; records: {records}", seen.finished(), seen.cut());

    let (before, books) = (totals(&site), Books::open(&site));
    let site = forget_bob(site, &books, &mut rng).await;
    assert_eq!(totals(&site), before);

    let mut site = killed_in_a_sweep(site.set("records.retention_days", "2"), &seen, &mut rng).await;
    site = site.start().stop().1;
    let before = totals(&site);
    let copilens = site.start();
    wait_until("no old record", || old_files(&copilens.site, "").is_empty().then_some(()));
    let (_, site) = copilens.stop();
    assert_eq!(totals(&site), before);
    site.stdout(&["rebuild"]);
    assert_eq!(totals(&site), before);
}

async fn forget_bob(mut site: Site, books: &Books, rng: &mut Seeded) -> Site {
    let forget = ["forget", "bob", "--yes"];
    for round in 0..4 {
        kill_command(site.command(&forget), rng).await;
        if round % 2 == 1 {
            site = site.start().stop().1;
        }
    }
    site.stdout(&forget);
    let left = Books::open(&site);
    assert_eq!((prompts(&left, "alice"), prompts(&left, "bob").len()), (prompts(books, "alice"), 0));
    for prompt in prompts(books, "bob") {
        assert_eq!(files_with(&site.path("logs"), &prompt), Vec::<String>::new(), "{prompt}");
    }
    site
}
