//! The closed metrics endpoint's answer.

use serde_json::{Value, json};

use super::*;

fn metrics(users: &[UserDay], gaps: Gaps) -> Value {
    value(&closed_metrics(day(), &OrganizationDay::of(users), gaps))
}

#[test]
fn a_day_in_the_closed_shape() {
    let metrics = metrics(&[ada(), without_telemetry()], Gaps::Zero);
    insta::assert_snapshot!(shown(&metrics["copilot_ide_code_completions"]));
    insta::assert_snapshot!(shown(&metrics["copilot_ide_chat"]));
    let rest = metrics.as_object().unwrap().iter().filter(|(name, _)| !name.starts_with("copilot_ide"));
    insta::assert_snapshot!(shown(&rest.map(|(name, value)| (name.clone(), value.clone())).collect()));
}

#[test]
fn who_accepted_or_prompted_is_engaged_once() {
    let mut grace = without_telemetry();
    grace.cells.retain(|cell, _| cell.feature == "code_completion");
    let mut linus = ada();
    linus.cells.retain(|cell, _| cell.feature == "code_completion");
    let mut alan = ada();
    alan.cells.retain(|cell, _| cell.feature == "chat_inline");
    let metrics = metrics(&[ada(), grace, linus, alan], Gaps::Zero);
    let engaged = |place: &Value| place["total_engaged_users"].as_u64().unwrap();
    assert_eq!((&metrics["total_active_users"], engaged(&metrics)), (&json!(4), 3));
    assert_eq!(engaged(&metrics["copilot_ide_code_completions"]), 2);
    assert_eq!(engaged(&metrics["copilot_ide_chat"]), 2);
    assert_eq!(engaged(&metrics["copilot_ide_chat"]["editors"][0]), 2);
}

#[test]
fn what_nobody_told_is_left_out() {
    let metrics = metrics(&[without_telemetry()], Gaps::Omit);
    let completions = &metrics["copilot_ide_code_completions"];
    let line = &completions["editors"][0]["models"][0]["languages"][0];
    assert_eq!(*line, json!({"name": "python", "total_code_suggestions": 10, "total_code_lines_suggested": 25}));
    assert_eq!(completions.get("total_engaged_users"), None);
    let chat = &metrics["copilot_ide_chat"]["editors"][0]["models"][0];
    assert_eq!((&chat["total_chats"], chat.get("total_chat_copy_events")), (&json!(1), None));
    assert_eq!((metrics.get("copilot_dotcom_chat"), metrics.get("copilot_dotcom_pull_requests")), (None, None));
}
