//! A user's day, made of the events and of what telemetry told of them.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::super::UNKNOWN;
use super::{Cell, Client, Counts, UserDay};
use crate::copilot::observation::ChatActionKind;
use crate::copilot::vocabulary::{Class, Kind};
use crate::copilot::{Feature, Ide, split_version};
use crate::usage::UsageEvent;

/// Cells of a day that are told apart by language and model. A person has a few dozen; more are a client's lies, and go to one
/// cell of the same editor and feature.
const MOST_CELLS: usize = 200;

/// Bytes of a language, a model or a version that are believed.
const LONGEST_NAME: usize = 100;

/// Stands for words beyond a limit and for those that are not believed, and for an editor that is none of GitHub's or not
/// known.
pub const OTHERS: &str = "others";

/// What stands for a client's id: as good as the id for telling two apart, and short whatever a client sends.
pub type IdDigest = [u8; 16];

/// The digest of a client's id.
#[must_use]
pub fn id_digest(id: &str) -> IdDigest {
    let mut digest = IdDigest::default();
    digest.iter_mut().zip(Sha256::digest(id)).for_each(|(to, from)| *to = from);
    digest
}

/// What telemetry told that is booked on a user's day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Whether telemetry of an editor came on the day.
    pub telemetry: bool,
    /// In an order that does not depend on when they came.
    pub suggestions: Vec<ToldSuggestion>,
    /// Likewise.
    pub actions: Vec<ToldAction>,
}

/// What became of a suggestion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToldSuggestion {
    /// Digest of the exchange's request id.
    pub request: Option<IdDigest>,
    /// Whether it was shown.
    pub shown: bool,
    /// Whether it was accepted, in full or in part.
    pub accepted: bool,
    /// Lines of it, where it was shown.
    pub lines_shown: u64,
    /// Lines of it that were accepted.
    pub lines_accepted: u64,
    /// Lower-case language id.
    pub language: Option<String>,
    /// Model as the client names it.
    pub model: Option<String>,
    /// `Editor-Version` as in requests.
    pub editor: Option<String>,
}

/// What a person did with a part of a chat answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldAction {
    /// Digest of the exchange's request id, or of its interaction id where that alone is told.
    pub exchange: Option<IdDigest>,
    /// What was done.
    pub kind: ChatActionKind,
    /// Lines that it was done with.
    pub lines: u64,
    /// Lower-case language id.
    pub language: Option<String>,
    /// Model as the client names it.
    pub model: Option<String>,
}

/// A day in the making: a user's events one after the other, in the order of their ids.
#[derive(Debug)]
pub struct Fold {
    told: Told,
    day: UserDay,
    interactions: HashSet<String>,
    sessions: HashSet<(bool, String)>,
    /// The cells of exchanges that telemetry may name, by request and by interaction, and whether the exchange counts.
    exchanges: HashMap<IdDigest, (bool, Cell)>,
}

impl UserDay {
    /// The day of these events of one user and day, in the order of their ids, and of what telemetry told.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a UsageEvent>, told: Told) -> Self {
        let mut fold = Fold::new(told);
        events.into_iter().for_each(|event| fold.add(event));
        fold.finish()
    }
}

impl Fold {
    /// Begins with what telemetry told.
    #[must_use]
    pub fn new(told: Told) -> Self {
        // What is booked on the day of its exchange may have been told on the next.
        let telemetry = told.telemetry || !told.suggestions.is_empty() || !told.actions.is_empty();
        Self {
            told,
            day: UserDay { telemetry, ..UserDay::default() },
            interactions: HashSet::new(),
            sessions: HashSet::new(),
            exchanges: HashMap::new(),
        }
    }

    /// Adds the next event.
    pub fn add(&mut self, event: &UsageEvent) {
        let cell = cell_of(event);
        self.remember(event, &cell);
        if event.class == Class::Noise {
            return;
        }
        self.see_client(event, &cell);
        self.see_session(event);
        let counts = self.counts_of(event);
        if !event.edits.is_none() {
            self.add_edits(event, &cell);
        }
        self.count(cell, &counts);
    }

