//! Any exchange with any bodies and codings is understood within the limit, and what is understood of it outlives the
//! spool, the record file and a rebuild unchanged.

#![no_main]

use bytes::Bytes;
use copilens::copilot::{History, Understanding, classify, decode, understand};
use copilens::exchange::{Exchange, Head};
use copilens::recorder::Record;
use copilens::spool::{Spooled, entry};
use libfuzzer_sys::fuzz_target;
use parts::exchange;

/// Small, so that bombs and bodies that are cut off are met often.
const LIMIT: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let exchange = exchange(input);
    each_body_is_within_the_limit(&exchange);
    let understanding = understand(&exchange, LIMIT);
    assert_eq!(understand(&exchange, LIMIT), understanding, "the same again");
    the_spool_keeps_it(&exchange.head, &understanding);
    the_record_tells_it(&exchange.head, understanding);
});

fn each_body_is_within_the_limit(exchange: &Exchange) {
    let coding = exchange.head.response_header("content-encoding").unwrap_or_default();
    for limit in [0, 1, LIMIT] {
        let decoded = decode(&exchange.response_body, coding, limit);
        assert!(decoded.bytes.len() <= limit, "{} bytes of {limit}", decoded.bytes.len());
        let whole = decode(&exchange.response_body, coding, 2 * LIMIT);
        assert!(whole.bytes.starts_with(&decoded.bytes) || coding.contains(','), "a lower limit only cuts");
    }
}

fn the_spool_keeps_it(head: &Head, understanding: &Understanding) {
    let spooled = Spooled::Understood(Box::new((head.clone(), understanding.clone())));
    let mut row = Vec::new();
    entry::encode(&spooled, &mut row).expect("an entry that fits");
    assert_eq!(entry::decode(&Bytes::from(row)).expect("what was encoded"), spooled);
}

fn the_record_tells_it(head: &Head, understanding: Understanding) {
    let verdict = classify(&understanding.facts, History::default());
    let record = Record::new(head, understanding, &verdict);
    let read: Record = serde_json::from_str(&record.to_json()).expect("a record can be read");
    assert_eq!(read, record);
    let event = read.event().expect("a time of our own");
    assert_eq!(event, record.event().expect("a time of our own"));
    assert_eq!((event.ended_at, event.class), (head.timings.ended_at, verdict.class));
}
