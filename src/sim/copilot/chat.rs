//! Chat, agent turns and next-edit suggestions: `POST /chat/completions`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, Question};
use super::reply::{self, Amounts, Call, Reply};
use super::sse;

pub(super) fn answer(question: &mut Question<'_>) -> Answer {
    let reply = Reply::to(question, "messages");
    let id = format!("chatcmpl-{}", question.rng.hex(28));
    let model = dated(question.text("model"));
    let messages = question.body.get("messages").map(Value::to_string).unwrap_or_default();
    let amounts = Amounts::of(&messages, &reply, false);
    let mut answer = if question.streamed() {
        Answer::events(events(question, &id, &model, &reply, amounts))
    } else {
        Answer::json(200, &whole(question, &id, &model, &reply, amounts))
    };
    answer.headers.push(reply::quota());
    answer
}

/// An agent of an extension: `POST /agents/{slug}`. A chat that begins with what the agent looked at.
pub(super) fn agent(question: &mut Question<'_>) -> Answer {
    let mut answer = answer(question);
    if answer.streamed {
        let reference = json!({"type": "github.repository", "id": "example/project", "data": {"name": "project"}});
        answer.pieces.insert(0, sse::data(&json!({"choices": [], "copilot_references": [reference]})));
    }
    answer
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

fn events(question: &Question<'_>, id: &str, model: &str, reply: &Reply, amounts: Amounts) -> Vec<Bytes> {
    let created = chrono::Utc::now().timestamp();
    let chunk = |choices: Value| {
        json!({"id": id, "created": created, "model": model, "object": "chat.completion.chunk",
               "system_fingerprint": "fp_simulated", "choices": choices})
    };
    let pieces = reply.pieces(question);
    let deltas = match reply {
        Reply::Says(_) => says(&pieces),
        Reply::Calls(call) => calls(id, call, &pieces),
    };
    let mut events: Vec<Bytes> = deltas
        .iter()
        .map(|delta| sse::data(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]))))
        .collect();
    events.push(sse::data(&chunk(json!([{"index": 0, "delta": {}, "finish_reason": finish(question, reply)}]))));
    let mut last = chunk(json!([]));
    if let Some(last) = last.as_object_mut() {
        last.insert("usage".to_owned(), usage(amounts));
        last.insert("copilot_usage".to_owned(), amounts.price());
    }
    events.push(sse::data(&last));
    events.push(sse::done());
    events
}

fn says(pieces: &[String]) -> Vec<Value> {
    let first = pieces.first().map(|piece| json!({"role": "assistant", "content": piece}));
    first.into_iter().chain(pieces.iter().skip(1).map(|piece| json!({"content": piece}))).collect()
}

fn calls(id: &str, call: &Call, pieces: &[String]) -> Vec<Value> {
    let head = |piece: &String| {
        let call = json!({"index": 0, "id": format!("call_{id}"), "type": "function",
                          "function": {"name": call.tool, "arguments": piece}});
        json!({"role": "assistant", "content": null, "tool_calls": [call]})
    };
    let rest = |piece: &String| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]});
    pieces.first().map(head).into_iter().chain(pieces.iter().skip(1).map(rest)).collect()
}

/// A tool that was forced ends with `stop`: the language server takes `tool_calls` there for a failure and asks again.
fn finish(question: &Question<'_>, reply: &Reply) -> &'static str {
    match reply {
        Reply::Calls(_) if !reply::is_forced(&question.body) => "tool_calls",
        _ => "stop",
    }
}

fn whole(question: &Question<'_>, id: &str, model: &str, reply: &Reply, amounts: Amounts) -> Value {
    let text = reply.pieces(question).concat();
    let message = match reply {
        Reply::Says(_) => json!({"role": "assistant", "content": text}),
        Reply::Calls(call) => {
            let call = json!({"id": format!("call_{id}"), "type": "function",
                              "function": {"name": call.tool, "arguments": text}});
            json!({"role": "assistant", "content": null, "tool_calls": [call]})
        }
    };
    json!({"id": id, "created": chrono::Utc::now().timestamp(), "model": model, "object": "chat.completion",
           "system_fingerprint": "fp_simulated",
           "choices": [{"index": 0, "finish_reason": finish(question, reply), "message": message}],
           "usage": usage(amounts), "copilot_usage": amounts.price()})
}

fn usage(amounts: Amounts) -> Value {
    json!({"prompt_tokens": amounts.input, "completion_tokens": amounts.output,
           "total_tokens": amounts.input + amounts.output,
           "prompt_tokens_details": {"cached_tokens": amounts.cached},
           "completion_tokens_details": {"reasoning_tokens": amounts.reasoning, "accepted_prediction_tokens": 0,
                                         "rejected_prediction_tokens": 0}})
}
