//! OpenAI's Responses interface: `POST /responses`, and the messages of its WebSocket.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, Question};
use super::reply::{self, Amounts, Call, Reply};
use super::sse;

pub(super) fn answer(question: &mut Question<'_>) -> Answer {
    let reply = Reply::to(question, "input");
    let amounts = Amounts::of(&question.body.to_string(), &reply, question.body.get("reasoning").is_some());
    let output = Output::new(question, &reply);
    let whole = json!({"id": format!("resp_{}", question.rng.hex(24)), "object": "response",
                       "created_at": chrono::Utc::now().timestamp(), "model": question.text("model"),
                       "status": "completed", "output": [output.done(&reply.pieces(question).concat())],
                       "usage": usage(amounts)});
    let mut answer = if question.streamed() {
        Answer::events(events(question, &reply, &output, &whole, amounts))
    } else {
        Answer::json(200, &whole)
    };
    answer.headers.push(reply::quota());
    answer
}

fn usage(amounts: Amounts) -> Value {
    json!({"input_tokens": amounts.input, "input_tokens_details": {"cached_tokens": amounts.cached},
           "output_tokens": amounts.output, "output_tokens_details": {"reasoning_tokens": amounts.reasoning},
           "total_tokens": amounts.input + amounts.output})
}

fn events(question: &Question<'_>, reply: &Reply, output: &Output, whole: &Value, amounts: Amounts) -> Vec<Bytes> {
    let mut started = whole.clone();
    if let Some(started) = started.as_object_mut() {
        started.insert("status".to_owned(), json!("in_progress"));
        started.insert("output".to_owned(), json!([]));
        started.remove("usage");
    }
    let pieces = reply.pieces(question);
    let mut events = vec![json!({"type": "response.created", "response": started})];
    events.extend(output.opening());
    events.extend(pieces.iter().map(|piece| output.event("delta", "delta", piece)));
    events.extend(output.closing(&pieces.concat()));
    let completed = json!({"type": "response.completed", "response": whole, "copilot_usage": amounts.price()});
    events.push(completed);
    for (number, event) in events.iter_mut().enumerate() {
        if let Some(event) = event.as_object_mut() {
            event.insert("sequence_number".to_owned(), json!(number));
        }
    }
    events.iter().map(sse::named).collect()
}

/// The one item that an answer consists of, and the events by which it is told.
struct Output {
    id: String,
    call: Option<(String, Call)>,
}

impl Output {
    fn new(question: &mut Question<'_>, reply: &Reply) -> Self {
        let id = question.rng.hex(24);
        let call = match reply {
            Reply::Says(_) => None,
            Reply::Calls(call) => Some((format!("call_{}", question.rng.hex(24)), call.clone())),
        };
        Self { id: format!("{}_{id}", if call.is_some() { "fc" } else { "msg" }), call }
    }

    /// The prefix of the events' types, and the field in which the whole text stands.
    fn names(&self) -> (&'static str, &'static str) {
        match &self.call {
            None => ("output_text", "text"),
            Some((_, call)) if call.custom => ("custom_tool_call_input", "input"),
            Some(_) => ("function_call_arguments", "arguments"),
        }
    }

    fn item(&self, text: &str, status: &str) -> Value {
        match &self.call {
            None => {
                let part = json!({"type": "output_text", "text": text, "annotations": []});
                let content = if status == "completed" { json!([part]) } else { json!([]) };
                json!({"type": "message", "id": self.id, "role": "assistant", "status": status, "content": content})
            }
            Some((id, call)) => {
                let kind = if call.custom { "custom_tool_call" } else { "function_call" };
                let (_, field) = self.names();
                json!({"type": kind, "id": self.id, "call_id": id, "name": call.tool, field: text, "status": status})
            }
        }
    }

    fn done(&self, text: &str) -> Value {
        self.item(text, "completed")
    }

    fn event(&self, step: &str, field: &str, text: &str) -> Value {
        let (prefix, _) = self.names();
        let mut event = json!({"type": format!("response.{prefix}.{step}"), "item_id": self.id, "output_index": 0,
                               field: text});
        if let Some(event) = event.as_object_mut().filter(|_| self.call.is_none()) {
            event.insert("content_index".to_owned(), json!(0));
        }
        event
    }

    fn part(&self, step: &str, text: &str) -> Option<Value> {
        let part = json!({"type": "output_text", "text": text, "annotations": []});
        let event = json!({"type": format!("response.content_part.{step}"), "item_id": self.id, "output_index": 0,
                           "content_index": 0, "part": part});
        self.call.is_none().then_some(event)
    }

    fn opening(&self) -> Vec<Value> {
        let item = self.item("", "in_progress");
        let added = json!({"type": "response.output_item.added", "output_index": 0, "item": item});
        [Some(added), self.part("added", "")].into_iter().flatten().collect()
    }

    fn closing(&self, text: &str) -> Vec<Value> {
        let (_, field) = self.names();
        let done = json!({"type": "response.output_item.done", "output_index": 0, "item": self.done(text)});
        [Some(self.event("done", field, text)), self.part("done", text), Some(done)].into_iter().flatten().collect()
    }
}
