//! What an invented team does: as unlike from one person to the next as a real one, a few editors, languages and models much and
//! many others now and then.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use copilens::copilot::observation::{Fate, Notice, Observation, SuggestionKind, SuggestionReport};
use copilens::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use copilens::exchange::ExchangeId;
use copilens::store::Noticed;
use copilens::usage::{Told, ToldSuggestion, UsageEvent, UserDay, id_digest};

/// Exchanges of a user on a day.
pub const A_DAY: usize = 25;

/// Each name with `Editor-Version`, the most used one first, as all lists here.
const EDITORS: [(&str, &str); 8] = [
    ("vscode", "vscode-1.99.0"),
    ("intellij", "JetBrains-IC-243.22562.220"),
    ("visualstudio", "VS-17.12.35527"),
    ("xcode", "Xcode-16.2"),
    ("eclipse", "Eclipse-4.34"),
    ("neovim", "Neovim-0.10.3"),
    ("vim", "Vim-9.1"),
    ("emacs", "Emacs-30.1"),
];
const FEATURES: [&str; 10] = [
    "code_completion",
    "chat_panel_agent_mode",
    "chat_panel_ask_mode",
    "chat_inline",
    "copilot_cli",
    "chat_panel_edit_mode",
    "chat_panel_plan_mode",
    "others",
    "chat_panel_custom_mode",
    "chat_panel_unknown_mode",
];
const LANGUAGES: [&str; 30] = [
    "python",
    "typescript",
    "java",
    "go",
    "csharp",
    "javascript",
    "cpp",
    "rust",
    "kotlin",
    "yaml",
    "markdown",
    "sql",
    "shellscript",
    "terraform",
    "ruby",
    "php",
    "swift",
    "c",
    "scala",
    "html",
    "css",
    "json",
    "dockerfile",
    "dart",
    "r",
    "lua",
    "perl",
    "haskell",
    "elixir",
    "toml",
];
const MODELS: [&str; 12] = [
    "gpt-4o-copilot",
    "claude-sonnet-4",
    "gpt-4.1",
    "gpt-5",
    "claude-opus-4",
    "gemini-2.5-pro",
    "o4-mini",
    "claude-sonnet-4.5",
    "gpt-5-mini",
    "grok-code-fast-1",
    "gpt-4o",
    "o3",
];

/// The name of a user.
pub fn user(number: usize) -> String {
    format!("user{number:05}")
}

/// A number that looks as if by chance.
pub fn chance(of: &[usize]) -> u64 {
    of.iter().fold(0xcbf2_9ce4_8422_2325, |hash, n| {
        let hash = (hash ^ *n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 29)
    })
}

