//! What it costs to ask a store that is big and old, and to keep one exchange in it.
//!
//! `cargo bench --bench store -- [USERS] [DAYS] [EVENTS]` (10000, 400 and a million) makes a store in `target/tmp` in which every user has
//! a roll-up of every day. The last days' follow from EVENTS events and what telemetry told of them; those of the days before are
//! put in as they are. Then it asks, round by round (`BENCH_ROUNDS`, 9): the median and the greatest of the rounds, and the CPU time. The
//! pages of the file are in the system's cache, as they are where anybody asks a second time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a bench ends by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike as _, Days, NaiveDate, TimeDelta, Utc};
use copilens::copilot::observation::{Fate, Notice, Observation, SuggestionKind, SuggestionReport};
use copilens::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use copilens::exchange::ExchangeId;
use copilens::store::{FILE_NAME, Noticed, SqliteStore, UsageStore};
use copilens::usage::{Told, UsageEvent, UserDay};
use rustix::time::{ClockId, clock_gettime};

/// Exchanges of a user on a day.
const A_DAY: usize = 25;
/// Days that are unlike each other.
const TEMPLATES: usize = 500;
/// Events that are stored together, and users whose months are.
const BATCH: usize = 1000;
const LANGUAGES: [&str; 8] = ["python", "typescript", "rust", "go", "java", "yaml", "markdown", "sql"];
const EDITORS: [(&str, &str); 3] =
    [("vscode", "vscode-1.99.0"), ("intellij", "JetBrains-IC-243.22562.220"), ("visualstudio", "VS-17.12.35527")];

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let users: usize = numbers.next().unwrap_or(10_000);
    let days = numbers.next().unwrap_or(400) as u64;
    let events: usize = numbers.next().unwrap_or(1_000_000);
    let rounds = std::env::var("BENCH_ROUNDS").map_or(9, |rounds| rounds.parse().unwrap());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("store-bench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();

    let path = folder.join(FILE_NAME);
    let store = SqliteStore::open(&path).unwrap();
    let of_events = events.div_ceil(users * A_DAY) as u64;
    let range = Range { last: NaiveDate::from_ymd_opt(2026, 6, 17).unwrap(), days, of_events: of_events.min(days) };
    println!("SQLite: {users} users x {days} days, the last {} of events", range.of_events);
    put_days(&store, users, &range);
    println!("  {:<34} {:>9.1} MB", "roll-ups", megabytes(&path));
    let stored = if range.of_events > 0 { put_events(&store, &path, users, &range) } else { 0 };
    ask(&store, users, &range, rounds);
    refresh(&store, users, &range, rounds);
    println!("  {:<34} {:>9.1} MB, {stored} events", "all", megabytes(&path));
    drop(store);
    fs::remove_dir_all(&folder).unwrap();
}

/// The days of the store.
struct Range {
    last: NaiveDate,
    days: u64,
    of_events: u64,
}

impl Range {
    fn ago(&self, days: u64) -> NaiveDate {
        self.last - Days::new(days)
    }
}

fn user(number: usize) -> String {
    format!("user{number:05}")
}

fn megabytes(path: &Path) -> f64 {
    let bytes: u64 = ["", "-wal"]
        .into_iter()
        .filter_map(|suffix| fs::metadata(format!("{}{suffix}", path.display())).ok())
        .map(|file| file.len())
        .sum();
    bytes as f64 / 1e6
}

fn put_days(store: &SqliteStore, users: usize, range: &Range) {
    let begun = Instant::now();
    let templates: Vec<UserDay> = (0..TEMPLATES).map(template).collect();
    let mut months: BTreeMap<(i32, u32), Vec<NaiveDate>> = BTreeMap::new();
    for day in range.ago(range.days - 1).iter_days().take_while(|day| *day <= range.ago(range.of_events)) {
        months.entry((day.year(), day.month())).or_default().push(day);
    }
    for days in months.values() {
        for first in (0..users).step_by(BATCH) {
            let of = (first..users.min(first + BATCH)).flat_map(|number| days.iter().map(move |day| (*day, number)));
            let known = of.map(|(day, number)| {
                let pick = (number * 31 + day.num_days_from_ce() as usize * 7) % TEMPLATES;
                ((day, user(number)), templates[pick].clone())
            });
            store.put_days(known.collect()).unwrap();
        }
    }
    println!("  {:<34} {:>9.1} s", "putting the days in", begun.elapsed().as_secs_f64());
}

