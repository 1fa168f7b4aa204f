//! Each interface of the models through the proxy: what its exchanges count as, and what they amount to, from the wire to the
//! record, the store, the day's file and the report.

use std::fs;
use std::ops::ControlFlow;

use copilens::copilot::vocabulary::{Edits, Tokens};
use copilens::sim::copilot::control;
use copilens::sim::tls::Alpn;
use copilens::store::{SqliteStore, UsageStore};
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens, Site, Upstream, files_in, wait_until};
use crate::telemetry::Suggestion;

async fn send(copilens: &Copilens, ask: &Ask) -> String {
    let (status, body) = ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    assert_eq!(status, 200);
    String::from_utf8(body.to_vec()).unwrap()
}

/// A person's prompt at an interface whose messages stand under `list`.
fn prompt(path: &str, list: &str, text: &str) -> Ask {
    let body = json!({
        "model": "demo-large", "stream": true, "reasoning": {"effort": "medium"},
        list: [{"role": "user", "content": text}]
    });
    Ask::chat().at(CHAT_HOST, path).json(&body)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_recorded_as_what_it_is() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let code = "```rust\nfn a() {}\n```";
    let apply = json!({
        "model": "demo-instant-apply-short", "stream": true, "prediction": {"type": "content", "content": "fn a() {}"},
        "messages": [{"role": "user", "content": code}]
    });
    let asked = [
        (Ask::completion(), "turn completions code_completion completions"),
        (
            Ask::completion().with("openai-intent", "copilot-panel").field("n", 3),
            "turn completions code_completion completions",
        ),
        (Ask::next_edit(), "turn completions code_completion nes"),
        (Ask::chat().at(COMPLETIONS_HOST, "/chat/completions").json(&apply), "step chat agent_edit edits"),
        (Ask::chat(), "turn chat chat_panel_ask_mode chat-panel"),
        (prompt("/responses", "input", "Why?"), "turn chat chat_panel_ask_mode chat-panel"),
        (prompt("/v1/messages", "messages", "Why?"), "turn chat chat_panel_ask_mode chat-panel"),
        (prompt("/agents/demo-docs?chat", "messages", "Why?"), "turn chat chat_panel_ask_mode demo-docs"),
    ];
    for (ask, _) in &asked {
        send(&copilens, ask).await;
    }
    let mut records = copilens.wait_for_records("alice", "completions", 3);
    records.extend(copilens.wait_for_records("alice", "chat", 5));
    for (ask, expected) in &asked {
        let request_id = |record: &&Value| record["request"]["headers"]["x-request-id"] == ask.request_id();
        let record = records.iter().find(request_id).unwrap();
        let told = ["class", "kind", "feature", "action"].map(|key| record[key].as_str().unwrap());
        assert_eq!(told.join(" "), *expected, "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_ghe_com_is_understood_where_its_hosts_are_intercepted() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("intercept.hosts", "[\"*.octo.ghe.com\"]").start();
    let ghost = Ask::completion().at("copilot-proxy.octo.ghe.com", "/v1/engines/gpt-41-copilot/completions");
    let edit = Ask::next_edit().at("copilot-proxy.octo.ghe.com", "/chat/completions");
    let telemetry = Ask::telemetry(&[Suggestion::of(&ghost).shown()]);
    let asked = [
        ghost,
        edit,
        Ask::chat().at("copilot-api.octo.ghe.com", "/chat/completions"),
        telemetry.at("copilot-telemetry-service.octo.ghe.com", "/telemetry"),
        Ask::account("/copilot_internal/user").at("api.octo.ghe.com", "/copilot_internal/user"),
    ];
    for ask in &asked {
        send(&copilens, ask).await;
    }
    let day = copilens.wait_for_day(|day| {
        let alice = &day["usage"]["alice"];
        alice["completions_count"] == 2 && alice["chat_turns"] == 1 && alice["shown"] == 1
    });
    assert_eq!(day["usage"]["alice"]["actions"], json!({"chat-panel": 1, "completions": 1, "nes": 1}));
    wait_until("the account", || {
        let report: Value = serde_json::from_str(&copilens.site.stdout(&["report", "--json"])).unwrap();
        let accounts = report["users"][0]["accounts"].as_array()?.clone();
        accounts.iter().any(|account| account["login"].is_string()).then_some(())
    });
}

/// Tokens and price that the service told in a streamed answer.
fn told(body: &str) -> (Tokens, u64) {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    let price = events.iter().filter_map(|event| event["copilot_usage"]["total_nano_aiu"].as_u64()).next_back();
    // The last usage has what the first provisional ones had not.
    let usages = ["/usage", "/response/usage", "/message/usage"];
    let fields = events.iter().flat_map(|event| usages.iter().filter_map(|at| event.pointer(at)));
    let mut usage = json!({});
    for (name, value) in fields.filter_map(Value::as_object).flatten() {
        usage[name] = value.clone();
    }
    let number = |at: &str| usage.pointer(at).and_then(Value::as_u64);
    let either = |one: &str, other: &str| number(one).or_else(|| number(other));
    let cached = either("/prompt_tokens_details/cached_tokens", "/input_tokens_details/cached_tokens");
    let apart = [number("/cache_read_input_tokens"), number("/cache_creation_input_tokens")];
    let all = either("/prompt_tokens", "/input_tokens").map(|input| input + apart.iter().flatten().sum::<u64>());
    let tokens = Tokens {
        input: all,
        output: either("/completion_tokens", "/output_tokens"),
        cached: cached.or(apart[0]),
        cache_written: number("/prompt_tokens_details/cache_creation_input_tokens").or(apart[1]),
        reasoning: either("/completion_tokens_details/reasoning_tokens", "/output_tokens_details/reasoning_tokens"),
    };
    (tokens, price.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_amounts_to_is_the_same_wherever_it_is_told() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let file = json!({"path": "/work/limits.py", "file_text": "LIMIT = 3\nRETRIES = 2\n"});
    // Long enough for the service to use its cache.
    let text = format!("{} Make a file: {}create {file}", "Be brief. ".repeat(900), control::CALL);
    let mut sums = [0; 3];
    for (path, list) in [("/chat/completions", "messages"), ("/responses", "input"), ("/v1/messages", "messages")] {
        let ask = prompt(path, list, &text);
        let (tokens, price) = told(&send(&copilens, &ask).await);
        let cached = (tokens.cached.unwrap(), tokens.cache_written.unwrap_or_default());
        assert!(cached.0 > 0 && tokens.input.unwrap() > cached.0 + cached.1, "{path}: {tokens:?}");
        let records = || copilens.records("alice", "chat").into_iter();
        let is_its = |record: &Value| record["request"]["headers"]["x-request-id"] == ask.request_id();
        let record = wait_until("the record", || records().find(is_its));
        assert_eq!(record["tokens"], serde_json::to_value(tokens).unwrap(), "{path}");
        assert_eq!((&record["nano_aiu"], &record["language"]), (&price.into(), &"python".into()), "{path}");
        assert_eq!(record["edits"], json!({"files": 1, "lines_added": 2, "lines_removed": 0}), "{path}");
        let quota = &record["quotas"][0];
        assert_eq!((&quota["name"], &quota["percent_remaining"]), (&"premium_interactions".into(), &87.5.into()));
        for (sum, part) in sums.iter_mut().zip([tokens.input.unwrap(), tokens.output.unwrap(), price]) {
            *sum += part;
        }
    }
    let day = copilens.wait_for_day(|day| day["usage"]["alice"]["chat_turns"] == 3);
    let (_, site) = copilens.stop();
    let alice = &day["usage"]["alice"];
    assert_eq!([&alice["tokens"]["input"], &alice["tokens"]["output"], &alice["nano_aiu"]], sums, "{alice}");
    for sum in ["cached", "cache_written", "reasoning"] {
        assert!(alice["tokens"][sum].as_u64() > Some(0), "{sum}: {alice}");
    }
    assert_eq!(alice["edits"], json!({"files": 3, "lines_added": 6, "lines_removed": 0}));
    assert_stored(&site, sums);
    let report: Value = serde_json::from_str(&site.stdout(&["report", "--json"])).unwrap();
    let line = &report["users"][0];
    assert_eq!(
        (&line["tokens"], &line["nano_aiu"], &line["edits"]),
        (&alice["tokens"], &sums[2].into(), &alice["edits"])
    );
    assert_eq!(line["quotas"][0]["percent_remaining"], 87.5, "{line}");
    let file = files_in(&site.path("logs/metrics")).remove(0);
    let live = fs::read_to_string(&file).unwrap();
    site.stdout(&["rebuild"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), live);
}

fn assert_stored(site: &Site, sums: [u64; 3]) {
    let store = SqliteStore::open_to_read(&site.path("logs/usage.sqlite3")).unwrap();
    let mut events = Vec::new();
    for day in store.days().unwrap() {
        store
            .events(day, day, Some("alice"), &mut |event| {
                events.push(event);
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    let sum = |count: fn(&copilens::usage::UsageEvent) -> u64| events.iter().map(count).sum::<u64>();
    let input = sum(|event| event.tokens.input.unwrap());
    let output = sum(|event| event.tokens.output.unwrap());
    assert_eq!([input, output, sum(|event| event.nano_aiu.unwrap())], sums);
    for event in &events {
        assert_eq!(event.edits, Edits { files: 1, lines_added: 2, lines_removed: 0 });
        assert!(event.first_byte_ms.unwrap() > 0.0 && event.duration_ms >= event.first_byte_ms.unwrap());
        assert!(event.request_bytes > 9000 && event.response_bytes > 0, "{event:?}");
    }
}
