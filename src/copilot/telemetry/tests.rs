//! Bodies in the shapes that clients send, with invented ids and values.

mod properties;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::*;
use crate::copilot::observation::{ChatAction, Fate, SessionTotals, SuggestionKind, SuggestionReport};

const TIME: &str = "2026-11-20T10:00:01.250Z";
const REQUEST: &str = "11111111-aaaa-4aaa-8aaa-000000000001";

/// An envelope as the clients send it.
fn envelope(key: &str, name: &str, properties: Value, measurements: Value) -> Value {
    let mut envelope = json!({
        "time": TIME,
        "iKey": key,
        "name": "Microsoft.ApplicationInsights.x.Event",
        "tags": {"ai.user.id": "t-01", "ai.internal.sdkVersion": "javascript:3.3.11"},
        "data": {"baseType": "EventData", "baseData": {"ver": 2, "name": name}},
    });
    envelope["data"]["baseData"]["properties"] = properties;
    envelope["data"]["baseData"]["measurements"] = measurements;
    envelope
}

fn standard(name: &str, properties: Value, measurements: Value) -> Value {
    envelope(STANDARD, name, properties, measurements)
}

/// Ghost text of one suggestion, as the language server tells of it.
fn ghost_text(event: &str, more: Value, mut measurements: Value) -> Value {
    let mut properties = json!({
        "headerRequestId": REQUEST, "clientCompletionId": "c-1", "choiceIndex": "0", "languageId": "Python",
        "engineName": "demo-engine", "editor_version": "vscode/1.119.0", "isSpeculative": "false", "temperature": "0",
    });
    let Value::Object(more) = more else { panic!("{more}") };
    properties.as_object_mut().unwrap().extend(more);
    measurements["confidence"] = Value::Null;
    standard(&format!("agent/ghostText.{event}"), properties, measurements)
}

fn read(envelopes: &[Value]) -> Vec<Observation> {
    let reported = telemetry(&serde_json::to_vec(envelopes).unwrap());
    assert_eq!(reported.unrecognised, []);
    reported.observations
}

fn lines(envelopes: &[Value]) -> Vec<u8> {
    envelopes.iter().map(|envelope| format!("{envelope}\n")).collect::<String>().into_bytes()
}

fn places(body: &[u8]) -> Vec<String> {
    telemetry(body).unrecognised.into_iter().map(|unrecognised| unrecognised.place).collect()
}

fn time() -> Option<DateTime<Utc>> {
    Some(TIME.parse().unwrap())
}

fn suggestion(fate: Fate, lines: Option<u64>, characters: Option<u64>) -> Observation {
    Observation::Suggestion(SuggestionReport {
        suggestion_id: "c-1".into(),
        kind: SuggestionKind::Completion,
        request_id: Some(REQUEST.into()),
        fate,
        lines,
        characters,
        language: Some("python".into()),
        model: Some("demo-engine".into()),
        editor_version: Some("vscode/1.119.0".into()),
        time: time(),
    })
}

fn fates(observations: &[Observation]) -> Vec<Fate> {
    let fate = |observation: &Observation| match observation {
        Observation::Suggestion(report) => Some(report.fate),
        _ => None,
    };
    observations.iter().filter_map(fate).collect()
}

fn action(observation: &Observation) -> &ChatAction {
    let Observation::ChatAction(action) = observation else { panic!("{observation:?}") };
    action
}

fn session(observations: &[Observation]) -> &SessionTotals {
    let [Observation::Session(session)] = observations else { panic!("{observations:?}") };
    session
}

#[test]
fn ghost_text_lives_from_shown_to_still_in_code() {
    let life = [
        ghost_text("issued", json!({}), json!({})),
        ghost_text("shown", json!({}), json!({"compCharLen": 12, "numLines": 2})),
        ghost_text("accepted", json!({"compType": "partial"}), json!({"compCharLen": 6, "numLines": 1})),
        ghost_text("rejected", json!({"compType": "partial"}), json!({"compCharLen": 6, "numLines": 1})),
        ghost_text("accepted", json!({"compType": "full"}), json!({"compCharLen": 12, "numLines": 2})),
        ghost_text("stillInCode", json!({}), json!({"timeout": 15, "stillInCodeHeuristic": 1, "compCharLen": 12})),
        ghost_text("stillInCode", json!({}), json!({"timeout": 600, "stillInCodeHeuristic": 0})),
    ];
    let expected = [
        suggestion(Fate::Shown, Some(2), Some(12)),
        suggestion(Fate::Accepted { partially: true }, Some(1), Some(6)),
        suggestion(Fate::Rejected, None, None),
        suggestion(Fate::Accepted { partially: false }, Some(2), Some(12)),
        suggestion(Fate::StillInCode { after_s: 15, kept: true }, None, None),
        suggestion(Fate::StillInCode { after_s: 600, kept: false }, None, None),
    ];
    assert_eq!(read(&life), expected);
}

