//! The table of counts by feature, editor, language and model, which cannot grow without bound.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::is_word;
use super::row::Row;
use crate::usage::{Cell, OTHERS};

/// Most features and editors: GitHub has 12 and 10, and the CLI and the app stand among the editors, too.
const FEATURES_AND_IDES: usize = 16;
/// Most languages: VS Code has some 60 of its own.
const LANGUAGES: usize = 64;
/// Most models: GitHub offers some 20 at a time.
const MODELS: usize = 32;
/// Most combinations. Beyond, language and model are [`OTHERS`], so there may be one more for each feature and editor.
const CELLS: usize = 1000;
/// Interactions that are remembered.
const RECENT: usize = 4096;

/// The counts.
#[derive(Default)]
pub(super) struct Table {
    features: Words,
    ides: Words,
    languages: Words,
    models: Words,
    pub(super) cells: BTreeMap<Cell, Row>,
    pub(super) limited: Limited,
}

/// How often something was counted under [`OTHERS`] because a limit was reached.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) languages: u64,
    pub(super) models: u64,
    pub(super) cells: u64,
}

impl Table {
    /// The place for what clients' words name.
    pub(super) fn cell(&mut self, told: &Cell) -> Cell {
        let (language, language_limited) = self.languages.admit(&told.language, LANGUAGES);
        let (model, model_limited) = self.models.admit(&told.model, MODELS);
        self.limited.languages += u64::from(language_limited);
        self.limited.models += u64::from(model_limited);
        Cell {
            ide: self.ides.admit(&told.ide, FEATURES_AND_IDES).0,
            feature: self.features.admit(&told.feature, FEATURES_AND_IDES).0,
            language,
            model,
        }
    }

    /// Adds to a place that [`Table::cell`] gave.
    pub(super) fn add(&mut self, mut cell: Cell, row: &Row) {
        if self.cells.len() >= CELLS && !self.cells.contains_key(&cell) {
            self.limited.cells += 1;
            (cell.language, cell.model) = (OTHERS.to_owned(), OTHERS.to_owned());
        }
        self.cells.entry(cell).or_default().add(row);
    }
}

/// Values of one label, the first that came.
#[derive(Default)]
struct Words(HashSet<String>);

impl Words {
    /// The word, or [`OTHERS`] and true where there are too many or it is none.
    fn admit(&mut self, word: &str, most: usize) -> (String, bool) {
        if !self.0.contains(word) {
            if self.0.len() >= most || !is_word(word) {
                return (OTHERS.to_owned(), true);
            }
            self.0.insert(word.to_owned());
        }
        (word.to_owned(), false)
    }
}

/// What was seen lately, as hashes.
#[derive(Default)]
pub(super) struct Recent {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Recent {
    /// Whether it was not seen lately; it is from now on.
    pub(super) fn is_new(&mut self, what: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let hash = hasher.finish();
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
