//! The fakes themselves, without a proxy in between: what other tests are built on has to hold first.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use copilens::sim::client::{self, ClientError, Connection};
use copilens::sim::copilot::{FakeCopilot, FakeOptions, control};
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{self, Alpn, COPILOT_NAMES, TestAuthority};
use http::{Request, Version};
use serde_json::{Value, json};

const HOST: &str = "api.business.githubcopilot.com";
const SOON: Duration = Duration::from_secs(10);

async fn fake(authority: &TestAuthority, options: FakeOptions) -> FakeCopilot {
    let tls = Some(authority.server(COPILOT_NAMES, Alpn::Both).unwrap());
    FakeCopilot::start(FakeOptions { tls, ..options }).await.unwrap()
}

async fn direct(authority: &TestAuthority, fake: &FakeCopilot, alpn: Alpn) -> Connection {
    client::direct(fake.address(), HOST, alpn, authority.roots()).await.unwrap()
}

fn chat(stream: bool) -> Request<Bytes> {
    let messages = json!([{"role": "user", "content": "How can I avoid the clone here?"}]);
    let body = json!({"model": "gpt-4.1", "stream": stream, "messages": messages});
    Request::post("/chat/completions").header("X-Request-Id", "r-1").body(body.to_string().into()).unwrap()
}

fn with(mut request: Request<Bytes>, fields: &[(&'static str, &'static str)]) -> Request<Bytes> {
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

fn events(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn a_chat_streams_over_either_version() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    for (alpn, version) in [(Alpn::Http1, Version::HTTP_11), (Alpn::Http2, Version::HTTP_2)] {
        let connection = direct(&authority, &fake, alpn).await;
        let mut reply = connection.send(chat(true)).await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.version()), (200, version));
        assert_eq!(reply.header("x-request-id"), Some("r-1"));
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        let body = reply.bytes().await.unwrap();
        assert!(body.ends_with(b"data: [DONE]\n\n"));
        let events = events(&body);
        let text: String =
            events.iter().filter_map(|event| event.pointer("/choices/0/delta/content")?.as_str()).collect();
        assert!(text.contains("```rust\nfn greet(name: &str)"), "{text}");
        assert!(events.last().unwrap().pointer("/usage/completion_tokens").unwrap().as_u64().unwrap() > 10);
        assert_eq!(events[0]["model"], "gpt-4.1-2025-04-14");
    }
    let requests = fake.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.path() == "/chat/completions"));
    assert!(requests[0].headers.iter().any(|(name, _)| name == "X-Request-Id"), "the case of names is seen");
    assert_eq!(requests[1].uri, format!("https://{HOST}/chat/completions"));
    assert_eq!(fake.seen().connections, 2);
}

#[tokio::test]
async fn ghost_text_fits_its_prompt() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    let connection = direct(&authority, &fake, Alpn::Both).await;
    let ask = async |prompt: &str| {
        let body = json!({"prompt": prompt, "suffix": "", "stream": false, "extra": {"language": "sql"}}).to_string();
        let request = Request::post("/v1/engines/gpt-41-copilot/completions").body(body.into()).unwrap();
        let body = connection.send(request).await.unwrap().bytes().await.unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["choices"][0]["text"].as_str().unwrap().to_owned()
    };
    assert!(ask("-- Revenue per month and region, newest first\nSELECT ").await.starts_with("date_trunc"));
    assert_eq!(ask("SELECT 1;\n\n\n").await, "");
}

#[tokio::test]
async fn an_event_leaves_only_when_released() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions { gated: true, ..FakeOptions::default() }).await;
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let connection = direct(&authority, &fake, alpn).await;
        let mut reply = connection.send(with(chat(true), &[(control::EVENTS, "3")])).await.unwrap();
        for _ in 0..6 {
            let early = tokio::time::timeout(Duration::from_millis(20), reply.chunk()).await;
            assert!(early.is_err(), "an event came before it was released");
            fake.release(1);
            let event = reply.chunk().await.unwrap().unwrap();
            assert_eq!(event.windows(2).filter(|pair| pair == b"\n\n").count(), 1);
        }
        assert!(reply.chunk().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions { gated: true, ..FakeOptions::default() }).await;
    for (done, alpn) in [Alpn::Http1, Alpn::Http2].into_iter().enumerate() {
        let connection = direct(&authority, &fake, alpn).await;
        let mut reply = connection.send(chat(true)).await.unwrap();
        fake.release(1);
        reply.chunk().await.unwrap().unwrap();
        assert_eq!(fake.seen().open_streams, 1);
        drop(reply);
        fake.wait_for(|seen| seen.open_streams == 0, SOON).await.unwrap();
        assert!(fake.requests()[done].aborted && !fake.requests()[done].finished);
    }
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let connection = direct(&authority, &fake, alpn).await;
        let silent = connection.send(with(chat(true), &[(control::NEVER_ANSWER, "1")]));
        assert!(tokio::time::timeout(Duration::from_millis(50), silent).await.is_err());
        drop(connection);
        fake.wait_for(|seen| seen.request_count > 2 && seen.open_streams == 0, SOON).await.unwrap();
    }
    assert!(fake.requests().iter().all(|request| request.aborted));
    assert!(fake.wait_for(|seen| seen.request_count == 99, Duration::from_millis(10)).await.is_err());
}