#[test]
fn the_three_ways_to_send_tell_the_same() {
    let envelopes = [
        ghost_text("shown", json!({}), json!({"compCharLen": 12, "numLines": 1})),
        ghost_text("accepted", json!({"compType": "full"}), json!({"compCharLen": 12, "numLines": 1})),
    ];
    let expected = read(&envelopes);
    assert_eq!(telemetry(&lines(&envelopes)).observations, expected);
    let windows = String::from_utf8(lines(&envelopes)).unwrap().replace('\n', "\r\n\r\n");
    assert_eq!(
        telemetry(windows.as_bytes()),
        Reported { observations: expected.clone(), from_editor: true, unrecognised: vec![] }
    );
    let alone = serde_json::to_vec_pretty(&envelopes[1]).unwrap();
    assert_eq!(
        telemetry(&alone),
        Reported { observations: expected[1..].to_vec(), from_editor: true, unrecognised: vec![] }
    );
    assert_eq!((telemetry(b""), telemetry(b" \n"), telemetry(b"[]")), Default::default());
}

#[test]
fn the_copy_for_microsoft_tells_the_same() {
    let properties = json!({
        "headerRequestId": REQUEST, "clientCompletionId": "c-1", "choiceIndex": "0", "languageId": "python",
        "engineName": "demo-engine", "common.editorname": "vscode", "common.editorversion": "1.119.0",
        "common.eventid": "e-9",
    });
    let copy =
        envelope(MICROSOFT, "copilot/agent/ghostText.shown", properties, json!({"compCharLen": 12, "numLines": 2}));
    let mut accepted = copy.clone();
    accepted["data"]["baseData"]["name"] = json!("copilot/agent/ghostText.accepted");
    let expected = [Fate::Shown, Fate::Accepted { partially: true }];
    assert_eq!(read(&[copy, accepted]), expected.map(|fate| suggestion(fate, Some(2), Some(12))));
}

#[test]
fn every_client_puts_something_else_in_front_of_a_name() {
    for name in ["copilot/ghostText.rejected", "copilot-chat/ghostText.rejected", "ghostText.rejected"] {
        let told = read(&[standard(name, json!({"clientCompletionId": "c-1"}), json!({}))]);
        assert_eq!(fates(&told), [Fate::Rejected], "{name}");
    }
}

