//! The gauges of gcp-metrics-exporter (naren4b), which read the closed `/copilot/metrics` endpoint: of the last complete day,
//! summed over models, where the original kept the last model it met.

use std::collections::{BTreeMap, BTreeSet};

use super::breakdown::sums;
use super::exposition::{Labels, Sheet};
use crate::copilot::Feature;
use crate::usage::{Cell, Cells, Counts, OrganizationDay};

const COMPLETIONS: &str = "copilot_ide_code_completions";
const CHAT: &str = "copilot_ide_chat";

const ENGAGED: (&str, &str) =
    ("total_engaged_users", "Users who accepted a completion or prompted chat on the last complete UTC day");

/// Editor and language; empty for all of them.
type Line = (String, String);

/// Whom the exporter calls engaged, by stream, editor and language. A user counts once in each.
#[derive(Debug, Default)]
pub(super) struct Engaged {
    users: BTreeMap<(&'static str, Line), u64>,
    any: u64,
}

impl Engaged {
    /// Adds a user's day, by cells as bounded as the organization's.
    pub(super) fn add(&mut self, cells: &Cells) {
        let mut lines = BTreeSet::new();
        for (cell, counts) in cells {
            let all = || (String::new(), String::new());
            if is_completion(cell) && counts.acceptances > 0 {
                let editor = (cell.ide.clone(), String::new());
                let both = (cell.ide.clone(), cell.language.clone());
                let language = (String::new(), cell.language.clone());
                lines.extend([all(), editor, both, language].map(|line| (COMPLETIONS, line)));
            }
            if is_chat(cell) && counts.interactions > 0 {
                lines.extend([all(), (cell.ide.clone(), String::new())].map(|line| (CHAT, line)));
            }
        }
        self.any += u64::from(!lines.is_empty());
        for line in lines {
            *self.users.entry(line).or_default() += 1;
        }
    }
}

fn is_completion(cell: &Cell) -> bool {
    cell.feature == Feature::CodeCompletion.as_str()
}

/// Chat in an editor.
fn is_chat(cell: &Cell) -> bool {
    !cell.ide.is_empty() && cell.feature.starts_with("chat_")
}

/// All ten gauges; `cells` are those of `day`, bounded.
pub(super) fn gauges(sheet: &mut Sheet, organization: &str, day: &OrganizationDay, cells: &Cells, engaged: &Engaged) {
    let org = Labels::default().with("org", organization);
    let line = |stream: &str, (editor, language): &Line| {
        org.with("stream", stream).with("editor", editor).with("language", language)
    };
    sheet.set("total_active_users", "Users active on the last complete UTC day", &org, day.users as f64);
    sheet.set(ENGAGED.0, ENGAGED.1, &org, engaged.any as f64);
    let telemetry = day.users_with_telemetry > 0;
    for ((stream, of), users) in &engaged.users {
        // Without telemetry nobody is known to have accepted anything.
        if *stream == CHAT || telemetry {
            sheet.set(ENGAGED.0, ENGAGED.1, &line(stream, of), *users as f64);
        }
    }
    let by_line = sums(cells, |cell| is_completion(cell).then(|| (cell.ide.clone(), cell.language.clone())));
    for (of, sum) in &by_line {
        completions(sheet, &line(COMPLETIONS, of), sum, telemetry);
    }
    let by_editor = sums(cells, |cell| is_chat(cell).then(|| (cell.ide.clone(), String::new())));
    for (of, sum) in &by_editor {
        chat(sheet, &line(CHAT, of), sum, telemetry);
    }
    // All traffic seen here is with models that GitHub serves to everybody.
    let help = "1 where a model is the organization's own: none that GitHub's hosts serve";
    let editors: BTreeSet<_> = by_line.keys().map(|(editor, _)| (COMPLETIONS, editor)).collect();
    for (stream, editor) in editors.into_iter().chain(by_editor.keys().map(|(editor, _)| (CHAT, editor))) {
        sheet.set("is_custom_model", help, &line(stream, &(editor.clone(), String::new())), 0.0);
    }
}

fn completions(sheet: &mut Sheet, labels: &Labels, sum: &Counts, telemetry: bool) {
    let known = |count| telemetry.then_some(count);
    for (name, help, value) in [
        ("suggestions", "Suggestions shown (returned, without telemetry)", Some(sum.generations)),
        ("acceptances", "Suggestions accepted, of users with telemetry", known(sum.acceptances)),
        ("lines_suggested", "Lines suggested", Some(sum.lines_suggested)),
        ("lines_accepted", "Lines accepted, of users with telemetry", known(sum.lines_added)),
    ] {
        sheet.set_known(&format!("total_code_{name}"), help, labels, value);
    }
}

fn chat(sheet: &mut Sheet, labels: &Labels, sum: &Counts, telemetry: bool) {
    let known = |count| telemetry.then_some(count);
    for (name, help, value) in [
        ("total_chats", "Prompts sent to chat", Some(sum.interactions)),
        ("total_chat_copy_events", "Code blocks copied, of users with telemetry", known(sum.copied)),
        (
            "total_chat_insertion_events",
            "Code blocks inserted or applied, of users with telemetry",
            known(sum.inserted),
        ),
    ] {
        sheet.set_known(name, help, labels, value);
    }
}

#[cfg(test)]
mod tests;
