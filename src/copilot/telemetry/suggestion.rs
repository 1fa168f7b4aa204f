//! What became of suggestions: ghost text, panel completions and next edits.

use super::event::Event;
use crate::copilot::observation::{Fate, Observation, SuggestionKind, SuggestionReport};

/// Events `ghostText.*` of every client, and `solution.*` of the completions panel; none where one lacks what it must have.
///
/// Microsoft's copy of an acceptance does not say whether it was of the whole, and so tells of a part.
///
/// Seen of the language server 1.539.0 and the same in VS Code (`ghostText/telemetry.ts`, `postInsertion.ts`); those of the
/// panel are documented by VS Code's source alone.
pub(super) fn completion(event: &Event<'_>) -> Option<Vec<Observation>> {
    let fate = completion_fate(event)?;
    let (lines, characters) = match fate {
        Fate::Shown | Fate::Accepted { .. } => (event.first_count(&["numLines"]), event.first_count(&["compCharLen"])),
        Fate::Rejected | Fate::StillInCode { .. } => (None, None),
    };
    let id = event.first_id(&["clientCompletionId"]).or_else(|| choice(event))?;
    let report = SuggestionReport { lines, characters, ..report(event, id, SuggestionKind::Completion, fate) };
    Some(vec![Observation::Suggestion(report)])
}

fn completion_fate(event: &Event<'_>) -> Option<Fate> {
    match event.name.rsplit('.').next()? {
        "shown" => Some(Fate::Shown),
        "accepted" => {
            let extent = event.first_name(&["compType", "comp_type"]);
            Some(Fate::Accepted { partially: extent.as_deref() != Some("full") })
        }
        "rejected" => Some(Fate::Rejected),
        "stillInCode" => {
            let (after_s, kept) = (event.first_count(&["timeout"])?, event.flag("stillInCodeHeuristic")?);
            Some(Fate::StillInCode { after_s, kept })
        }
        _ => None,
    }
}

/// What a suggestion without an id of its own is known by: its request and its place in the answer.
fn choice(event: &Event<'_>) -> Option<String> {
    let request = event.first_id(&["headerRequestId"])?;
    let index = event.first_count(&["choiceIndex"]).unwrap_or_default();
    Some(format!("{request}/{index}"))
}

/// `provideInlineEdit`, sent once when the life of a next-edit suggestion ends, and also for those that came to nothing. One
/// that is not accepted was not rejected either: something else took its place.
///
/// Seen accepted (language server 1.539.0); the rest is from VS Code's `nextEditProviderTelemetry.ts`. No measurement tells
/// its size.
pub(super) fn next_edit(event: &Event<'_>) -> Option<Vec<Observation>> {
    let id = event.first_id(&["opportunityId"])?;
    let verdict = match event.first_name(&["acceptance"])?.as_str() {
        "accepted" => Some(Fate::Accepted { partially: false }),
        "rejected" => Some(Fate::Rejected),
        _ => None,
    };
    let was_shown = verdict.is_some() || event.flag("isShown") == Some(true);
    let fates = was_shown.then_some(Fate::Shown).into_iter().chain(verdict);
    let told = fates.map(|fate| report(event, id.clone(), SuggestionKind::NextEdit, fate));
    Some(told.map(Observation::Suggestion).collect())
}

fn report(event: &Event<'_>, suggestion_id: String, kind: SuggestionKind, fate: Fate) -> SuggestionReport {
    SuggestionReport {
        suggestion_id,
        kind,
        request_id: event.first_id(&["headerRequestId"]),
        fate,
        lines: None,
        characters: None,
        language: event.first_language(&["languageId", "activeDocumentLanguageId"]),
        model: event.first_name(&["engineName", "modelName", "modelId"]),
        editor_version: editor_version(event),
        time: event.time(),
    }
}

/// `vscode/1.119.0`. The Microsoft copy tells name and version apart.
fn editor_version(event: &Event<'_>) -> Option<String> {
    let whole = event.first_name(&["editor_version", "common_vscodeversion"]);
    whole.or_else(|| {
        let name = event.first_name(&["common.editorname"])?;
        let version = event.first_name(&["common.editorversion"])?;
        Some(format!("{name}/{version}"))
    })
}
