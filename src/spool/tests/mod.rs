//! The spool against real files: order and limits, crashes, and disks that fail.

mod crash;
mod damage;
mod disk;
mod kill;
mod queue;
mod speed;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::DateTime;

use super::{Entry, Options, Reader, Spool, SpoolError, Spooled};
use crate::exchange::{BodySize, Ending, Exchange, ExchangeId, Head, ResponseHead, Timings};

/// An exchange that can be told by its number.
pub(super) fn exchange(number: usize) -> Exchange {
    let time = DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap();
    let head = Head {
        account: None,
        id: ExchangeId::now(),
        user: "octocat".to_owned(),
        client: [127, 0, 0, 1].into(),
        method: "POST".to_owned(),
        url: "https://api.example.com/chat/completions".to_owned(),
        request_headers: vec![("accept".to_owned(), "*/*".to_owned())],
        request_size: BodySize::default(),
        response: Some(ResponseHead { status: 200, headers: Vec::new() }),
        response_size: BodySize::default(),
        ending: Ending::Completed,
        timings: Timings { started_at: time, ended_at: time, first_byte_us: Some(7), duration_us: 9 },
    };
    Exchange { head, request_body: Bytes::from(number.to_string()), response_body: Bytes::from_static(b"answer") }
}

/// The same with a long answer.
fn large(number: usize, bytes: usize) -> Exchange {
    Exchange { response_body: Bytes::from(vec![b'x'; bytes]), ..exchange(number) }
}

fn number(exchange: &Exchange) -> usize {
    std::str::from_utf8(&exchange.request_body).unwrap().parse().unwrap()
}

fn numbers(entries: &[Entry]) -> Vec<usize> {
    entries.iter().map(|entry| number(as_sent(&entry.spooled))).collect()
}

fn as_sent(spooled: &Spooled) -> &Exchange {
    match spooled {
        Spooled::AsSent(exchange) => exchange,
        Spooled::Understood(_) | Spooled::Told(_) => panic!("these tests spool exchanges as sent"),
    }
}

/// Quick housekeeping, so that tests need not wait.
fn options() -> Options {
    Options { sync_interval: Duration::from_millis(10), ..Options::default() }
}

fn open(dir: &Path) -> Spool {
    Spool::open(dir, options()).unwrap()
}

/// Appends and waits for the ack.
fn put(spool: &Spool, exchange: Exchange) -> Result<(), SpoolError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(spool.append(exchange))
}

fn put_all(spool: &Spool, numbers: std::ops::Range<usize>) {
    for number in numbers {
        put(spool, exchange(number)).unwrap();
    }
}

/// All that can be read now.
fn drain(reader: &mut Reader) -> Vec<Entry> {
    let mut all = Vec::new();
    loop {
        let batch = reader.next_batch(100, u64::MAX, Duration::ZERO).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch);
    }
}

fn settle_all(spool: &Spool, entries: &[Entry]) {
    spool.settle(entries.iter().map(|entry| entry.token));
}

/// Files in the folder whose names end so.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir).unwrap().map(|item| item.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|own| own == extension));
    found.sort();
    found
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
