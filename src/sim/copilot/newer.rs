//! The interfaces that newer models are offered by: `POST /responses` and `POST /v1/messages`.

use serde_json::{Value, json};

use super::answer::{Answer, Question};
use super::chat::content_text;
use super::sse;
use crate::sim::corpus;

/// OpenAI's Responses interface.
pub(super) fn responses(question: &mut Question<'_>) -> Answer {
    let text = said(question, "input");
    let id = format!("resp_{}", question.rng.hex(24));
    let model = question.text("model").to_owned();
    let (input, output) = (sse::tokens(&question.body.to_string()), sse::tokens(text));
    let usage = json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
                       "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output});
    let message = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]});
    let whole = json!({"id": id, "object": "response", "model": model, "status": "completed",
                       "output": [message], "usage": usage});
    if !question.streamed() {
        return Answer::json(200, &whole);
    }
    let started = json!({"id": id, "object": "response", "model": model, "status": "in_progress"});
    let mut events = vec![sse::named(&json!({"type": "response.created", "response": started}))];
    events.extend(sse::split(text, question.control.events).iter().map(|piece| {
        sse::named(
            &json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece}),
        )
    }));
    events.push(sse::named(&json!({"type": "response.completed", "response": whole,
                                   "copilot_usage": {"total_nano_aiu": (input + output) * 25_000}})));
    Answer::events(events)
}

/// Anthropic's Messages interface.
pub(super) fn messages(question: &mut Question<'_>) -> Answer {
    let text = said(question, "messages");
    let id = format!("msg_{}", question.rng.hex(24));
    let model = question.text("model").to_owned();
    let (input, output) = (sse::tokens(&question.body.to_string()), sse::tokens(text));
    if !question.streamed() {
        return Answer::json(
            200,
            &json!({"id": id, "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn",
                    "content": [{"type": "text", "text": text}],
                    "usage": {"input_tokens": input, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
                              "output_tokens": output}}),
        );
    }
    let start = json!({"type": "message_start", "message": {"id": id, "type": "message", "role": "assistant",
        "model": model, "content": [], "usage": {"input_tokens": input, "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0, "output_tokens": 1}}});
    let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let mut events = vec![sse::named(&start), sse::named(&block)];
    events.extend(sse::split(text, question.control.events).iter().map(|piece| {
        let delta = json!({"type": "text_delta", "text": piece});
        sse::named(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }));
    events.push(sse::named(&json!({"type": "content_block_stop", "index": 0})));
    events.push(sse::named(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": output}, "copilot_usage": {"total_nano_aiu": (input + output) * 25_000}})));
    events.push(sse::named(&json!({"type": "message_stop"})));
    Answer::events(events)
}

fn said(question: &mut Question<'_>, list: &str) -> &'static str {
    let last = question.body.get(list).and_then(Value::as_array).and_then(|items| items.last());
    let asked = last.and_then(|item| item.get("content")).map(content_text).unwrap_or_default();
    let asked = asked.to_owned();
    let choice = question.rng.bits();
    corpus::conversation_for(&asked, choice).map_or("", |found| found.answer)
}
