//! Exchanges in the shapes of real ones, with invented values, and what each rule makes of them.

mod turns;

use proptest::prelude::*;

use super::*;
use crate::copilot::problem::Problem;
use crate::copilot::{Endpoint, sample, understand};
use crate::exchange::{Ending, Exchange};

type Headers<'a> = &'a [(&'a str, &'a str)];

const VSCODE: (&str, &str) = ("editor-version", "vscode/1.119.0");
const JETBRAINS: (&str, &str) = ("editor-version", "JetBrains-IC/2026.1");
const NEOVIM: (&str, &str) = ("editor-version", "Neovim/0.11");
const CLI: (&str, &str) = ("editor-version", "copilot/1.0.102");
const AGENT: (&str, &str) = ("x-initiator", "agent");
const USER: (&str, &str) = ("x-initiator", "user");
const PREFETCH: (&str, &str) = ("x-copilot-speculative", "true");
const SHOWN: History = History { repeat_of_success: false, same_turn: false, shown: true };
const SAME_TURN: History = History { repeat_of_success: false, same_turn: true, shown: false };
const REPEAT: History = History { repeat_of_success: true, same_turn: false, shown: false };

const COMPLETION: &str = r#"{"prompt":"def a","stop":["\n"],"stream":true,"extra":{"language":"python"}}"#;
const GHOST: &str = r#"{"choices":[{"index":0,"text":"(b):","finish_reason":"stop"}]}"#;
const NO_GHOST: &str = r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#;
const CHAT: &str = r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#;
const SAID: &str = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;

fn completion(headers: Headers<'_>, event: &str) -> Exchange {
    sample::completion(headers, COMPLETION, &sample::stream(&[event]))
}

fn chat(headers: Headers<'_>, request: &str) -> Exchange {
    sample::chat(headers, request, &sample::stream(&[SAID]))
}

fn facts(exchange: &Exchange) -> Facts {
    understand(exchange, 1 << 20).facts
}

/// `turn`, or the class and the reason.
fn verdict(exchange: &Exchange) -> String {
    told(classify(&facts(exchange), History::default()))
}

fn told(verdict: Verdict) -> String {
    let class = verdict.class.as_str();
    verdict.reason.map_or(class.to_owned(), |reason| format!("{class} {}", reason.as_str()))
}

fn ended(mut exchange: Exchange, ending: Ending) -> Exchange {
    exchange.head.ending = ending;
    exchange
}

fn with_status(mut exchange: Exchange, status: u16) -> Exchange {
    exchange.head.response.as_mut().unwrap().status = status;
    exchange
}

