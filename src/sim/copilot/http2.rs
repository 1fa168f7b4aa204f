//! Answering over HTTP/2 (RFC 9113).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};

use super::answer::Answer;
use super::control::{Control, Framing};
use super::pacing::{Act, Performance};
use super::seen::{Fields, OpenExchange, SeenRequest};
use super::service::{Order, Service};

/// What was sent before a break has this long to leave, since a reset discards what waits to be sent.
const BEFORE_RESET: Duration = Duration::from_millis(20);

/// The stream is to be reset.
#[derive(Debug, thiserror::Error)]
#[error("the simulated answer breaks off")]
struct BreakOff;

/// Serves one connection to its end, or sends GOAWAY when told to.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    service: Service,
    connection: u64,
    mut orders: watch::Receiver<Order>,
) -> hyper::Result<()> {
    let streams = service.max_concurrent_streams;
    let handler = service_fn(move |request| exchange(request, service.clone(), connection));
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(streams)
        .serve_connection(TokioIo::new(stream), handler);
    let mut served = std::pin::pin!(served);
    loop {
        tokio::select! {
            ended = served.as_mut() => return ended,
            Ok(()) = orders.changed() => {
                if matches!(*orders.borrow_and_update(), Order::Retire(_)) {
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

async fn exchange(request: Request<Incoming>, service: Service, connection: u64) -> hyper::Result<Response<Pieces>> {
    let (head, mut body) = request.into_parts();
    let mut request = seen(&head, connection);
    let open = service.ledger.arrived(request.clone());
    let control = Control::of(&request);
    let collected = (&mut body).collect().await?;
    request.trailers = collected.trailers().map(fields).unwrap_or_default();
    request.body = collected.to_bytes();
    open.received(&request.body, &request.trailers);
    service.wait_for_head(&control).await;
    let answer = service.answer(&request, &control, &open);
    let bodiless = request.method == "HEAD" || matches!(answer.status, 204 | 304);
    let head = response_head(&answer, &control);
    let performance = (!bodiless).then(|| service.performance(answer, &control));
    let trailers = control.trailer.as_ref().and_then(|(name, value)| trailer_map(name, value));
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(perform(performance, trailers, sender, open));
    let mut response = Response::new(Pieces(pieces));
    (*response.status_mut(), *response.headers_mut()) = head;
    Ok(response)
}

fn seen(head: &http::request::Parts, connection: u64) -> SeenRequest {
    SeenRequest {
        connection,
        method: head.method.to_string(),
        uri: head.uri.to_string(),
        version: head.version,
        headers: fields(&head.headers),
        body: Bytes::new(),
        trailers: Fields::new(),
        answer: Bytes::new(),
        finished: false,
        aborted: false,
    }
}

fn fields(map: &HeaderMap) -> Fields {
    map.iter().map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}

fn response_head(answer: &Answer, control: &Control) -> (http::StatusCode, HeaderMap) {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(*name, value);
        }
    }
    if answer.framing(control) == Framing::Length {
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(answer.length()));
    }
    (http::StatusCode::from_u16(answer.status).unwrap_or_default(), headers)
}

fn trailer_map(name: &str, value: &str) -> Option<HeaderMap> {
    let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).ok()?;
    Some(HeaderMap::from_iter([(name, HeaderValue::from_str(value).ok()?)]))
}

/// Sends a body into its stream, until its end or until the client has left.
async fn perform(
    performance: Option<Performance>,
    trailers: Option<HeaderMap>,
    sender: mpsc::Sender<Result<Frame<Bytes>, BreakOff>>,
    open: OpenExchange,
) {
    if let Some(mut performance) = performance {
        loop {
            let act = tokio::select! {
                act = performance.next() => act,
                () = sender.closed() => return,
            };
            match act {
                Some(Act::Send(piece)) => {
                    if sender.send(Ok(Frame::data(piece))).await.is_err() {
                        return;
                    }
                }
                Some(Act::BreakOff) => return break_off(&sender).await,
                None => break,
            }
        }
    }
    if let Some(trailers) = trailers
        && sender.send(Ok(Frame::trailers(trailers))).await.is_err()
    {
        return;
    }
    open.finish();
}

async fn break_off(sender: &mpsc::Sender<Result<Frame<Bytes>, BreakOff>>) {
    tokio::time::sleep(BEFORE_RESET).await;
    let _ = sender.send(Err(BreakOff)).await;
}

/// A body whose pieces come from [`perform`].
struct Pieces(mpsc::Receiver<Result<Frame<Bytes>, BreakOff>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = BreakOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BreakOff>>> {
        self.0.poll_recv(cx)
    }
}