    /// The day, once every event is in.
    #[must_use]
    pub fn finish(mut self) -> UserDay {
        let Told { suggestions, actions, .. } = std::mem::take(&mut self.told);
        suggestions.iter().for_each(|suggestion| self.add_suggestion(suggestion));
        actions.iter().for_each(|action| self.add_action(action));
        self.day
    }

    /// Keeps the exchange's cell for what telemetry told of it. Of several attempts of a request the one that counts has it.
    fn remember(&mut self, event: &UsageEvent, cell: &Cell) {
        if self.told.suggestions.is_empty() && self.told.actions.is_empty() {
            return;
        }
        let counts = event.class != Class::Noise;
        let is_turn = (event.kind, event.class) == (Kind::Chat, Class::Turn);
        let interaction = event.interaction_id.as_deref().filter(|_| is_turn);
        for id in event.request_id.as_deref().into_iter().chain(interaction) {
            let known = self.exchanges.entry(id_digest(id)).or_insert_with(|| (counts, cell.clone()));
            if counts && !known.0 {
                *known = (counts, cell.clone());
            }
        }
    }

    fn counts_of(&mut self, event: &UsageEvent) -> Counts {
        let is_turn = event.class == Class::Turn;
        let is_edit = event.feature == Feature::AgentEdit.as_str();
        let mut counts = Counts {
            requests: 1,
            turns: is_turn.into(),
            interactions: (is_turn && event.kind == Kind::Chat && !is_edit && self.is_first_of_interaction(event))
                .into(),
            input_tokens: event.tokens.input.unwrap_or_default(),
            output_tokens: event.tokens.output.unwrap_or_default(),
            cached_tokens: event.tokens.cached.unwrap_or_default(),
            nano_aiu: event.nano_aiu.unwrap_or_default(),
            ..Counts::default()
        };
        let is_suggested = match event.kind {
            Kind::Completions => is_turn && !self.day.telemetry,
            // The code blocks of an instant apply are the file itself, which another exchange proposed.
            Kind::Chat => !is_edit,
        };
        if is_suggested {
            (counts.generations, counts.lines_suggested) = (event.generations, event.lines_suggested);
        }
        counts
    }

    fn is_first_of_interaction(&mut self, event: &UsageEvent) -> bool {
        event.interaction_id.as_ref().is_none_or(|id| self.interactions.insert(id.clone()))
    }

    fn add_edits(&mut self, event: &UsageEvent, cell: &Cell) {
        let cell = if cell.ide.is_empty() {
            cell.clone()
        } else {
            Cell { feature: Feature::AgentEdit.as_str().to_owned(), ..cell.clone() }
        };
        let edits = Counts {
            generations: event.edits.files,
            lines_added: event.edits.lines_added,
            lines_removed: event.edits.lines_removed,
            ..Counts::default()
        };
        self.count(cell, &edits);
    }

    fn add_suggestion(&mut self, suggestion: &ToldSuggestion) {
        let ide = suggestion.editor.as_deref().and_then(Ide::of).map_or(OTHERS, Ide::as_str);
        let of_exchange = self.exchange(suggestion.request, |feature| feature == Feature::CodeCompletion.as_str());
        let cell = of_exchange.unwrap_or_else(|| {
            told_cell(ide, Feature::CodeCompletion, suggestion.language.as_deref(), suggestion.model.as_deref())
        });
        let mut counts = Counts::default();
        if suggestion.shown {
            (counts.generations, counts.lines_suggested) = (1, suggestion.lines_shown);
        }
        if suggestion.accepted {
            (counts.acceptances, counts.lines_added) = (1, suggestion.lines_accepted);
        }
        self.count(cell, &counts);
    }

