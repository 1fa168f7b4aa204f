//! Order, settling, limits, and many writers at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::spool::Ack;

#[test]
fn an_ack_can_be_held_in_a_body() {
    fn assert<T: Send + Sync + Unpin + std::future::Future>() {}
    assert::<Ack>();
}

#[test]
fn entries_come_back_whole_and_in_order_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), Options { segment_bytes: 2000, ..options() }).unwrap();
    let sent: Vec<_> = (0..20).map(exchange).collect();
    for exchange in &sent {
        put(&spool, exchange.clone()).unwrap();
    }
    assert!(files(dir.path(), "spool").len() > 3);
    let got: Vec<_> = drain(&mut spool.reader()).into_iter().map(|entry| as_sent(&entry.spooled).clone()).collect();
    assert_eq!(got, sent);
}

#[test]
fn batches_keep_to_their_limits_but_give_one_entry_at_least() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    for number in 0..6 {
        put(&spool, large(number, 10_000)).unwrap();
    }
    let mut reader = spool.reader();
    let mut next = |entries, bytes| numbers(&reader.next_batch(entries, bytes, Duration::ZERO).unwrap());
    assert_eq!(next(2, u64::MAX), [0, 1]);
    assert_eq!(next(100, 15_000), [2, 3]);
    assert_eq!(next(100, 1), [4]);
    assert_eq!(next(0, 0), [5]);
    assert_eq!(next(100, u64::MAX), Vec::<usize>::new());
}

#[test]
fn a_waiting_reader_wakes_for_a_new_entry() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let mut reader = spool.reader();
    let waiting = std::thread::spawn(move || reader.next_batch(10, u64::MAX, Duration::from_secs(60)));
    put(&spool, exchange(5)).unwrap();
    assert_eq!(numbers(&waiting.join().unwrap().unwrap()), [5]);
}

#[test]
fn a_new_reader_sees_what_the_lost_one_did_not_settle() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    put_all(&spool, 0..5);
    let lost = drain(&mut spool.reader());
    settle_all(&spool, &lost[..2]);
    settle_all(&spool, &lost[3..4]);
    assert_eq!(numbers(&drain(&mut spool.reader())), [2, 4]);
    assert_eq!(spool.status().entries_unsettled, 2);
}

#[test]
fn an_idle_spool_takes_no_disk() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    assert_eq!(files(dir.path(), "spool").len(), 0);
    let mut reader = spool.reader();
    for round in 0..3 {
        put_all(&spool, round..round + 1);
        assert!(spool.status().oldest.is_some());
        settle_all(&spool, &drain(&mut reader));
        eventually("the settled segment is removed", || files(dir.path(), "spool").is_empty());
        let status = spool.status();
        assert_eq!((status.bytes, status.queued_bytes, status.entries_unsettled, status.oldest), (0, 0, 0, None));
    }
}

#[test]
fn closing_keeps_what_is_queued_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let mut reader = spool.reader();
    let acks: Vec<_> = (0..10).map(|number| spool.append(exchange(number))).collect();
    spool.close();
    spool.close();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for ack in acks {
        runtime.block_on(ack).unwrap();
    }
    assert!(matches!(put(&spool, exchange(11)), Err(SpoolError::Closed)));
    let entries = reader.next_batch(100, u64::MAX, Duration::ZERO).unwrap();
    assert_eq!(entries.len(), 10);
    assert!(matches!(reader.next_batch(100, u64::MAX, Duration::MAX), Err(SpoolError::Closed)));
    settle_all(&spool, &entries);
    assert_eq!(files(dir.path(), "spool").len(), 0);
}

#[test]
fn at_the_limit_exchanges_are_refused_until_others_are_settled() {
    let dir = tempfile::tempdir().unwrap();
    let limited = Options { limit_bytes: 100_000, segment_bytes: 20_000, ..options() };
    let spool = Spool::open(dir.path(), limited).unwrap();
    let kept = (0..).take_while(|&number| put(&spool, large(number, 10_000)).is_ok()).count();
    assert!((9..=10).contains(&kept), "{kept} of 10 kB fit into 100 kB");
    assert!(spool.is_full());
    insta::assert_snapshot!(
        put(&spool, exchange(0)).unwrap_err(),
        @"the spool has reached its limit of 100000 bytes: find out why the recorder is behind, or raise capture.spool_limit"
    );
    let entries = drain(&mut spool.reader());
    assert_eq!(numbers(&entries), (0..kept).collect::<Vec<_>>());
    settle_all(&spool, &entries[..4]);
    assert!(!spool.is_full());
    put(&spool, exchange(0)).unwrap();
}