/// A next-edit suggestion of the language server: no editor, and `agent` though a person typed.
fn next_edit(edit: &str) -> Exchange {
    let headers = [AGENT, ("openai-intent", "conversation-other"), ("x-interaction-type", "conversation-other")];
    let request = r#"{"model":"demo-nes","prediction":{},"messages":[{"role":"user","content":"u"}]}"#;
    let answer = sample::stream(&[&format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{edit}"}}}}]}}"#)]);
    sample::at("https://proxy.business.githubcopilot.com/chat/completions", &headers, request, &answer)
}

#[test]
fn completions_and_chats_of_people_are_turns() {
    for editor in [VSCODE, JETBRAINS, NEOVIM] {
        assert_eq!(verdict(&completion(&[editor], GHOST)), "turn");
        assert_eq!(verdict(&chat(&[editor, USER], CHAT)), "turn");
        assert_eq!(verdict(&chat(&[editor], CHAT)), "turn");
    }
    assert_eq!(verdict(&chat(&[], CHAT)), "turn");
}

#[test]
fn an_answer_other_than_2xx_is_noise() {
    for status in [101, 304, 400, 401, 403, 429, 500, 503] {
        assert_eq!(verdict(&with_status(chat(&[VSCODE, AGENT], CHAT), status)), "noise status");
    }
    let mut unanswered = ended(chat(&[VSCODE], CHAT), Ending::UpstreamFailed);
    unanswered.head.response = None;
    assert_eq!(verdict(&unanswered), "noise status");
}

#[test]
fn a_message_on_a_websocket_has_the_upgrades_status() {
    let request = r#"{"type":"response.create","input":[{"role":"user","content":"ping"}]}"#;
    let answer = r#"{"type":"response.output_text.delta","output_index":0,"delta":"pong"}"#;
    let url = "https://api.business.githubcopilot.com/responses";
    let message = |initiator, answer| {
        let mut exchange = with_status(sample::at(url, &[CLI, initiator], request, answer), 101);
        "GET".clone_into(&mut exchange.head.method);
        exchange
    };
    assert_eq!(verdict(&message(USER, answer)), "turn");
    assert_eq!(verdict(&message(AGENT, answer)), "step agent_initiated");
    assert_eq!(verdict(&message(USER, r#"{"type":"error","error":{"code":"rate_limited"}}"#)), "noise broken_off");
    assert_eq!(verdict(&with_status(message(USER, answer), 403)), "noise status");
}

#[test]
fn a_repeat_of_a_success_is_noise_and_a_failed_one_has_its_status() {
    let told_repeat = |exchange: &Exchange| told(classify(&facts(exchange), REPEAT));
    assert_eq!(told_repeat(&chat(&[VSCODE, AGENT], CHAT)), "noise repeat");
    assert_eq!(told_repeat(&completion(&[VSCODE, PREFETCH], GHOST)), "noise repeat");
    assert_eq!(told_repeat(&with_status(chat(&[VSCODE], CHAT), 500)), "noise status");
}

#[test]
fn an_answer_without_an_end_is_noise_unless_it_is_chat_with_text() {
    for (ending, reason) in [(Ending::Canceled, "noise canceled"), (Ending::UpstreamFailed, "noise broken_off")] {
        assert_eq!(verdict(&ended(completion(&[VSCODE], GHOST), ending)), reason);
        assert_eq!(verdict(&ended(sample::chat(&[VSCODE], CHAT, ""), ending)), reason);
        assert_eq!(verdict(&ended(chat(&[VSCODE], CHAT), ending)), "turn");
        assert_eq!(verdict(&ended(chat(&[VSCODE, AGENT], CHAT), ending)), "step agent_initiated");
    }
}

#[test]
fn what_runs_beside_a_chat_is_no_turn_whoever_began_it() {
    for (purpose, told) in
        [("conversation-background", "noise background"), ("conversation-compaction", "step compaction")]
    {
        for initiator in [AGENT, USER] {
            let headers = [VSCODE, initiator, ("openai-intent", "conversation-agent"), ("x-interaction-type", purpose)];
            assert_eq!(verdict(&chat(&headers, CHAT)), told);
        }
        assert_eq!(verdict(&chat(&[VSCODE, ("openai-intent", purpose)], CHAT)), told);
    }
}

#[test]
fn what_belongs_to_no_place_is_noise_unless_a_person_began_it() {
    let other = ("openai-intent", "conversation-other");
    assert_eq!(verdict(&chat(&[VSCODE, AGENT, other], CHAT)), "noise other");
    assert_eq!(verdict(&chat(&[VSCODE, other], CHAT)), "noise other");
    let commit = r#"{"messages":[{"role":"system","content":"Write the best git commit message."},{"role":"user","content":"<changes>"}]}"#;
    assert_eq!(verdict(&chat(&[VSCODE, USER, other, ("x-interaction-type", "conversation-other")], commit)), "turn");
}

#[test]
fn an_extensions_requests_are_turns_until_they_bring_tool_results() {
    let headers =
        [VSCODE, USER, ("openai-intent", "conversation-other"), ("x-onbehalf-extension-id", "octo.tidy/1.2.3")];
    let forced = r#"{"tools":[{}],"tool_choice":{"type":"function","function":{"name":"a"}},"stop":[";"],"messages":[{"role":"user"}]}"#;
    assert_eq!(told(classify(&facts(&chat(&headers, forced)), SAME_TURN)), "turn");
    assert_eq!(verdict(&chat(&headers, r#"{"messages":[{"role":"tool","content":"ok"}]}"#)), "step tool_results");
}

#[test]
fn a_forced_tool_is_a_helpers() {
    let forced = |choice: &str| {
        format!(r#"{{"tools":[{{}}],"tool_choice":{choice},"messages":[{{"role":"user","content":"u"}}]}}"#)
    };
    let named = forced(r#"{"type":"function","function":{"name":"showSuggestions"}}"#);
    for initiator in [USER, AGENT] {
        assert_eq!(verdict(&chat(&[JETBRAINS, initiator], &named)), "noise forced_tool");
    }
    assert_eq!(verdict(&chat(&[JETBRAINS, USER], &forced(r#""auto""#))), "turn");
}

#[test]
fn an_agents_chat_is_a_step() {
    let with_tools =
        r#"{"tools":[{"type":"function"}],"messages":[{"role":"user"},{"role":"assistant"},{"role":"tool"}]}"#;
    assert_eq!(verdict(&chat(&[JETBRAINS, AGENT], with_tools)), "step agent_tools");
    assert_eq!(verdict(&chat(&[VSCODE, AGENT], with_tools)), "step agent_initiated");
    assert_eq!(verdict(&chat(&[JETBRAINS, AGENT], CHAT)), "step agent_initiated");
    assert_eq!(verdict(&chat(&[AGENT], CHAT)), "step agent_initiated");
    assert_eq!(verdict(&completion(&[VSCODE, AGENT], GHOST)), "turn");
}

#[test]
fn a_subagents_chat_is_a_step() {
    let subagent = ("x-interaction-type", "conversation-subagent");
    for initiator in [AGENT, USER] {
        assert_eq!(verdict(&chat(&[VSCODE, initiator, subagent], CHAT)), "step subagent");
    }
    assert_eq!(verdict(&chat(&[CLI, subagent], CHAT)), "step subagent");
}

#[test]
fn instant_apply_is_a_step_whatever_its_intent() {
    let request = r#"{"model":"demo-instant-apply-short","prediction":{},"messages":[{"role":"user","content":"u"}]}"#;
    for intent in ["conversation-other", "conversation-inline", "conversation-panel"] {
        for initiator in [AGENT, USER] {
            assert_eq!(verdict(&chat(&[VSCODE, ("openai-intent", intent), initiator], request)), "step instant_apply");
        }
    }
}

#[test]
fn a_tools_result_is_a_step_whatever_the_initiator_says() {
    let results = [
        r#"{"messages":[{"role":"user"},{"role":"assistant"},{"role":"tool","content":"1 failed"}]}"#,
        r#"{"input":[{"type":"function_call_output","call_id":"k1","output":"1 failed"}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"k1"}]}]}"#,
    ];
    for result in results {
        assert_eq!(verdict(&chat(&[CLI, USER], result)), "step tool_results");
        assert_eq!(verdict(&chat(&[NEOVIM], result)), "step tool_results");
        assert_eq!(verdict(&chat(&[JETBRAINS, USER], result)), "step tool_results");
    }
}

#[test]
fn a_further_request_of_a_turn_is_a_step() {
    let further = |exchange: &Exchange| told(classify(&facts(exchange), SAME_TURN));
    assert_eq!(further(&chat(&[VSCODE, USER], CHAT)), "step same_turn");
    assert_eq!(further(&chat(&[VSCODE, AGENT], CHAT)), "step agent_initiated");
    assert_eq!(further(&completion(&[VSCODE], GHOST)), "turn");
}

#[test]
fn a_speculative_completion_is_noise_until_it_is_shown() {
    let prefetched = facts(&completion(&[VSCODE, PREFETCH], GHOST));
    let before = classify(&prefetched, History::default());
    assert_eq!((told(before), before.awaits_display), ("noise speculative".to_owned(), true));
    let shown = classify(&prefetched, SHOWN);
    assert_eq!((told(shown), shown.awaits_display), ("turn".to_owned(), false));
    assert_eq!(verdict(&completion(&[VSCODE, ("x-copilot-speculative", "false")], GHOST)), "turn");
}

#[test]
fn a_completion_without_an_end_is_noise_until_it_is_shown() {
    for ending in [Ending::Canceled, Ending::UpstreamFailed] {
        let cut = facts(&ended(completion(&[VSCODE, PREFETCH], GHOST), ending));
        assert!(classify(&cut, History::default()).awaits_display);
        assert_eq!(told(classify(&cut, SHOWN)), "turn");
    }
}

#[test]
fn only_a_suggestion_with_text_awaits_display() {
    let never = [
        completion(&[VSCODE, PREFETCH], NO_GHOST),
        ended(completion(&[VSCODE], NO_GHOST), Ending::Canceled),
        with_status(completion(&[VSCODE, PREFETCH], GHOST), 500),
        completion(&[VSCODE], GHOST),
        completion(&[VSCODE], NO_GHOST),
        ended(sample::chat(&[VSCODE], CHAT, ""), Ending::Canceled),
    ];
    for exchange in never {
        assert!(!classify(&facts(&exchange), History::default()).awaits_display, "{}", verdict(&exchange));
    }
    let repeated = classify(&facts(&completion(&[VSCODE, PREFETCH], GHOST)), REPEAT);
    assert!(!repeated.awaits_display);
}

#[test]
fn next_edits_are_turns_though_an_agent_says_to_have_begun_them() {
    assert_eq!(told(classify(&facts(&next_edit("a = 1")), SAME_TURN)), "turn");
    assert_eq!(verdict(&next_edit("")), "noise empty_completion");
    let canceled = facts(&ended(next_edit("a = 1"), Ending::Canceled));
    assert!(classify(&canceled, History::default()).awaits_display);
    assert_eq!(told(classify(&canceled, SHOWN)), "turn");
}

#[test]
fn a_completion_without_text_is_noise_in_every_editor() {
    for empty in [NO_GHOST, r#"{"choices":[]}"#, r#"{"choices":[{"text":""}]}"#] {
        for editor in [VSCODE, JETBRAINS, NEOVIM, ("editor-version", "Xcode/16.2")] {
            assert_eq!(verdict(&completion(&[editor], empty)), "noise empty_completion");
        }
    }
}

#[test]
fn a_completion_that_could_not_be_read_is_kept() {
    for garbled in [r#"{"choices":[{"te"#, "not json", r#"{"choices":[{"text":1e400}]}"#] {
        assert_eq!(verdict(&completion(&[VSCODE], garbled)), "turn", "{garbled}");
    }
}

#[test]
fn a_vscode_chat_with_a_stop_field_is_noise() {
    let stop = r#"{"stop":[";"],"messages":[{"role":"user","content":"title?"}]}"#;
    assert_eq!(verdict(&chat(&[VSCODE, USER], stop)), "noise stop_field");
    assert_eq!(verdict(&chat(&[JETBRAINS, USER], stop)), "turn");
}

#[test]
fn a_chat_that_does_not_end_with_the_user_is_noise_where_that_tells_who_asked() {
    let system_last = r#"{"messages":[{"role":"user","content":"u"},{"role":"system","content":"s"}]}"#;
    assert_eq!(verdict(&chat(&[JETBRAINS, USER], system_last)), "noise last_message_not_user");
    assert_eq!(verdict(&chat(&[JETBRAINS], r#"{"messages":[]}"#)), "turn");
    assert_eq!(verdict(&chat(&[JETBRAINS, AGENT], system_last)), "step agent_initiated");
    assert_eq!(verdict(&chat(&[VSCODE, USER], system_last)), "turn");
    for editor in [VSCODE, NEOVIM] {
        assert_eq!(verdict(&chat(&[editor], system_last)), "noise last_message_not_user");
    }
}

#[test]
fn reasons_are_written_as_they_are_told_and_all_are_asked_for() {
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
    let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), RULES.len()), (Reason::ALL.len(), Reason::ALL.len()));
}

fn some_facts() -> impl Strategy<Value = Facts> {
    let words = |words: &'static [&'static str]| prop::option::of(prop::sample::select(words).prop_map(str::to_owned));
    let purposes: &'static [&'static str] = &[
        "conversation-agent",
        "conversation-other",
        "conversation-background",
        "conversation-compaction",
        SUBAGENT,
        "new",
    ];
    let features =
        [Feature::CodeCompletion, Feature::ChatInline, Feature::AgentEdit, Feature::CopilotCli, Feature::Others];
    let who = (
        prop::sample::select(vec![Kind::Completions, Kind::Chat]),
        prop::sample::select(vec![None, Some(Endpoint::Chat), Some(Endpoint::ResponsesWebSocket)]),
        prop::sample::select(vec![None, Some(Initiator::User), Some(Initiator::Agent)]),
        prop::sample::select(vec![None, Some(Ide::Vscode), Some(Ide::Intellij), Some(Ide::Zed)]),
        prop::sample::select(features.to_vec()),
        (words(purposes), words(purposes)),
        words(&["nes", "agent", "octo.tidy"]),
        words(&["user", "assistant", "system", "tool", "new"]),
    );
    let how = (
        prop::sample::select(vec![Outcome::Completed, Outcome::Canceled, Outcome::Failed]),
        prop::option::of(prop::sample::select(vec![101_u16, 200, 204, 302, 429, 500])),
        any::<[bool; 6]>(),
    );
    (who, how).prop_map(|(who, (outcome, status, flags))| {
        let (kind, endpoint, initiator, ide, feature, (intent, interaction_type), action, last_role) = who;
        let [speculative, has_stop, has_tools, forces_tool, has_text, is_garbled] = flags;
        let response_problems = if is_garbled { vec![Problem::NotJson] } else { vec![] };
        let plain = facts(&chat(&[], CHAT));
        #[rustfmt::skip]
        let made = Facts {
            kind, endpoint, initiator, ide, feature, intent, interaction_type, action, last_role, outcome, status,
            speculative, has_stop, has_tools, forces_tool, has_text, response_problems, ..plain
        };
        made
    })
}

proptest! {
    #[test]
    fn whatever_the_facts_class_and_reason_agree(facts in some_facts(), flags in any::<[bool; 3]>()) {
        let [repeat_of_success, same_turn, shown] = flags;
        let history = History { repeat_of_success, same_turn, shown };
        let verdict = classify(&facts, history);
        prop_assert_eq!(verdict.class, verdict.reason.map_or(Class::Turn, Reason::class));
        prop_assert!(facts.kind == Kind::Chat || verdict.class != Class::Step, "a completion is nobody's step");
        let unseen = classify(&facts, History { shown: false, ..history });
        prop_assert!(facts.kind == Kind::Completions || facts.speculative || verdict == unseen, "chat is not shown");
        if verdict.awaits_display {
            prop_assert!(verdict.class == Class::Noise && facts.kind == Kind::Completions && !shown);
            prop_assert_eq!(classify(&facts, History { shown: true, ..history }).class, Class::Turn);
        }
        if verdict.class == Class::Turn {
            prop_assert!(is_success(facts.status, facts.endpoint) && !repeat_of_success);
        }
    }
}
