//! The fakes themselves, without a proxy in between: what other tests are built on has to hold first.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use copilens::sim::client::{self, ClientError, Connection, Credentials, ProxyClient};
use copilens::sim::copilot::{FakeCopilot, FakeOptions, control};
use copilens::sim::ide::{Developer, EditorProfile, Person, Workday};
use copilens::sim::tls::{self, Alpn, COPILOT_NAMES, TestAuthority};
use http::{Request, Version};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
    for (coding, named) in [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("deflate", "deflate"), ("accept", "br")]
    {
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

/// A proxy that lets everything through to one address, to see what developers send.
async fn open_proxy(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                client.set_nodelay(true).unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                // "Basic YWRhOnNlY3JldA==" is ada:secret.
                if !String::from_utf8_lossy(&head).contains("\r\nProxy-Authorization: Basic YWRhOnNlY3JldA==\r\n") {
                    let refusal = "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\ncontent-length: 4\r\n\r\nwho?";
                    return client.write_all(refusal.as_bytes()).await.unwrap();
                }
                client.write_all(b"HTTP/1.1 200 Go\r\n\r\n").await.unwrap();
                let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                server.set_nodelay(true).unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

fn ada(editor: EditorProfile, languages: &[&str]) -> Person {
    let languages = languages.iter().map(ToString::to_string).collect();
    Person { name: "ada".into(), password: "secret".into(), editor, languages, telemetry: true, seed: 5 }
}

#[tokio::test]
async fn a_developer_sends_what_editors_send() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    let proxy = open_proxy(fake.address()).await;
    let developer = Developer::new(ada(EditorProfile::pycharm(), &["python"]), proxy, authority.roots());
    let suggestion = developer.complete().await.unwrap();
    assert!(!suggestion.text.is_empty() && suggestion.language == "python");
    assert_eq!(developer.complete_in_vain().await.unwrap().text, "");
    developer.cancel_completion().await.unwrap();
    let turn = developer.ask().await.unwrap();
    assert!(turn.answer.contains("```python"), "{}", turn.answer);
    let agent = developer.agent_turn(2).await.unwrap();
    assert!(agent.answer.contains("```"), "{}", agent.answer);
    developer.show(&suggestion);
    developer.accept(&suggestion);
    developer.send_telemetry().await.unwrap();
    fake.wait_for(|seen| seen.open_streams == 0, SOON).await.unwrap();

    let requests = fake.requests();
    let canceled: Vec<bool> = requests.iter().map(|request| request.aborted).collect();
    assert_eq!(canceled, [false, false, true, false, false, false, false, false]);
    let ghost = &requests[0];
    assert_eq!((ghost.path(), ghost.version), ("/v1/engines/gpt-41-copilot/completions", Version::HTTP_11));
    assert_eq!(ghost.header("x-request-id"), Some(suggestion.request_id.as_str()));
    assert!(ghost.header("authorization").unwrap().starts_with("Bearer tid="));
    assert_eq!(ghost.header("host"), Some("proxy.business.githubcopilot.com"));
    let body: Value = serde_json::from_slice(&ghost.body).unwrap();
    assert_eq!((&body["extra"]["language"], &body["stream"]), (&json!("python"), &json!(true)));
    let initiators: Vec<_> = requests[4..7].iter().map(|request| request.header("x-initiator").unwrap()).collect();
    assert_eq!(initiators, ["user", "agent", "agent"]);
    assert!(requests[4..7].iter().all(|one| one.header("x-interaction-id") == Some(agent.interaction_id.as_str())));
    let last: Value = serde_json::from_slice(&requests[6].body).unwrap();
    assert_eq!(last["messages"].as_array().unwrap().last().unwrap()["role"], "tool");
    let events: Value = serde_json::from_slice(&requests[7].body).unwrap();
    assert_eq!(events[1]["data"]["baseData"]["name"], "agent/ghostText.accepted");
    assert_eq!(events[1]["data"]["baseData"]["properties"]["headerRequestId"], suggestion.request_id.as_str());
}

#[tokio::test]
async fn a_workday_counts_what_it_did_and_repeats() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    let proxy = open_proxy(fake.address()).await;
    let mut tallies = Vec::new();
    for editor in [EditorProfile::vscode(), EditorProfile::vscode(), EditorProfile::goland()] {
        let before = fake.seen().requests.len();
        let mut day = Workday::new(Developer::new(ada(editor, &[]), proxy, authority.roots()), Duration::ZERO);
        for _ in 0..120 {
            day.act().await;
        }
        let tally = day.finish().await;
        assert!(day.last_error().is_none(), "{:?}", day.last_error());
        let requests = fake.requests().split_off(before);
        let sent = |wanted: &dyn Fn(&str) -> bool| requests.iter().filter(|one| wanted(one.path())).count() as u64;
        let ghosts = tally.completions + tally.prefetched_shown + tally.prefetched + tally.noise();
        assert_eq!(sent(&|path| path.starts_with("/v1/engines/")), ghosts);
        let newer = sent(&|path| matches!(path, "/responses" | "/v1/messages"));
        let chats = tally.chats + tally.steps + tally.follow_ups;
        assert_eq!(sent(&|path| path == "/chat/completions") + newer, chats + tally.next_edits);
        assert_eq!(newer > 0, tally.follow_ups == 0, "which models an editor asks");
        assert!(tally.accepted > 0 && tally.steps > 0 && tally.prefetched_shown > 0, "{tally:?}");
        assert!(tally.next_edits > 0, "{tally:?}");
        tallies.push(tally);
    }
    assert_eq!(tallies[0], tallies[1]);
    assert!(tallies[0].follow_ups == 0 && tallies[2].follow_ups > 0);
    assert!(fake.requests().iter().any(|one| one.header("content-encoding") == Some("gzip")), "VS Code's telemetry");
}

