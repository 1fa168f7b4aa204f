//! The daily file `logs/metrics/copilot-usage_<day>.json`: the legacy add-on's keys in its order and indentation, so that
//! the scripts of its users go on working, and ours after them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{Acceptance, DayUsage, UserUsage};
use crate::copilot::vocabulary::{Edits, Tokens};

#[derive(Serialize)]
struct DayFile<'a> {
    day: NaiveDate,
    total_chat_turns: u64,
    total_completions_count: u64,
    usage: BTreeMap<&'a str, UserEntry<'a>>,
}

#[derive(Serialize)]
struct UserEntry<'a> {
    chat_turns: u64,
    completions_count: u64,
    chat: &'a BTreeMap<String, u64>,
    completions: &'a BTreeMap<String, BTreeMap<String, u64>>,
    // Ours. What is unknown is absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    models: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    features: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    actions: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nano_aiu: Option<u64>,
    #[serde(skip_serializing_if = "Edits::is_none")]
    edits: Edits,
    interactions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
    lines_suggested: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acceptance: Option<&'a Acceptance>,
}

/// `None` where there is nothing but zeros.
fn told<T: Default + PartialEq>(counts: &T) -> Option<&T> {
    Some(counts).filter(|counts| **counts != T::default())
}

impl<'a> From<&'a UserUsage> for UserEntry<'a> {
    fn from(usage: &'a UserUsage) -> Self {
        let suggestions = usage.acceptance.as_ref().and_then(Acceptance::suggestions);
        Self {
            chat_turns: usage.chat_turns(),
            completions_count: usage.completions_count(),
            chat: &usage.chat,
            completions: &usage.completions,
            models: &usage.models,
            features: &usage.features,
            actions: &usage.actions,
            tokens: told(&usage.tokens).copied(),
            nano_aiu: usage.nano_aiu,
            edits: usage.edits,
            interactions: usage.interactions(),
            shown: suggestions.map(|fates| fates.shown),
            accepted: suggestions.map(|fates| fates.accepted),
            lines_suggested: usage.lines_suggested,
            lines_accepted: suggestions.and_then(|fates| fates.told().lines_accepted),
            acceptance: usage.acceptance.as_ref().and_then(told),
        }
    }
}