    fn add_action(&mut self, action: &ToldAction) {
        let mut counts = Counts { acceptances: 1, ..Counts::default() };
        match action.kind {
            ChatActionKind::Copied => counts.copied = 1,
            ChatActionKind::Inserted | ChatActionKind::Applied => {
                (counts.inserted, counts.lines_added) = (1, action.lines);
            }
            ChatActionKind::EditKept | ChatActionKind::EditUndone => return,
        }
        let of_exchange = self.exchange(action.exchange, |feature| feature != Feature::CodeCompletion.as_str());
        let cell = of_exchange.unwrap_or_else(|| {
            told_cell(OTHERS, Feature::ChatPanelUnknownMode, action.language.as_deref(), action.model.as_deref())
        });
        self.count(cell, &counts);
    }

    fn exchange(&self, id: Option<IdDigest>, is_of_feature: impl Fn(&str) -> bool) -> Option<Cell> {
        let (_, cell) = self.exchanges.get(&id?)?;
        Some(cell.clone()).filter(|cell| is_of_feature(&cell.feature))
    }

    fn count(&mut self, mut cell: Cell, counts: &Counts) {
        if counts.is_none() {
            return;
        }
        let cells = &mut self.day.cells;
        if cells.len() >= MOST_CELLS && !cells.contains_key(&cell) {
            (cell.language, cell.model) = (OTHERS.to_owned(), OTHERS.to_owned());
        }
        cells.entry(cell).or_default().add(counts);
    }

    fn see_client(&mut self, event: &UsageEvent, cell: &Cell) {
        let client = Client {
            version: event.editor.as_deref().and_then(version).map(cut),
            plugin: event.plugin.as_deref().map(cut),
            editor: event.editor.as_deref().map(cut),
            seen_at: event.ended_at,
        };
        let key = if cell.ide.is_empty() { &cell.feature } else { &cell.ide };
        match self.day.clients.get_mut(key) {
            Some(last) if last.seen_at > client.seen_at => {}
            Some(last) => *last = client,
            None => drop(self.day.clients.insert(key.clone(), client)),
        }
    }

    fn see_session(&mut self, event: &UsageEvent) {
        let is_app = event.feature == Feature::CopilotApp.as_str();
        let is_cli = event.feature == Feature::CopilotCli.as_str();
        let Some(id) = event.session_id.as_ref().filter(|_| is_app || is_cli) else { return };
        if self.sessions.insert((is_app, id.clone())) {
            let sessions = if is_app { &mut self.day.app_sessions } else { &mut self.day.cli_sessions };
            *sessions += 1;
        }
    }
}

fn cell_of(event: &UsageEvent) -> Cell {
    Cell {
        ide: if event.is_of_no_editor() { String::new() } else { event.ide.as_deref().map_or(OTHERS.to_owned(), cut) },
        feature: name(Some(&event.feature)),
        language: name(event.language.as_deref()),
        model: name(event.model.as_deref()),
    }
}

fn told_cell(ide: &str, feature: Feature, language: Option<&str>, model: Option<&str>) -> Cell {
    Cell {
        ide: ide.to_owned(),
        feature: feature.as_str().to_owned(),
        language: name(language),
        model: name(model.map(|model| split_version(model).0)),
    }
}

fn name(told: Option<&str>) -> String {
    match told {
        None | Some("") => UNKNOWN,
        Some(long) if long.len() > LONGEST_NAME => OTHERS,
        Some(name) => name,
    }
    .to_owned()
}

fn cut(told: &str) -> String {
    told.get(..told.floor_char_boundary(LONGEST_NAME)).unwrap_or_default().to_owned()
}

/// The version in an editor's name: what begins with a digit after a `-`, as in `JetBrains-PC-243.22562.220` and
/// `vscode-1.120.0-insider`.
fn version(editor: &str) -> Option<&str> {
    let dashes = editor.match_indices('-').map(|(at, _)| at + 1);
    dashes.filter_map(|start| editor.get(start..)).find(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}
