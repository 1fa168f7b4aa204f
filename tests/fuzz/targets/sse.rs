//! Any bytes as a stream of server-sent events: how it is cut into chunks does not matter, events can be written and read
//! again, and the scanner on the hot path sees the end where the reader does.

#![no_main]

use copilens::copilot::EndScanner;
use copilens::copilot::sse::{Event, events};
use libfuzzer_sys::fuzz_target;

/// Names of last events.
const LAST: [&str; 5] = ["response.completed", "response.incomplete", "response.failed", "message_stop", "error"];

fuzz_target!(|input: &[u8]| {
    let Some((cuts, stream)) = input.split_at_checked(4) else { return };
    let read: Vec<_> = events(stream).collect();
    assert_eq!(events(&written(&read)).collect::<Vec<_>>(), read, "what is written again is read again");
    a_stream_cut_off_has_the_same_events(stream, cuts, &read);
    the_scanner_agrees(stream, cuts);
});

fn written(events: &[Event<'_>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for event in events {
        if let Some(name) = event.name {
            stream.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        for line in event.data.split(|byte| *byte == b'\n') {
            stream.extend_from_slice(&[b"data: ", line, b"\n"].concat());
        }
        stream.push(b'\n');
    }
    stream
}

/// All but the last, which is what came of one.
fn a_stream_cut_off_has_the_same_events(stream: &[u8], cuts: &[u8], whole: &[Event<'_>]) {
    let cut = u16::from_le_bytes([cuts[0], cuts[1]]) as usize % (stream.len() + 1);
    let mut before: Vec<_> = events(&stream[..cut]).collect();
    before.pop();
    assert!(whole.starts_with(&before), "cut at {cut}");
}

fn the_scanner_agrees(stream: &[u8], cuts: &[u8]) {
    // The one thing that the scanner leaves out: nobody sends a mark in front of the last event.
    let mut stream = stream;
    while let Some(unmarked) = stream.strip_prefix(b"\xEF\xBB\xBF") {
        stream = unmarked;
    }
    let found = EndScanner::default().scan(stream);
    assert_eq!(in_chunks(stream, cuts), found, "chunks of {cuts:?}");

    let whole = [stream, b"\n\n"].concat();
    let found = EndScanner::default().scan(&whole);
    let is_done = |event: &Event<'_>| event.data.split(|byte| *byte == b'\n').any(|line| line == b"[DONE]");
    let ends = |event: Event<'_>| is_done(&event) || event.name.is_some_and(|name| LAST.contains(&name));
    assert!(found || !events(&whole).any(ends), "an event ends the stream");
    let mut words = LAST.iter().chain(&["[DONE]"]);
    assert!(!found || words.any(|word| whole.windows(word.len()).any(|part| part == word.as_bytes())), "no event does");
}

fn in_chunks(stream: &[u8], cuts: &[u8]) -> bool {
    let mut scanner = EndScanner::default();
    let mut rest = stream;
    let mut found = false;
    for cut in cuts.iter().cycle() {
        let (chunk, after) = rest.split_at(rest.len().min(usize::from(*cut) % 16 + 1));
        found |= scanner.scan(chunk);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    found
}
