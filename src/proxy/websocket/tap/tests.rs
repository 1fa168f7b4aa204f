//! When the bytes of a server's messages reach the client: scripted reads on one side, commits by hand on the other.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use proptest::prelude::*;
use tokio_util::task::TaskTracker;

use super::*;
use crate::config::{Live, Loaded};
use crate::copilot::Endpoint;
use crate::exchange::{BodySize, Ending, Exchange};
use crate::metrics::Metrics;
use crate::proxy::capture::{Recording, response_head};
use crate::recorder::Intake;
use crate::spool::Spool;

const PATIENCE: Duration = Duration::from_millis(250);
const LIMIT: usize = 1024;
const ASK: &str = r#"{"type":"response.create","input":[],"initiator":"agent","headers":{"X-Interaction-Id":"i-2"}}"#;
const CREATED: &str = r#"{"type":"response.created"}"#;
const DELTA: &str = r#"{"type":"response.output_text.delta","delta":"\"type\":\"response.completed\""}"#;
const DONE: &str = r#"{"type":"response.completed"}"#;
const PING: &[u8] = b"\x89\x00";

/// A text frame from a server.
fn frame(text: &str) -> Vec<u8> {
    [&[0x81, text.len() as u8], text.as_bytes()].concat()
}

/// A text frame from a client; its mask changes nothing.
fn masked(text: &str) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// Gives each chunk in one read, then is silent.
#[derive(Default)]
struct Script(VecDeque<Vec<u8>>);

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(chunk) = self.0.pop_front() else { return Poll::Pending };
        buf.put_slice(&chunk);
        Poll::Ready(Ok(()))
    }
}

struct Stage {
    client: Tapped<Script>,
    server: Tapped<Script>,
    spool: Arc<Spool>,
    metrics: Arc<Metrics>,
    under_way: TaskTracker,
}

impl Stage {
    fn new() -> Self {
        let spool = Arc::new(Spool::unstarted());
        let intake = Arc::new(Intake::new(Arc::clone(&spool), Arc::new(Live::new(Loaded::default()))));
        let request = http::Request::get("/responses").header("x-interaction-id", "i-1").header("a", "b");
        let (request, under_way) = (request.body(()).unwrap(), TaskTracker::new());
        let endpoint = Endpoint::ResponsesWebSocket;
        let upgrade = Recording::sample(Arc::clone(&intake), endpoint, request, under_way.token());
        let mut head = upgrade.into_head().unwrap();
        head.response = Some(response_head(101, &http::HeaderMap::new()));
        let metrics = Arc::new(Metrics::default());
        let exchanges = Exchanges::new(head, intake, Arc::clone(&metrics), LIMIT, PATIENCE, under_way.clone());
        let exchanges = Arc::new(exchanges);
        let tapped =
            |side| Tapped::new(Script::default(), side, Messages::new(side, None, LIMIT), Arc::clone(&exchanges));
        Self { client: tapped(Side::Client), server: tapped(Side::Server), spool, metrics, under_way }
    }

    fn asks(&mut self) {
        self.client.stream.0.push_back(masked(ASK));
        assert_eq!(passed(&mut self.client), masked(ASK));
    }

    fn server_sends(&mut self, chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        self.server.stream.0.extend(chunks);
        passed(&mut self.server)
    }

    /// What passes before the commit, what is committed, and what passes after it.
    fn around_the_commit(&mut self, chunks: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u8>, Exchange, Vec<u8>) {
        let before = self.server_sends(chunks);
        assert!(!self.under_way.is_empty(), "the answer counts as over before its end has passed");
        let mut committed = self.spool.commit_queued();
        assert_eq!(committed.len(), 1, "the exchange is not on its way to the spool");
        (before, committed.remove(0), passed(&mut self.server))
    }
}

/// All that passes before something is waited for.
fn passed(tapped: &mut Tapped<Script>) -> Vec<u8> {
    let mut passed = Vec::new();
    loop {
        let mut room = [0; 50];
        let mut buf = ReadBuf::new(&mut room);
        let polled = Pin::new(&mut *tapped).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
        if polled.is_pending() {
            return passed;
        }
        passed.extend_from_slice(buf.filled());
    }
}