#[tokio::test]
async fn answers_are_encoded_so_that_each_event_can_be_read_at_once() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    let connection = direct(&authority, &fake, Alpn::Both).await;
    let plain = connection.send(chat(true)).await.unwrap().bytes().await.unwrap();
    for (coding, named) in [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("deflate", "deflate"), ("accept", "br")] {
        let request = with(chat(true), &[(control::ENCODING, coding), ("accept-encoding", "identity, br;q=1, gzip")]);
        let mut reply = connection.send(request).await.unwrap();
        assert_eq!(reply.header("content-encoding"), Some(named));
        let body = reply.bytes().await.unwrap();
        let text = decoded(named, &body);
        assert_eq!(events(&text).len(), events(&plain).len());
        assert_ne!(body, text);
    }
    let request = with(chat(true), &[(control::ENCODING, "gzip"), (control::BREAK_OFF, "2")]);
    let mut reply = connection.send(request).await.unwrap();
    let mut begun = Vec::new();
    while let Ok(Some(piece)) = reply.chunk().await {
        begun.extend_from_slice(&piece);
    }
    let mut text = Vec::new();
    assert!(flate2::read::GzDecoder::new(begun.as_slice()).read_to_end(&mut text).is_err());
    assert_eq!(events(&text).len(), 2, "both events can be decoded although the end is missing");
}

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut text),
        "deflate" => flate2::read::ZlibDecoder::new(body).read_to_end(&mut text),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut text),
        _ => zstd::Decoder::new(body).unwrap().read_to_end(&mut text),
    };
    read.unwrap();
    text
}

#[tokio::test]
async fn control_fields_shape_the_answer() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let connection = direct(&authority, &fake, alpn).await;
        let mut refused = connection.send(with(chat(true), &[(control::STATUS, "429")])).await.unwrap();
        assert_eq!(refused.status().as_u16(), 429);
        assert!(refused.bytes().await.unwrap().starts_with(b"{\"error\""));

        let large = with(chat(true), &[(control::BODY_SIZE, "70001"), (control::TRAILER, "x-sum: 7")]);
        let mut large = connection.send(large).await.unwrap();
        assert_eq!(large.bytes().await.unwrap().len(), 70_001);
        assert_eq!(large.trailers().unwrap()["x-sum"], "7");

        let mut broken = connection.send(with(chat(true), &[(control::BREAK_OFF, "1")])).await.unwrap();
        assert!(broken.chunk().await.unwrap().is_some());
        assert!(matches!(broken.chunk().await, Err(ClientError::Exchange(_))));
    }
    let connection = direct(&authority, &fake, Alpn::Http1).await;
    let mut closing =
        connection.send(with(chat(false), &[(control::FRAMING, "close"), (control::INTERIM, "103")])).await.unwrap();
    assert_eq!((closing.header("content-length"), closing.header("connection")), (None, Some("close")));
    assert_eq!(serde_json::from_slice::<Value>(&closing.bytes().await.unwrap()).unwrap()["object"], "chat.completion");
    let other = direct(&authority, &fake, Alpn::Http1).await;
    let sized = other.send(with(chat(true), &[(control::FRAMING, "length")])).await.unwrap();
    assert!(sized.header("content-length").is_some());
}

#[tokio::test]
async fn http2_carries_as_many_streams_as_it_says() {
    let authority = TestAuthority::new().unwrap();
    let options = FakeOptions { max_concurrent_streams: 2, gated: true, ..FakeOptions::default() };
    let fake = fake(&authority, options).await;
    let connection = direct(&authority, &fake, Alpn::Http2).await;
    let exchange = async || connection.send(chat(true)).await.unwrap().bytes().await.unwrap();
    let answers = async { tokio::join!(exchange(), exchange(), exchange()) };
    let watch = async {
        fake.wait_for(|seen| seen.open_streams == 2, SOON).await.unwrap();
        fake.release(10_000);
    };
    let ((a, b, c), ()) = tokio::join!(answers, watch);
    assert!([a, b, c].iter().all(|body| body.ends_with(b"[DONE]\n\n")));
    assert_eq!((fake.seen().request_count, fake.seen().peak_streams, fake.seen().connections), (3, 2, 1));
    fake.hang_up();
    fake.wait_for(|seen| seen.open_connections == 0, SOON).await.unwrap();
    assert!(connection.send(chat(true)).await.is_err());
}

#[tokio::test]
async fn a_stranger_is_not_trusted() {
    let (authority, other) = (TestAuthority::new().unwrap(), TestAuthority::new().unwrap());
    let fake = fake(&authority, FakeOptions::default()).await;
    let refused = client::direct(fake.address(), HOST, Alpn::Both, other.roots()).await;
    assert!(matches!(refused, Err(ClientError::Handshake { .. })));
    let trusted = tls::roots_from_pem(&authority.pem()).unwrap();
    assert!(client::direct(fake.address(), HOST, Alpn::Both, trusted).await.is_ok());
    assert!(tls::roots_from_pem("no certificate").is_err());
}

#[tokio::test]
async fn a_raw_origin_keeps_to_its_script() {
    let head = "HTTP/1.1 200 OK\r\nX-Odd: ü\r\ncontent-length: 2\r\n\r\n";
    let script = vec![Step::read_head(), Step::AwaitRelease, Step::write(format!("{head}ok")), Step::Reset];
    let origin = RawOrigin::start(None, vec![script, vec![Step::Cut]]).await.unwrap();
    let connection = client::direct_plain(origin.address(), "localhost").await.unwrap();
    let release = async {
        let asked = origin.wait_for(|got| got.iter().any(|bytes| bytes.starts_with(b"GET /x HTTP/1.1\r\n")), SOON);
        assert!(asked.await);
        origin.release(1);
    };
    let (reply, ()) = tokio::join!(connection.send(Request::get("/x").body(Bytes::new()).unwrap()), release);
    assert_eq!(reply.unwrap().headers()["x-odd"].as_bytes(), "ü".as_bytes());
    let second = client::direct_plain(origin.address(), "localhost").await.unwrap();
    assert!(second.send(Request::get("/").body(Bytes::new()).unwrap()).await.is_err());
}
