//! What editors report about suggestions: Application Insights envelopes, batched as each client sends them.

use std::io::{self, Write};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::requests::{GHOST_ENGINE, Session};
use super::work::{Suggestion, SuggestionKind};

/// The instrumentation key of Copilot's standard telemetry.
const INSTRUMENTATION_KEY: &str = "7d7048df-6dd0-4048-bb23-b716c1461f8f";

/// What became of a suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Shown,
    Accepted,
    /// The first line was taken.
    AcceptedInPart,
    /// The rest of a suggestion of which a part was taken.
    RestRejected,
    Rejected,
    /// Found in the code 15 seconds after it was accepted.
    StillInCode,
}

impl Fate {
    fn event(self) -> &'static str {
        match self {
            Self::Shown => "ghostText.shown",
            Self::Accepted | Self::AcceptedInPart => "ghostText.accepted",
            Self::Rejected | Self::RestRejected => "ghostText.rejected",
            Self::StillInCode => "ghostText.stillInCode",
        }
    }

    fn completion_type(self) -> Option<&'static str> {
        match self {
            Self::Accepted | Self::StillInCode => Some("full"),
            Self::AcceptedInPart | Self::RestRejected => Some("partial"),
            Self::Shown | Self::Rejected => None,
        }
    }

    /// `acceptance` of a next edit, which is told once, when it ends.
    fn acceptance(self) -> Option<&'static str> {
        match self {
            Self::Accepted => Some("accepted"),
            Self::Rejected => Some("rejected"),
            _ => None,
        }
    }

    /// The event's amounts: what was shown, taken, or left.
    fn amounts(self, suggestion: &Suggestion) -> Value {
        let first = suggestion.text.lines().next().map_or(0, |line| line.chars().count() as u64);
        let (characters, lines) = match self {
            Self::AcceptedInPart => (first, 1),
            Self::RestRejected => (suggestion.characters() - first, suggestion.lines()),
            _ => (suggestion.characters(), suggestion.lines()),
        };
        let mut amounts = json!({"compCharLen": characters, "numLines": lines});
        if let Some(amounts) = amounts.as_object_mut().filter(|_| self == Self::StillInCode) {
            amounts.insert("timeout".to_owned(), json!(15));
            amounts.insert("stillInCodeHeuristic".to_owned(), json!(1));
        }
        amounts
    }
}

/// The envelope that reports the fate of ghost text.
pub(super) fn envelope(session: &Session, suggestion: &Suggestion, fate: Fate) -> Value {
    let mut properties = json!({
        "headerRequestId": suggestion.request_id, "clientCompletionId": suggestion.completion_id, "choiceIndex": "0",
        "languageId": suggestion.language, "engineName": GHOST_ENGINE,
        "isSpeculative": (suggestion.kind == SuggestionKind::Speculative).to_string(),
    });
    if let Some((kind, properties)) = fate.completion_type().zip(properties.as_object_mut()) {
        properties.insert("compType".to_owned(), json!(kind));
    }
    let prefix = if session.editor.language_server.is_some() { "agent" } else { "copilot" };
    wrapped(session, &format!("{prefix}/{}", fate.event()), properties, &fate.amounts(suggestion))
}

/// The envelope that reports how a next edit ended; `None` for what is no end.
pub(super) fn edit_envelope(session: &Session, suggestion: &Suggestion, fate: Fate) -> Option<Value> {
    let properties = json!({
        "opportunityId": suggestion.completion_id, "headerRequestId": suggestion.request_id,
        "providerId": "XtabProvider", "modelName": "copilot-nes-oct",
        "activeDocumentLanguageId": suggestion.language, "acceptance": fate.acceptance()?,
    });
    let prefix = if session.editor.language_server.is_some() { "agent/" } else { "" };
    let name = format!("{prefix}copilot-nes/provideInlineEdit");
    Some(wrapped(session, &name, properties, &json!({"isShown": 1, "hasNextEdit": 1})))
}

fn wrapped(session: &Session, name: &str, mut properties: Value, measurements: &Value) -> Value {
    if let (Some(all), Value::Object(own)) = (properties.as_object_mut(), identity(session)) {
        all.extend(own);
    }
    json!({
        "name": format!("Microsoft.ApplicationInsights.{}.Event", INSTRUMENTATION_KEY.replace('-', "")),
        "time": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "iKey": INSTRUMENTATION_KEY,
        "tags": {"ai.user.id": session.tracking_id, "ai.session.id": session.session_id},
        "data": {"baseType": "EventData", "baseData": {
            "ver": 2, "name": name, "properties": properties, "measurements": measurements}},
    })
}

/// What each event says of the editor and the account.
fn identity(session: &Session) -> Value {
    json!({"editor_version": session.editor.version, "editor_plugin_version": session.editor.plugin,
           "client_machineid": session.machine_id, "client_sessionid": session.session_id,
           "copilot_trackingId": session.tracking_id})
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
