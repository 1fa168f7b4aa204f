//! Sums over the cells of a day by parts of them, and bounds on the words in them.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::is_word;
use crate::usage::{Cell, Cells, Counts, OTHERS};

/// The sums of cells that have the same key; those without are left out.
pub(super) fn sums<'a, K: Ord>(cells: &'a Cells, key: impl Fn(&'a Cell) -> Option<K>) -> BTreeMap<K, Counts> {
    let mut sums = BTreeMap::<K, Counts>::new();
    for (cell, counts) in cells {
        if let Some(key) = key(cell) {
            sums.entry(key).or_default().add(counts);
        }
    }
    sums
}

/// The words that may stand in labels: clients choose them, so only the most used do, and [`OTHERS`] for the rest.
pub(super) struct Words {
    languages: BTreeSet<String>,
    models: BTreeSet<String>,
    ides: BTreeSet<String>,
    features: BTreeSet<String>,
}

impl Words {
    /// The most used of each kind in these cells.
    pub(super) fn of(cells: &Cells, most: usize) -> Self {
        Self {
            languages: most_used(cells, most, |cell| &cell.language),
            models: most_used(cells, most, |cell| &cell.model),
            ides: most_used(cells, most, |cell| &cell.ide),
            features: most_used(cells, most, |cell| &cell.feature),
        }
    }

    /// Cells with no other words than these.
    pub(super) fn bound(&self, cells: &Cells) -> Cells {
        let word =
            |word: &String, kept: &BTreeSet<String>| if kept.contains(word) { word.clone() } else { OTHERS.to_owned() };
        let mut bounded = Cells::new();
        for (cell, counts) in cells {
            let cell = Cell {
                ide: word(&cell.ide, &self.ides),
                feature: word(&cell.feature, &self.features),
                language: word(&cell.language, &self.languages),
                model: word(&cell.model, &self.models),
            };
            bounded.entry(cell).or_default().add(counts);
        }
        bounded
    }
}

/// Cells in which only the most used of their own words stand.
pub(super) fn bounded(cells: &Cells, most: usize) -> Cells {
    Words::of(cells, most).bound(cells)
}

fn most_used(cells: &Cells, most: usize, word: impl Fn(&Cell) -> &String) -> BTreeSet<String> {
    let mut uses = BTreeMap::<&String, u64>::new();
    // The command line's editor is the empty word.
    for (cell, counts) in cells.iter().filter(|(cell, _)| word(cell).is_empty() || is_word(word(cell))) {
        let used = counts.requests.saturating_add(counts.generations).saturating_add(counts.acceptances);
        let uses = uses.entry(word(cell)).or_default();
        *uses = uses.saturating_add(used);
    }
    let mut uses: Vec<_> = uses.into_iter().collect();
    uses.sort_by_key(|(word, used)| (std::cmp::Reverse(*used), *word));
    uses.into_iter().take(most).map(|(word, _)| word.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(feature: &str, language: &str) -> Cell {
        let (ide, model) = ("vscode".to_owned(), "gpt-4o".to_owned());
        Cell { ide, feature: feature.to_owned(), language: language.to_owned(), model }
    }

    #[test]
    fn the_most_used_words_stay_and_the_sum_is_the_same() {
        let cells: Cells = (1..=50_u64)
            .map(|n| (cell("code_completion", &format!("l{n}")), Counts { requests: n, ..Counts::default() }))
            .collect();
        let few = bounded(&cells, 4);
        let languages: Vec<_> = few.keys().map(|cell| cell.language.as_str()).collect();
        assert_eq!(languages, ["l47", "l48", "l49", "l50", "others"]);
        assert_eq!(few.values().map(|counts| counts.requests).sum::<u64>(), 50 * 51 / 2);
    }
}
