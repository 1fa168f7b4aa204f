//! The upstream of the bench: answers of a fixed form, as cheap as can be.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use copilens::sim::tls::{Alpn, TestAuthority};
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::time::Interval;

/// Writes its CA to the file that `BENCH_CA` names and its address to standard output.
pub async fn run() {
    let authority = TestAuthority::new().unwrap();
    let hosts = [crate::load::COMPLETIONS_HOST, crate::load::CHAT_HOST];
    let tls = tokio_rustls::TlsAcceptor::from(authority.server(&hosts, Alpn::Both).unwrap());
    std::fs::write(std::env::var("BENCH_CA").unwrap(), authority.pem()).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let tls = tls.clone();
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(socket).await else { return };
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http2().max_concurrent_streams(100);
            let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Events>, Infallible> {
    let number = |name| request.headers().get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    let (events, pace) = (number("x-bench-events").unwrap_or(10), number("x-bench-pace").unwrap_or(0));
    let chat = request.uri().path() == "/chat/completions";
    let mut body = request.into_body();
    while let Some(Ok(_)) = http_body_util::BodyExt::frame(&mut body).await {}
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .header("x-github-request-id", "0000:00000:0000000:0000000:00000000")
        .header("openai-processing-ms", "33.6");
    let pace = (pace > 0).then(|| tokio::time::interval(Duration::from_millis(pace as u64)));
    Ok(response.body(Events { left: events, chat, pace, ready: true }).unwrap())
}

/// Events one by one: each is flushed before the next is made. The stream's end follows the last one at once.
struct Events {
    left: usize,
    chat: bool,
    /// What each event but the stream's end waits for.
    pace: Option<Interval>,
    ready: bool,
}

impl Events {
    /// Alternating with a pause of one turn makes hyper flush each event by itself.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ready = !self.ready;
        if self.ready {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let has_events = (1..usize::MAX).contains(&self.left);
        match &mut self.pace {
            Some(pace) if has_events => drop(ready!(pace.poll_tick(cx))),
            _ => ready!(self.poll_turn(cx)),
        }
        match self.left {
            usize::MAX => Poll::Ready(None),
            0 => {
                self.left = usize::MAX;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(DONE)))))
            }
            _ => {
                self.left -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(if self.chat { CHAT } else { COMPLETION })))))
            }
        }
    }
}

pub const COMPLETION: &[u8] = b"data: {\"id\":\"cmpl-AjSQstOuqLSedY7J3Vg6Op6Khvcnl\",\"created\":1735397418,\"model\":\"gpt-41-copilot\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"    return left + right\\n\",\"finish_reason\":null,\"logprobs\":null,\"p\":\"aaaaaaa\"}],\"system_fingerprint\":\"fp_0000000000000000000000000000\"}\n\n";
pub const CHAT: &[u8] = b"data: {\"choices\":[{\"index\":0,\"content_filter_offsets\":{\"check_offset\":6414,\"start_offset\":6364,\"end_offset\":6432},\"content_filter_results\":{\"error\":{\"code\":\"\",\"message\":\"\"},\"hate\":{\"filtered\":false,\"severity\":\"safe\"},\"self_harm\":{\"filtered\":false,\"severity\":\"safe\"},\"sexual\":{\"filtered\":false,\"severity\":\"safe\"},\"violence\":{\"filtered\":false,\"severity\":\"safe\"}},\"delta\":{\"content\":\" the next few words of the answer\"}}],\"created\":1735447703,\"id\":\"chatcmpl-AjfVvb0iylVRT3wd1xU1BP0XiEcdg\",\"model\":\"gpt-4o-2024-05-13\",\"system_fingerprint\":\"fp_5154047bf2\"}\n\n";
pub const DONE: &[u8] = b"data: [DONE]\n\n";
