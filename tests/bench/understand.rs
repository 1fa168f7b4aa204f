//! What it costs to understand an exchange, beside parsing its JSON once: the recorder's own work, on one core.
//!
//! `cargo bench --bench understand` prints for each endpoint how many exchanges a core understands in a second, its CPU time
//! for one, and the ratio to `serde_json::from_slice::<Value>` over the request's body and each event's data, all kept to the end as a record
//! keeps them. Medians of
//! rounds that alternate between the two; `BENCH_ROUNDS` sets their number.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a bench ends by panicking")]

use std::hint::black_box;

use bytes::Bytes;
use chrono::DateTime;
use copilens::copilot::{EndScanner, sse, understand};
use copilens::exchange::{BodySize, Ending, Exchange, ExchangeId, Head, ResponseHead, Timings};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

const CAPI: &str = "https://api.business.githubcopilot.com";
const GHOST: &str = "https://proxy.business.githubcopilot.com/v1/engines/demo-engine/completions";

/// Bodies decode to no more than this; none of them does.
const DECODE_LIMIT: usize = 64 << 20;

/// CPU time of one side in one round.
const ROUND_NS: u64 = 100_000_000;

/// What models are sent and what they send: prose, code, quotes, line ends.
const TEXT: &str = "The function `area` takes the width and the height.\n\n```rust\nfn area<T: Mul>(w: T, h: T) -> T::Output {\n\t\
    // \"w\" times \"h\"\n    w * h\n}\n```\nIt is used in `main.rs`, where each shape is looked up by its name and drawn; ";

fn main() {
    let rounds = std::env::var("BENCH_ROUNDS").map_or(9, |rounds| rounds.parse().unwrap());
    println!(
        "{:<16} {:>10} {:>9} {:>12} {:>10} {:>22}",
        "", "request", "answer", "exchanges/s", "CPU each", "of parsing once"
    );
    for (name, exchange) in [
        ("completions", completion()),
        ("chat", chat()),
        ("responses", responses()),
        ("messages", messages()),
        ("agent step", step()),
    ] {
        measure(name, &exchange, rounds);
    }
    scan("chat", &chat(), rounds);
    scan("responses", &responses(), rounds);
}

/// The proxy's share: looking for the end of an answer while it passes, event by event.
fn scan(name: &str, exchange: &Exchange, rounds: usize) {
    let body = &exchange.response_body;
    let mut each: Vec<_> = (0..rounds)
        .map(|_| {
            time(&|| {
                let mut scanner = EndScanner::default();
                black_box(body.chunks(256).filter(|chunk| scanner.scan(black_box(chunk))).count());
            })
        })
        .collect();
    each.sort_by(f64::total_cmp);
    let median = each[rounds / 2];
    println!("end of {name}: {:.1} µs, {:.2} GB/s in chunks of 256 bytes", median / 1e3, body.len() as f64 / median);
}

fn measure(name: &str, exchange: &Exchange, rounds: usize) {
    let facts = understand(exchange, DECODE_LIMIT).facts;
    assert!(facts.problems().is_empty() && facts.unrecognised.is_empty() && facts.tokens.output.is_some(), "{facts:?}");
    let data: Vec<_> = sse::events(&exchange.response_body).map(|event| event.data.into_owned()).collect();
    let parts: Vec<&[u8]> = std::iter::once(exchange.request_body.as_ref())
        .chain(data.iter().map(Vec::as_slice).filter(|data| *data != b"[DONE]"))
        .collect();
    let understood = || drop(black_box(understand(black_box(exchange), DECODE_LIMIT)));
    let parsed = || {
        let values: Vec<Value> = parts.iter().map(|part| serde_json::from_slice(black_box(part)).unwrap()).collect();
        drop(black_box(values));
    };
    let mut each = Vec::new();
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let (understanding, parsing) = if round % 2 == 0 {
            let first = time(&understood);
            (first, time(&parsed))
        } else {
            let first = time(&parsed);
            (time(&understood), first)
        };
        each.push(understanding);
        ratios.push(understanding / parsing);
    }
    each.sort_by(f64::total_cmp);
    ratios.sort_by(f64::total_cmp);
    let median = each[rounds / 2];
    let spread = format!("{:.2} [{:.2}-{:.2}]", ratios[rounds / 2], ratios[0], ratios[rounds - 1]);
    let size = |body: &Bytes| format!("{:.1} kB", body.len() as f64 / 1e3);
    println!(
        "{name:<16} {:>10} {:>9} {:>12.0} {:>7.1} µs {spread:>22}",
        size(&exchange.request_body),
        size(&exchange.response_body),
        1e9 / median,
        median / 1e3,
    );
}

