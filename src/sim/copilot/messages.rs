//! Anthropic's Messages interface: `POST /v1/messages`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, Question};
use super::reply::{self, Amounts, Reply};
use super::sse;

pub(super) fn answer(question: &mut Question<'_>) -> Answer {
    let reply = Reply::to(question, "messages");
    let amounts = Amounts::of(&question.body.to_string(), &reply, false);
    let (message, call) = (format!("msg_{}", question.rng.hex(24)), format!("toolu_{}", question.rng.hex(24)));
    let head = json!({"id": message, "type": "message", "role": "assistant", "model": question.text("model")});
    let mut answer = if question.streamed() {
        Answer::events(events(question, head, &call, &reply, amounts))
    } else {
        Answer::json(200, &whole(question, head, &call, &reply, amounts))
    };
    answer.headers.push(reply::quota());
    answer
}

/// Input here leaves out what the cache gave and what it took.
fn usage(amounts: Amounts, output: u64) -> Value {
    json!({"input_tokens": amounts.input - amounts.cached - amounts.cache_written,
           "cache_read_input_tokens": amounts.cached, "cache_creation_input_tokens": amounts.cache_written,
           "output_tokens": output})
}

fn stop_reason(reply: &Reply) -> &'static str {
    match reply {
        Reply::Says(_) => "end_turn",
        Reply::Calls(_) => "tool_use",
    }
}

fn with(mut object: Value, fields: Value) -> Value {
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    object
}

fn whole(question: &Question<'_>, head: Value, call: &str, reply: &Reply, amounts: Amounts) -> Value {
    let block = match reply {
        Reply::Says(_) => json!({"type": "text", "text": reply.pieces(question).concat()}),
        Reply::Calls(wanted) => {
            let input: Value = serde_json::from_str(&wanted.input).unwrap_or_default();
            json!({"type": "tool_use", "id": call, "name": wanted.tool, "input": input})
        }
    };
    with(
        head,
        json!({"stop_reason": stop_reason(reply), "content": [block], "usage": usage(amounts, amounts.output),
                       "copilot_usage": amounts.price()}),
    )
}

fn events(question: &Question<'_>, head: Value, call: &str, reply: &Reply, amounts: Amounts) -> Vec<Bytes> {
    let open = json!({"content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(amounts, 1)});
    let (block, delta) = match reply {
        Reply::Says(_) => (json!({"type": "text", "text": ""}), ("text_delta", "text")),
        Reply::Calls(wanted) => {
            let block = json!({"type": "tool_use", "id": call, "name": wanted.tool, "input": {}});
            (block, ("input_json_delta", "partial_json"))
        }
    };
    let mut events = vec![
        json!({"type": "message_start", "message": with(head, open)}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
    ];
    let (kind, field) = delta;
    let piece =
        |piece: &String| json!({"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: piece}});
    events.extend(reply.pieces(question).iter().map(piece));
    events.push(json!({"type": "content_block_stop", "index": 0}));
    let delta = json!({"stop_reason": stop_reason(reply), "stop_sequence": null});
    let usage = json!({"output_tokens": amounts.output});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": usage, "copilot_usage": amounts.price()}));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(sse::named).collect()
}
