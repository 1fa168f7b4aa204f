//! From an exchange's bytes to its content and facts: decode, redact, parse, gather.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Answer;
use super::content;
use super::decode::decode;
use super::endpoint::Endpoint;
use super::facts::Facts;
use super::problem::Problem;
use super::prompt::Prompt;
use super::unrecognised::Unrecognised;
use super::vocabulary::Outcome;
use crate::exchange::{BodySize, Exchange, redact};

/// What an exchange turned out to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Understanding {
    /// The request's body: JSON as JSON, anything else as text, bytes that are no UTF-8 as `{"base64": ".."}`, null if empty.
    pub request_content: Value,
    /// The answer's body likewise: one element a streamed event without `[DONE]`, one for any other body, none if empty.
    pub response_content: Vec<Value>,
    /// What is known beside the texts.
    pub facts: Facts,
}

/// Reads an exchange. Each body is decoded to at most `decode_limit` bytes, and redacted before anything is made of it.
///
/// Nothing in an exchange makes this fail: what cannot be read is content as text, and named among the facts' problems.
#[must_use]
pub fn understand(exchange: &Exchange, decode_limit: usize) -> Understanding {
    let head = &exchange.head;
    let (request, mut request_problems) =
        plain(&exchange.request_body, head.request_size, &head.request_coding(), decode_limit);
    let (response, mut response_problems) =
        plain(&exchange.response_body, head.response_size, &head.response_coding(), decode_limit);

    let endpoint = Endpoint::of(head);
    let (request_content, problem) = content::request(&request);
    request_problems.extend(problem);
    let answered = match endpoint {
        Some(Endpoint::ResponsesWebSocket) => content::messages(&response),
        _ => content::answer(&response, head.response_header("content-type")),
    };
    response_problems.extend(answered.problem);

    let answer = Answer::read(&answered.values);
    let facts = Facts::gather(head, &request_content, &Prompt::read(&request_content), &answer);
    let facts = Facts { streamed: answered.streamed, request_problems, response_problems, ..facts };
    let unrecognised = unrecognised(&facts, &answer, &request, &response, answered.unread.as_deref());
    Understanding { request_content, facts: Facts { unrecognised, ..facts }, response_content: answered.values }
}

/// What of a known endpoint's exchange could not be read at all. One that failed or broke off tells nothing about the
/// interface, nor does a body that is known to be cut or coded.
fn unrecognised(
    facts: &Facts,
    answer: &Answer,
    request: &[u8],
    response: &[u8],
    unread: Option<&[u8]>,
) -> Vec<Unrecognised> {
    let Some(endpoint) = facts.endpoint.filter(|_| facts.outcome == Outcome::Completed) else { return Vec::new() };
    let found = |part: &str, body: &[u8]| Unrecognised::of(&format!("{}_{part}", endpoint.as_str()), body);
    let is_whole = |problems: &[Problem]| problems.iter().all(|problem| *problem == Problem::NotJson);
    let mut all = Vec::new();
    if facts.request_problems == [Problem::NotJson] {
        all.push(found("request", request));
    }
    match unread {
        _ if !is_whole(&facts.response_problems) => {}
        Some(unread) => all.push(found("event", unread)),
        None if response.is_empty() || answer.is_recognised() => {}
        None => all.push(found("answer", response)),
    }
    all
}