#[tokio::test]
async fn the_message_that_ends_an_answer_waits_and_all_before_it_does_not() {
    let mut stage = Stage::new();
    stage.asks();
    let chunk = [frame(CREATED), PING.to_vec(), frame(DELTA), frame(DONE), PING.to_vec()].concat();
    let (before, exchange, after) = stage.around_the_commit([chunk]);
    assert_eq!(before, [frame(CREATED), PING.to_vec(), frame(DELTA)].concat());
    assert_eq!(after, [frame(DONE), PING.to_vec()].concat());
    assert!(stage.under_way.is_empty());
    assert_eq!(exchange.request_body, ASK);
    assert_eq!(exchange.response_body, format!("{CREATED}\n{DELTA}\n{DONE}"));
    let head = &exchange.head;
    assert_eq!((head.ending, head.status(), head.method.as_str()), (Ending::Completed, Some(101), "GET"));
    let fields = ["a", "x-interaction-id", "x-initiator"].map(|name| head.request_header(name));
    assert_eq!(fields, [Some("b"), Some("i-2"), Some("agent")]);
    assert_eq!(head.request_size, BodySize { bytes: ASK.len() as u64, truncated: false });
    assert!(head.timings.first_byte_us <= Some(head.timings.duration_us));
}

#[tokio::test]
async fn of_a_last_message_in_parts_the_last_part_waits() {
    let mut stage = Stage::new();
    stage.asks();
    let last = frame(DONE);
    let (begin, end) = last.split_at(9);
    let (before, _, after) = stage.around_the_commit([begin.to_vec(), end.to_vec()]);
    assert_eq!((before, after), (begin.to_vec(), end.to_vec()));
}

#[tokio::test]
async fn each_answer_of_a_connection_waits_for_its_own_commit() {
    let mut stage = Stage::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        stage.asks();
        let (before, exchange, after) = stage.around_the_commit([frame(CREATED), frame(DONE)]);
        assert_eq!((before, after), (frame(CREATED), frame(DONE)));
        assert_eq!(exchange.response_body, format!("{CREATED}\n{DONE}"));
        ids.push(exchange.head.id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn what_answers_no_request_passes_unrecorded() {
    let mut stage = Stage::new();
    assert_eq!(stage.server_sends([frame(CREATED), frame(DONE)]), [frame(CREATED), frame(DONE)].concat());
    assert_eq!(stage.spool.commit_queued().len(), 0);
}

#[tokio::test]
async fn what_is_no_frame_passes_and_ends_the_reading_of_both_sides() {
    let mut stage = Stage::new();
    stage.asks();
    let nonsense = vec![0xFF; 40];
    assert_eq!(stage.server_sends([frame(CREATED), nonsense.clone()]), [frame(CREATED), nonsense].concat());
    let exchange = stage.spool.commit_queued().remove(0);
    assert_eq!(exchange.response_body, CREATED);
    assert!(exchange.head.response_size.truncated);
    stage.asks();
    assert_eq!(stage.server_sends([frame(DONE)]), frame(DONE));
    assert_eq!((stage.spool.commit_queued().len(), stage.metrics.unread_websockets.get()), (0, 1));
}

#[tokio::test]
async fn an_answer_that_nobody_reads_on_is_kept_as_canceled() {
    let mut stage = Stage::new();
    stage.asks();
    stage.server_sends([frame(CREATED)]);
    let Stage { client, server, spool, .. } = stage;
    drop((client, server));
    assert_eq!(spool.commit_queued().remove(0).head.ending, Ending::Canceled);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_late_is_counted_and_not_waited_for() {
    let mut stage = Stage::new();
    stage.asks();
    assert_eq!(stage.server_sends([frame(DONE)]), b"");
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(passed(&mut stage.server), frame(DONE));
    assert_eq!(stage.metrics.late.get(), 1);
}

proptest! {
    #[test]
    fn the_bytes_are_the_same_in_any_chunks(
        texts in prop::collection::vec(prop::sample::select(vec![CREATED, DELTA, DONE, "", "x"]), 1..8),
        garbage in prop::collection::vec(any::<u8>(), 0..20),
        cuts in prop::collection::vec(1_usize..60, 1..10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let bytes = [texts.iter().map(|text| frame(text)).collect::<Vec<_>>().concat(), garbage].concat();
        let mut stage = Stage::new();
        stage.asks();
        let mut rest = &bytes[..];
        let mut chunks = Vec::new();
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk.to_vec());
            rest = after;
            if rest.is_empty() { break; }
        }
        let mut got = stage.server_sends(chunks);
        stage.spool.commit_queued();
        got.extend(passed(&mut stage.server));
        prop_assert_eq!(got, bytes);
    }
}
