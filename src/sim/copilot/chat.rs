//! Chat, agent turns and next-edit suggestions: `POST /chat/completions`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, Question};
use super::sse;
use crate::sim::corpus;

/// What the model does: says something, or calls a tool.
enum Reply {
    Says(String),
    Calls { tool: String, arguments: String },
}

pub(super) fn answer(question: &mut Question<'_>) -> Answer {
    let reply = reply(question);
    let id = format!("chatcmpl-{}", question.rng.hex(28));
    let model = dated(question.text("model"));
    let usage = usage(question, &reply);
    let mut answer = if question.streamed() {
        Answer::events(events(question, &id, &model, &reply, &usage))
    } else {
        Answer::json(200, &whole(question, &id, &model, &reply, &usage))
    };
    answer.headers.push(("x-quota-snapshot-premium_interactions", quota()));
    answer
}

fn quota() -> String {
    "ent=300&ov=0.0&ovPerm=true&rem=87.5&rst=2027-01-01T00%3A00%3A00Z".to_owned()
}

/// The name under which a model answers: with its date, as the real service gives it.
pub(super) fn dated(model: &str) -> String {
    match model {
        "" | "gpt-4.1" => "gpt-4.1-2025-04-14".to_owned(),
        "gpt-4o" => "gpt-4o-2024-11-20".to_owned(),
        "gpt-4o-mini" => "gpt-4o-mini-2024-07-18".to_owned(),
        other => other.to_owned(),
    }
}

fn reply(question: &mut Question<'_>) -> Reply {
    if let Some(tool) = wanted_tool(question) {
        let call = question.rng.hex(6);
        return Reply::Calls { arguments: arguments(&tool, &call), tool };
    }
    let asked = last_user_text(&question.body).to_owned();
    let choice = question.rng.bits();
    if let Some(prediction) = question.body.pointer("/prediction/content").and_then(Value::as_str) {
        return Reply::Says(format!("```\n{}\n```", prediction.trim_end()));
    }
    Reply::Says(corpus::conversation_for(&asked, choice).map_or_else(String::new, |found| found.answer.to_owned()))
}

/// The tool that the model calls: the one that the request forces, else in an agent's turn a random one, as long as the
/// request does not forbid it with `"tool_choice": "none"`.
fn wanted_tool(question: &mut Question<'_>) -> Option<String> {
    let names: Vec<String> = question.body.get("tools")?.as_array()?.iter().filter_map(tool_name).collect();
    if let Some(forced) = question.body.pointer("/tool_choice/function/name").and_then(Value::as_str) {
        return Some(forced.to_owned());
    }
    let forbidden = question.body.get("tool_choice").and_then(Value::as_str) == Some("none");
    let agent = question.request.header("x-initiator") == Some("agent")
        || question.request.header("openai-intent") == Some("conversation-agent");
    if agent && !forbidden { question.rng.pick(&names).cloned() } else { None }
}

fn tool_name(tool: &Value) -> Option<String> {
    tool.pointer("/function/name").and_then(Value::as_str).map(str::to_owned)
}

fn arguments(tool: &str, call: &str) -> String {
    match tool {
        "showSuggestions" => json!({"suggestedTitle": "A short talk", "followUp": "Can you show a test for it?"}),
        "read_file" => json!({"filePath": format!("/work/project/src/part_{call}.txt"), "offset": 1, "limit": 200}),
        "grep_search" => json!({"query": "TODO", "includePattern": "src/**"}),
        _ => json!({"path": format!("/work/project/{call}")}),
    }
    .to_string()
}

