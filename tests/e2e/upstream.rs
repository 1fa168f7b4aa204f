//! The leg to the server: failures of all kinds, the connections that users share, and the proxy beyond this one.

mod breaks;
mod certificates;
mod faults;
mod parent;
mod pool;

use bytes::Bytes;
use copilens::sim::client::{ClientError, Reply};
use copilens::sim::tls::Alpn;
use http::Request;

use crate::support::{CHAT_HOST, Copilens, PATIENCE, wait_until};

/// A chat request that is recorded.
pub(crate) fn chat() -> http::request::Builder {
    Request::post("/chat/completions").header("content-type", "application/json")
}

pub(crate) fn chat_body() -> Bytes {
    let messages = serde_json::json!([{"role": "user", "content": "What does this do?"}]);
    Bytes::from(serde_json::json!({"model": "gpt-4.1", "stream": true, "messages": messages}).to_string())
}

pub(crate) async fn ask(copilens: &Copilens) -> Result<Reply, ClientError> {
    let tunnel = copilens.tunnel("alice", CHAT_HOST, Alpn::Http1).await;
    let answer = tokio::time::timeout(PATIENCE, tunnel.send(chat().body(chat_body()).unwrap())).await;
    answer.expect("no answer comes")
}

/// The answer is the proxy's own, says `code` and nothing of the cause, which the log names with `cause`.
pub(crate) async fn assert_fails(copilens: &Copilens, status: u16, code: &str, cause: &str) {
    let mut reply = ask(copilens).await.unwrap();
    assert_eq!(reply.status(), status, "{}", copilens.log());
    let body = reply.bytes().await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["error"]["code"], code);
    let body = String::from_utf8(body.to_vec()).unwrap();
    for secret in ["127.0.0.1", CHAT_HOST, "ertificate", "refused"] {
        assert!(!body.contains(secret), "{body}");
    }
    wait_until(&format!("{cause:?} in the log"), || copilens.log().contains(cause).then_some(()));
}