/// CPU time of one call, in nanoseconds.
fn time(work: &impl Fn()) -> f64 {
    let start = cpu_ns();
    let mut calls = 0_u32;
    loop {
        for _ in 0..8 {
            work();
        }
        calls += 8;
        let spent = cpu_ns() - start;
        if spent >= ROUND_NS {
            return spent as f64 / f64::from(calls);
        }
    }
}

/// CPU time of this thread so far.
fn cpu_ns() -> u64 {
    let told = clock_gettime(ClockId::ThreadCPUTime);
    told.tv_sec.unsigned_abs() * 1_000_000_000 + told.tv_nsec.unsigned_abs()
}

fn completion() -> Exchange {
    let request = json!({
        "prompt": text(1200), "suffix": text(300), "max_tokens": 500, "temperature": 0, "top_p": 1, "n": 1,
        "stop": ["\n\n\n"], "stream": true, "extra": {"language": "rust", "next_indent": 4, "prompt_tokens": 400},
    });
    let mut events: Vec<_> = pieces(&text(100), 12)
        .map(|text| json!({"id": "cmpl-1", "created": 1, "model": "demo-engine", "choices": [{"index": 0, "text": text, "finish_reason": null}]}))
        .collect();
    events.push(json!({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "usage": {"prompt_tokens": 400, "completion_tokens": 30}}));
    exchange(GHOST, &request, &stream(&events))
}

fn chat() -> Exchange {
    let request =
        json!({"model": "demo-chat", "stream": true, "tools": tools(8), "messages": messages_of(12_000, "content")});
    exchange(&format!("{CAPI}/chat/completions"), &request, &stream(&chat_events(3000)))
}

fn chat_events(length: usize) -> Vec<Value> {
    let chunk = |choices: Value| {
        json!({"id": "chatcmpl-1", "created": 1, "model": "demo-chat-2026-01-31", "object": "chat.completion.chunk",
            "system_fingerprint": "fp_1", "choices": choices})
    };
    let arguments = json!({"filePath": "/w/a.rs", "oldString": text(300), "newString": text(400)}).to_string();
    let mut events: Vec<_> = pieces(&text(length), 16)
        .map(|piece| {
            chunk(json!([{"index": 0, "delta": {"content": piece, "role": "assistant"}, "finish_reason": null}]))
        })
        .collect();
    events.push(call(&chunk, &json!({"name": "replace_string_in_file", "arguments": ""}), "k1"));
    events.extend(pieces(&arguments, 16).map(|piece| call(&chunk, &json!({"arguments": piece}), "")));
    events.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])));
    let mut usage = chunk(json!([]));
    usage["usage"] =
        json!({"prompt_tokens": 9000, "completion_tokens": 700, "prompt_tokens_details": {"cached_tokens": 8000}});
    events.push(usage);
    events
}

