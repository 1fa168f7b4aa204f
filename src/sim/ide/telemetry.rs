//! What editors report about suggestions: Application Insights envelopes, batched as each client sends them.

use std::io::{self, Write};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::Suggestion;
use super::requests::{GHOST_ENGINE, Session};

/// The instrumentation key of Copilot's standard telemetry.
const INSTRUMENTATION_KEY: &str = "7d7048df-6dd0-4048-bb23-b716c1461f8f";

/// What became of a suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Shown,
    Accepted,
    Rejected,
}

impl Fate {
    fn event(self) -> &'static str {
        match self {
            Self::Shown => "ghostText.shown",
            Self::Accepted => "ghostText.accepted",
            Self::Rejected => "ghostText.rejected",
        }
    }
}

/// The envelope that reports a suggestion's fate.
pub(super) fn envelope(session: &Session, suggestion: &Suggestion, fate: Fate) -> Value {
    let prefix = if session.editor.language_server.is_some() { "agent" } else { "copilot" };
    let mut properties = json!({
        "headerRequestId": suggestion.request_id, "clientCompletionId": suggestion.completion_id, "choiceIndex": "0",
        "languageId": suggestion.language, "engineName": GHOST_ENGINE, "isSpeculative": suggestion.speculative.to_string(),
        "editor_version": session.editor.version, "editor_plugin_version": session.editor.plugin,
        "client_machineid": session.machine_id, "client_sessionid": session.session_id,
        "copilot_trackingId": session.tracking_id,
    });
    if let Some(properties) = properties.as_object_mut().filter(|_| fate == Fate::Accepted) {
        properties.insert("compType".to_owned(), json!("full"));
    }
    let measurements = json!({"compCharLen": suggestion.characters(), "numLines": suggestion.lines()});
    json!({
        "name": format!("Microsoft.ApplicationInsights.{}.Event", INSTRUMENTATION_KEY.replace('-', "")),
        "time": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "iKey": INSTRUMENTATION_KEY,
        "tags": {"ai.user.id": session.tracking_id, "ai.session.id": session.session_id},
        "data": {"baseType": "EventData", "baseData": {
            "ver": 2, "name": format!("{prefix}/{}", fate.event()),
            "properties": properties, "measurements": measurements}},
    })
}

/// A batch: a JSON array from the language server, gzip'd lines from VS Code.
pub(super) fn batch(session: &Session, events: Vec<Value>) -> Result<Request<Bytes>, http::Error> {
    let request = Request::post("/telemetry").header("User-Agent", &session.editor.user_agent).header("accept", "*/*");
    if session.editor.language_server.is_some() {
        let body = Value::Array(events).to_string();
        return request.header("Content-Type", "application/json").body(Bytes::from(body));
    }
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let request = request.header("Content-Type", "application/x-json-stream");
    match gzip(lines.join("\n").as_bytes()) {
        Ok(body) => request.header("Content-Encoding", "gzip").body(body),
        Err(_) => request.body(Bytes::from(lines.join("\n"))),
    }
}

fn gzip(text: &[u8]) -> io::Result<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text)?;
    encoder.finish().map(Bytes::from)
}
