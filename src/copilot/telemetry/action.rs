//! What people did with answers of chat, and what sessions of the CLI came to.

use serde_json::Value;

use super::event::{Event, count, id, number};
use crate::copilot::observation::{ChatAction, ChatActionKind, Observation, SessionTotals};

/// `conversation.acceptedCopy`, `conversation.acceptedInsert` and `conversation.appliedCodeblock` (language server and
/// VS Code's `userActions.ts`); none where it has no time to be known by.
pub(super) fn code_block(event: &Event<'_>, kind: ChatActionKind) -> Option<Vec<Observation>> {
    let lines = event.first_count(&["copiedLines", "acceptedLines", "totalLines", "numLines"]);
    let characters = event.first_count(&["copiedCharacters", "acceptedLength", "totalCharacters", "compCharLen"]);
    Some(vec![Observation::ChatAction(ChatAction { lines, characters, ..action(event, kind)? })])
}

/// `panel.edit.feedback` (VS Code's `userActions.ts`): one for each file of an agent's edits that a person keeps or undoes.
/// A file that is only saved is neither.
pub(super) fn edit_feedback(event: &Event<'_>) -> Option<Vec<Observation>> {
    let kind = match event.first_name(&["outcome"])?.as_str() {
        "accepted" => ChatActionKind::EditKept,
        "rejected" => ChatActionKind::EditUndone,
        _ => return Some(Vec::new()),
    };
    Some(vec![Observation::ChatAction(action(event, kind)?)])
}

/// `inline.done` (VS Code's `userActions.ts`): the end of an inline chat. What was discarded was put to no use.
pub(super) fn inline_done(event: &Event<'_>) -> Option<Vec<Observation>> {
    if !event.flag("accepted")? {
        return Some(Vec::new());
    }
    let lines = event.first_count(&["editLineCount"]);
    Some(vec![Observation::ChatAction(ChatAction { lines, ..action(event, ChatActionKind::Applied)? })])
}

fn action(event: &Event<'_>, kind: ChatActionKind) -> Option<ChatAction> {
    Some(ChatAction {
        key: event.key()?,
        kind,
        interaction_id: event.first_id(&["messageId"]),
        request_id: event.first_id(&["headerRequestId", "requestId"]),
        language: event.first_language(&["languageId"]),
        model: event.first_name(&["modelId", "model", "engineName"]),
        lines: None,
        characters: None,
        time: event.time(),
    })
}

/// `cli.telemetry` (seen: CLI 1.0.102): the real event is JSON in a string, and of its many kinds the end of a session tells
/// what it came to. None where there is no such JSON, or nothing to know the session by.
pub(super) fn command_line(event: &Event<'_>) -> Option<Vec<Observation>> {
    let payload: Value = serde_json::from_str(event.field("payload")?.as_str()?).ok()?;
    if payload.get("kind")?.as_str()? != "session_shutdown" {
        return Some(Vec::new());
    }
    let named = |group: &Value| ["session_id", "sessionId"].iter().find_map(|name| id(group.get(name)?));
    let in_payload = payload.get("properties").and_then(named).or_else(|| named(&payload));
    let session_id = in_payload
        .or_else(|| event.first_id(&["session_id", "sessionId"]))
        .or_else(|| event.session())
        .or_else(|| event.key())?;
    let metric = |name: &str| ["metrics", "properties"].iter().find_map(|group| payload.get(group)?.get(name));
    Some(vec![Observation::Session(SessionTotals {
        session_id,
        lines_added: metric("lines_added").and_then(count),
        lines_removed: metric("lines_removed").and_then(count),
        files_modified: metric("files_modified_count").and_then(count),
        premium_requests: metric("total_premium_requests").and_then(number).filter(|requests| *requests >= 0.0),
        nano_aiu: metric("total_nano_aiu").and_then(count),
        time: event.time(),
    })])
}
