//! The live counters: what is counted where, and that nothing a client sends makes them grow without bound.

use prometheus_client::encoding::text::encode;

use super::*;
use crate::copilot::vocabulary::{Edits, Tokens};
use crate::usage::sample::{chat, completion, noise, step};

fn told(usage: &Arc<UsageMetrics>) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    register_usage(&mut registry, Arc::clone(usage));
    encode(&mut text, &registry).unwrap();
    text
}

/// The samples of a family, without its metadata.
fn family<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let begins = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    text.lines().filter(begins).map(|line| &line[name.len()..]).collect()
}

fn counted(events: &[UsageEvent]) -> String {
    let usage = Arc::default();
    events.iter().for_each(|event| UsageMetrics::count(&usage, event, None));
    told(&usage)
}

#[test]
fn an_exchange_counts_by_what_clients_tell_of_it() {
    let text = counted(&[
        completion(1, "ada"),
        completion(2, "grace"),
        chat(3, "ada"),
        step(4, "ada"),
        noise(5, "ada", "status"),
    ]);
    assert_eq!(
        family(&text, "copilens_usage_turns_total"),
        [
            r#"{feature="chat_panel_ask_mode",ide="vscode",language="unknown",model="gpt-4o"} 1"#,
            r#"{feature="code_completion",ide="vscode",language="python",model="gpt-4o-copilot"} 2"#,
        ]
    );
    let chat = r#"{feature="chat_panel_ask_mode",ide="vscode",model="gpt-4o"}"#;
    assert_eq!(family(&text, "copilens_usage_steps_total"), [format!("{chat} 1")]);
    assert_eq!(family(&text, "copilens_usage_interactions_total"), [format!("{chat} 1")]);
    assert_eq!(family(&text, "copilens_usage_input_tokens_total"), [format!("{chat} 1800")]);
    assert_eq!(family(&text, "copilens_usage_cached_input_tokens_total"), [format!("{chat} 1024")]);
    assert!(family(&text, "copilens_usage_reasoning_output_tokens_total").is_empty(), "nobody told of any");
    let suggestions = r#"{ide="vscode",language="python",model="gpt-4o-copilot"}"#;
    assert_eq!(family(&text, "copilens_usage_suggestions_returned_total"), [format!("{suggestions} 2")]);
    assert_eq!(family(&text, "copilens_usage_suggestion_lines_returned_total"), [format!("{suggestions} 4")]);
    assert!(!text.contains("ada") && !text.contains("user="), "{text}");
}

