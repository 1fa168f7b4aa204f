//! Makes up for records that are gone: what a day file counts beyond the imported records becomes events without content.
//!
//! In each cell the day file's exchanges are numbered from 1. The imported records stand for the first of them, and events for
//! the rest, each with an id made of cell and number. So a second import finds them all, and where records come
//! later than the day file, the events that they stand for become noise.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::day_file::{Cell, DayCounts, Detail};
use super::{Imported, derived_id};
use crate::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use crate::copilot::{Feature, Ide};
use crate::exchange::ExchangeId;
use crate::store::{Result, UsageStore};
use crate::usage::{IMPORTED, IMPORTED_COUNT, UNKNOWN, UsageEvent};

/// Events between two writings to the store.
const BATCH: usize = 1000;

/// What the store has of a day.
#[derive(Default)]
struct Have {
    /// Imported records, by cell.
    records: BTreeMap<Cell, u64>,
    /// Events that make up for records, by cell.
    made_up: BTreeMap<Cell, u64>,
    /// Their ids and classes.
    ids: HashMap<ExchangeId, Class>,
}

/// Brings a day in step with its day files, if there are any, and the records that are imported by now.
pub(super) fn make_up(
    store: &dyn UsageStore,
    day: NaiveDate,
    counts: Option<DayCounts>,
    imported: &mut Imported,
) -> Result<()> {
    let has_file = counts.is_some();
    let mut counts = counts.unwrap_or_default();
    let have = have(store, day)?;
    if has_file {
        note_beyond(day, &counts, &have, imported);
    }
    for cell in have.made_up.keys() {
        counts.0.entry(cell.clone()).or_default();
    }
    if !counts.0.is_empty() {
        imported.days.insert(day);
    }
    let mut changes = Changes { store, new: Vec::new(), changed: Vec::new(), added: 0 };
    for (cell, details) in counts.0 {
        imported.users.insert(cell.user.clone());
        make_up_cell(&mut changes, day, &cell, &details, &have)?;
    }
    changes.write()?;
    imported.counts += changes.added;
    Ok(())
}

