//! Any bytes as one direction of a WebSocket: how they are cut into chunks does not matter, no message is kept beyond the
//! limit, and what the messages say is read without a fault.

#![no_main]

use copilens::copilot::{Conversation, ends_answer};
use copilens::proxy::fuzzing::websocket_messages;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 2048;

fuzz_target!(|input: &[u8]| {
    let Some((cuts, bytes)) = input.split_at_checked(4) else { return };
    let mut conversation = Conversation::default();
    for from_client in [false, true] {
        for compressed in [false, true] {
            let whole = websocket_messages(from_client, compressed, LIMIT, [bytes]);
            let cut = websocket_messages(from_client, compressed, LIMIT, chunks(bytes, cuts));
            assert_eq!(whole, cut, "chunks of {cuts:?}");
            for (message, length) in &whole.0 {
                assert!(message.len() <= LIMIT && message.len() as u64 <= *length);
                let _ = ends_answer(message);
                let _ = conversation.request(message, &[]);
            }
        }
    }
    let _ = ends_answer(bytes);
    let _ = conversation.request(bytes, &[]);
});

fn chunks<'a>(mut rest: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for cut in cuts.iter().cycle() {
        let (chunk, after) = rest.split_at(rest.len().min(usize::from(*cut) % 16 + 1));
        chunks.push(chunk);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    chunks
}
