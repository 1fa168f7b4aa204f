//! The answer of `/orgs/{org}/copilot/metrics`, in the last shape that it had before GitHub closed it in April 2026 (REST API
//! 2022-11-28, "Get Copilot metrics for an organization").
//!
//! Of dotcom chat and pull requests the proxy sees nothing; they are as GitHub had them for organisations without.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::Serialize;

use super::Gaps;
use super::activity::COMPLETION;
use crate::usage::{Cell, Counts, Engagement, OrganizationDay};

/// One day of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClosedMetrics {
    /// The day.
    pub date: NaiveDate,
    total_active_users: u64,
    total_engaged_users: u64,
    copilot_ide_code_completions: Completions,
    copilot_ide_chat: Chat,
    #[serde(skip_serializing_if = "Option::is_none")]
    copilot_dotcom_chat: Option<Dotcom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copilot_dotcom_pull_requests: Option<Dotcom>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Dotcom {
    total_engaged_users: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Completions {
    #[serde(skip_serializing_if = "Option::is_none")]
    total_engaged_users: Option<u64>,
    languages: Vec<Language>,
    editors: Vec<Editor<CompletionModel>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Chat {
    total_engaged_users: u64,
    editors: Vec<Editor<ChatModel>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Language {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_engaged_users: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Editor<M> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_engaged_users: Option<u64>,
    models: Vec<M>,
}

/// Names a model. The proxy sees no sign of one that GitHub trained for the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Model {
    name: String,
    is_custom_model: bool,
    custom_model_training_date: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_engaged_users: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct CompletionModel {
    #[serde(flatten)]
    model: Model,
    languages: Vec<LanguageCounts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LanguageCounts {
    #[serde(flatten)]
    language: Language,
    total_code_suggestions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_code_acceptances: Option<u64>,
    total_code_lines_suggested: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_code_lines_accepted: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ChatModel {
    #[serde(flatten)]
    model: Model,
    total_chats: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_chat_insertion_events: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_chat_copy_events: Option<u64>,
}

/// The sums of one day under the names of editors and models; completions are told apart by language, too.
#[derive(Default)]
struct Sums<'a> {
    completions: BTreeMap<&'a str, BTreeMap<&'a str, BTreeMap<&'a str, Counts>>>,
    chat: BTreeMap<&'a str, BTreeMap<&'a str, Counts>>,
}

impl<'a> Sums<'a> {
    fn of(usage: &'a OrganizationDay) -> Self {
        let mut sums = Self::default();
        for (cell, counts) in &usage.cells {
            sums.add(cell, counts);
        }
        sums
    }

    fn add(&mut self, cell: &'a Cell, counts: &Counts) {
        let Counts { interactions, generations, acceptances, lines_suggested, lines_added, copied, inserted, .. } =
            *counts;
        if cell.feature == COMPLETION && [generations, acceptances, lines_suggested, lines_added] != [0; 4] {
            let models = self.completions.entry(&cell.ide).or_default();
            models.entry(&cell.model).or_default().entry(&cell.language).or_default().add(counts);
        }
        if cell.feature.starts_with("chat_") && [interactions, copied, inserted] != [0; 3] {
            self.chat.entry(&cell.ide).or_default().entry(&cell.model).or_default().add(counts);
        }
    }
}

/// Users by line, and what of it is known.
struct Users<'a> {
    usage: &'a OrganizationDay,
    /// Whether acceptances are known, and with them who accepted.
    telemetry: bool,
    gaps: Gaps,
}

impl Users<'_> {
    fn engaged(&self, chat: bool, [editor, model, language]: [Option<&str>; 3]) -> Option<u64> {
        let name = |name: Option<&str>| name.map(ToOwned::to_owned);
        let line = Engagement { chat, editor: name(editor), model: name(model), language: name(language) };
        let users = self.usage.engaged.get(&line).copied().unwrap_or_default();
        if chat { Some(users) } else { self.told(users) }
    }

    /// A count that telemetry alone tells.
    fn told(&self, count: u64) -> Option<u64> {
        self.gaps.count(count, self.telemetry)
    }

    fn model(&self, chat: bool, editor: &str, name: &str) -> Model {
        Model {
            name: name.to_owned(),
            is_custom_model: false,
            custom_model_training_date: None,
            total_engaged_users: self.engaged(chat, [Some(editor), Some(name), None]),
        }
    }

    fn editor<M>(&self, chat: bool, name: &str, models: Vec<M>) -> Editor<M> {
        let total_engaged_users = self.engaged(chat, [Some(name), None, None]);
        Editor { name: name.to_owned(), total_engaged_users, models }
    }

    fn language(&self, place: [Option<&str>; 2], name: &str) -> Language {
        let [editor, model] = place;
        Language { name: name.to_owned(), total_engaged_users: self.engaged(false, [editor, model, Some(name)]) }
    }

    fn completions(&self, sums: &Sums<'_>) -> Completions {
        let languages: BTreeSet<&str> =
            sums.completions.values().flat_map(BTreeMap::values).flat_map(BTreeMap::keys).copied().collect();
        let editor = |(editor, models): (&&str, &BTreeMap<&str, BTreeMap<&str, Counts>>)| {
            let model = |(name, languages): (&&str, &BTreeMap<&str, Counts>)| {
                let line = |(language, counts): (&&str, &Counts)| LanguageCounts {
                    language: self.language([Some(editor), Some(name)], language),
                    total_code_suggestions: counts.generations,
                    total_code_acceptances: self.told(counts.acceptances),
                    total_code_lines_suggested: counts.lines_suggested,
                    total_code_lines_accepted: self.told(counts.lines_added),
                };
                CompletionModel {
                    model: self.model(false, editor, name),
                    languages: languages.iter().map(line).collect(),
                }
            };
            self.editor(false, editor, models.iter().map(model).collect())
        };
        Completions {
            total_engaged_users: self.engaged(false, [None; 3]),
            languages: languages.into_iter().map(|name| self.language([None; 2], name)).collect(),
            editors: sums.completions.iter().map(editor).collect(),
        }
    }

    fn chat(&self, sums: &Sums<'_>) -> Chat {
        let editor = |(editor, models): (&&str, &BTreeMap<&str, Counts>)| {
            let model = |(name, counts): (&&str, &Counts)| ChatModel {
                model: self.model(true, editor, name),
                total_chats: counts.interactions,
                total_chat_insertion_events: self.told(counts.inserted),
                total_chat_copy_events: self.told(counts.copied),
            };
            self.editor(true, editor, models.iter().map(model).collect())
        };
        Chat {
            total_engaged_users: self.engaged(true, [None; 3]).unwrap_or_default(),
            editors: sums.chat.iter().map(editor).collect(),
        }
    }
}

/// The day of an organisation, or of a team.
#[must_use]
pub fn closed_metrics(date: NaiveDate, usage: &OrganizationDay, gaps: Gaps) -> ClosedMetrics {
    let users = Users { usage, telemetry: usage.users_with_telemetry > 0, gaps };
    let sums = Sums::of(usage);
    ClosedMetrics {
        date,
        total_active_users: usage.users,
        total_engaged_users: usage.engaged_users,
        copilot_ide_code_completions: users.completions(&sums),
        copilot_ide_chat: users.chat(&sums),
        copilot_dotcom_chat: gaps.fill(None),
        copilot_dotcom_pull_requests: gaps.fill(None),
    }
}