fn have(store: &dyn UsageStore, day: NaiveDate) -> Result<Have> {
    let mut have = Have::default();
    store.events(day, day, None, &mut |event| {
        match event.reason.as_deref() {
            Some(IMPORTED) => *have.records.entry(cell_of(&event)).or_default() += 1,
            Some(IMPORTED_COUNT) => {
                have.ids.insert(event.id, event.class);
                *have.made_up.entry(cell_of(&event)).or_default() += 1;
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(have)
}

fn cell_of(event: &UsageEvent) -> Cell {
    Cell {
        user: event.user.clone(),
        kind: event.kind,
        editor: event.editor.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        language: event.language.clone().filter(|_| event.kind == Kind::Completions),
    }
}

/// Notes how much more the records tell than the day files.
fn note_beyond(day: NaiveDate, counts: &DayCounts, have: &Have, imported: &mut Imported) {
    let beyond = have.records.iter().map(|(cell, records)| records.saturating_sub(sum(counts.0.get(cell)))).sum();
    if beyond > 0 {
        imported.beyond.insert(day, beyond);
    }
}

fn sum(details: Option<&Vec<(Detail, u64)>>) -> u64 {
    details.into_iter().flatten().map(|(_, count)| count).sum()
}

/// Makes up for those numbers of a cell that no record stands for.
fn make_up_cell(
    changes: &mut Changes<'_>,
    day: NaiveDate,
    cell: &Cell,
    details: &[(Detail, u64)],
    have: &Have,
) -> Result<()> {
    let records = have.records.get(cell).copied().unwrap_or(0);
    let made_up = have.made_up.get(cell).copied().unwrap_or(0);
    let told: u64 = details.iter().map(|(_, count)| count).sum();
    let mut all = details.iter().flat_map(|(detail, count)| (0..*count).map(move |_| detail));
    // Those that an earlier day file told of beyond this one are among these numbers.
    for number in 1..=told.max(records.saturating_add(made_up)) {
        let detail = all.next();
        let id = id(day, cell, number);
        let known = have.ids.get(&id).copied();
        let class = if number <= records { Class::Noise } else { Class::Turn };
        if known == Some(class) || (known.is_none() && (number <= records || number > told)) {
            continue;
        }
        let event = event(id, day, cell, detail.unwrap_or(&Detail::default()), class);
        match known {
            Some(_) => changes.change(event)?,
            None => changes.add(event)?,
        }
    }
    Ok(())
}

fn id(day: NaiveDate, cell: &Cell, number: u64) -> ExchangeId {
    let language = cell.language.as_deref().unwrap_or_default();
    let parts = ["count", &cell.user, cell.kind.as_str(), &cell.editor, language, &number.to_string()];
    derived_id(begin(day), &parts)
}

/// When on its day an exchange was is not known: it is booked on the day's first moment.
fn begin(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn event(id: ExchangeId, day: NaiveDate, cell: &Cell, detail: &Detail, class: Class) -> UsageEvent {
    let editor = Some(cell.editor.clone()).filter(|editor| editor != UNKNOWN);
    UsageEvent {
        id,
        user: cell.user.clone(),
        started_at: begin(day),
        ended_at: begin(day),
        kind: cell.kind,
        class,
        reason: Some(IMPORTED_COUNT.to_owned()),
        outcome: Outcome::Completed,
        status: None,
        feature: feature(cell.kind, detail.action.as_deref()).as_str().to_owned(),
        ide: editor.as_deref().and_then(Ide::of_label).map(|ide| ide.as_str().to_owned()),
        editor,
        plugin: None,
        machine_id: None,
        session_id: None,
        account: None,
        action: detail.action.clone(),
        language: cell.language.clone(),
        model: detail.model.clone(),
        model_version: None,
        request_id: None,
        interaction_id: None,
        host: String::new(),
        streamed: false,
        tokens: Tokens::default(),
        nano_aiu: None,
        edits: Edits::default(),
        quotas: Vec::new(),
        // The add-on counted those completions that had a text.
        generations: u64::from(cell.kind == Kind::Completions),
        lines_suggested: 0,
        characters_suggested: 0,
        first_byte_ms: None,
        duration_ms: 0.0,
        request_bytes: 0,
        response_bytes: 0,
    }
}

/// GitHub's feature of the add-on's action type, which it made of `OpenAI-Intent`.
fn feature(kind: Kind, action: Option<&str>) -> Feature {
    match (kind, action) {
        (Kind::Completions, _) => Feature::CodeCompletion,
        (_, Some("agent")) => Feature::ChatPanelAgentMode,
        (_, Some("edits")) => Feature::ChatPanelEditMode,
        (_, Some("chat-panel")) => Feature::ChatPanelAskMode,
        (_, Some("chat-inline")) => Feature::ChatInline,
        (_, Some("nes" | "code-review" | "commit-message" | "other")) => Feature::Others,
        _ => Feature::ChatPanelUnknownMode,
    }
}

/// Events on their way to the store.
struct Changes<'a> {
    store: &'a dyn UsageStore,
    new: Vec<UsageEvent>,
    changed: Vec<UsageEvent>,
    added: u64,
}

impl Changes<'_> {
    fn add(&mut self, event: UsageEvent) -> Result<()> {
        self.new.push(event);
        if self.new.len() < BATCH { Ok(()) } else { self.write() }
    }

    fn change(&mut self, event: UsageEvent) -> Result<()> {
        self.changed.push(event);
        if self.changed.len() < BATCH { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        let inserted = self.store.insert(&self.new)?;
        self.added += inserted.new.iter().filter(|new| **new).count() as u64;
        self.store.replace(&self.changed)?;
        self.new.clear();
        self.changed.clear();
        Ok(())
    }
}
