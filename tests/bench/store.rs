//! What it costs to ask a store that is big and old, and to keep one exchange in it.
//!
//! `cargo bench --bench store -- [USERS] [DAYS] [EVENTS]` (10000, 400 and a million) makes an SQLite store in `target/tmp` in which
//! every user has a roll-up of every day. The last days' follow from EVENTS events and what telemetry told of them; those of the
//! days before are put in as they are. Then it asks, round by round (`BENCH_ROUNDS`, 9): the median of the rounds, the least and
//! the greatest, and this process' CPU time. The pages of the file are in the system's cache, as they are where anybody asks a
//! second time. With `COPILENS_BENCH_POSTGRES=URL` it is done in that database, which must be empty.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a bench ends by panicking"
)]

mod invented;

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike as _, Days, NaiveDate, TimeDelta, Utc};
use copilens::config::{Compat, Live, Loaded, Settings};
use copilens::copilot::vocabulary::Kind;
use copilens::identity::{Account, Directory, Seed, UserName};
use copilens::reports::{ReportSource, UsagePage};
use copilens::store::{FILE_NAME, PostgresStore, SqliteStore, UsageStore};
use copilens::usage::UserDay;
use invented::{A_DAY, event, notice, user};
use rustix::time::{ClockId, clock_gettime};

/// Days that are unlike each other.
const TEMPLATES: usize = 4000;
/// Users whose months are stored together.
const USERS_AT_ONCE: usize = 500;
/// As many as the recorder stores, and refreshes, at most at once.
const BATCH: usize = 256;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let users: usize = numbers.next().unwrap_or(10_000);
    let days = numbers.next().unwrap_or(400) as u64;
    let events: usize = numbers.next().unwrap_or(1_000_000);
    let rounds = std::env::var("BENCH_ROUNDS").map_or(9, |rounds| rounds.parse().unwrap());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("store-bench");
    let subject = std::env::var("COPILENS_BENCH_POSTGRES").map_or_else(|_| Subject::sqlite(&folder), Subject::postgres);
    let of_events = events.div_ceil(users * A_DAY) as u64;
    let range = Range { last: NaiveDate::from_ymd_opt(2026, 6, 17).unwrap(), days, of_events: of_events.min(days) };
    println!("{}: {users} users x {days} days, the last {} of events", subject.name, range.of_events);
    put_days(&subject, users, &range);
    println!("  {:<36} {:>9.1} MB", "roll-ups", subject.megabytes());
    let stored = if range.of_events > 0 { put_events(&subject, users, &range) } else { 0 };
    ask(&subject.store, users, &range, rounds);
    if range.of_events > 0 {
        fall_behind(&*subject.store, users, &range, rounds);
    }
    println!("  {:<36} {:>9.1} MB, {stored} events", "all", subject.megabytes());
    let is_file = subject.name == SQLITE;
    drop(subject);
    if is_file {
        let _ = fs::remove_dir_all(&folder);
    }
}

const SQLITE: &str = "SQLite";

type PutDays = Box<dyn Fn(BTreeMap<(NaiveDate, String), UserDay>)>;

/// A store, and what only a bench asks of it.
struct Subject {
    name: &'static str,
    store: Arc<dyn UsageStore>,
    put_days: PutDays,
    megabytes: Box<dyn Fn() -> f64>,
}

impl Subject {
    fn sqlite(folder: &Path) -> Self {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(FILE_NAME);
        let store = Arc::new(SqliteStore::open(&path).unwrap());
        let put = Arc::clone(&store);
        let size = move |suffix| fs::metadata(format!("{}{suffix}", path.display())).map_or(0, |file| file.len());
        Self {
            name: SQLITE,
            store,
            put_days: Box::new(move |days| put.put_days(days).unwrap()),
            megabytes: Box::new(move || ["", "-wal"].map(&size).iter().sum::<u64>() as f64 / 1e6),
        }
    }

    fn postgres(url: String) -> Self {
        let store = Arc::new(PostgresStore::new(&url.parse().unwrap(), "bench".to_owned()));
        let put = Arc::clone(&store);
        let megabytes = move || {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            let size = client.query_one("SELECT pg_database_size(current_database())", &[]).unwrap();
            size.get::<_, i64>(0) as f64 / 1e6
        };
        Self {
            name: "PostgreSQL",
            store,
            put_days: Box::new(move |days| put.put_days(days).unwrap()),
            megabytes: Box::new(megabytes),
        }
    }

    fn megabytes(&self) -> f64 {
        (self.megabytes)()
    }
}

/// The days of the store.
struct Range {
    last: NaiveDate,
    days: u64,
    of_events: u64,
}

