//! A million exchanges of ten thousand users already on record, against an empty copilens: the cost of an exchange must
//! not grow with either.
//!
//! The million is made by copilens' own library, as the recorder would have done: a small record file and a row in the
//! store for each, and a file for each day. It stays in `target/tmp/preloaded-<today>` and serves the runs of one day,
//! each of which adds its own exchanges. Remove the folder to begin anew.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use copilens::copilot::{History, classify, understand};
use copilens::exchange::{BodySize, Ending, Exchange, ExchangeId, Head, ResponseHead, Timings};
use copilens::recorder::{Record, RecordFiles};
use copilens::store::{FILE_NAME, SqliteStore, UsageStore};

use crate::figures::Spread;
use crate::load::Shape;
use crate::process::{self, Copilens, Kind, Origin, Target};
use crate::throughput::{Figures, measure};
use crate::upstream;

const USERS: usize = 10_000;
/// Up to and including today.
const DAYS: u64 = 50;
/// Of each user on each day: a completion and a chat turn.
const SHAPES: [Shape; 2] = [Shape::COMPLETION, Shape::CHAT];
/// Rows stored together; what a thread has for a day is a multiple.
const BATCH: usize = 1000;
const THREADS: usize = 2;

fn user(number: usize) -> String {
    format!("user{number:05}")
}

pub async fn compare(origin: &Origin, rounds: usize) {
    let home = million();
    println!(
        "\npreloaded: {USERS} users, {} exchanges on record : empty, {rounds} rounds, alternating",
        USERS as u64 * DAYS * SHAPES.len() as u64
    );
    for (name, shape) in [("completions", Shape::COMPLETION), ("chat", Shape::CHAT)] {
        let shape = Shape { requests: shape.requests / 2, ..shape };
        let mut pairs = Vec::new();
        for number in 0..rounds {
            let full_first = number % 2 == 0;
            let first = one(origin, full_first.then_some(&home), number, shape).await;
            let second = one(origin, (!full_first).then_some(&home), number, shape).await;
            pairs.push(if full_first { (first, second) } else { (second, first) });
        }
        let ratio =
            |value: fn(&Figures) -> f64| Spread::of(pairs.iter().map(|(full, empty)| value(full) / value(empty)));
        println!(
            "  {name:11}  burst {}  sustained {}  CPU {}  first event {}",
            ratio(|f| f.burst),
            ratio(|f| f.sustained),
            ratio(|f| f.cpu_per_1000),
            ratio(|f| f.first_event),
        );
    }
}

/// Measures the preloaded copilens, or an empty one.
async fn one(origin: &Origin, preloaded: Option<&PathBuf>, round: usize, shape: Shape) -> Figures {
    let Some(home) = preloaded else {
        return measure(&Target::start(Kind::Copilens, origin), "alice", shape).await;
    };
    // Each round is another user's, so that no folder outgrows the others by much.
    let name = user(round);
    let copilens = Copilens::start_in(home.clone(), origin, (0..USERS).map(user));
    let target = Target::of(copilens, &name);
    // The sweep for old records goes through all files at the start.
    target.wait_until_idle().await;
    measure(&target, &name, shape).await
}

/// The folder with the million, made if it is not there.
fn million() -> PathBuf {
    let today = Utc::now().date_naive();
    let root = process::disk();
    let home = root.join(format!("preloaded-{today}"));
    let finished = home.join("finished");
    if finished.exists() {
        return home;
    }
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("preloaded-") {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    let begun = Instant::now();
    let logs = home.join("logs");
    let files = RecordFiles::open(&logs).unwrap();
    let store = SqliteStore::open(&logs.join(FILE_NAME)).unwrap();
    let days = || (0..DAYS).rev().map(|day| today - Days::new(day));
    // Each thread has users of its own, and so folders of its own.
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (files, store) = (&files, &store);
            scope.spawn(move || days().for_each(|day| record_day(files, store, day, thread)));
        }
    });
    for day in days() {
        let usage = store.day(day).unwrap();
        files.replace_day_file(&format!("copilot-usage_{day}.json"), &usage.to_json()).unwrap();
    }
    drop(store);
    // What waits to be written would slow down the first rounds.
    Command::new("sync").status().unwrap();
    fs::write(finished, "").unwrap();
    println!("made {} in {:.0} s", home.display(), begun.elapsed().as_secs_f64());
    home
}

fn record_day(files: &RecordFiles, store: &SqliteStore, day: NaiveDate, thread: usize) {
    let mut events = Vec::with_capacity(BATCH);
    let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
    for number in (0..USERS * SHAPES.len()).skip(thread).step_by(THREADS) {
        let ended_at = midnight + TimeDelta::milliseconds(100 * number as i64);
        let exchange = exchange(&user(number % USERS), &SHAPES[number / USERS], ended_at);
        let understanding = understand(&exchange, 1 << 20);
        let verdict = classify(&understanding.facts, History::default());
        let record = Record::new(&exchange.head, understanding, &verdict);
        files.write(&record, exchange.head.client).unwrap();
        events.push(record.event().unwrap());
        if events.len() == BATCH {
            assert!(store.insert(&events).unwrap().new.into_iter().all(|new| new));
            events.clear();
        }
    }
    assert!(events.is_empty());
}

fn exchange(user: &str, shape: &Shape, ended_at: DateTime<Utc>) -> Exchange {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let request_body = Bytes::from_static(
        br#"{"prompt":"def f","messages":[{"role":"user","content":"hello"}],"stream":true,"extra":{"language":"python"}}"#,
    );
    let event = if shape.kind == "chat" { upstream::CHAT } else { upstream::COMPLETION };
    let response_body = Bytes::from([event, upstream::DONE].concat());
    let id = id(ended_at);
    let size = |body: &Bytes| BodySize { bytes: body.len() as u64, truncated: false };
    let head = Head {
        account: None,
        id,
        user: user.to_owned(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        method: "POST".to_owned(),
        url: format!("https://{}{}", shape.host, shape.path),
        request_headers: vec![
            field("content-type", "application/json"),
            field("editor-version", "vscode/1.119.0"),
            field("vscode-machineid", "4ce93ec3b250003c9580aba5d1a71685"),
            field("x-request-id", &id.to_string()),
            field("x-initiator", "user"),
            field("openai-intent", "conversation-panel"),
        ],
        request_size: size(&request_body),
        response: Some(ResponseHead { status: 200, headers: vec![field("content-type", "text/event-stream")] }),
        response_size: size(&response_body),
        ending: Ending::Completed,
        timings: Timings {
            started_at: ended_at - TimeDelta::milliseconds(188),
            ended_at,
            first_byte_us: Some(101_250),
            duration_us: 188_354,
        },
    };
    Exchange { head, request_body, response_body }
}

/// A UUIDv7 (RFC 9562 section 5.7) of that millisecond, of which there is one exchange.
fn id(at: DateTime<Utc>) -> ExchangeId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&at.timestamp_millis().to_be_bytes()[2..]);
    (bytes[6], bytes[8]) = (0x70, 0x80);
    ExchangeId::from_bytes(bytes)
}
