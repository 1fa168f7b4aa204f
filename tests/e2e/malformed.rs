//! Bodies in every coding, and bodies that make no sense: recorded as what they are, and nothing falls over.

use std::io::Write;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use copilens::sim::copilot::control;
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use flate2::Compression;
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::support::{CHAT_HOST, Copilens, HOSTS, Site, Upstream};

fn written<W: Write>(mut encoder: W, text: &[u8]) -> W {
    encoder.write_all(text).unwrap();
    encoder
}

fn encoded(coding: &str, text: &[u8]) -> Vec<u8> {
    let level = Compression::default();
    match coding {
        "gzip" => written(flate2::write::GzEncoder::new(Vec::new(), level), text).finish().unwrap(),
        "deflate" => written(flate2::write::ZlibEncoder::new(Vec::new(), level), text).finish().unwrap(),
        "br" => written(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20), text).into_inner(),
        _ => zstd::encode_all(text, 1).unwrap(),
    }
}

/// The record of the newest chat, when there are so many.
fn newest(copilens: &Copilens, count: usize) -> Value {
    copilens.wait_for_records("alice", "chat", count).pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_content_coding_is_undone_in_the_record_and_nowhere_else() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let connection = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
    let mut count = 0;
    for coding in ["gzip", "br", "zstd", "deflate"] {
        for ask in [Ask::chat(), Ask::chat().whole()] {
            count += 1;
            let plain = ask.body_bytes();
            let coded = Bytes::from(encoded(coding, &plain));
            let ask = ask.body(coded.clone()).with("content-encoding", coding).with(control::ENCODING, coding);
            let mut reply = ask.send(&connection).await;
            assert_eq!(reply.header("content-encoding"), Some(coding));
            let body = reply.bytes().await.unwrap();
            assert_eq!(upstream.fake.requests().pop().unwrap().body, coded);

            let record = newest(&copilens, count);
            assert_eq!(record["request"]["content"], serde_json::from_slice::<Value>(&plain).unwrap(), "{coding}");
            assert_eq!(record["response"]["headers"]["content-encoding"], coding);
            let said = &record["response"]["content"][0]["object"];
            assert!(said.as_str().unwrap().starts_with("chat.completion"), "{coding}: {said}");
            assert_eq!(record["bytes"], json!({"request": coded.len(), "response": body.len()}));
            assert_eq!((&record["class"], record.get("problems")), (&json!("turn"), None), "{coding}: {record}");
        }
    }
}