/// One of the list: each is taken about half as often as the one that is half as far from its begin.
fn pick(list: &[&'static str], by_chance: u64) -> &'static str {
    let part = (by_chance >> 11) as f64 / (1_u64 << 53) as f64;
    list[((list.len() as f64).powf(part) - 1.0) as usize]
}

/// One of the few of a list that a user has.
fn of_user(list: &[&'static str], number: usize, kind: usize, by_chance: u64, few: u64) -> &'static str {
    pick(list, chance(&[number, kind, (by_chance % few) as usize]))
}

/// The `n`th exchange of the day of a user.
pub fn event(number: usize, n: usize, ended_at: DateTime<Utc>) -> UsageEvent {
    let by_chance = chance(&[number, n, ended_at.timestamp() as usize]);
    let uuid = format!("{:08x}-7a1c-4b2e-9f00-{:012x}", by_chance >> 32, by_chance & 0xffff_ffff_ffff);
    let names = EDITORS.map(|(name, _)| name);
    let ide = of_user(&names, number, 1, by_chance >> 3, if by_chance.is_multiple_of(9) { 2 } else { 1 });
    let editor = EDITORS.iter().find(|(name, _)| *name == ide).unwrap().1;
    let is_chat = n % 5 > 2;
    let feature = if is_chat { of_user(&FEATURES[1..], number, 2, by_chance >> 5, 3) } else { FEATURES[0] };
    let is_step = n % 5 == 4;
    let mut id = [0; 16];
    id[..6].copy_from_slice(&(ended_at.timestamp_millis() as u64).to_be_bytes()[2..]);
    id[6..14].copy_from_slice(&by_chance.to_be_bytes());
    id[14..].copy_from_slice(&(n as u16).to_be_bytes());
    UsageEvent {
        id: ExchangeId::from_bytes(id),
        user: user(number),
        started_at: ended_at - TimeDelta::milliseconds(400),
        ended_at,
        kind: if is_chat { Kind::Chat } else { Kind::Completions },
        class: if is_step { Class::Step } else { Class::Turn },
        reason: is_step.then(|| "agent_step".to_owned()),
        outcome: Outcome::Completed,
        status: Some(200),
        feature: feature.to_owned(),
        ide: Some(ide.to_owned()).filter(|_| feature != "copilot_cli"),
        editor: Some(editor.to_owned()),
        plugin: Some("copilot-chat/0.31.1".to_owned()),
        machine_id: Some(format!("{:016x}", chance(&[number])).repeat(4)),
        session_id: Some(format!("{:016x}", chance(&[number, 1])).repeat(3)),
        account: Some(format!("{:016x}", chance(&[number, 2])).repeat(2)),
        action: Some(if is_chat { "agent" } else { "ghost-text" }.to_owned()),
        language: Some(of_user(&LANGUAGES, number, 3, by_chance >> 9, 4).to_owned()),
        model: Some(if is_chat { of_user(&MODELS[1..], number, 4, by_chance >> 13, 3) } else { MODELS[0] }.to_owned()),
        model_version: None,
        request_id: Some(uuid.clone()),
        interaction_id: is_chat.then_some(uuid),
        host: "api.business.githubcopilot.com".to_owned(),
        streamed: true,
        tokens: Tokens {
            input: Some(9000 + by_chance % 999),
            output: Some(300 + by_chance % 99),
            cached: Some(8000 + by_chance % 499),
            ..Tokens::default()
        },
        nano_aiu: is_chat.then_some(3_100_000_000),
        edits: if is_step { Edits { files: 1, lines_added: 12, lines_removed: 3 } } else { Edits::default() },
        quotas: Vec::new(),
        generations: 1,
        lines_suggested: 4,
        characters_suggested: 130,
        first_byte_ms: Some(210.5),
        duration_ms: 400.25,
        request_bytes: 40_000,
        response_bytes: 5000,
    }
}

fn is_accepted(event: &UsageEvent) -> bool {
    event.tokens.input.unwrap().is_multiple_of(3)
}

/// What telemetry tells of a completion.
pub fn notice(event: &UsageEvent) -> Noticed {
    let report = |fate| {
        Observation::Suggestion(SuggestionReport {
            suggestion_id: format!("suggestion-{}", event.request_id.as_deref().unwrap()),
            kind: SuggestionKind::Completion,
            request_id: event.request_id.clone(),
            fate,
            lines: Some(4),
            characters: Some(130),
            language: event.language.clone(),
            model: None,
            editor_version: Some("vscode/1.99.0".to_owned()),
            time: None,
        })
    };
    let accepted = is_accepted(event).then(|| report(Fate::Accepted { partially: false }));
    let told = [report(Fate::Shown)].into_iter().chain(accepted).collect();
    Noticed { id: event.id, user: event.user.clone(), at: event.ended_at, notice: Notice::Telemetry(told) }
}

/// The roll-up of a day with its telemetry.
pub fn day(number: usize) -> UserDay {
    let start = NaiveDate::from_ymd_opt(2025, 1, 1).unwrap().and_hms_opt(9, 0, 0).unwrap().and_utc();
    let events: Vec<UsageEvent> = (0..A_DAY).map(|n| event(number, n, start + TimeDelta::minutes(n as i64))).collect();
    let shown = events.iter().filter(|event| event.kind == Kind::Completions).map(|event| ToldSuggestion {
        request: event.request_id.as_deref().map(id_digest),
        shown: true,
        accepted: is_accepted(event),
        lines_shown: 4,
        lines_accepted: 4,
        ..ToldSuggestion::default()
    });
    let suggestions = shown.collect();
    UserDay::of(&events, Told { telemetry: true, suggestions, ..Told::default() })
}