fn call(chunk: &impl Fn(Value) -> Value, function: &Value, id: &str) -> Value {
    let call = json!({"index": 0, "id": id, "type": "function", "function": function});
    chunk(json!([{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]))
}

fn responses() -> Exchange {
    let request = json!({"model": "demo-codex", "stream": true, "store": false, "instructions": text(4000),
        "tools": tools(8), "input": messages_of(8000, "content")});
    let answer = text(3000);
    let mut events = vec![
        json!({"type": "response.created", "response": {"model": "demo-codex", "status": "in_progress", "output": []}}),
    ];
    events.extend((1..).zip(pieces(&answer, 16)).map(|(number, piece)| {
        json!({"type": "response.output_text.delta", "sequence_number": number, "item_id": "msg_ed3df858a0834fe9a61d42b6a66d4c54",
            "output_index": 0, "content_index": 0, "delta": piece})
    }));
    let item = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": answer}]});
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
    events.push(json!({"type": "response.completed", "response": {"model": "demo-codex", "status": "completed", "output": [item],
        "usage": {"input_tokens": 5000, "output_tokens": 700}}, "copilot_usage": {"total_nano_aiu": 7}}));
    exchange(&format!("{CAPI}/responses"), &request, &named_stream(&events))
}

fn messages() -> Exchange {
    let request = json!({"model": "demo-sonnet", "stream": true, "max_tokens": 8192, "system": [{"type": "text", "text": text(4000)}],
        "tools": tools(8), "messages": messages_of(8000, "content")});
    let mut events = vec![
        json!({"type": "message_start", "message": {"model": "demo-sonnet", "usage": {"input_tokens": 9, "cache_read_input_tokens": 5000}}}),
    ];
    events.push(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
    events.extend(pieces(&text(5000), 16).map(
        |piece| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}),
    ));
    events
        .push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 900}}));
    events.push(json!({"type": "message_stop"}));
    exchange(&format!("{CAPI}/v1/messages"), &request, &named_stream(&events))
}

/// A request with tools and the history of a long turn.
fn step() -> Exchange {
    let request =
        json!({"model": "demo-chat", "stream": true, "tools": tools(60), "messages": messages_of(850_000, "content")});
    exchange(&format!("{CAPI}/chat/completions"), &request, &stream(&chat_events(1000)))
}

fn messages_of(length: usize, key: &str) -> Vec<Value> {
    let each = 2000.min(length / 4);
    (0..length / each)
        .map(|number| json!({"role": if number % 2 == 0 { "user" } else { "assistant" }, key: text(each)}))
        .collect()
}

fn tools(count: usize) -> Vec<Value> {
    let property = json!({"type": "string", "description": "The absolute path of the file, or a pattern for it."});
    let parameters =
        json!({"type": "object", "properties": {"path": property, "query": property}, "required": ["path"]});
    (0..count)
        .map(|number| {
            let function =
                json!({"name": format!("tool_{number}"), "description": text(300), "parameters": parameters});
            json!({"type": "function", "function": function})
        })
        .collect()
}

fn text(length: usize) -> String {
    TEXT.chars().cycle().take(length).collect()
}

fn pieces(text: &str, length: usize) -> impl Iterator<Item = &str> {
    text.as_bytes().chunks(length).map(|piece| std::str::from_utf8(piece).unwrap())
}

fn stream(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {}\n\n", escaped(event))).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn named_stream(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {}\n\n", event["type"].as_str().unwrap(), escaped(event)))
        .collect()
}

/// As Go writes it, which GitHub's services are made of.
fn escaped(event: &Value) -> String {
    event.to_string().replace('<', "\\u003c").replace('>', "\\u003e")
}

fn exchange(url: &str, request: &Value, answer: &str) -> Exchange {
    let at = DateTime::UNIX_EPOCH;
    let request = request.to_string();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let size = |body: &str| BodySize { bytes: body.len() as u64, truncated: false };
    Exchange {
        head: Head {
            account: None,
            id: ExchangeId::now(),
            user: "octocat".to_owned(),
            client: [127, 0, 0, 1].into(),
            method: "POST".to_owned(),
            url: url.to_owned(),
            request_headers: vec![
                header("content-type", "application/json"),
                header("editor-version", "vscode/1.119.0"),
                header("openai-intent", "conversation-agent"),
                header("x-initiator", "user"),
                header("x-interaction-id", "i-1"),
                header("x-request-id", "r-1"),
            ],
            request_size: size(&request),
            response: Some(ResponseHead { status: 200, headers: vec![header("content-type", "text/event-stream")] }),
            response_size: size(answer),
            ending: Ending::Completed,
            timings: Timings { started_at: at, ended_at: at, first_byte_us: Some(1), duration_us: 2 },
        },
        request_body: Bytes::from(request),
        response_body: Bytes::copy_from_slice(answer.as_bytes()),
    }
}
