//! `kill -9` at random moments of everything that copilens does: what a client saw finish is recorded once and counted once.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use copilens::sim::rng::Seeded;
use rustix::process::Signal;

use crate::load::{Load, Seen, TornFiles, assert_balanced, busy_upstream, is_long, patient_site};
use crate::support::{Copilens, Site};

/// Kills of one run; `./tests/run --long` has the second number.
const KILLS: (usize, usize) = (8, 210);
/// A run is repeated with the number that it printed.
pub(crate) const SEED: &str = "KILLS_SEED";
const UNFINISHED: &str = "logs/.unfinished";

/// What copilens is doing when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Before it says that it listens.
    Start,
    /// While it takes up what the kill before left in the spool.
    CatchingUp,
    /// While the first connections are opened.
    WarmUp,
    /// While answers stream.
    Burst,
    /// After the last answer, while the spool empties.
    Drain,
    /// After SIGTERM.
    Shutdown,
    /// In the middle of `rebuild`, with work left in the spool.
    Rebuild,
}

const MOMENTS: [Moment; 7] = [
    Moment::Burst,
    Moment::Rebuild,
    Moment::CatchingUp,
    Moment::Drain,
    Moment::Start,
    Moment::Shutdown,
    Moment::WarmUp,
];

/// Up to so many milliseconds.
pub(crate) async fn pause(rng: &mut Seeded, most: u64) {
    tokio::time::sleep(Duration::from_micros(rng.below(most * 1000))).await;
}

/// Keeps the recorder from writing, so that there is something to drain and to catch up with.
fn hold_up_recorder(site: &Site) {
    let unfinished = site.path(UNFINISHED);
    // The recorder makes the folder anew when it misses it.
    while fs::File::create_new(&unfinished).is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
}

fn let_recorder_go(site: &Site) {
    fs::remove_file(site.path(UNFINISHED)).unwrap();
}

async fn kill_at(moment: Moment, site: Site, seen: &Arc<Seen>, rng: &mut Seeded) -> Site {
    let command = match moment {
        Moment::Start => Some("run"),
        Moment::Rebuild => Some("rebuild"),
        _ => None,
    };
    if let Some(command) = command {
        kill_command(site.command(&[command]), rng).await;
        return site;
    }
    let copilens = site.start();
    if matches!(moment, Moment::Drain | Moment::CatchingUp) {
        hold_up_recorder(&copilens.site);
    }
    let load = Load::start(&copilens, seen);
    if moment == Moment::WarmUp {
        pause(rng, 60).await;
    } else {
        seen.wait_for(seen.finished() + 1 + usize::try_from(rng.below(120)).unwrap()).await;
    }
    kill_under(moment, copilens, load, rng).await
}

pub(crate) async fn kill_command(mut command: Command, rng: &mut Seeded) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    pause(rng, 300).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn kill_under(moment: Moment, copilens: Copilens, load: Load, rng: &mut Seeded) -> Site {
    match moment {
        Moment::Drain => {
            load.end().await;
            let_recorder_go(&copilens.site);
            pause(rng, 1000).await;
            return copilens.kill();
        }
        Moment::Shutdown => {
            copilens.signal(Signal::TERM);
            pause(rng, 100).await;
        }
        _ => pause(rng, 5).await,
    }
    let site = copilens.kill();
    load.broken().await;
    if moment != Moment::CatchingUp {
        return site;
    }
    let_recorder_go(&site);
    let copilens = site.start();
    pause(rng, 400).await;
    copilens.kill()
}

pub(crate) fn seed() -> u64 {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().unwrap());
    given
        .unwrap_or_else(|| u64::from(std::process::id()) << 32 | u64::from(chrono::Utc::now().timestamp_subsec_nanos()))
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_what_clients_saw_finish_survives_kill_9_at_any_moment_once_each() {
    let seed = seed();
    println!("{SEED}={seed}");
    let (mut rng, begun) = (Seeded::new(seed), Instant::now());
    let upstream = busy_upstream().await;
    // The first start makes keys, which is not what is tested.
    let mut site = patient_site(&upstream).start().stop().1;
    let torn = TornFiles::watch(&site.path("logs"));
    let seen = Arc::new(Seen::default());
    let mut kills = BTreeMap::<Moment, usize>::new();
    for number in 0..if is_long() { KILLS.1 } else { KILLS.0 } {
        let moment = MOMENTS[number % MOMENTS.len()];
        site = kill_at(moment, site, &seen, &mut rng).await;
        *kills.entry(moment).or_default() += 1;
    }
    let (code, site) = site.start().stop();
    assert_eq!(code, Some(0));
    let read = torn.end();
    let records = assert_balanced(&site, &seen);
    println!(
        "kills: {kills:?}; answers seen to finish: {}, cut: {}, unanswered: {}; records: {records}, lost: 0, doubled: 0; \
         files read meanwhile: {read}; {:?}",
        seen.finished(),
        seen.cut(),
        seen.unanswered().len(),
        begun.elapsed()
    );
    assert!(seen.finished() > 3 && read > 30);
}