impl DayUsage {
    /// The text of the daily file: 4-space indentation, users, editors and languages sorted, no newline at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
        #[expect(clippy::expect_used, reason = "string keys, integers and memory cannot fail to be written")]
        self.as_file().serialize(&mut serializer).expect("a day is JSON");
        String::from_utf8_lossy(&text).into_owned()
    }

    fn as_file(&self) -> DayFile<'_> {
        DayFile {
            day: self.day,
            total_chat_turns: self.users.values().map(UserUsage::chat_turns).sum(),
            total_completions_count: self.users.values().map(UserUsage::completions_count).sum(),
            usage: self.users.iter().map(|(name, usage)| (name.as_str(), usage.into())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::sample::{chat, completion, noise, noon, step};
    use super::super::{ChatActions, Fates, UsageEvent};
    use super::*;

    /// A day as the legacy add-on would have written it for [`legacy_like_day`].
    const LEGACY: &str = r#"{
    "day": "2025-03-14",
    "total_chat_turns": 3,
    "total_completions_count": 4,
    "usage": {
        "ada": {
            "chat_turns": 1,
            "completions_count": 3,
            "chat": {
                "vscode-1.99.0": 1
            },
            "completions": {
                "JetBrains-IU-251.1": {
                    "java": 1
                },
                "vscode-1.99.0": {
                    "python": 2
                }
            }
        },
        "grace": {
            "chat_turns": 2,
            "completions_count": 0,
            "chat": {
                "vscode-1.99.0": 2
            },
            "completions": {}
        },
        "linus": {
            "chat_turns": 0,
            "completions_count": 1,
            "chat": {},
            "completions": {
                "vscode-1.99.0": {
                    "python": 1
                }
            }
        }
    }
}"#;

    fn day_of(events: &[UsageEvent]) -> DayUsage {
        let mut day = DayUsage::new(noon().date_naive());
        events.iter().for_each(|event| day.add(event));
        day
    }

    fn legacy_like_day() -> DayUsage {
        let java = UsageEvent {
            editor: Some("JetBrains-IU-251.1".to_owned()),
            language: Some("java".to_owned()),
            ..completion(3, "ada")
        };
        day_of(&[
            completion(7, "linus"),
            completion(1, "ada"),
            completion(2, "ada"),
            java,
            chat(4, "ada"),
            chat(5, "grace"),
            chat(6, "grace"),
        ])
    }

    fn in_4_spaces(value: &Value) -> String {
        let mut text = Vec::new();
        value.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "))).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn without_our_keys_it_is_the_legacy_file_byte_for_byte() {
        let mut file: Value = serde_json::from_str(&legacy_like_day().to_json()).unwrap();
        for user in file["usage"].as_object_mut().unwrap().values_mut() {
            let legacy = ["chat_turns", "completions_count", "chat", "completions"];
            user.as_object_mut().unwrap().retain(|key, _| legacy.contains(&key.as_str()));
        }
        assert_eq!(in_4_spaces(&file), LEGACY);
    }

    #[test]
    fn our_keys_stand_after_the_legacy_ones() {
        let file: Value = serde_json::from_str(&legacy_like_day().to_json()).unwrap();
        let keys: Vec<_> = file["usage"]["ada"].as_object().unwrap().keys().collect();
        let legacy = ["chat_turns", "completions_count", "chat", "completions"];
        let ours = ["models", "features", "tokens", "interactions", "lines_suggested"];
        assert_eq!(keys, [legacy.as_slice(), ours.as_slice()].concat());
    }

    #[test]
    fn a_day_as_a_file() {
        let unknown = UsageEvent { editor: None, language: None, model: None, ..completion(4, "grace") };
        let events = [
            completion(1, "ada"),
            chat(2, "ada"),
            step(3, "ada"),
            unknown,
            step(5, "linus"),
            noise(6, "mary", "no_text"),
        ];
        insta::assert_snapshot!(day_of(&events).to_json(), @r#"
        {
            "day": "2025-03-14",
            "total_chat_turns": 1,
            "total_completions_count": 2,
            "usage": {
                "ada": {
                    "chat_turns": 1,
                    "completions_count": 1,
                    "chat": {
                        "vscode-1.99.0": 1
                    },
                    "completions": {
                        "vscode-1.99.0": {
                            "python": 1
                        }
                    },
                    "models": {
                        "gpt-4o": 1,
                        "gpt-4o-copilot": 1
                    },
                    "features": {
                        "chat_panel_ask_mode": 1,
                        "code_completion": 1
                    },
                    "tokens": {
                        "input": 1800,
                        "output": 240,
                        "cached": 1024
                    },
                    "interactions": 1,
                    "lines_suggested": 4
                },
                "grace": {
                    "chat_turns": 0,
                    "completions_count": 1,
                    "chat": {},
                    "completions": {
                        "unknown": {
                            "unknown": 1
                        }
                    },
                    "features": {
                        "code_completion": 1
                    },
                    "interactions": 0,
                    "lines_suggested": 2
                },
                "linus": {
                    "chat_turns": 0,
                    "completions_count": 0,
                    "chat": {},
                    "completions": {},
                    "tokens": {
                        "input": 900,
                        "output": 120,
                        "cached": 512
                    },
                    "interactions": 0,
                    "lines_suggested": 0
                }
            }
        }
        "#);
    }

    #[test]
    fn what_telemetry_and_agents_tell_stands_beside_the_rest() {
        let agent = UsageEvent {
            action: Some("agent".to_owned()),
            tokens: Tokens {
                input: Some(900),
                output: Some(120),
                cached: Some(512),
                cache_written: Some(64),
                reasoning: Some(80),
            },
            nano_aiu: Some(3_100_000),
            edits: Edits { files: 2, lines_added: 30, lines_removed: 4 },
            ..chat(2, "ada")
        };
        let mut day = day_of(&[completion(1, "ada"), agent, chat(3, "grace")]);
        let acceptance = Acceptance {
            completions: Fates { shown: 3, accepted: 2, accepted_partially: 1, lines_accepted: 5, ..Fates::default() },
            next_edits: Fates { shown: 1, rejected: 1, ..Fates::default() },
            chat: ChatActions { copied: 1, lines: 7, ..ChatActions::default() },
            ..Acceptance::default()
        };
        // Mary's clients sent telemetry, but nothing that counts, and she asked nothing.
        let users = [("ada", acceptance), ("mary", Acceptance::default())];
        day.set_acceptance(users.map(|(user, acceptance)| (user.to_owned(), acceptance)).into());
        insta::assert_snapshot!(day.to_json(), @r#"
        {
            "day": "2025-03-14",
            "total_chat_turns": 2,
            "total_completions_count": 1,
            "usage": {
                "ada": {
                    "chat_turns": 1,
                    "completions_count": 1,
                    "chat": {
                        "vscode-1.99.0": 1
                    },
                    "completions": {
                        "vscode-1.99.0": {
                            "python": 1
                        }
                    },
                    "models": {
                        "gpt-4o": 1,
                        "gpt-4o-copilot": 1
                    },
                    "features": {
                        "chat_panel_ask_mode": 1,
                        "code_completion": 1
                    },
                    "actions": {
                        "agent": 1
                    },
                    "tokens": {
                        "input": 900,
                        "output": 120,
                        "cached": 512,
                        "cache_written": 64,
                        "reasoning": 80
                    },
                    "nano_aiu": 3100000,
                    "edits": {
                        "files": 2,
                        "lines_added": 30,
                        "lines_removed": 4
                    },
                    "interactions": 1,
                    "shown": 4,
                    "accepted": 2,
                    "lines_suggested": 4,
                    "lines_accepted": 5,
                    "acceptance": {
                        "completions": {
                            "shown": 3,
                            "accepted": 2,
                            "accepted_partially": 1,
                            "rejected": 0,
                            "lines_accepted": 5
                        },
                        "next_edits": {
                            "shown": 1,
                            "accepted": 0,
                            "accepted_partially": 0,
                            "rejected": 1,
                            "lines_accepted": 0,
                            "characters_accepted": 0,
                            "kept": 0,
                            "lost": 0
                        },
                        "chat": {
                            "copied": 1,
                            "inserted": 0,
                            "applied": 0,
                            "edits_kept": 0,
                            "edits_undone": 0,
                            "lines": 7
                        }
                    }
                },
                "grace": {
                    "chat_turns": 1,
                    "completions_count": 0,
                    "chat": {
                        "vscode-1.99.0": 1
                    },
                    "completions": {},
                    "models": {
                        "gpt-4o": 1
                    },
                    "features": {
                        "chat_panel_ask_mode": 1
                    },
                    "tokens": {
                        "input": 900,
                        "output": 120,
                        "cached": 512
                    },
                    "interactions": 1,
                    "lines_suggested": 2
                },
                "mary": {
                    "chat_turns": 0,
                    "completions_count": 0,
                    "chat": {},
                    "completions": {},
                    "interactions": 0,
                    "shown": 0,
                    "accepted": 0,
                    "lines_suggested": 0,
                    "lines_accepted": 0
                }
            }
        }
        "#);
    }

    #[test]
    fn a_day_without_events_is_a_file_too() {
        insta::assert_snapshot!(day_of(&[]).to_json(), @r#"
        {
            "day": "2025-03-14",
            "total_chat_turns": 0,
            "total_completions_count": 0,
            "usage": {}
        }
        "#);
    }
}