#[tokio::test]
async fn a_day_ends_when_it_is_told_to() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    let proxy = open_proxy(fake.address()).await;
    let developer = Developer::new(ada(EditorProfile::intellij(), &["java"]), proxy, authority.roots());
    let mut day = Workday::new(developer, Duration::from_millis(5));
    let until = async { fake.wait_for(|seen| seen.requests.len() >= 20, SOON).await.unwrap() };
    let tally = day.work(until).await;
    assert!(tally.completions > 0 && tally.failures == 0, "{tally:?} {:?}", day.last_error());
    assert!(fake.requests().iter().any(|request| request.path() == "/copilot_internal/v2/token"));
    assert_eq!(
        fake.requests().iter().filter(|request| request.version == Version::HTTP_2).count(),
        fake.requests().len()
    );
}

#[tokio::test]
async fn a_refused_tunnel_says_what_the_proxy_said() {
    let authority = TestAuthority::new().unwrap();
    let proxy = open_proxy("127.0.0.1:9".parse().unwrap()).await;
    let client = ProxyClient::new(proxy, Credentials::basic("ada", "wrong"), authority.roots());
    let refused = client.tunnel(HOST, 443, Alpn::Both).await;
    let Err(ClientError::Refused { answer, authority: asked }) = refused else { panic!("not refused") };
    assert_eq!((answer.status, answer.body.as_str(), asked), (407, "who?", format!("{HOST}:443")));
    assert_eq!(answer.header("proxy-authenticate"), Some("Basic"));
}

