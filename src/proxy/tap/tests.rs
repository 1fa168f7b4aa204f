//! When the end of an answer reaches the client: a scripted body on one side, commits by hand on the other.

use std::collections::VecDeque;
use std::task::Waker;

use http::HeaderMap;
use tokio_util::task::TaskTracker;

use super::*;
use crate::config::{Live, Loaded};
use crate::copilot::Endpoint;
use crate::exchange::Exchange;
use crate::recorder::Intake;
use crate::spool::Spool;

const PATIENCE: Duration = Duration::from_millis(250);
const EVENT: &str = "data: {\"choices\":[]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[derive(Clone)]
enum Piece {
    Data(&'static str),
    Trailers,
    Broken,
}

/// What arrives from upstream, and how it is framed.
#[derive(Clone)]
struct Script {
    pieces: VecDeque<Piece>,
    /// Bytes still to come, where a length was announced.
    length: Option<u64>,
    /// Whether the last piece says that it is the last, as HTTP/1.1 with a length and END_STREAM on DATA do.
    tells_end: bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = hudsucker::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<PolledFrame> {
        let frame = self.pieces.pop_front().map(|piece| match piece {
            Piece::Data(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
            Piece::Trailers => Ok(Frame::trailers(HeaderMap::new())),
            Piece::Broken => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
        });
        if let (Some(Ok(frame)), Some(length)) = (&frame, &mut self.length) {
            *length -= frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.tells_end && self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// An answer with neither a length nor a mark on its last piece, as a chunked one.
fn chunked(pieces: impl Into<VecDeque<Piece>>) -> Script {
    Script { pieces: pieces.into(), length: None, tells_end: false }
}

fn with_length(pieces: &[&'static str], tells_end: bool) -> Script {
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    Script { pieces: pieces.iter().map(|piece| Piece::Data(piece)).collect(), length: Some(length), tells_end }
}

struct Stage {
    tap: ResponseTap<Script>,
    spool: Arc<Spool>,
    metrics: Arc<Metrics>,
}

impl Stage {
    fn new(script: Script, is_plain: bool) -> Self {
        let spool = Arc::new(Spool::unstarted());
        let intake = Arc::new(Intake::new(Arc::clone(&spool), Arc::new(Live::new(Loaded::default()))));
        let request = http::Request::post("/chat/completions").body(()).unwrap();
        let recording = Recording::sample(intake, Endpoint::Chat, request, TaskTracker::new().token());
        let metrics = Arc::new(Metrics::default());
        Self { tap: ResponseTap::new(script, recording, is_plain, PATIENCE, Arc::clone(&metrics)), spool, metrics }
    }

    fn poll(&mut self) -> Poll<PolledFrame> {
        Pin::new(&mut self.tap).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    /// All that passes before something is waited for.
    fn passed(&mut self) -> Vec<String> {
        let mut passed = Vec::new();
        loop {
            match self.poll() {
                Poll::Pending => return passed,
                Poll::Ready(None) => passed.push("end".to_owned()),
                Poll::Ready(Some(Err(_))) => passed.push("broken".to_owned()),
                Poll::Ready(Some(Ok(frame))) => passed.push(match frame.into_data() {
                    Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
                    Err(_) => "trailers".to_owned(),
                }),
            }
            if matches!(passed.last().map(String::as_str), Some("end" | "broken")) || self.tap.is_end_stream() {
                return passed;
            }
        }
    }

    /// What passes before the commit, what is committed, and what passes after it.
    fn around_the_commit(mut self) -> (Vec<String>, Exchange, Vec<String>) {
        let before = self.passed();
        assert!(!self.tap.is_end_stream(), "the end shows before the commit");
        assert!(matches!(self.poll(), Poll::Pending), "something passes before the commit");
        let mut committed = self.spool.commit_queued();
        assert_eq!(committed.len(), 1, "the exchange is not on its way to the spool");
        (before, committed.remove(0), self.passed())
    }
}

/// The same for an answer whose end can be seen in it.
fn held(script: Script) -> (Vec<String>, Vec<String>) {
    let whole: String = script
        .pieces
        .iter()
        .filter_map(|piece| if let Piece::Data(text) = piece { Some(*text) } else { None })
        .collect();
    let (before, exchange, after) = Stage::new(script, true).around_the_commit();
    assert_eq!(exchange.head.ending, Ending::Completed);
    assert_eq!(exchange.response_body, whole);
    (before, after)
}

#[tokio::test]
async fn the_last_event_of_a_stream_waits_for_the_commit() {
    let script = chunked([Piece::Data(EVENT), Piece::Data(DONE)]);
    assert_eq!(held(script), (vec![EVENT.to_owned()], vec![DONE.to_owned(), "end".to_owned()]));
}

#[tokio::test]
async fn a_last_event_that_was_cut_waits_with_its_last_part() {
    let script = chunked([Piece::Data("data: [DO"), Piece::Data("NE]\n"), Piece::Data("\n")]);
    let (before, exchange, after) = Stage::new(script, true).around_the_commit();
    assert_eq!(before, ["data: [DO"]);
    assert_eq!(exchange.response_body, "data: [DONE]\n");
    assert_eq!(after, ["NE]\n", "\n", "end"]);
}

#[tokio::test]
async fn a_terminator_waits_where_the_last_event_cannot_be_seen() {
    let script = chunked([Piece::Data("\x1f\x0b1"), Piece::Data(DONE)]);
    let (before, _, after) = Stage::new(script, false).around_the_commit();
    assert_eq!((before.len(), after), (2, vec!["end".to_owned()]));
    assert_eq!(held(chunked([Piece::Data("{}")])), (vec!["{}".to_owned()], vec!["end".to_owned()]));
}

#[tokio::test]
async fn trailers_wait_for_the_commit() {
    let script = chunked([Piece::Data("{}"), Piece::Trailers]);
    assert_eq!(held(script), (vec!["{}".to_owned()], vec!["trailers".to_owned(), "end".to_owned()]));
}

#[tokio::test]
async fn the_last_part_of_a_known_length_waits_for_the_commit() {
    assert_eq!(held(with_length(&["{}"], true)), (vec![], vec!["{}".to_owned()]));
    assert_eq!(held(with_length(&["{", "}"], true)), (vec!["{".to_owned()], vec!["}".to_owned()]));
}

#[tokio::test]
async fn a_length_that_is_reached_is_the_end_although_the_end_is_told_later() {
    // HTTP/2 may put END_STREAM on an empty DATA frame of its own; a client that counts needs no such frame.
    let (before, after) = held(with_length(&["{", "}"], false));
    assert_eq!((before, after), (vec!["{".to_owned()], vec!["}".to_owned(), "end".to_owned()]));
}

#[tokio::test]
async fn a_last_frame_that_says_so_waits_for_the_commit() {
    let script = Script { tells_end: true, ..chunked([Piece::Data("{"), Piece::Data("}")]) };
    assert_eq!(held(script), (vec!["{".to_owned()], vec!["}".to_owned()]));
}

#[tokio::test]
async fn an_answer_that_breaks_is_kept_as_that_and_passed_on_broken() {
    let mut stage = Stage::new(chunked([Piece::Data(EVENT), Piece::Broken]), true);
    assert_eq!(stage.passed(), [EVENT, "broken"]);
    let exchange = stage.spool.commit_queued().remove(0);
    assert_eq!((exchange.head.ending, exchange.response_body), (Ending::UpstreamFailed, EVENT.into()));
}

#[tokio::test]
async fn an_answer_that_nobody_reads_on_is_kept_as_canceled() {
    let mut stage = Stage::new(chunked([Piece::Data(EVENT), Piece::Data(DONE)]), true);
    assert!(matches!(stage.poll(), Poll::Ready(Some(Ok(_)))));
    let Stage { tap, spool, .. } = stage;
    drop(tap);
    assert_eq!(spool.commit_queued().remove(0).head.ending, Ending::Canceled);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_late_is_counted_and_not_waited_for() {
    use http_body_util::BodyExt;
    let Stage { tap, spool, metrics } = Stage::new(chunked([Piece::Data(DONE)]), true);
    let begun = tokio::time::Instant::now();
    assert_eq!(tap.collect().await.unwrap().to_bytes(), DONE);
    assert_eq!((begun.elapsed(), metrics.late.get(), metrics.commit_wait.count()), (PATIENCE, 1, 1));
    assert_eq!(spool.commit_queued().len(), 1);
}
