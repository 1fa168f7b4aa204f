//! All that a client sends for one prompt, which is one turn. The shapes are real ones, the values invented.

use serde_json::{Value, json};

use super::*;

/// What a client sends for one prompt, in the order in which the answers end; the interaction is the same for all.
fn turn(requests: &[(Headers<'_>, Value)]) -> Vec<String> {
    turn_at("/chat/completions", requests)
}

fn turn_at(path: &str, requests: &[(Headers<'_>, Value)]) -> Vec<String> {
    let mut had_turn = false;
    let mut verdicts = Vec::new();
    for (headers, request) in requests {
        let history = History { same_turn: had_turn, ..History::default() };
        let url = format!("https://api.business.githubcopilot.com{path}");
        let exchange = sample::at(&url, headers, &request.to_string(), "");
        let verdict = classify(&facts(&exchange), history);
        had_turn |= verdict.class == Class::Turn;
        verdicts.push(told(verdict));
    }
    verdicts
}

fn ask() -> Value {
    json!({"tools": [{}, {}], "tool_choice": "auto", "messages": [{"role": "user", "content": "say hello"}]})
}

#[test]
fn the_language_servers_prompt_and_its_follow_up_are_one_turn() {
    let panel = ("x-interaction-type", "conversation-panel");
    let follow_up = json!({
        "messages": [{"role": "user", "content": "history"}, {"role": "system", "content": "suggest"}],
        "tools": [{"type": "function", "function": {"name": "showSuggestions"}}],
        "tool_choice": {"type": "function", "function": {"name": "showSuggestions"}}
    });
    let answer: Headers<'_> = &[JETBRAINS, USER, panel, ("openai-intent", "conversation-agent")];
    let helper: Headers<'_> = &[JETBRAINS, USER, panel, ("openai-intent", "conversation-panel")];
    let told = turn(&[(answer, ask()), (helper, follow_up.clone())]);
    assert_eq!(told, ["turn", "noise forced_tool"]);
    assert_eq!(turn(&[(helper, follow_up), (answer, ask())]), ["noise forced_tool", "turn"]);
}

/// An agent's follow-up call says `agent`, that of a question `user`.
#[test]
fn the_language_servers_agent_loop_and_its_follow_up_are_one_turn() {
    let agent = ("x-interaction-type", "conversation-agent");
    let intent = ("openai-intent", "conversation-agent");
    let result = json!({"tools": [{}, {}], "tool_choice": "auto",
        "messages": [{"role": "user", "content": "look"}, {"role": "assistant"}, {"role": "tool", "content": "a.rs"}]});
    let follow_up = json!({"model": "demo-mini", "tools": [{"type": "function"}],
        "tool_choice": {"type": "function", "function": {"name": "showSuggestions"}},
        "messages": [{"role": "user", "content": "history"}]});
    let helper: Headers<'_> = &[JETBRAINS, AGENT, agent, ("openai-intent", "conversation-panel")];
    let requests: [(Headers<'_>, Value); 4] = [
        (&[JETBRAINS, USER, agent, intent], ask()),
        (&[JETBRAINS, AGENT, agent, intent], result),
        (helper, follow_up.clone()),
        // Sent again where the answer did not end with `stop`.
        (helper, follow_up),
    ];
    assert_eq!(turn(&requests), ["turn", "step agent_tools", "noise forced_tool", "noise forced_tool"]);
}

#[test]
fn vscodes_agent_loop_is_one_turn() {
    let intent = ("openai-intent", "conversation-agent");
    let kind = |kind: &'static str| ("x-interaction-type", kind);
    let result = json!({"tools": [{}], "messages": [{"role": "user"}, {"role": "assistant"}, {"role": "tool"}]});
    let title: Headers<'_> = &[VSCODE, AGENT, intent, kind("conversation-background")];
    let prompt: Headers<'_> = &[VSCODE, USER, intent, kind("conversation-agent")];
    let follow_up: Headers<'_> = &[VSCODE, AGENT, intent, kind("conversation-agent")];
    let subagent: Headers<'_> = &[VSCODE, AGENT, intent, kind("conversation-subagent")];
    let summary: Headers<'_> = &[VSCODE, AGENT, intent, kind("conversation-compaction")];
    let requests = [
        (title, ask()),
        (prompt, ask()),
        (follow_up, result.clone()),
        (subagent, ask()),
        (summary, ask()),
        (follow_up, result),
        // A hook that forbade to stop: the loop goes on as if the person had asked.
        (prompt, ask()),
    ];
    let expected = [
        "noise background",
        "turn",
        "step agent_initiated",
        "step subagent",
        "step compaction",
        "step agent_initiated",
        "step same_turn",
    ];
    assert_eq!(turn(&requests), expected);
}

#[test]
fn the_clis_tool_loop_is_one_turn_on_each_of_its_endpoints() {
    let responses = |item: Value| json!({"model": "demo-codex", "instructions": "s", "input": [item], "tools": [{}]});
    let messages = |part: Value| {
        json!({"model": "demo-sonnet", "system": [{"type": "text", "text": "s"}],
        "messages": [{"role": "user", "content": [part]}], "tools": [{}]})
    };
    let loops = [
        (
            "/responses",
            responses(json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]})),
            responses(json!({"type": "function_call_output", "call_id": "k1", "output": "ok"})),
        ),
        (
            "/v1/messages",
            messages(json!({"type": "text", "text": "hi"})),
            messages(json!({"type": "tool_result", "tool_use_id": "k1", "content": "ok"})),
        ),
    ];
    let typed = ("x-interaction-type", "conversation-user");
    let (user, agent): (Headers<'_>, Headers<'_>) =
        (&[CLI, USER, typed], &[CLI, AGENT, ("x-interaction-type", "conversation-agent")]);
    for (path, prompt, result) in loops {
        let told = turn_at(path, &[(user, prompt.clone()), (agent, result.clone())]);
        assert_eq!(told, ["turn", "step agent_initiated"], "{path}");
        // An upgrade's headers stand for all its messages where they do not say otherwise.
        assert_eq!(turn_at(path, &[(user, prompt), (user, result)]), ["turn", "step tool_results"], "{path}");
    }
}

/// Its calls have an interaction of their own, in which there was no turn.
#[test]
fn the_clis_sub_agent_is_a_step_though_its_interaction_is_its_own() {
    let headers: Headers<'_> = &[
        CLI,
        AGENT,
        ("openai-intent", "conversation-agent"),
        ("x-interaction-type", "conversation-subagent"),
        ("x-interaction-id", "another"),
    ];
    assert_eq!(turn(&[(headers, ask()), (headers, ask())]), ["step subagent", "step subagent"]);
}

#[test]
fn a_client_without_initiators_is_told_by_who_spoke_last() {
    let result = json!({"messages": [{"role": "user"}, {"role": "assistant"}, {"role": "tool"}]});
    let headers: Headers<'_> = &[NEOVIM];
    assert_eq!(turn(&[(headers, ask()), (headers, result)]), ["turn", "step tool_results"]);
}
