//! Requests on a WebSocket in the shape that Copilot's command line sends, with invented texts.

use copilens::sim::client::{ClientError, ProxyClient};
use copilens::sim::websocket::WebSocket;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::asking::fresh_id;
use crate::support::{CHAT_HOST, PATIENCE};

pub(crate) type Socket = WebSocket<TlsStream<TcpStream>>;

/// Opens a WebSocket with the header fields that the command line sends, and these.
pub(crate) async fn try_open(client: &ProxyClient, further: &[(&str, &str)]) -> Result<Socket, ClientError> {
    let fields = [
        ("openai-intent", "conversation-agent"),
        ("x-interaction-id", "upgrade"),
        ("x-interaction-type", "conversation-user"),
        ("x-initiator", "user"),
        ("x-client-session-id", "session-1"),
        ("editor-version", "copilot/1.0.102"),
        ("user-agent", "copilot/1.0.102 (linux v24.20.0) term/unknown client/github/cli"),
        ("copilot-integration-id", "copilot-developer-cli"),
        ("authorization", "Bearer gho_0123456789abcdefghijABCDEFGHIJ012345"),
    ];
    let fields = [&fields[..], further].concat();
    Ok(client.websocket(CHAT_HOST, "/responses", &fields).await?.1)
}

pub(crate) async fn open(client: &ProxyClient, further: &[(&str, &str)]) -> Socket {
    try_open(client, further).await.unwrap()
}

/// A person's prompt.
pub(crate) fn prompt(text: &str) -> Value {
    let content = json!([{"type": "input_text", "text": text}]);
    json!({
        "type": "response.create", "model": "gpt-5.4", "instructions": "Be brief.",
        "input": [{"role": "user", "content": content, "type": "message"}],
        "tools": [{"name": "bash", "type": "function", "parameters": {"type": "object", "properties": {"type": {"type": "string"}}}}],
        "store": false, "parallel_tool_calls": true, "initiator": "user", "agent_task_id": fresh_id(),
        "headers": {"X-Interaction-Id": fresh_id(), "X-Interaction-Type": "conversation-user"}
    })
}

/// What the agent does next for a prompt.
pub(crate) fn step(prompt: &Value) -> Value {
    let output =
        json!({"type": "function_call_output", "call_id": "call-1", "output": "{\"type\":\"response.completed\"}"});
    let headers = json!({"X-Interaction-Id": prompt["headers"]["X-Interaction-Id"]});
    json!({
        "type": "response.create", "model": "gpt-5.4", "previous_response_id": "r-1", "input": [output],
        "store": false, "initiator": "agent", "agent_task_id": prompt["agent_task_id"], "headers": headers
    })
}

/// Sets a field of the message's own `headers`.
pub(crate) fn with(mut message: Value, name: &str, value: &str) -> Value {
    message["headers"][name] = value.into();
    message
}

pub(crate) async fn send(socket: &mut Socket, message: &Value) {
    socket.send(&message.to_string()).await.unwrap();
}

/// The next message; `None` where the connection has ended.
pub(crate) async fn next(socket: &mut Socket) -> Option<Value> {
    let message = tokio::time::timeout(PATIENCE, socket.message()).await.expect("no message comes");
    message.ok().flatten().map(|message| serde_json::from_slice(&message).unwrap())
}

/// All messages to the end of an answer.
pub(crate) async fn answer(socket: &mut Socket) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        messages.push(next(socket).await.expect("the answer breaks off"));
        if matches!(messages.last().unwrap()["type"].as_str(), Some("response.completed" | "error")) {
            return messages;
        }
    }
}

/// Asks and reads the answer.
pub(crate) async fn ask(socket: &mut Socket, message: &Value) -> Vec<Value> {
    send(socket, message).await;
    answer(socket).await
}