#[test]
fn what_is_refused_is_counted_though_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), Options { limit_bytes: 1, ..options() }).unwrap();
    put(&spool, exchange(0)).unwrap();
    assert_eq!(spool.status().unrecorded, 0);
    for _ in 0..3 {
        drop(spool.append(exchange(1)));
    }
    assert_eq!(spool.status().unrecorded, 3);
    assert_eq!(numbers(&drain(&mut spool.reader())), [0]);
}

#[test]
fn closing_waits_for_the_places_that_were_given() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Arc::new(open(dir.path()));
    let (ack, place) = spool.place(&exchange(7));
    let closing = std::thread::spawn({
        let spool = Arc::clone(&spool);
        move || spool.close()
    });
    eventually("the spool is closing", || spool.place(&exchange(8)).1.is_none());
    place.unwrap().fill(exchange(7).into());
    closing.join().unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ack).unwrap();
    assert_eq!(numbers(&drain(&mut open(dir.path()).reader())), [7]);
}

#[test]
fn a_place_that_is_left_empty_is_given_back_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let (ack, place) = spool.place(&exchange(7));
    assert!(spool.status().queued_bytes > 0);
    drop(place);
    let answer = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ack);
    assert!(matches!(answer, Err(SpoolError::Abandoned)));
    assert_eq!((spool.status().queued_bytes, spool.status().unrecorded), (0, 1));
    spool.close();
}

#[test]
fn a_limit_below_one_segment_recovers_too() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), Options { limit_bytes: 5000, ..options() }).unwrap();
    let mut reader = spool.reader();
    for _ in 0..3 {
        while put(&spool, exchange(1)).is_ok() {}
        settle_all(&spool, &drain(&mut reader));
        eventually("there is room again", || !spool.is_full());
    }
}

/// A body that tells when its memory is given back.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_stalled_reader_costs_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let alive = Arc::new(AtomicUsize::new(0));
    for number in 0..50 {
        alive.fetch_add(1, Ordering::SeqCst);
        let body = Bytes::from_owner(Counted(vec![1; 100_000], Arc::clone(&alive)));
        put(&spool, Exchange { response_body: body, ..exchange(number) }).unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }
    assert_eq!(spool.status().queued_bytes, 0);
    assert_eq!(drain(&mut spool.reader()).len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_lose_nothing_and_keep_their_order() {
    const EACH: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let spool = Arc::new(Spool::open(dir.path(), Options { segment_bytes: 100_000, ..options() }).unwrap());
    let recorder = std::thread::spawn({
        let spool = Arc::clone(&spool);
        move || record(&spool, 50 * EACH)
    });
    let writers: Vec<_> = (0..50)
        .map(|writer| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move {
                for turn in 0..EACH {
                    spool.append(large(writer * EACH + turn, 3000)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let got = recorder.join().unwrap();
    let mut next: HashMap<usize, usize> = HashMap::new();
    for number in got {
        let turn = next.entry(number / EACH).or_default();
        assert_eq!(number % EACH, *turn);
        *turn += 1;
    }
    assert_eq!(next.len(), 50);
    eventually("all segments are removed", || files(dir.path(), "spool").is_empty());
}

/// Reads and settles until `count` entries came.
fn record(spool: &Spool, count: usize) -> Vec<usize> {
    let mut reader = spool.reader();
    let mut got = Vec::new();
    while got.len() < count {
        let entries = reader.next_batch(64, 1 << 20, Duration::from_secs(30)).unwrap();
        assert!(!entries.is_empty(), "nothing for 30 s after {}", got.len());
        got.extend(numbers(&entries));
        settle_all(spool, &entries);
    }
    got
}