fn events(question: &Question<'_>, id: &str, model: &str, reply: &Reply, usage: &Value) -> Vec<Bytes> {
    let created = chrono::Utc::now().timestamp();
    let chunk = |choices: Value| {
        json!({"id": id, "created": created, "model": model, "object": "chat.completion.chunk",
               "system_fingerprint": "fp_simulated", "choices": choices})
    };
    let deltas = match reply {
        Reply::Says(text) => says(&sse::split(text, question.control.events)),
        Reply::Calls { tool, arguments } => calls(id, tool, &sse::split(arguments, question.control.events)),
    };
    let mut events: Vec<Bytes> = deltas
        .iter()
        .map(|delta| sse::data(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]))))
        .collect();
    events.push(sse::data(&chunk(json!([{"index": 0, "delta": {}, "finish_reason": finish(reply)}]))));
    let mut last = chunk(json!([]));
    if let Some(last) = last.as_object_mut() {
        last.insert("usage".to_owned(), usage.clone());
        last.insert("copilot_usage".to_owned(), json!({"total_nano_aiu": nano_aiu(usage)}));
    }
    events.push(sse::data(&last));
    events.push(sse::done());
    events
}

fn says(pieces: &[String]) -> Vec<Value> {
    let first = pieces.first().map(|piece| json!({"role": "assistant", "content": piece}));
    first.into_iter().chain(pieces.iter().skip(1).map(|piece| json!({"content": piece}))).collect()
}

fn calls(id: &str, tool: &str, pieces: &[String]) -> Vec<Value> {
    let head = |piece: &String| {
        let call = json!({"index": 0, "id": format!("call_{id}"), "type": "function",
                          "function": {"name": tool, "arguments": piece}});
        json!({"role": "assistant", "content": null, "tool_calls": [call]})
    };
    let rest = |piece: &String| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]});
    pieces.first().map(head).into_iter().chain(pieces.iter().skip(1).map(rest)).collect()
}

fn finish(reply: &Reply) -> &'static str {
    match reply {
        Reply::Says(_) => "stop",
        Reply::Calls { .. } => "tool_calls",
    }
}

fn whole(question: &Question<'_>, id: &str, model: &str, reply: &Reply, usage: &Value) -> Value {
    let message = match reply {
        Reply::Says(text) => {
            json!({"role": "assistant", "content": sse::split(text, question.control.events).concat()})
        }
        Reply::Calls { tool, arguments } => {
            let call = json!({"id": format!("call_{id}"), "type": "function",
                              "function": {"name": tool, "arguments": arguments}});
            json!({"role": "assistant", "content": null, "tool_calls": [call]})
        }
    };
    json!({"id": id, "created": chrono::Utc::now().timestamp(), "model": model, "object": "chat.completion",
           "system_fingerprint": "fp_simulated",
           "choices": [{"index": 0, "finish_reason": finish(reply), "message": message}],
           "usage": usage, "copilot_usage": {"total_nano_aiu": nano_aiu(usage)}})
}

fn usage(question: &Question<'_>, reply: &Reply) -> Value {
    let prompt = sse::tokens(&question.body.get("messages").map(Value::to_string).unwrap_or_default());
    let completion = sse::tokens(match reply {
        Reply::Says(text) => text,
        Reply::Calls { arguments, .. } => arguments,
    });
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
           "prompt_tokens_details": {"cached_tokens": prompt / 2 / 128 * 128},
           "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}})
}

/// A made-up price; 1 AI credit is 1e9 nano-AIU.
fn nano_aiu(usage: &Value) -> u64 {
    usage.get("total_tokens").and_then(Value::as_u64).unwrap_or(0) * 25_000
}

/// What the person said last, in a chat's messages.
fn last_user_text(body: &Value) -> &str {
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let last = messages.iter().rev().find(|message| message.get("role").and_then(Value::as_str) == Some("user"));
    last.and_then(|message| message.get("content")).map(content_text).unwrap_or_default()
}

/// The text of a message's content, which is a string or a list of parts.
pub(super) fn content_text(content: &Value) -> &str {
    let part = || content.as_array()?.iter().rev().find_map(|part| part.get("text")?.as_str());
    content.as_str().or_else(part).unwrap_or_default()
}