impl Range {
    /// A day so many days before the last one, within the range.
    fn ago(&self, days: u64) -> NaiveDate {
        self.last - Days::new(days.min(self.days - 1))
    }

    fn at(day: NaiveDate, hour: u32) -> DateTime<Utc> {
        day.and_hms_opt(hour, 0, 0).unwrap().and_utc()
    }
}

fn put_days(subject: &Subject, users: usize, range: &Range) {
    let begun = Instant::now();
    let templates: Vec<UserDay> = (0..TEMPLATES).map(invented::day).collect();
    let cells = templates.iter().map(|day| day.cells.len()).sum::<usize>() as f64 / TEMPLATES as f64;
    let mut months: BTreeMap<(i32, u32), Vec<NaiveDate>> = BTreeMap::new();
    let last = range.last - Days::new(range.of_events);
    for day in range.ago(range.days).iter_days().take_while(|day| *day <= last) {
        months.entry((day.year(), day.month())).or_default().push(day);
    }
    for days in months.values() {
        for first in (0..users).step_by(USERS_AT_ONCE) {
            let of = (first..users.min(first + USERS_AT_ONCE)).flat_map(|n| days.iter().map(move |day| (*day, n)));
            let known = of.map(|(day, number)| {
                let pick = (number * 31 + day.num_days_from_ce() as usize * 7) % TEMPLATES;
                ((day, user(number)), templates[pick].clone())
            });
            (subject.put_days)(known.collect());
        }
    }
    println!("  {:<36} {:>9.1} s, {cells:.1} cells a day", "putting the days in", begun.elapsed().as_secs_f64());
}

/// Stores the events of the last days, with what telemetry told of them, and refreshes; gives their number.
fn put_events(subject: &Subject, users: usize, range: &Range) -> usize {
    let (store, before) = (&*subject.store, subject.megabytes());
    let (mut stored, mut inserting, mut telling) = (0, Vec::new(), Vec::new());
    for day in (0..range.of_events).rev().map(|days| range.ago(days)) {
        for n in 0..A_DAY {
            for first in (0..users).step_by(BATCH) {
                let at =
                    Range::at(day, 9) + TimeDelta::minutes(n as i64 * 15) + TimeDelta::seconds((first / BATCH) as i64);
                let events: Vec<_> = (first..users.min(first + BATCH)).map(|number| event(number, n, at)).collect();
                inserting.push(timed(|| drop(store.insert(&events).unwrap())));
                let shown = events.iter().filter(|event| event.kind == Kind::Completions);
                let told: Vec<_> = shown.map(notice).collect();
                if !told.is_empty() {
                    telling.push(timed(|| drop(store.take_notice(&told).unwrap())));
                }
                stored += events.len();
            }
        }
    }
    let rate = |times: &[Times], each: usize| each as f64 / times.iter().map(|time| time.0.as_secs_f64()).sum::<f64>();
    println!("  {:<36} {:>9.0} /s", "inserting, events", rate(&inserting, stored));
    print("  each 256", inserting);
    println!("  {:<36} {:>9.0} /s", "telemetry, suggestions", rate(&telling, stored * 3 / 5));
    print("  each 256", telling);
    let (mut refreshing, at_events, mut more) = (Vec::new(), subject.megabytes(), true);
    while more {
        refreshing.push(timed(|| more = store.refresh(BATCH).unwrap()));
    }
    println!("  {:<36} {:>9.0} /s", "refreshing, days of users", rate(&refreshing, users * range.of_events as usize));
    print("  each 256", refreshing);
    let bytes = |megabytes: f64| megabytes * 1e6 / stored as f64;
    println!("  {:<36} {:>9.0} bytes", "an exchange and its telemetry", bytes(at_events - before));
    println!("  {:<36} {:>9.0} bytes", "and its share of roll-ups", bytes(subject.megabytes() - at_events));
    stored
}

/// Reports of a running proxy, with every user on the allowlist and every tenth in each of ten teams.
fn source(store: &Arc<dyn UsageStore>, users: usize, compat: &[Compat]) -> Arc<ReportSource> {
    let seed = Seed::generate().unwrap();
    let accounts = (0..users).map(|number| {
        let name: UserName = user(number).parse().unwrap();
        Account { teams: vec![format!("team-{}", number % 10)], ..Account::new(name) }
    });
    let mut settings = Settings::default();
    (settings.metrics.compat, settings.metrics.user_limit) = (compat.to_vec(), 1000);
    let loaded = Loaded { settings, directory: Directory::new(accounts, &seed), seed };
    Arc::new(ReportSource::new(Arc::new(Live::new(loaded)), Arc::clone(store)))
}

