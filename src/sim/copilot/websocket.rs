//! `GET /responses` with an upgrade: OpenAI's Responses interface over a WebSocket, many requests on a connection.
//!
//! Each `response.create` message is on record as a request of its own, with the upgrade's head; its control fields may also
//! stand in the message's own `headers`. It is answered with the events that `POST /responses` streams.

use std::io;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::Control as CloseOrPing;

use super::answer;
use super::control::{Control, WEBSOCKET_EXTENSIONS};
use super::pacing::{Act, Performance};
use super::seen::{Fields, OpenExchange, SeenRequest};
use super::service::Service;
use super::wire::{RequestHead, Wire};
use crate::sim::websocket::{Role, WebSocket};

/// RFC 6455 section 7.4.1.
const NORMAL_CLOSURE: u16 = 1000;

/// Whether a request asks for a WebSocket where one is offered, and for nothing else by its control fields.
pub(super) fn is_asked_for(head: &RequestHead, request: &SeenRequest) -> bool {
    let control = Control::of(request);
    let refused = control.status.is_some() || control.body_size.is_some() || control.never_answer;
    head.lists("upgrade", "websocket") && request.method == "GET" && request.path() == "/responses" && !refused
}

/// Switches protocols and serves the WebSocket to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    wire: Wire<S>,
    upgrade: SeenRequest,
    service: &Service,
) -> io::Result<()> {
    let (mut stream, ahead) = wire.into_parts();
    let open = service.ledger.arrived(upgrade.clone());
    service.wait_for_head(&Control::of(&upgrade)).await;
    let extensions = extensions(&upgrade);
    stream.write_all(switch(&upgrade, extensions.as_deref()).as_bytes()).await?;
    stream.flush().await?;
    let mut socket = WebSocket::new(stream, Role::Server, ahead, extensions.as_deref());
    while let Some(message) = socket.message().await? {
        answer_to(&mut socket, &upgrade, message, service).await?;
    }
    socket.send_control(CloseOrPing::Close, &NORMAL_CLOSURE.to_be_bytes()).await?;
    socket.shutdown().await?;
    open.finish();
    Ok(())
}

fn switch(upgrade: &SeenRequest, extensions: Option<&str>) -> String {
    let accept = derive_accept_key(upgrade.header("sec-websocket-key").unwrap_or_default().as_bytes());
    let extensions = extensions.map(|agreed| format!("Sec-WebSocket-Extensions: {agreed}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extensions}x-github-request-id: 0A1B:2C3D:4E5F\r\n\r\n"
    )
}

/// What is agreed on: what the request's control field says, where the client offers the compression at all.
fn extensions(upgrade: &SeenRequest) -> Option<String> {
    let offered = upgrade.header("sec-websocket-extensions")?;
    let wanted = upgrade.header(WEBSOCKET_EXTENSIONS)?;
    offered.contains("permessage-deflate").then(|| wanted.to_owned())
}

async fn answer_to<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocket<S>,
    upgrade: &SeenRequest,
    message: Vec<u8>,
    service: &Service,
) -> io::Result<()> {
    let mut question: Value = serde_json::from_slice(&message).unwrap_or_default();
    if question.get("type") != Some(&json!("response.create")) {
        let error = json!({"type": "error", "error": {"code": "invalid_request", "message": "not a request"}});
        return socket.send(&error.to_string()).await;
    }
    let headers = own_fields(&question).into_iter().chain(upgrade.headers.iter().cloned()).collect();
    let request = SeenRequest { headers, body: message.into(), ..upgrade.clone() };
    let control = Control { coding: None, ..Control::of(&request) };
    let open = service.ledger.arrived(request.clone());
    service.wait_for_head(&control).await;
    if let Some(fields) = question.as_object_mut() {
        fields.insert("stream".to_owned(), Value::Bool(true));
    }
    let posted = SeenRequest { method: "POST".to_owned(), body: question.to_string().into(), ..request };
    let messages = messages(&posted, &control, service.seed);
    open.answered(messages.join(&b"\n"[..]).into());
    let performance = Performance::new(messages, &control, service.event_delay, service.gate.clone());
    perform(socket, performance, &control, open).await
}

/// The `headers` of a message.
fn own_fields(message: &Value) -> Fields {
    let fields = message.get("headers").and_then(Value::as_object).into_iter().flatten();
    fields
        .filter_map(|(name, value)| Some((name.clone(), Bytes::copy_from_slice(value.as_str()?.as_bytes()))))
        .collect()
}

/// The events of the answer over HTTP, without what makes them server-sent events; an error where that is none.
fn messages(posted: &SeenRequest, control: &Control, seed: u64) -> Vec<Bytes> {
    let answer = answer::answer(posted, control, seed);
    if answer.streamed {
        return answer.pieces.iter().filter_map(event_data).collect();
    }
    let said: Value = serde_json::from_slice(&answer.pieces.concat()).unwrap_or_default();
    let error = said.get("error").cloned().unwrap_or_else(|| json!({"code": "simulated", "message": "no stream"}));
    vec![json!({"type": "error", "status": answer.status, "error": error}).to_string().into()]
}

fn event_data(event: &Bytes) -> Option<Bytes> {
    let mut lines = event.split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(b"data: ")).map(|data| event.slice_ref(data))
}

async fn perform<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocket<S>,
    mut performance: Performance,
    control: &Control,
    open: OpenExchange,
) -> io::Result<()> {
    loop {
        let act = tokio::select! {
            act = performance.next() => act,
            () = socket.peer_left() => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        match act {
            Some(Act::Send(message)) => {
                let text = String::from_utf8_lossy(&message);
                socket.send_in(&text, control.fragments.unwrap_or(1), control.fragments.is_some()).await?;
            }
            Some(Act::BreakOff) => return Err(io::ErrorKind::ConnectionAborted.into()),
            None => {
                open.finish();
                return Ok(());
            }
        }
    }
}