/// One answer for each connection, as raw bytes, with the type that Copilot gives its streams.
async fn origin(authority: &TestAuthority, answers: &[Bytes], body: &Bytes) -> RawOrigin {
    let script = |answer: &Bytes| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        let write = |bytes: Bytes| Step::Write(bytes);
        vec![Step::ReadUntil(body.clone()), write(head.into()), write(answer.clone()), Step::Close]
    };
    let tls = authority.server(&HOSTS, Alpn::Http1).unwrap();
    RawOrigin::start(Some(tls), answers.iter().map(script).collect()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_make_no_sense_are_recorded_as_what_they_are() {
    let deep = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    let bottomless = "[".repeat(100_000);
    let garbage = [b"data: {\"text\":\"\xFF\xFE\"}\n\n".as_slice(), b"data: [DONE]\n\n"].concat();
    let cases: Vec<(Bytes, Value)> = vec![
        (Bytes::from("data: {\"choices\":[{\"te\n\ndata: [DONE]\n\n"), json!(["{\"choices\":[{\"te"])),
        (Bytes::from("data: {\"choices\":[]}\n\ndata: [DONE]\n\n"), json!([{"choices": []}])),
        (Bytes::from("data: {\"choices\":null}\n\n"), json!([{"choices": null}])),
        (Bytes::from("<html>not today</html>"), json!(["<html>not today</html>"])),
        (Bytes::from(garbage), json!([{"base64": BASE64_STANDARD.encode(b"{\"text\":\"\xFF\xFE\"}")}])),
        (Bytes::from(format!("data: {deep}\n\n")), json!([deep])),
        (Bytes::from(bottomless.clone()), json!([bottomless])),
        (Bytes::from("data: {\"choices\":[{\"text\":1e999}]}\n\n"), json!(["{\"choices\":[{\"text\":1e999}]}"])),
        (Bytes::from("data: null\n\ndata: 7\n\ndata: \"\"\n\n"), json!([null, 7, ""])),
    ];
    let authority = TestAuthority::new().unwrap();
    let answers: Vec<_> = cases.iter().map(|(answer, _)| answer.clone()).collect();
    let ask = Ask::chat();
    let origin = origin(&authority, &answers, &ask.body_bytes()).await;
    let copilens = Site::to(origin.address(), &authority).start();
    for (number, (answer, content)) in cases.iter().enumerate() {
        let ask = ask.clone().with("x-request-id", &number.to_string()).with("x-interaction-id", &number.to_string());
        let connection = copilens.tunnel("alice", CHAT_HOST, Alpn::Http1).await;
        assert_eq!(ask.finish(&connection).await, (http::StatusCode::OK, answer.clone()));
        let record = newest(&copilens, number + 1);
        assert_eq!(&record["response"]["content"], content, "case {number}");
        assert_eq!(record["class"], "turn", "case {number}");
    }
    rebuilds_to_the_same(copilens);
}

/// Stops copilens and makes the day anew: what can be written can be read.
fn rebuilds_to_the_same(copilens: Copilens) {
    let (_, site) = copilens.stop();
    let day = format!("logs/metrics/copilot-usage_{}.json", chrono::Utc::now().date_naive());
    let before = std::fs::read_to_string(site.path(&day)).unwrap();
    let output = site.stdout(&["rebuild"]);
    assert!(!output.contains("left out"), "{output}");
    assert_eq!(std::fs::read_to_string(site.path(&day)).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_anywhere_keeps_what_came() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    for (count, alpn) in [(1, Alpn::Http1), (2, Alpn::Http2)] {
        let ask = Ask::chat().with(control::BREAK_OFF, "3").with(control::EVENTS, "9");
        let connection = copilens.tunnel("alice", CHAT_HOST, alpn).await;
        assert!(ask.send(&connection).await.bytes().await.is_err());
        let record = newest(&copilens, count);
        assert_eq!(record["response"]["content"].as_array().unwrap().len(), 3);
        assert_eq!((&record["outcome"], &record["class"]), (&json!("failed"), &json!("turn")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_recorded_as_what_they_are() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let connection = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
    let deep = "{\"a\":".repeat(50_000);
    let cases: Vec<(&[u8], Value)> = vec![
        (b"", Value::Null),
        (b"{\"messages\":[", json!("{\"messages\":[")),
        (b"\xFF\x00\xFE", json!({"base64": "/wD+"})),
        (deep.as_bytes(), json!(deep)),
        (
            b"{\"messages\":{\"role\":7},\"stop\":null,\"tools\":\"x\",\"model\":[]}",
            json!({
                "messages": {"role": 7}, "stop": null, "tools": "x", "model": []
            }),
        ),
        (b"a=1&b=2", json!("a=1&b=2")),
    ];
    for (number, (body, content)) in cases.into_iter().enumerate() {
        let ask = Ask::chat().body(Bytes::copy_from_slice(body));
        assert_eq!(ask.finish(&connection).await.0, 200);
        assert_eq!(newest(&copilens, number + 1)["request"]["content"], content, "case {number}");
    }
    rebuilds_to_the_same(copilens);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_lie_about_their_coding_and_bombs_are_recorded_with_their_problem() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("capture.max_body", "\"1MiB\"").start();
    let connection = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
    let bomb = encoded("zstd", &vec![b' '; 200 << 20]);
    assert!(bomb.len() < 100_000);
    let gzip = encoded("gzip", &Ask::chat().body_bytes());
    let cases = [
        ("zstd", bomb, "request_limit"),
        ("gzip", b"this is not gzip".to_vec(), "request_corrupt"),
        ("gzip", gzip[..gzip.len() / 2].to_vec(), "request_truncated"),
        ("snappy", b"no such coding".to_vec(), "request_unknown_coding"),
        ("identity", vec![b'x'; 2 << 20], "request_truncated"),
    ];
    for (number, (coding, body, problem)) in cases.into_iter().enumerate() {
        let size = body.len();
        let ask = Ask::chat().body(body).with("content-encoding", coding);
        assert_eq!(ask.finish(&connection).await.0, 200);
        let record = newest(&copilens, number + 1);
        assert_eq!((&record["problems"][0], &record["bytes"]["request"]), (&json!(problem), &json!(size)));
        assert!(record.to_string().len() < 1_200_000, "{coding}");
    }
    let ask = Ask::chat();
    assert_eq!(ask.finish(&connection).await.0, 200);
    assert_eq!(newest(&copilens, 6)["request"]["content"]["model"], "gpt-4o");
}