fn ask(store: &Arc<dyn UsageStore>, users: usize, range: &Range, rounds: usize) {
    let (yesterday, last) = (range.ago(1), range.last);
    let reports = source(store, users, &[]).reports().unwrap();
    let day = |day| assert_eq!(reports.users_1_day(day, &mut io::sink()).unwrap(), users as u64);
    measure("users-1-day", rounds, || day(yesterday));
    measure("organization-1-day", rounds, || _ = reports.organization_1_day(yesterday, &mut io::sink()).unwrap());
    measure("organization-28-day", rounds, || _ = reports.organization_28_day(last, &mut io::sink()).unwrap());
    measure("closed metrics of 28 days", rounds, || {
        drop(black_box(reports.copilot_metrics(range.ago(27), last, None).unwrap()));
    });
    measure("closed metrics of a team, 28 days", rounds.min(3), || {
        drop(black_box(reports.copilot_metrics(range.ago(27), last, Some("team-3")).unwrap()));
    });
    measure("seats, a page of 100", rounds, || drop(black_box(reports.seats(1, 100).unwrap())));
    for (name, compat) in [
        ("/metrics/usage, made anew", &[][..]),
        ("  with gcp-exporter", &[Compat::GcpExporter]),
        ("  with coralogix, 1000 users", &[Compat::Coralogix]),
    ] {
        let source = source(store, users, compat);
        drop(source.reports().unwrap());
        let mut length = 0;
        measure(name, rounds, || length = UsagePage::new(Arc::clone(&source)).text(Range::at(last, 12)).len());
        println!("  {:<36} {:>9.2} MB", "", length as f64 / 1e6);
        let page = UsagePage::new(source);
        drop(page.text(Range::at(last, 12)));
        measure("  asked again", rounds, || drop(black_box(page.text(Range::at(last, 12)))));
    }
    measure("totals of a day", rounds, || drop(black_box(store.totals(yesterday, yesterday).unwrap())));
    measure("totals of 28 days", rounds, || drop(black_box(store.totals(range.ago(27), last).unwrap())));
    measure("totals of a year", rounds, || assert_eq!(store.totals(range.ago(364), last).unwrap().len(), users));
    measure("activity", rounds, || assert_eq!(store.activity(last).unwrap().len(), users));
    measure("last seen", rounds, || assert_eq!(store.last_seen().unwrap().len(), users));
    measure("a day's file", rounds.min(3), || drop(black_box(store.day(last).unwrap())));
    let everybody = store.organization_days(yesterday, yesterday).unwrap();
    println!("  {:<36} {:>9} cells", "everybody's day", everybody[&yesterday].cells.len());
}

/// As many users as are refreshed at once each have one exchange more.
fn fall_behind(store: &dyn UsageStore, users: usize, range: &Range, rounds: usize) {
    let at = Range::at(range.last, 20);
    let (mut asked, mut totals, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let events: Vec<_> = (0..users.min(BATCH))
            .map(|number| event(number, A_DAY + round, at + TimeDelta::seconds(round as i64)))
            .collect();
        store.insert(&events).unwrap();
        asked.push(timed(|| drop(black_box(store.organization_days(range.last, range.last).unwrap()))));
        totals.push(timed(|| drop(black_box(store.totals(range.ago(364), range.last).unwrap()))));
        times.push(timed(|| _ = store.refresh(BATCH).unwrap()));
    }
    print("everybody's day, 256 users stale", asked);
    print("totals of a year, 256 users stale", totals);
    print("refreshing 256 days of users", times);
}

/// How long something took, and how much of it this process worked: other programs of the machine take their time, too.
type Times = (Duration, Duration);

fn timed(mut work: impl FnMut()) -> Times {
    let cpu = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap();
    let (begun, worked) = (Instant::now(), cpu());
    work();
    (begun.elapsed(), cpu() - worked)
}

fn measure(name: &str, rounds: usize, mut question: impl FnMut()) {
    print(name, (0..rounds).map(|_| timed(&mut question)).collect());
}

fn print(name: &str, times: Vec<Times>) {
    let (mut wall, mut cpu): (Vec<_>, Vec<_>) = times.into_iter().unzip();
    wall.sort_unstable();
    cpu.sort_unstable();
    let middle = wall.len() / 2;
    let [median, least, most, cpu] =
        [wall[middle], wall[0], wall[wall.len() - 1], cpu[middle]].map(|time: Duration| time.as_secs_f64() * 1000.0);
    println!("  {name:<36} {median:>9.1} ms [{least:.1}-{most:.1}], CPU {cpu:.1}");
}
