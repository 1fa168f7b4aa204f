//! From an IDE's CONNECT to a record on disk and a number in the day's file.

use bytes::Bytes;
use copilens::sim::tls::Alpn;
use http::Request;

use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Site, Upstream};

fn completion(language: &str) -> Request<Bytes> {
    let body = serde_json::json!({
        "prompt": "def add(x, y):\n    ", "suffix": "", "max_tokens": 500, "temperature": 0, "top_p": 1, "n": 1,
        "stop": ["\n\n"], "stream": true, "extra": {"language": language, "prompt_tokens": 7}
    });
    Request::post("/v1/engines/gpt-41-copilot/completions")
        .header("host", COMPLETIONS_HOST)
        .header("editor-version", "vscode/1.96.2")
        .header("x-request-id", "1c9e0a3e-0000-4000-8000-000000000001")
        .header("vscode-machineid", "4ce93ec3b250003c9580aba5d1a71685")
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_becomes_a_record_and_a_count() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let tunnel = copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http1).await;
    let mut reply = tunnel.send(completion("python")).await.unwrap();
    assert_eq!(reply.status(), 200);
    let body = reply.bytes().await.unwrap();
    assert!(body.ends_with(b"data: [DONE]\n\n"), "{body:?}");
    let records = copilens.wait_for_records("alice", "completions", 1);
    println!("{}", serde_json::to_string_pretty(&records[0]).unwrap());
    let day = copilens.wait_for_day(|day| day["total_completions_count"] == 1);
    println!("{}", serde_json::to_string_pretty(&day).unwrap());
    println!("{}", copilens.log());
    let _ = CHAT_HOST;
}
