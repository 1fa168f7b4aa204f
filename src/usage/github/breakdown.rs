//! The `totals_by_*` arrays.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Gaps;
use super::activity::{APP, CLI, COMPLETION, Counters, Sum};
use super::client::{IdeVersion, PluginVersion};
use crate::usage::{Cell, Cells, Client, Counts, OTHERS};

/// One line of a breakdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line<K> {
    #[serde(flatten)]
    key: K,
    #[serde(flatten)]
    counters: Counters,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Feature<'a> {
    feature: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct LanguageFeature<'a> {
    language: &'a str,
    feature: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct LanguageModel<'a> {
    language: &'a str,
    model: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct ModelFeature<'a> {
    model: &'a str,
    feature: &'a str,
}

/// A line of `totals_by_ide`, with the versions seen last where it is one user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ide<'a> {
    ide: &'a str,
    #[serde(flatten)]
    counters: Counters,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_known_ide_version: Option<IdeVersion<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_known_plugin_version: Option<PluginVersion<'a>>,
}

/// The counters of a day and all their breakdowns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Breakdown<'a> {
    #[serde(flatten)]
    counters: Counters,
    totals_by_ide: Vec<Ide<'a>>,
    totals_by_feature: Vec<Line<Feature<'a>>>,
    /// Lines without any count are left out here and below.
    totals_by_language_feature: Vec<Line<LanguageFeature<'a>>>,
    /// Of all but completions here and below, as GitHub says.
    totals_by_language_model: Vec<Line<LanguageModel<'a>>>,
    totals_by_model_feature: Vec<Line<ModelFeature<'a>>>,
}

/// Cells of one user or of many, and what there is to know of them.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) by_ide: &'a Cells,
    /// These and the next two may be sums as in [`OrganizationSums`](crate::usage::OrganizationSums).
    pub(super) by_language: &'a Cells,
    pub(super) by_model: &'a Cells,
    pub(super) by_language_and_model: &'a Cells,
    /// Whether telemetry came: without, acceptances are unknown.
    pub(super) telemetry: bool,
    /// The user's clients by `ide`.
    pub(super) clients: Option<&'a BTreeMap<String, Client>>,
}

impl<'a> Source<'a> {
    /// Sums of the cells by a part of their key; cells without it are left out.
    fn by<K: Ord>(&self, cells: &'a Cells, key: impl Fn(&'a Cell) -> Option<K>) -> BTreeMap<K, Sum> {
        let mut sums: BTreeMap<K, Sum> = BTreeMap::new();
        for (cell, counts) in cells {
            if let Some(key) = key(cell) {
                sums.entry(key).or_default().add(cell, counts, self.telemetry);
            }
        }
        sums
    }

    /// The counts of one feature.
    pub(super) fn feature(&self, feature: &str) -> Option<Counts> {
        let mut sums = self.by(self.by_ide, |cell| (cell.feature == feature).then_some(()));
        sums.remove(&()).map(|sum| sum.counts)
    }

    /// The counts of all.
    pub(super) fn total(&self) -> Sum {
        self.by(self.by_ide, |_| Some(())).remove(&()).unwrap_or_default()
    }

    pub(super) fn breakdown(&self, gaps: Gaps) -> Breakdown<'a> {
        let by_language_feature = self
            .by(self.by_language, |cell| Some(LanguageFeature { language: &cell.language, feature: &cell.feature }));
        let by_language_model = self.by(self.by_language_and_model, |cell| {
            of_chat(cell).then_some(LanguageModel { language: &cell.language, model: &cell.model })
        });
        let by_model_feature = self.by(self.by_model, |cell| {
            of_chat(cell).then_some(ModelFeature { model: &cell.model, feature: &cell.feature })
        });
        Breakdown {
            counters: self.total().counters(gaps),
            totals_by_ide: self.by_ide(gaps),
            totals_by_feature: lines(self.by(self.by_ide, |cell| Some(Feature { feature: &cell.feature })), gaps),
            totals_by_language_feature: by_language(by_language_feature, gaps),
            totals_by_language_model: by_language(by_language_model, gaps),
            totals_by_model_feature: lines(busy(by_model_feature, Sum::is_idle), gaps),
        }
    }

    fn by_ide(&self, gaps: Gaps) -> Vec<Ide<'a>> {
        let line = |(ide, sum): (&'a str, Sum)| {
            // Of others, there is no telling which one it was.
            let client = self.clients.and_then(|clients| clients.get(ide)).filter(|_| ide != OTHERS);
            Ide {
                ide,
                counters: sum.counters(gaps),
                last_known_ide_version: client.and_then(IdeVersion::of),
                last_known_plugin_version: client.and_then(PluginVersion::of),
            }
        };
        self.by(self.by_ide, ide).into_iter().map(line).collect()
    }
}

/// The editor that a cell belongs to; none for the CLI and the app.
fn ide(cell: &Cell) -> Option<&str> {
    match &*cell.feature {
        CLI | APP => None,
        _ if cell.ide.is_empty() => Some(OTHERS),
        _ => Some(&cell.ide),
    }
}

/// Whether models are told: GitHub names those of completions nowhere.
fn of_chat(cell: &Cell) -> bool {
    cell.feature != COMPLETION
}

fn busy<K: Ord>(mut sums: BTreeMap<K, Sum>, is_idle: impl Fn(&Sum) -> bool) -> BTreeMap<K, Sum> {
    sums.retain(|_, sum| !is_idle(sum));
    sums
}

fn lines<K>(sums: BTreeMap<K, Sum>, gaps: Gaps) -> Vec<Line<K>> {
    sums.into_iter().map(|(key, sum)| Line { key, counters: sum.counters(gaps) }).collect()
}

fn by_language<K: Ord>(sums: BTreeMap<K, Sum>, gaps: Gaps) -> Vec<Line<K>> {
    let line = |(key, sum): (K, Sum)| Line { key, counters: sum.counters(gaps).without_interactions() };
    busy(sums, Sum::has_no_code).into_iter().map(line).collect()
}
