//! Live counters of usage, for `/metrics/usage`: fed by the recorder, zero at the start of the process.
//!
//! Features, editors, languages and models are clients' words, so their number is limited, and so is the number of their
//! combinations; what exceeds a limit is counted under [`OTHERS`], and each of these times is counted, too. So every sum stays
//! right, whatever clients send. All is kept in one table; each family of metrics shows it by as many labels as its sums
//! make sense of.

mod families;
mod row;
mod table;
mod timings;

use std::collections::BTreeMap;
use std::fmt::{Debug, Error, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use self::row::Row;
use self::table::{Recent, Table};
use self::timings::Timings;
use crate::copilot::vocabulary::{Class, Kind};
use crate::copilot::{Feature, Ide, split_version};
use crate::usage::{Acceptance, Cell, OTHERS, UNKNOWN, UsageEvent};

/// Characters of the longest word that may stand in a label.
const LONGEST: usize = 100;

/// What became known of one suggestion, chat action or session, as the store tells it.
#[derive(Debug, Clone, Copy)]
pub struct Gained<'a> {
    /// Allowlist name of the user.
    pub user: &'a str,
    /// `Editor-Version` as in requests.
    pub editor: Option<&'a str>,
    /// Lower-case language id.
    pub language: Option<&'a str>,
    /// Model as telemetry names it.
    pub model: Option<&'a str>,
    /// The counts that came in addition.
    pub more: &'a Acceptance,
}

/// The live counters.
#[derive(Default)]
pub struct UsageMetrics(Mutex<Live>);

#[derive(Default)]
struct Live {
    table: Table,
    timings: Timings,
    users: BTreeMap<String, Row>,
    /// How often a user was counted under [`OTHERS`].
    users_limited: u64,
    interactions: Recent,
}

impl UsageMetrics {
    /// Counts an exchange that is new; noise counts for nothing. Up to `user_limit` users have series of their own; `None` is
    /// none for anybody.
    pub fn count(&self, event: &UsageEvent, user_limit: Option<usize>) {
        if event.class == Class::Noise {
            return;
        }
        let mut live = self.live();
        let is_interaction = live.is_interaction(event);
        let row = Row::of(event, is_interaction);
        let cell = live.table.cell(&of_event(event));
        live.timings.add(event, &cell.model);
        let edits = Row::of_edits(event.edits);
        if !edits.is_none() {
            let feature = if event.is_of_no_editor() { &event.feature } else { Feature::AgentEdit.as_str() };
            let edited = live.table.cell(&Cell { feature: feature.to_owned(), ..of_event(event) });
            live.table.add(edited, &edits);
        }
        live.table.add(cell, &row);
        live.add_user(&event.user, &[row, edits], user_limit);
    }

    /// Counts what telemetry told that was not known before; of users as [`UsageMetrics::count`].
    pub fn gain(&self, gained: Gained<'_>, user_limit: Option<usize>) {
        let mut live = self.live();
        let ide = gained.editor.and_then(Ide::of).unwrap_or(Ide::Others).as_str().to_owned();
        let word = |word: Option<&str>| word.unwrap_or(UNKNOWN).to_owned();
        let model = gained.model.map(|model| split_version(model).0);
        let (language, model) = (word(gained.language), word(model));
        let rows = [Row::of_suggestions(gained.more), Row::of_chat(gained.more)];
        // Which mode of chat it was is not told, and no family of what chat brings in shows it.
        for (row, feature) in rows.iter().zip([Feature::CodeCompletion, Feature::ChatPanelUnknownMode]) {
            if !row.is_none() {
                let (ide, language, model) = (ide.clone(), language.clone(), model.clone());
                let cell = live.table.cell(&Cell { ide, feature: feature.as_str().to_owned(), language, model });
                live.table.add(cell, row);
            }
        }
        live.add_user(gained.user, &rows, user_limit);
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an exchange is counted, in the client's words.
fn of_event(event: &UsageEvent) -> Cell {
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let ide = if event.is_of_no_editor() { Some(event.feature.clone()) } else { event.ide.clone() };
    Cell {
        ide: ide.unwrap_or_else(|| Ide::Others.as_str().to_owned()),
        feature: event.feature.clone(),
        language: word(&event.language),
        model: word(&event.model),
    }
}

impl Live {
    /// Whether it is a chat turn, and the first seen of its interaction.
    fn is_interaction(&mut self, event: &UsageEvent) -> bool {
        let is_turn = (event.kind, event.class) == (Kind::Chat, Class::Turn);
        is_turn
            && event.feature != Feature::AgentEdit.as_str()
            && event.interaction_id.as_ref().is_none_or(|id| self.interactions.is_new(&(event.day(), &event.user, id)))
    }

    fn add_user(&mut self, user: &str, rows: &[Row], limit: Option<usize>) {
        let Some(limit) = limit else {
            self.users.clear();
            return;
        };
        let is_known = self.users.contains_key(user);
        let own = self.users.len() - usize::from(self.users.contains_key(OTHERS));
        let name = if is_known || own < limit { user } else { OTHERS };
        self.users_limited += u64::from(name != user);
        let row = self.users.entry(name.to_owned()).or_default();
        rows.iter().for_each(|more| row.add(more));
    }
}

/// Whether a word of a client may stand in a label: no text, and nothing that a reader stumbles over.
#[must_use]
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control)
}

impl Debug for UsageMetrics {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UsageMetrics").finish_non_exhaustive()
    }
}

/// Tells a registry without a prefix of the live counters.
pub fn register_usage(to: &mut Registry, usage: Arc<UsageMetrics>) {
    to.register_collector(Box::new(usage));
}

impl Collector for UsageMetrics {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), Error> {
        let live = self.live();
        families::encode_cells(&live.table, &mut to)?;
        families::encode_users(&live.users, &mut to)?;
        families::encode_limited(&live.table.limited, live.users_limited, &mut to)?;
        live.timings.encode(&mut to)
    }
}

#[cfg(test)]
mod tests;
