//! What the tests ask for: requests in the shapes that editors send, with invented texts.

use bytes::Bytes;
use copilens::sim::client::{Connection, Reply};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{ACCOUNT_HOST, CHAT_HOST, COMPLETIONS_HOST, TELEMETRY_HOST};

pub(crate) const MACHINE: &str = "5be04fd2a1c64f0e9d8b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e";

/// One request, to be changed before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) host: &'static str,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask {
    /// Ghost text for Python in VS Code, streamed.
    pub(crate) fn completion() -> Self {
        let body = json!({
            "prompt": "# Path: area.py\ndef area(width, height):\n    ", "suffix": "", "max_tokens": 500,
            "temperature": 0, "top_p": 1, "n": 1, "stop": ["\n\n"], "stream": true,
            "extra": {"language": "python", "next_indent": 4, "prompt_tokens": 18, "suffix_tokens": 0}
        });
        Self::new(COMPLETIONS_HOST, "/v1/engines/gpt-41-copilot/completions", &body)
            .with("openai-intent", "copilot-ghost")
            .with("editor-plugin-version", "copilot/1.254.0")
    }

    /// A person's chat in VS Code, streamed.
    pub(crate) fn chat() -> Self {
        let body = json!({
            "messages": [
                {"role": "system", "content": "You help with code."},
                {"role": "user", "content": "How do I read a file in Rust?"}
            ],
            "model": "gpt-4o", "temperature": 0.1, "top_p": 1, "n": 1, "stream": true, "max_tokens": 4096
        });
        Self::new(CHAT_HOST, "/chat/completions", &body)
            .with("openai-intent", "conversation-panel")
            .with("editor-plugin-version", "copilot-chat/0.31.1")
            .with("x-initiator", "user")
            .with("x-interaction-id", &fresh_id())
            .with("x-interaction-type", "conversation-panel")
    }

    /// A next-edit suggestion as the language server asks for it: nothing in it tells the editor.
    pub(crate) fn next_edit() -> Self {
        let body = json!({
            "messages": [{"role": "system", "content": "Predict the next edit."}, {"role": "user", "content": "area.py"}],
            "model": "copilot-nes-oct", "temperature": 0, "top_p": 1, "n": 1, "stream": true,
            "prediction": {"type": "content", "content": "def area(w, h):\n    pass\n"}
        });
        Self::new(COMPLETIONS_HOST, "/chat/completions", &body)
            .with("openai-intent", "conversation-other")
            .with("x-initiator", "agent")
            .with("x-interaction-type", "conversation-other")
            .with("x-interaction-id", &fresh_id())
            .without("editor-version")
            .without("vscode-machineid")
            .without("vscode-sessionid")
    }

    /// A batch of telemetry as the language server sends it.
    pub(crate) fn telemetry(events: &[Value]) -> Self {
        Self::new(TELEMETRY_HOST, "/telemetry", &json!(events))
    }

    /// A question to GitHub about the account.
    pub(crate) fn account(path: &str) -> Self {
        Self { method: Method::GET, ..Self::new(ACCOUNT_HOST, path, &Value::Null) }.body("").without("content-type")
    }

    pub(crate) fn new(host: &'static str, path: &str, body: &Value) -> Self {
        Self { host, method: Method::POST, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
            .with("authorization", "Bearer tid=0123456789abcdef;exp=1767225600;sku=business_seat;st=dotcom:5f5e")
            .with("x-request-id", &fresh_id())
            .with("openai-organization", "github-copilot")
            .with("vscode-sessionid", "d680c0d9-0000-4000-8000-0000000000011735381508063")
            .with("vscode-machineid", MACHINE)
            .with("x-github-api-version", "2025-05-01")
            .with("editor-version", "vscode/1.96.2")
            .with("content-type", "application/json")
            .with("user-agent", "GitHubCopilotChat/0.31.1")
            .with("accept", "*/*")
            .with("accept-encoding", "gzip,deflate,br")
            .json(body)
    }

    /// The same request to another host and path.
    pub(crate) fn at(self, host: &'static str, path: &str) -> Self {
        Self { host, path: path.to_owned(), ..self }
    }

    pub(crate) fn in_jetbrains(self) -> Self {
        self.with("editor-version", "JetBrains-PC/243.22562.220")
            .with("editor-plugin-version", "copilot-intellij/1.5.30")
    }

    /// Sets a header field.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        match self.headers.iter_mut().find(|(field, _)| field == name) {
            Some(field) => value.clone_into(&mut field.1),
            None => self.headers.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(field, _)| field != name);
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a field of the body.
    pub(crate) fn field(self, name: &str, value: impl Into<Value>) -> Self {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap();
        body[name] = value.into();
        self.json(&body)
    }

    /// What the person asks or has written so far.
    pub(crate) fn prompt(self, text: &str) -> Self {
        if self.host == COMPLETIONS_HOST {
            self.field("prompt", text)
        } else {
            self.field("messages", json!([{"role": "user", "content": text}]))
        }
    }

    pub(crate) fn whole(self) -> Self {
        self.field("stream", false)
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.headers.iter().find(|(name, _)| name == "x-request-id").unwrap().1
    }

    pub(crate) fn body_bytes(&self) -> Bytes {
        self.body.clone()
    }

    pub(crate) fn request(&self) -> Request<Bytes> {
        let request = Request::builder().method(self.method.clone()).uri(self.path.as_str());
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.body(self.body.clone()).unwrap()
    }

    pub(crate) async fn send(&self, connection: &Connection) -> Reply {
        connection.send(self.request()).await.unwrap()
    }

    /// Sends it and reads the answer to its end.
    pub(crate) async fn finish(&self, connection: &Connection) -> (StatusCode, Bytes) {
        let mut reply = self.send(connection).await;
        (reply.status(), reply.bytes().await.unwrap())
    }
}

pub(crate) fn fresh_id() -> String {
    copilens::exchange::ExchangeId::now().to_string()
}
