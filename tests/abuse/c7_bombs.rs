//! Answers that grow a thousandfold when they are decoded.

use std::io::Write;

use bytes::Bytes;
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use flate2::Compression;
use http::Request;

use crate::support::{CHAT_HOST, HOSTS, Site};
use crate::watching::{MIB, peak_memory};

const SIZE: usize = 64 * MIB;
/// What the decoded copies may add to memory, one for each core at a time.
const ROOM: usize = 48 * MIB;

fn filled<W: Write>(mut encoder: W, size: usize) -> W {
    let piece = vec![b' '; MIB];
    for _ in 0..size / MIB {
        encoder.write_all(&piece).unwrap();
    }
    encoder
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let level = Compression::fast();
    let gzipped = filled(flate2::write::GzEncoder::new(Vec::new(), level), SIZE).finish().unwrap();
    vec![
        ("gzip, gzip", gzip(&gzipped)),
        ("gzip, gzip, gzip", gzip(&gzip(&gzipped))),
        ("gzip", gzipped),
        ("br", filled(brotli::CompressorWriter::new(Vec::new(), MIB, 1, 22), SIZE).into_inner()),
        ("zstd", filled(zstd::Encoder::new(Vec::new(), 1).unwrap(), SIZE).finish().unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_bombs_pass_untouched_and_are_decoded_to_the_limit_alone() {
    const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Boom."}]}"#;
    let authority = TestAuthority::new().unwrap();
    let bombs = bombs();
    let scripts = bombs.iter().map(|(coding, bomb)| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            bomb.len()
        );
        vec![Step::ReadUntil(BODY.into()), Step::write(head), Step::write(bomb.clone()), Step::Close]
    });
    let tls = authority.server(&HOSTS, Alpn::Http1).unwrap();
    let origin = RawOrigin::start(Some(tls), scripts.collect()).await.unwrap();
    let site = Site::to(origin.address(), &authority).set("capture.max_body", "\"2MiB\"");
    let copilens = site.set("capture.noise", "\"record\"").start();
    let before = peak_memory(&copilens);
    for (number, (coding, bomb)) in bombs.iter().enumerate() {
        let tunnel = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
        let request = Request::post("/chat/completions").header("content-type", "application/json");
        let mut reply = tunnel.send(request.body(Bytes::from_static(BODY.as_bytes())).unwrap()).await.unwrap();
        assert_eq!(reply.header("content-encoding"), Some(*coding));
        assert!(reply.bytes().await.unwrap() == *bomb, "{coding}");
        let record = copilens.wait_for_records("alice", "chat", number + 1).pop().unwrap();
        assert_eq!(record["problems"][0], "response_limit", "{coding}");
        assert_eq!(record["bytes"]["response"], bomb.len(), "{coding}");
    }
    let grown = peak_memory(&copilens) - before;
    assert!(grown < ROOM, "{} MiB", grown / MIB);
}