/// The fold of an invented day.
fn template(number: usize) -> UserDay {
    let start = NaiveDate::from_ymd_opt(2025, 1, 1).unwrap().and_hms_opt(9, 0, 0).unwrap().and_utc();
    let events: Vec<UsageEvent> = (0..A_DAY).map(|n| event(number, n, start + TimeDelta::minutes(n as i64))).collect();
    UserDay::of(&events, Told { telemetry: true, ..Told::default() })
}

/// A number that looks as if by chance.
fn chance(of: &[usize]) -> u64 {
    of.iter().fold(0xcbf2_9ce4_8422_2325, |hash, n| {
        let hash = (hash ^ *n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 29)
    })
}

/// The `n`th exchange of the day of a user.
fn event(number: usize, n: usize, ended_at: DateTime<Utc>) -> UsageEvent {
    let by_chance = chance(&[number, n, ended_at.timestamp() as usize]);
    let uuid = format!("{:08x}-7a1c-4b2e-9f00-{:012x}", by_chance >> 32, by_chance & 0xffff_ffff_ffff);
    let (ide, editor) = EDITORS[number % EDITORS.len()];
    let is_chat = n % 5 > 2;
    let mut id = [0; 16];
    id[..6].copy_from_slice(&(ended_at.timestamp_millis() as u64).to_be_bytes()[2..]);
    id[6..14].copy_from_slice(&by_chance.to_be_bytes());
    id[14..].copy_from_slice(&(n as u16).to_be_bytes());
    UsageEvent {
        id: ExchangeId::from_bytes(id),
        user: user(number),
        started_at: ended_at - TimeDelta::milliseconds(400),
        ended_at,
        kind: if is_chat { Kind::Chat } else { Kind::Completions },
        class: if n % 5 == 4 { Class::Step } else { Class::Turn },
        reason: (n % 5 == 4).then(|| "agent_step".to_owned()),
        outcome: Outcome::Completed,
        status: Some(200),
        feature: if is_chat { "chat_panel_agent_mode" } else { "code_completion" }.to_owned(),
        ide: Some(ide.to_owned()),
        editor: Some(editor.to_owned()),
        plugin: Some("copilot-chat/0.31.1".to_owned()),
        machine_id: Some(format!("{:016x}", chance(&[number])).repeat(4)),
        session_id: Some(format!("{:016x}", chance(&[number, 1])).repeat(3)),
        account: Some(format!("{:016x}", chance(&[number, 2])).repeat(2)),
        action: Some(if is_chat { "agent" } else { "ghost-text" }.to_owned()),
        language: Some(LANGUAGES[(number + n % 3) % LANGUAGES.len()].to_owned()),
        model: Some(if is_chat { "claude-sonnet-4" } else { "gpt-4o-copilot" }.to_owned()),
        model_version: None,
        request_id: Some(uuid.clone()),
        interaction_id: is_chat.then_some(uuid),
        host: "api.business.githubcopilot.com".to_owned(),
        streamed: true,
        tokens: Tokens {
            input: Some(9000 + by_chance % 999),
            output: Some(300),
            cached: Some(8000),
            ..Tokens::default()
        },
        nano_aiu: is_chat.then_some(3_100_000_000),
        edits: if n % 5 == 4 { Edits { files: 1, lines_added: 12, lines_removed: 3 } } else { Edits::default() },
        quotas: Vec::new(),
        generations: 1,
        lines_suggested: 4,
        characters_suggested: 130,
        first_byte_ms: Some(210.5),
        duration_ms: 400.25,
        request_bytes: 40_000,
        response_bytes: 5000,
    }
}

/// What telemetry tells of a completion.
fn notice(event: &UsageEvent) -> Noticed {
    let report = |fate| {
        Observation::Suggestion(SuggestionReport {
            suggestion_id: format!("suggestion-{}", event.request_id.as_deref().unwrap()),
            kind: SuggestionKind::Completion,
            request_id: event.request_id.clone(),
            fate,
            lines: Some(4),
            characters: Some(130),
            language: event.language.clone(),
            model: None,
            editor_version: Some("vscode/1.99.0".to_owned()),
            time: None,
        })
    };
    let accepted = event.tokens.input.unwrap().is_multiple_of(3).then(|| report(Fate::Accepted { partially: false }));
    let told = [report(Fate::Shown)].into_iter().chain(accepted).collect();
    Noticed { id: event.id, user: event.user.clone(), at: event.ended_at, notice: Notice::Telemetry(told) }
}