#[tokio::test]
async fn http1_is_seen_and_answered_byte_for_byte() {
    let fake = FakeCopilot::start(FakeOptions::default()).await.unwrap();
    let mut socket = tokio::net::TcpStream::connect(fake.address()).await.unwrap();
    let request = "POST /responses?v=1 HTTP/1.1\r\nHost: h\r\nX-ODD-case: 1\r\nTransfer-Encoding: chunked\r\n\
        x-sim-interim: 100,103\r\nx-sim-body-size: 3\r\nx-sim-trailer: X-Sum: 6\r\nConnection: close\r\n\r\n\
        4;a=b\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\nX-Last: 9\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink:"), "{answer}");
    assert!(
        answer.ends_with("\r\ntrailer: X-Sum\r\nconnection: close\r\n\r\n3\r\n012\r\n0\r\nX-Sum: 6\r\n\r\n"),
        "{answer}"
    );
    let seen = fake.requests().remove(0);
    assert_eq!(
        (seen.uri.as_str(), seen.path(), seen.body.as_ref()),
        ("/responses?v=1", "/responses", &b"{\"a\":1}"[..])
    );
    let (odd, last) = (seen.headers[1].0.as_str(), &seen.trailers[0]);
    assert_eq!((odd, last), ("X-ODD-case", &("X-Last".to_owned(), Bytes::from_static(b"9"))));
    let mut socket = tokio::net::TcpStream::connect(fake.address()).await.unwrap();
    socket.write_all(b"\x16\x03\x01 no HTTP\r\n\r\n").await.unwrap();
    answer.clear();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_retired_connection_ends_what_it_has_begun() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions { gated: true, ..FakeOptions::default() }).await;
    let connection = direct(&authority, &fake, Alpn::Http2).await;
    let mut reply = connection.send(chat(true)).await.unwrap();
    fake.retire_connections();
    fake.release(1_000);
    assert!(reply.bytes().await.unwrap().ends_with(b"[DONE]\n\n"));
    fake.wait_for(|seen| seen.open_connections == 0, SOON).await.unwrap();
    assert!(connection.send(chat(true)).await.is_err());
    assert!(direct(&authority, &fake, Alpn::Http2).await.send(chat(false)).await.is_ok());
}

/// The same task over each interface of the models: a call of a tool, then words once its result is in.
#[tokio::test]
async fn a_prompt_can_ask_each_interface_for_a_call() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    let connection = direct(&authority, &fake, Alpn::Both).await;
    let input = json!({"path": "/work/limits.py", "file_text": "LIMIT = 3\n"});
    let prompt = format!("Make a file: {}create {input}", control::CALL);
    let asked = json!({"role": "user", "content": prompt});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "made"}]});
    for (path, list, result, field, finish) in [
        ("/chat/completions", "messages", json!({"role": "tool", "content": "made"}), "arguments", "tool_calls"),
        ("/responses", "input", json!({"type": "function_call_output", "output": "made"}), "delta", "completed"),
        ("/v1/messages", "messages", result, "partial_json", "tool_use"),
    ] {
        let called = reply(&connection, path, json!({"model": "m", "stream": true, list: [asked]})).await;
        let pieces: String = called.iter().filter_map(|event| find(event, field)).collect();
        assert!(pieces.contains("LIMIT = 3"), "{path}: {pieces}");
        assert!(called.iter().any(|event| event.to_string().contains(finish)), "{path}: {called:?}");
        let said = reply(&connection, path, json!({"model": "m", "stream": true, list: [asked, result]})).await;
        assert!(said.iter().all(|event| find(event, "partial_json").is_none()), "{path}");
        assert!(said.iter().any(|event| event.to_string().contains("total_nano_aiu")), "{path}");
    }
}

async fn reply(connection: &Connection, path: &str, body: Value) -> Vec<Value> {
    let request = Request::post(path).body(Bytes::from(body.to_string())).unwrap();
    let mut reply = connection.send(request).await.unwrap();
    assert!(reply.header("x-quota-snapshot-premium_interactions").is_some(), "{path}");
    let text = String::from_utf8(reply.bytes().await.unwrap().to_vec()).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// The text of a field, wherever it stands in an event.
fn find<'a>(event: &'a Value, field: &str) -> Option<&'a str> {
    match event {
        Value::Object(fields) => {
            let own = fields.get(field).and_then(Value::as_str);
            own.or_else(|| fields.values().find_map(|value| find(value, field)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, field)),
        _ => None,
    }
}

#[tokio::test]
async fn a_forced_tool_ends_as_the_service_ends_it() {
    let authority = TestAuthority::new().unwrap();
    let fake = fake(&authority, FakeOptions::default()).await;
    let connection = direct(&authority, &fake, Alpn::Both).await;
    let choice = json!({"type": "function", "function": {"name": "showSuggestions"}});
    let body = json!({"model": "gpt-4o-mini", "stream": true, "tool_choice": choice, "messages": []});
    let events = reply(&connection, "/chat/completions", body).await;
    assert!(events.iter().any(|event| find(event, "name") == Some("showSuggestions")));
    assert!(events.iter().any(|event| find(event, "finish_reason") == Some("stop")));
}
