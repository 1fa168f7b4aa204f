//! Ghost text: `POST /v1/engines/{engine}/completions`.

use serde_json::{Value, json};

use super::answer::{Answer, Question};
use super::sse;
use crate::sim::corpus;

/// A prompt that ends like this gets an empty completion: there is nothing to add.
pub const NOTHING_TO_ADD: &str = "\n\n\n";

pub(super) fn answer(question: &mut Question<'_>, engine: &str) -> Answer {
    let id = format!("cmpl-{}", question.rng.hex(28));
    let text = text(question);
    if !question.streamed() {
        return Answer::json(200, &whole(question, &id, engine, text));
    }
    let created = chrono::Utc::now().timestamp();
    let choices = question.body.get("n").and_then(Value::as_u64).unwrap_or(1).clamp(1, 10);
    let mut events = Vec::new();
    for index in 0..choices {
        let event = |text: &str, finish: Option<&str>| {
            json!({"id": id, "created": created, "model": engine, "object": "text_completion",
                   "choices": [{"index": index, "text": text, "finish_reason": finish, "logprobs": null}]})
        };
        events.extend(sse::split(text, question.control.events).iter().map(|piece| sse::data(&event(piece, None))));
        let mut last = event("", Some("stop"));
        if let Some(last) = last.as_object_mut().filter(|_| index + 1 == choices) {
            last.insert("usage".to_owned(), usage(question, text));
        }
        events.push(sse::data(&last));
    }
    events.push(sse::done());
    Answer::events(events)
}

fn text(question: &mut Question<'_>) -> &'static str {
    if question.text("prompt").ends_with(NOTHING_TO_ADD) {
        return "";
    }
    let choice = question.rng.bits();
    let language = question.body.pointer("/extra/language").and_then(Value::as_str).unwrap_or_default();
    corpus::snippet_for(language, question.text("prompt"), choice).map_or("", |snippet| snippet.completion)
}

fn whole(question: &Question<'_>, id: &str, engine: &str, text: &str) -> Value {
    json!({"id": id, "created": chrono::Utc::now().timestamp(), "model": engine, "object": "text_completion",
           "choices": [{"index": 0, "text": text, "finish_reason": "stop", "logprobs": null}],
           "usage": usage(question, text)})
}

fn usage(question: &Question<'_>, text: &str) -> Value {
    let prompt = sse::tokens(question.text("prompt")) + sse::tokens(question.text("suffix"));
    let completion = sse::tokens(text);
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}