#[test]
fn turns_of_one_interaction_are_one_and_file_edits_are_a_feature_of_their_own() {
    let again = UsageEvent { interaction_id: Some("interaction-1".to_owned()), ..chat(2, "ada") };
    let edits = Edits { files: 1, lines_added: 5, lines_removed: 2 };
    let edit = UsageEvent { edits, nano_aiu: Some(1_500_000_000), ..step(3, "ada") };
    let cli = UsageEvent { edits, ide: None, feature: "copilot_cli".to_owned(), ..chat(4, "ada") };
    let text = counted(&[chat(1, "ada"), again, edit, cli]);
    assert_eq!(
        family(&text, "copilens_usage_interactions_total"),
        [
            r#"{feature="chat_panel_ask_mode",ide="vscode",model="gpt-4o"} 1"#,
            r#"{feature="copilot_cli",ide="copilot_cli",model="gpt-4o"} 1"#
        ]
    );
    assert_eq!(
        family(&text, "copilens_usage_file_lines_added_total"),
        [
            r#"{feature="agent_edit",ide="vscode",model="gpt-4o"} 5"#,
            r#"{feature="copilot_cli",ide="copilot_cli",model="gpt-4o"} 5"#
        ]
    );
    let credits = family(&text, "copilens_usage_ai_credits_total");
    assert_eq!(credits, [r#"{feature="chat_panel_ask_mode",ide="vscode",model="gpt-4o"} 1.5"#]);
}

#[test]
fn calls_are_in_the_buckets_of_opentelemetrys_conventions() {
    let whole = UsageEvent { streamed: false, ..chat(2, "ada") };
    let text = counted(&[chat(1, "ada"), whole]);
    let labels = r#"gen_ai_operation_name="chat",gen_ai_provider_name="github",gen_ai_response_model="gpt-4o""#;
    let bucket = |name: &str, le: &str| {
        family(&text, &format!("{name}_bucket"))
            .into_iter()
            .find(|line| line.contains(&format!("le=\"{le}\"")))
            .unwrap()
    };
    let duration = "gen_ai_client_operation_duration_seconds";
    assert_eq!(bucket(duration, "0.16"), format!(r#"{{le="0.16",{labels}}} 0"#));
    assert_eq!(bucket(duration, "0.32"), format!(r#"{{le="0.32",{labels}}} 2"#));
    assert!(bucket("gen_ai_client_operation_time_to_first_chunk_seconds", "0.16").ends_with(" 1"));
    assert!(bucket("gen_ai_client_token_usage", "1024.0").ends_with(r#"gen_ai_token_type="input"} 2"#));
    assert_eq!(text.matches("gen_ai_client_operation_duration_seconds_bucket{").count(), 15);
}

#[test]
fn what_telemetry_tells_is_counted_where_it_tells() {
    let usage = Arc::<UsageMetrics>::default();
    let mut more = Acceptance::default();
    (more.completions.shown, more.completions.accepted, more.completions.lines_accepted) = (3, 1, 4);
    more.chat.copied = 2;
    let gained = Gained { user: "ada", editor: Some("vscode/1.99.0"), language: Some("go"), model: None, more: &more };
    usage.gain(gained, Some(5));
    usage.gain(Gained { editor: None, ..gained }, Some(5));
    let text = told(&usage);
    let [others, vscode] = ["others", "vscode"].map(|ide| format!(r#"{{ide="{ide}",language="go",model="unknown"}}"#));
    let both = |count| [format!("{others} {count}"), format!("{vscode} {count}")];
    assert_eq!(family(&text, "copilens_usage_suggestions_shown_total"), both(3));
    assert_eq!(family(&text, "copilens_usage_suggestions_accepted_total"), both(1));
    assert_eq!(
        family(&text, "copilens_usage_suggestions_rejected_total"),
        both(0),
        "that nobody rejected one is known"
    );
    assert_eq!(family(&text, "copilens_usage_suggestion_lines_accepted_total"), both(4));
    let actions = family(&text, "copilens_usage_chat_actions_total");
    assert_eq!(actions, [r#"{action="copied",language="go",model="unknown"} 4"#]);
    assert_eq!(family(&text, "copilens_usage_user_suggestions_accepted_total"), [r#"{user="ada"} 2"#]);
}

#[test]
fn however_many_words_clients_send_the_series_are_few_and_every_sum_is_right() {
    let usage = Arc::<UsageMetrics>::default();
    for n in 0..5000_u32 {
        let word = |of| Some(format!("{of}-{}", n % 997));
        let (language, model) = (word("language"), word("model"));
        let ide = word("ide");
        usage.count(&UsageEvent { ide, language, model, ..completion(n, "ada") }, Some(10));
    }
    let odd = UsageEvent { language: Some("a\0b".to_owned()), model: Some("x".repeat(101)), ..completion(1, "ada") };
    usage.count(&odd, Some(10));
    let text = told(&usage);
    let turns = family(&text, "copilens_usage_turns_total");
    let sum: u64 = turns.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 5001);
    assert!(turns.len() <= 1000 + 17 * 17, "{}", turns.len());
    assert!(family(&text, "copilens_usage_steps_total").is_empty());
    assert!(family(&text, "gen_ai_client_operation_duration_seconds_count").len() <= 33);
    assert!(text.len() < 2_000_000 && !text.contains('\0'), "{}", text.len());
    let limited = family(&text, "copilens_usage_limited_total");
    assert!(limited.iter().any(|line| line.starts_with(r#"{limit="models"}"#) && !line.ends_with(" 0")), "{limited:?}");
}

#[test]
fn users_beyond_the_limit_are_one_and_nobody_is_named_without_the_setting() {
    let usage = Arc::<UsageMetrics>::default();
    let users: Vec<String> = (0..8).map(|n| format!("user-{n}")).collect();
    for (n, user) in (0..).zip(users.iter().chain(&users)) {
        usage.count(&completion(n, user), Some(3));
    }
    let text = told(&usage);
    let turns = family(&text, "copilens_usage_user_turns_total");
    assert_eq!(
        turns,
        [r#"{user="others"} 10"#, r#"{user="user-0"} 2"#, r#"{user="user-1"} 2"#, r#"{user="user-2"} 2"#]
    );
    assert!(text.contains("copilens_usage_limited_total{limit=\"users\"} 10\n"), "{text}");
    usage.count(&completion(99, "user-0"), None);
    assert!(!told(&usage).contains("user-0"));
}

#[test]
fn tokens_that_nobody_told_are_in_no_series() {
    let untold = UsageEvent { tokens: Tokens::default(), ..chat(1, "ada") };
    let text = counted(&[untold]);
    assert!(family(&text, "copilens_usage_input_tokens_total").is_empty());
    assert!(family(&text, "gen_ai_client_token_usage_count").is_empty());
}