/// A body without its content coding, and what was wrong with it. The secrets of a body without coding are gone already; in a
/// coded one they can only be seen now.
fn plain<'a>(body: &'a [u8], size: BodySize, coding: &str, limit: usize) -> (Cow<'a, [u8]>, Vec<Problem>) {
    let mut decoded = decode(body, coding, limit);
    if !coding.is_empty() {
        redact::body(decoded.bytes.to_mut());
    }
    let mut problems: Vec<_> = decoded.problem.into_iter().collect();
    if size.truncated && decoded.problem != Some(Problem::Truncated) {
        problems.push(Problem::Truncated);
    }
    (decoded.bytes, problems)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::copilot::vocabulary::{Edits, Kind, Outcome, Tokens};
    use crate::copilot::{Endpoint, Feature, Ide, Initiator, sample};
    use crate::exchange::Ending;

    const LIMIT: usize = 1 << 20;

    fn completion() -> Exchange {
        sample::completion(
            &[
                ("x-request-id", "11111111-aaaa-4aaa-8aaa-000000000001"),
                ("openai-intent", "copilot-ghost"),
                ("x-copilot-speculative", "false"),
                ("editor-version", "JetBrains-GO/2026.2"),
                ("editor-plugin-version", "copilot-intellij/9.9.9"),
                ("vscode-machineid", "m-01"),
                ("vscode-sessionid", "s-01"),
            ],
            r#"{"prompt":"func area(w, h int) int {","stop":["\n\n"],"stream":true,"extra":{"language":"Go","prompt_tokens":18}}"#,
            &sample::stream(&[
                r#"{"model":"demo-engine-2026-01-31","choices":[{"index":0,"text":"\treturn w","finish_reason":null}]}"#,
                r#"{"model":"demo-engine-2026-01-31","choices":[{"index":0,"text":" * h","finish_reason":"stop"}]}"#,
            ]),
        )
    }

    fn chat() -> Exchange {
        sample::chat(
            &[
                ("x-initiator", "user"),
                ("x-interaction-id", "i-7"),
                ("x-interaction-type", "conversation-panel"),
                ("openai-intent", "conversation-panel"),
                ("editor-version", "vscode/1.119.0"),
            ],
            r#"{"model":"demo-chat","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#,
            &sample::stream(&[
                r#"{"model":"demo-chat-2026-01-31","choices":[{"index":0,"delta":{"role":"assistant","content":"```Rust\nfn "}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"content":"a() {}\n```\n"},"finish_reason":"stop"}]}"#,
                r#"{"choices":[],"usage":{"prompt_tokens":24,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":16}}}"#,
            ]),
        )
    }

    #[test]
    fn a_secret_behind_jsons_escapes_is_masked() {
        let token = "tid\\u003d0123456789abcdef0123456789abcdef;exp\\u003d1893456000;sku\\u003dx;chat\\u003d1:sig";
        let body = format!(r#"{{"messages":[{{"role":"user","content":"my token is {token}"}}]}}"#);
        let text = understand(&sample::chat(&[], &body, ""), LIMIT).request_content.to_string();
        assert!(text.contains("my token is") && !text.contains("0123456789abcdef"), "{text}");
    }

    #[test]
    fn a_streamed_completion() {
        let Understanding { request_content, response_content, facts } = understand(&completion(), LIMIT);
        assert_eq!(request_content["extra"]["language"], "Go");
        assert_eq!(response_content.len(), 2);
        let expected = Facts {
            kind: Kind::Completions,
            endpoint: Some(Endpoint::Completions),
            host: "proxy.business.githubcopilot.com".into(),
            status: Some(200),
            outcome: Outcome::Completed,
            feature: Feature::CodeCompletion,
            ide: Some(Ide::Intellij),
            editor_version: Some("JetBrains-GO/2026.2".into()),
            editor: Some("JetBrains-GO-2026.2".into()),
            plugin: Some("copilot-intellij/9.9.9".into()),
            machine_id: Some("m-01".into()),
            session_id: Some("s-01".into()),
            editor_inferred: false,
            user_agent: None,
            action: Some("completions".into()),
            request_id: Some("11111111-aaaa-4aaa-8aaa-000000000001".into()),
            interaction_id: None,
            interaction_type: None,
            intent: Some("copilot-ghost".into()),
            initiator: None,
            speculative: false,
            has_stop: true,
            has_tools: false,
            forces_tool: false,
            last_role: None,
            language: Some("go".into()),
            model: Some("demo-engine".into()),
            model_version: Some("2026-01-31".into()),
            streamed: true,
            has_text: true,
            finish_reason: Some("stop".into()),
            tokens: Tokens { input: Some(18), output: None, cached: None, ..Tokens::default() },
            nano_aiu: None,
            edits: Edits::default(),
            quotas: vec![],
            generations: 1,
            lines_suggested: 1,
            characters_suggested: 13,
            unrecognised: vec![],
            request_problems: vec![],
            response_problems: vec![],
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn a_streamed_chat() {
        let facts = understand(&chat(), LIMIT).facts;
        assert_eq!((facts.kind, facts.feature, facts.ide), (Kind::Chat, Feature::ChatPanelAskMode, Some(Ide::Vscode)));
        assert_eq!((facts.initiator, facts.interaction_id.as_deref()), (Some(Initiator::User), Some("i-7")));
        assert_eq!((facts.model.as_deref(), facts.language.as_deref()), (Some("demo-chat"), Some("rust")));
        assert_eq!(facts.tokens, Tokens { input: Some(24), output: Some(9), cached: Some(16), ..Tokens::default() });
        assert_eq!((facts.generations, facts.lines_suggested, facts.characters_suggested), (1, 1, 9));
        assert_eq!((facts.streamed, facts.last_role.as_deref()), (true, Some("user")));
    }

    #[test]
    fn a_chat_answered_as_one_body() {
        let answer = r#"{"model":"demo-chat","choices":[{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{}]}}],"usage":{"prompt_tokens":40,"completion_tokens":12}}"#;
        let facts = understand(&sample::chat(&[], r#"{"tools":[{}],"messages":[]}"#, answer), LIMIT).facts;
        assert_eq!((facts.streamed, facts.has_text, facts.has_tools), (false, false, true));
        assert_eq!((facts.finish_reason.as_deref(), facts.tokens.output), (Some("tool_calls"), Some(12)));
    }

    #[test]
    fn the_model_falls_back_to_the_request_and_then_to_the_url() {
        let model = |exchange: &Exchange| understand(exchange, LIMIT).facts.model;
        assert_eq!(model(&sample::chat(&[], r#"{"model":"asked-2026-01-31"}"#, "{}")).as_deref(), Some("asked"));
        assert_eq!(model(&sample::completion(&[], "{}", "{}")).as_deref(), Some("demo-engine"));
        assert_eq!(model(&sample::chat(&[], "{}", "{}")), None);
    }

    #[test]
    fn coded_bodies_read_like_plain_ones() {
        let plain = completion();
        let mut coded = plain.clone();
        coded.request_body = zstd::encode_all(&plain.request_body[..], 1).unwrap().into();
        coded.head.request_headers.push(("content-encoding".into(), "zstd".into()));
        coded.response_body =
            zstd::encode_all(&zstd::encode_all(&plain.response_body[..], 1).unwrap()[..], 1).unwrap().into();
        let headers = &mut coded.head.response.as_mut().unwrap().headers;
        headers.extend([("content-encoding".into(), "zstd".into()), ("content-encoding".into(), "zstd".into())]);
        assert_eq!(understand(&coded, LIMIT), understand(&plain, LIMIT));
    }

    #[test]
    fn secrets_are_gone_from_coded_bodies() {
        let mut exchange = sample::chat(&[("content-encoding", "zstd")], "", "");
        exchange.request_body = zstd::encode_all(&br#"{"token":"canary-canary-canary"}"#[..], 1).unwrap().into();
        let content = understand(&exchange, LIMIT).request_content;
        assert_eq!(content, json!({"token": "********************"}));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut exchange = sample::chat(&[("content-encoding", "snappy")], "\u{1}coded", r#"{"choices":["#);
        exchange.head.response_size.truncated = true;
        let understanding = understand(&exchange, LIMIT);
        assert_eq!(understanding.request_content, json!("\u{1}coded"));
        assert_eq!(understanding.response_content, [json!(r#"{"choices":["#)]);
        let problems = ["request_unknown_coding", "request_not_json", "response_truncated", "response_not_json"];
        assert_eq!(understanding.facts.problems(), problems);
    }

    #[test]
    fn outcomes_follow_status_and_ending() {
        let outcome = |status, ending| {
            let mut exchange = chat();
            exchange.head.response.as_mut().unwrap().status = status;
            exchange.head.ending = ending;
            understand(&exchange, LIMIT).facts.outcome
        };
        assert_eq!(outcome(204, Ending::Completed), Outcome::Completed);
        assert_eq!(outcome(200, Ending::Canceled), Outcome::Canceled);
        assert_eq!(outcome(429, Ending::Completed), Outcome::Failed);
        assert_eq!(outcome(200, Ending::UpstreamFailed), Outcome::Failed);
    }

    #[test]
    fn an_exchange_of_no_known_endpoint_or_answer_is_still_understood() {
        let mut exchange = chat();
        exchange.head.url = "https://h.example:8443/elsewhere?x".into();
        exchange.head.response = None;
        let facts = understand(&exchange, LIMIT).facts;
        assert_eq!(
            (facts.endpoint, facts.kind, facts.host.as_str(), facts.status),
            (None, Kind::Chat, "h.example", None)
        );
    }

    #[test]
    fn an_understanding_survives_being_kept_in_place_of_the_exchange() {
        let understanding = understand(&chat(), LIMIT);
        let kept = serde_json::to_string(&understanding).unwrap();
        assert_eq!(serde_json::from_str::<Understanding>(&kept).unwrap(), understanding);
    }

    proptest! {
        #[test]
        fn an_answer_cut_or_garbled_anywhere_is_understood(cut in 0_usize..600, at in 0_usize..600, byte in any::<u8>()) {
            let mut exchange = chat();
            let mut body = exchange.response_body.to_vec();
            body.truncate(cut);
            if let Some(place) = body.get_mut(at) { *place = byte; }
            exchange.response_body = Bytes::from(body);
            prop_assert_eq!(understand(&exchange, LIMIT).response_content.is_empty(), cut == 0);
        }
    }
}