/// Stores the events of the last days, with what telemetry told of them, and refreshes; gives their number.
fn put_events(store: &SqliteStore, path: &Path, users: usize, range: &Range) -> usize {
    let before = megabytes(path);
    let (mut stored, mut inserting, mut telling) = (0, Duration::ZERO, Duration::ZERO);
    for day in (0..range.of_events).rev().map(|days| range.ago(days)) {
        let morning = day.and_hms_opt(9, 0, 0).unwrap().and_utc();
        for n in 0..A_DAY {
            for first in (0..users).step_by(BATCH) {
                let at = morning + TimeDelta::minutes(n as i64 * 15) + TimeDelta::seconds((first / BATCH) as i64);
                let events: Vec<_> = (first..users.min(first + BATCH)).map(|number| event(number, n, at)).collect();
                let begun = Instant::now();
                store.insert(&events).unwrap();
                inserting += begun.elapsed();
                let shown = events.iter().filter(|event| event.kind == Kind::Completions);
                let told: Vec<_> = shown.map(notice).collect();
                let begun = Instant::now();
                store.take_notice(&told).unwrap();
                telling += begun.elapsed();
                stored += events.len();
            }
        }
    }
    println!("  {:<34} {:>9.0} /s", "inserting, events", stored as f64 / inserting.as_secs_f64());
    println!("  {:<34} {:>9.0} /s", "telemetry, suggestions", stored as f64 * 0.6 / telling.as_secs_f64());
    let (begun, at_events) = (Instant::now(), megabytes(path));
    while store.refresh(BATCH).unwrap() {}
    let refreshed = users as f64 * range.of_events as f64;
    println!("  {:<34} {:>9.0} /s", "refreshing, days of users", refreshed / begun.elapsed().as_secs_f64());
    let bytes = |megabytes: f64| megabytes * 1e6 / stored as f64;
    println!("  {:<34} {:>9.0} bytes", "an exchange and its telemetry", bytes(at_events - before));
    println!("  {:<34} {:>9.0} bytes", "and its share of roll-ups", bytes(megabytes(path) - at_events));
    stored
}

fn ask(store: &SqliteStore, users: usize, range: &Range, rounds: usize) {
    let (yesterday, last) = (range.ago(1), range.last);
    measure("users of a day", rounds, || {
        let mut count = 0;
        let each = &mut |_: NaiveDate, _: &str, day: UserDay| {
            count += black_box(day.cells.len()).min(1);
            ControlFlow::Continue(())
        };
        store.user_days(yesterday, yesterday, None, each).unwrap();
        assert_eq!(count, users);
    });
    let days = |days: u64| move || drop(black_box(store.organization_days(range.ago(days - 1), last).unwrap()));
    measure("everybody's day", rounds, days(1));
    measure("everybody's 28 days", rounds, days(28.min(range.days)));
    measure("totals of 28 days", rounds, || {
        drop(black_box(store.totals(range.ago(27.min(range.days - 1)), last).unwrap()));
    });
    measure("totals of a year", rounds, || {
        let totals = store.totals(range.ago(364.min(range.days - 1)), last).unwrap();
        assert_eq!(totals.len(), users);
    });
    measure("activity", rounds, || assert_eq!(store.activity(last).unwrap().len(), users));
    measure("last seen", rounds, || assert_eq!(store.last_seen().unwrap().len(), users));
    measure("a day's file", rounds.min(3), || drop(black_box(store.day(last).unwrap())));
}

/// A thousand users each have one exchange more.
fn refresh(store: &SqliteStore, users: usize, range: &Range, rounds: usize) {
    let at = range.last.and_hms_opt(20, 0, 0).unwrap().and_utc();
    let (mut asked, mut times) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let events: Vec<_> = (0..users.min(BATCH))
            .map(|number| event(number, A_DAY + round, at + TimeDelta::seconds(round as i64)))
            .collect();
        store.insert(&events).unwrap();
        asked.push(timed(|| drop(black_box(store.organization_days(range.last, range.last).unwrap()))));
        times.push(timed(|| assert!(!store.refresh(BATCH).unwrap())));
    }
    print("everybody's day, 1000 users stale", asked);
    print("refreshing 1000 days of users", times);
}

/// How long something took, and how much of it this thread worked: other programs of the machine take their time, too.
type Times = (Duration, Duration);

fn timed(mut work: impl FnMut()) -> Times {
    let cpu = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
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
    let [median, most, cpu] =
        [wall[middle], wall[wall.len() - 1], cpu[middle]].map(|time: Duration| time.as_secs_f64() * 1000.0);
    println!("  {name:<34} {median:>9.1} ms, at most {most:.1}, CPU {cpu:.1}");
}