#[test]
fn a_suggestion_without_an_id_is_known_by_its_place_in_the_answer() {
    let properties = json!({"headerRequestId": REQUEST, "choiceIndex": "2", "compType": "full"});
    let told = read(&[standard("agent/solution.accepted", properties, json!({"compCharLen": 40}))]);
    let [Observation::Suggestion(report)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(report.suggestion_id, format!("{REQUEST}/2"));
    assert_eq!((report.characters, report.lines), (Some(40), None));
}

fn next_edit(acceptance: &str, is_shown: u8) -> Value {
    standard(
        "agent/copilot-nes/provideInlineEdit",
        json!({
            "opportunityId": "icr-5", "headerRequestId": REQUEST, "acceptance": acceptance,
            "modelName": "copilot-nes-demo", "activeDocumentLanguageId": "rust", "disposalReason": "",
        }),
        json!({"isShown": is_shown, "nEditsSuggested": 1}),
    )
}

#[test]
fn a_next_edit_tells_of_its_whole_life_at_once() {
    let told = |acceptance, is_shown| fates(&read(&[next_edit(acceptance, is_shown)]));
    assert_eq!(told("accepted", 1), [Fate::Shown, Fate::Accepted { partially: false }]);
    assert_eq!(told("rejected", 1), [Fate::Shown, Fate::Rejected]);
    assert_eq!(told("notAccepted", 1), [Fate::Shown]);
    assert_eq!(told("notAccepted", 0), []);

    let told = read(&[next_edit("notAccepted", 1)]);
    let expected = SuggestionReport {
        suggestion_id: "icr-5".into(),
        kind: SuggestionKind::NextEdit,
        request_id: Some(REQUEST.into()),
        fate: Fate::Shown,
        lines: None,
        characters: None,
        language: Some("rust".into()),
        model: Some("copilot-nes-demo".into()),
        editor_version: None,
        time: time(),
    };
    assert_eq!(told, [Observation::Suggestion(expected)]);
}

#[test]
fn code_blocks_of_chat_are_copied_inserted_and_applied() {
    let server = json!({"messageId": "i-7", "conversationId": "v-1", "codeBlockIndex": "0", "modelId": "demo-chat"});
    let vscode = json!({"headerRequestId": "r-7", "messageId": "", "codeBlockIndex": "1", "languageId": "go",
        "modelId": "demo-chat", "comp_type": "full"});
    let told = read(&[
        standard("agent/conversation.acceptedCopy", server, json!({"totalCharacters": 90, "copiedCharacters": 40})),
        standard("copilot-chat/conversation.acceptedInsert", vscode.clone(), json!({"acceptedLength": 30})),
        standard("copilot-chat/conversation.appliedCodeblock", vscode, json!({"totalLines": 7, "isAgent": 0})),
    ]);
    let [copied, inserted, applied] = told.as_slice() else { panic!("{told:?}") };
    let expected = ChatAction {
        key: action(copied).key.clone(),
        kind: ChatActionKind::Copied,
        interaction_id: Some("i-7".into()),
        request_id: None,
        language: None,
        model: Some("demo-chat".into()),
        lines: None,
        characters: Some(40),
        time: time(),
    };
    assert_eq!(*action(copied), expected);
    let inserted = action(inserted);
    assert_eq!((inserted.kind, inserted.characters), (ChatActionKind::Inserted, Some(30)));
    assert_eq!((inserted.request_id.as_deref(), inserted.interaction_id.as_deref()), (Some("r-7"), None));
    assert_eq!(inserted.language.as_deref(), Some("go"));
    assert_eq!((action(applied).kind, action(applied).lines), (ChatActionKind::Applied, Some(7)));
}

#[test]
fn edits_of_agents_are_kept_undone_or_saved() {
    let feedback = |outcome: &str| {
        let properties = json!({"requestId": "r-8", "outcome": outcome, "languageId": "TypeScript"});
        read(&[standard("copilot-chat/panel.edit.feedback", properties, json!({"isNotebook": 0}))])
    };
    let kept = feedback("accepted");
    assert_eq!(
        (action(&kept[0]).kind, action(&kept[0]).request_id.as_deref()),
        (ChatActionKind::EditKept, Some("r-8"))
    );
    assert_eq!(action(&feedback("rejected")[0]).kind, ChatActionKind::EditUndone);
    assert_eq!(feedback("saved"), []);
}

#[test]
fn an_inline_chat_is_applied_where_it_is_accepted() {
    let done = |accepted: u8, lines: i64| {
        let measurements = json!({"accepted": accepted, "editLineCount": lines});
        read(&[standard("copilot-chat/inline.done", json!({"requestId": "t-1", "languageId": "c"}), measurements)])
    };
    let accepted = done(1, 4);
    assert_eq!((action(&accepted[0]).kind, action(&accepted[0]).lines), (ChatActionKind::Applied, Some(4)));
    assert_eq!(action(&done(1, -1)[0]).lines, None);
    assert_eq!(done(0, 4), []);
}

#[test]
fn copies_of_an_action_have_one_key_and_others_another() {
    let keyed = |key: &str, name: &str, time: &str, properties: Value| {
        let mut copy = envelope(key, name, properties, json!({}));
        copy["time"] = json!(time);
        action(&read(&[copy])[0]).key.clone()
    };
    let own = || json!({"messageId": "i-7", "codeBlockIndex": "0", "unique_id": "u-1", "client_sessionid": "s-1"});
    let first = keyed(STANDARD, "agent/conversation.acceptedCopy", TIME, own());
    assert_eq!(first.len(), 32);
    let copied = json!({"common.eventid": "u-2", "common.sessionid": "s-1"});
    assert_eq!(keyed(MICROSOFT, "copilot/agent/conversation.acceptedCopy", TIME, copied), first);
    let other = json!({"messageId": "i-7", "client_sessionid": "s-2"});
    assert_ne!(keyed(STANDARD, "agent/conversation.acceptedCopy", TIME, other), first);
    assert_ne!(keyed(STANDARD, "agent/conversation.acceptedInsert", TIME, own()), first);
    assert_ne!(keyed(STANDARD, "agent/conversation.acceptedCopy", "2026-11-20T10:00:01.251Z", own()), first);
}

#[test]
fn files_kept_with_one_click_are_told_apart_and_their_copies_are_not() {
    let kept = |key| envelope(key, "panel.edit.feedback", json!({"requestId": "r", "outcome": "accepted"}), json!({}));
    let keys =
        |envelopes: &[Value]| -> Vec<_> { read(envelopes).iter().map(|told| action(told).key.clone()).collect() };
    let found = keys(&[kept(STANDARD), kept(MICROSOFT), kept(STANDARD), kept(MICROSOFT)]);
    assert_eq!((&found[0], &found[2]), (&found[1], &found[3]));
    assert_ne!(found[0], found[2]);
    assert_eq!(keys(&[kept(STANDARD), kept(STANDARD)]), [found[0].clone(), found[2].clone()], "sent again");
}

fn shutdown(properties: Value) -> Value {
    let mut payload = json!({
        "kind": "session_shutdown",
        "metrics": {"lines_added": 12, "lines_removed": 3, "files_modified_count": 2, "total_premium_requests": 1.5,
            "total_nano_aiu": 3_100_000},
    });
    payload["properties"] = properties;
    standard("copilot-cli/cli.telemetry", json!({"payload": payload.to_string()}), Value::Null)
}

#[test]
fn the_end_of_a_session_tells_what_it_came_to() {
    let mut expected = SessionTotals {
        session_id: "s-1".into(),
        lines_added: Some(12),
        lines_removed: Some(3),
        files_modified: Some(2),
        premium_requests: Some(1.5),
        nano_aiu: Some(3_100_000),
        time: time(),
    };
    assert_eq!(*session(&read(&[shutdown(json!({"shutdown_type": "routine", "session_id": "s-1"}))])), expected);
    let told = read(&[shutdown(json!({"shutdown_type": "routine"}))]);
    assert_eq!(session(&told).session_id.len(), 32, "the event's key");
    assert_eq!(read(&[shutdown(json!({}))]), told, "the same each time");
    let mut tagged = shutdown(json!({}));
    tagged["tags"]["ai.session.id"] = json!("s-2");
    expected.session_id = "s-2".into();
    assert_eq!(*session(&read(&[tagged])), expected);
}

#[test]
fn what_only_the_command_line_told_says_nothing_of_editors() {
    let session = shutdown(json!({}));
    let body = |events: &[&Value]| serde_json::to_vec(events).unwrap();
    assert!(!telemetry(&body(&[&session])).from_editor);
    assert!(telemetry(&body(&[&session, &ghost_text("shown", json!({}), json!({}))])).from_editor);
}

#[test]
fn the_other_kinds_of_the_command_line_pass() {
    let payload = json!({"kind": "assistant_usage", "metrics": {"input_tokens": 5}}).to_string();
    assert_eq!(read(&[standard("copilot-cli/cli.telemetry", json!({"payload": payload}), json!({}))]), []);
}

#[test]
fn numbers_come_as_text_too_and_null_is_nothing() {
    let measurements = json!({"compCharLen": "12", "numLines": null});
    let mut shown =
        ghost_text("shown", json!({"editor_version": null, "common_vscodeversion": "vscode/1.120.0"}), json!({}));
    shown["data"]["baseData"]["measurements"] = measurements;
    let told = read(&[shown]);
    let [Observation::Suggestion(report)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((report.characters, report.lines), (Some(12), None));
    assert_eq!(report.editor_version.as_deref(), Some("vscode/1.120.0"));
}

#[test]
fn what_is_no_name_is_left_out() {
    let code = "fn main() {\n    secret()\n}";
    let long = "x".repeat(129);
    let odd = [(code, code, code), (long.as_str(), long.as_str(), long.as_str()), ("a b", "é", "\u{1}")];
    for (request, model, language) in odd {
        let more =
            json!({"headerRequestId": request, "engineName": model, "languageId": language, "editor_version": code});
        let told = read(&[ghost_text("rejected", more, json!({}))]);
        let [Observation::Suggestion(report)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((&report.request_id, &report.model, &report.language), (&None, &None, &None));
        assert_eq!(report.editor_version, None);
    }
}

#[test]
fn enhanced_telemetry_is_not_looked_at() {
    let mut shown = ghost_text("shown", json!({"completionTextJson": "let secret = 1"}), json!({}));
    for key in [ENHANCED.to_owned(), ENHANCED.to_uppercase()] {
        shown["iKey"] = json!(key);
        assert_eq!(telemetry(&lines(&[shown.clone()])), Reported::default());
        shown["data"]["baseData"]["name"] = Value::Null;
        assert_eq!(telemetry(&lines(&[shown.clone()])), Reported::default());
    }
}

#[test]
fn unknown_events_pass_and_so_does_what_is_no_event() {
    let unknown = [
        standard("agent/request.sent", json!({"headerRequestId": REQUEST}), json!({})),
        standard("ghostText.performance", json!({}), json!({})),
        standard("x", json!([]), json!(1)),
        json!({"iKey": "somebody-elses", "data": {"baseType": "MetricData", "baseData": {"metrics": []}}}),
        envelope("somebody-elses", "their/event", json!({}), json!({})),
    ];
    assert_eq!(read(&unknown), []);
}

#[test]
fn a_broken_line_costs_itself_alone() {
    let shown = ghost_text("shown", json!({}), json!({}));
    let rejected = ghost_text("rejected", json!({}), json!({}));
    for broken in ["{\"name\":", "nonsense", "{\"a\":\"", "\u{0}", "]"] {
        let body = format!("{shown}\n{broken}\n{rejected}\n{broken}");
        let reported = telemetry(body.as_bytes());
        assert_eq!(fates(&reported.observations), [Fate::Shown, Fate::Rejected], "{broken}");
        assert_eq!(places(body.as_bytes()), ["telemetry_line"], "{broken}");
    }
}

#[test]
fn an_array_that_is_cut_off_keeps_what_came() {
    let events = ["shown", "rejected", "accepted"].map(|event| ghost_text(event, json!({}), json!({})));
    let body = serde_json::to_string(&events).unwrap();
    let reported = telemetry(&body.as_bytes()[..body.len() - 9]);
    assert_eq!(fates(&reported.observations), [Fate::Shown, Fate::Rejected]);
    assert_eq!(places(&body.as_bytes()[..body.len() - 9]), ["telemetry_body"]);
}

#[test]
fn what_is_lacking_is_reported_by_place() {
    let lacking = |name: &str, properties: Value| places(&lines(&[standard(name, properties, json!({}))]));
    let names = ["ghostText.shown", "ghostText.accepted", "ghostText.rejected", "ghostText.stillInCode"];
    for name in names.into_iter().chain(["provideInlineEdit", "panel.edit.feedback", "inline.done", "cli.telemetry"]) {
        assert_eq!(lacking(&format!("agent/{name}"), json!({"languageId": "go"})), [format!("telemetry_{name}")]);
    }
    assert_eq!(lacking("cli.telemetry", json!({"payload": "{\"kind\":\"session_shut…"})), ["telemetry_cli.telemetry"]);

    let mut timeless = standard("conversation.acceptedCopy", json!({"languageId": "go"}), json!({}));
    timeless["time"] = Value::Null;
    assert_eq!(places(&lines(&[timeless])), ["telemetry_conversation.acceptedCopy"]);

    let no_event = [json!({"iKey": STANDARD}), json!({"data": {"baseType": "EventData", "baseData": {}}}), json!(7)];
    for envelope in no_event {
        assert_eq!(places(&lines(&[envelope])), ["telemetry_envelope"]);
    }
    let mut other = ghost_text("shown", json!({}), json!({}));
    other["iKey"] = json!("00000000-0000-4000-8000-000000000000");
    assert_eq!(places(&lines(&[other])), ["telemetry_key"]);
}
