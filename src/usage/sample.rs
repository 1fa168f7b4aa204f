//! Invented events for tests of everything that counts them.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::UsageEvent;
use crate::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use crate::exchange::ExchangeId;

/// The day that sample events are booked on: 2025-03-14.
pub(crate) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, 3, 14, 12, 0, 0).unwrap()
}

/// Sample id number `n`; ids sort as their numbers.
pub(crate) fn id(n: u128) -> ExchangeId {
    ExchangeId::from_bytes(n.to_be_bytes())
}

/// A completion turn in Python by `user`, `n` seconds after noon, of an account of their own, nothing unknown but its tokens.
pub(crate) fn completion(n: u32, user: &str) -> UsageEvent {
    let ended_at = noon() + TimeDelta::seconds(n.into());
    UsageEvent {
        id: id(n.into()),
        user: user.to_owned(),
        started_at: ended_at - TimeDelta::milliseconds(188),
        ended_at,
        kind: Kind::Completions,
        class: Class::Turn,
        reason: None,
        outcome: Outcome::Completed,
        status: Some(200),
        feature: "code_completion".to_owned(),
        ide: Some("vscode".to_owned()),
        editor: Some("vscode-1.99.0".to_owned()),
        plugin: Some("copilot/1.297.0".to_owned()),
        machine_id: Some("a1b2c3".to_owned()),
        session_id: Some("s1".to_owned()),
        account: Some(format!("{user}-account")),
        action: None,
        language: Some("python".to_owned()),
        model: Some("gpt-4o-copilot".to_owned()),
        model_version: Some("2025-01-20".to_owned()),
        request_id: Some(format!("request-{n}")),
        interaction_id: None,
        host: "proxy.example.com".to_owned(),
        streamed: true,
        tokens: Tokens::default(),
        nano_aiu: None,
        edits: Edits::default(),
        quotas: Vec::new(),
        generations: 1,
        lines_suggested: 2,
        characters_suggested: 64,
        first_byte_ms: Some(101.25),
        duration_ms: 188.354,
        request_bytes: 2048,
        response_bytes: 512,
    }
}

/// A chat turn by `user`, `n` seconds after noon, of an interaction of its own.
pub(crate) fn chat(n: u32, user: &str) -> UsageEvent {
    UsageEvent {
        kind: Kind::Chat,
        feature: "chat_panel_ask_mode".to_owned(),
        language: None,
        model: Some("gpt-4o".to_owned()),
        interaction_id: Some(format!("interaction-{n}")),
        tokens: Tokens { input: Some(900), output: Some(120), cached: Some(512), ..Tokens::default() },
        ..completion(n, user)
    }
}

/// An agent's follow-up call.
pub(crate) fn step(n: u32, user: &str) -> UsageEvent {
    UsageEvent { class: Class::Step, reason: Some("agent_step".to_owned()), ..chat(n, user) }
}

/// A completion that counts for nothing.
pub(crate) fn noise(n: u32, user: &str, reason: &str) -> UsageEvent {
    UsageEvent { class: Class::Noise, reason: Some(reason.to_owned()), ..completion(n, user) }
}

/// Up to 40 events with ids of their own, of three users on the sample day, alike often enough to share their groups.
pub(crate) fn any_events() -> impl Strategy<Value = Vec<UsageEvent>> {
    vec(any_event(), 0..40).prop_map(|mut events| {
        for (n, event) in events.iter_mut().enumerate() {
            event.id = id(n as u128);
        }
        events
    })
}

/// As [`any_events`], of every feature and of several editors, days and sessions.
pub(crate) fn any_usage() -> impl Strategy<Value = Vec<UsageEvent>> {
    any_events().prop_flat_map(|events| {
        let features = vec![
            "chat_panel_ask_mode",
            "chat_panel_agent_mode",
            "chat_inline",
            "agent_edit",
            "copilot_cli",
            "copilot_app",
            "others",
        ];
        let ides = option::of(select(vec!["vscode", "intellij"]));
        let days = select(vec![-20_i64, -1, 0, 17, 18, 50]);
        let more = vec((select(features), ides, days, option::of(0..3_u8), 0..3_u64), events.len());
        (Just(events), more).prop_map(|(events, more)| {
            let varied = events.into_iter().zip(more).map(|(event, (feature, ide, days, session, generations))| {
                let feature = if event.kind == Kind::Chat { feature } else { "code_completion" };
                UsageEvent {
                    ended_at: event.ended_at + TimeDelta::days(days),
                    feature: feature.to_owned(),
                    ide: ide.map(str::to_owned),
                    session_id: session.map(|n| format!("session-{n}")),
                    generations,
                    ..event
                }
            });
            varied.collect()
        })
    })
}

fn any_event() -> impl Strategy<Value = UsageEvent> {
    let who = (select(vec!["ada", "grace", "linus"]), 0..43_200_000_000_i64, option::of(0..9_999_u64));
    let what = (
        select(vec![Kind::Completions, Kind::Chat]),
        select(vec![Class::Turn, Class::Step, Class::Noise]),
        select(vec![Outcome::Completed, Outcome::Canceled, Outcome::Failed]),
        option::of(select(vec![200_u16, 201, 304, 429])),
    );
    let names = (name("editor"), name("language"), name("model"), name("interaction"), name("request"), name("action"));
    let numbers = (option::of(0..9_u64), option::of(0..9_u64), option::of(0..9_u64), 0..9_u64);
    let amounts = (option::of(0..9_u64), option::of(0..9_u64), option::of(0..9_u64), 0..9_u64, 0..9_u64, 0..9_u64);
    let parts = (who, what, names, numbers, amounts);
    parts.prop_map(|((user, micros, first_byte), what, names, numbers, amounts)| UsageEvent {
        ended_at: noon() + TimeDelta::microseconds(micros),
        first_byte_ms: first_byte.map(|ms| ms as f64 / 7.0),
        kind: what.0,
        class: what.1,
        outcome: what.2,
        status: what.3,
        editor: names.0,
        language: names.1,
        model: names.2,
        interaction_id: names.3,
        request_id: names.4,
        action: names.5,
        tokens: Tokens {
            input: numbers.0,
            output: numbers.1,
            cached: numbers.2,
            cache_written: amounts.0,
            reasoning: amounts.1,
        },
        nano_aiu: amounts.2,
        edits: Edits { files: amounts.3, lines_added: amounts.4, lines_removed: amounts.5 },
        lines_suggested: numbers.3,
        ..completion(0, user)
    })
}

fn name(of: &'static str) -> impl Strategy<Value = Option<String>> {
    option::of((0..3_u8).prop_map(move |n| format!("{of}-{n}")))
}
