//! The report as people read it: a table, then what it covers and leaves out; or where to look when there is nothing.

use std::cmp::Reverse;
use std::io::Write;

use chrono::NaiveDate;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ColumnConstraint, LineStyle, Table, TableStyle};

use super::{Line, Report, is_obeyed};

const HEADER: [&str; 10] = [
    "User",
    "Completions",
    "Chat\nturns",
    "Steps",
    "Tokens\nin",
    "Tokens\nout",
    "Top\nmodel",
    "Top\neditor",
    "Top\nlanguage",
    "Lines\nsuggested",
];

const STYLE: TableStyle = UTF8_FULL_CONDENSED.header_separator(LineStyle::new('├', '─', '┼', '┤'));

/// Columns of [`HEADER`] that a narrow terminal goes without, the first one first.
const DISPENSABLE: [&str; 6] =
    ["Lines\nsuggested", "Top\nmodel", "Top\neditor", "Top\nlanguage", "Tokens\nin", "Tokens\nout"];

/// Characters of a name that a client sent that are shown in the table.
const NAME_WIDTH: usize = 32;

/// Writes the report; `stored` are the days on record, in the report or not.
pub(super) fn write(
    report: &Report,
    stored: &[NaiveDate],
    width: Option<u16>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if report.users.is_empty() {
        write_where_to_look(report, stored, out)?;
    } else {
        write_table(report, width, out)?;
    }
    write_noise(report, out)
}

impl Report {
    /// The table's lines, without as many of the [`DISPENSABLE`] columns as `width` has no room for, and how many those are.
    fn lines(&self, width: Option<u16>) -> (Vec<String>, usize) {
        let widest = width.map_or(usize::MAX, usize::from);
        let fits = |lines: &[String]| lines.iter().all(|line| line.chars().count() <= widest);
        let mut hidden = 0;
        loop {
            let lines: Vec<String> = self.table(DISPENSABLE.get(..hidden).unwrap_or_default()).lines().collect();
            if hidden == DISPENSABLE.len() || fits(&lines) {
                return (lines, hidden);
            }
            hidden += 1;
        }
    }

    fn table(&self, hidden: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(STYLE).set_header(HEADER).force_no_tty();
        table.add_rows(self.users.iter().chain([&self.total]).map(Line::cells));
        for (column, name) in table.column_iter_mut().zip(HEADER) {
            if name != "User" && !name.starts_with("Top") {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if hidden.contains(&name) {
                column.set_constraint(ColumnConstraint::Hidden);
            }
        }
        table
    }
}

impl Line {
    fn cells(&self) -> [String; HEADER.len()] {
        let known = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), grouped);
        let name = |name: &Option<String>| name.as_deref().map_or_else(|| "-".to_owned(), printable);
        [
            self.user.clone().unwrap_or_else(|| "total".to_owned()),
            grouped(self.completions),
            grouped(self.chat_turns),
            grouped(self.steps),
            known(self.tokens.and_then(|tokens| tokens.input)),
            known(self.tokens.and_then(|tokens| tokens.output)),
            name(&self.top_model),
            name(&self.top_editor),
            name(&self.top_language),
            grouped(self.lines_suggested),
        ]
    }
}

fn write_table(report: &Report, width: Option<u16>, out: &mut dyn Write) -> anyhow::Result<()> {
    let (mut lines, hidden) = report.lines(width);
    // The line below the header parts the totals from the users, too: above the table's last two lines.
    if let Some(line) = lines.iter().find(|line| line.starts_with('├')).cloned() {
        lines.insert(lines.len().saturating_sub(2), line);
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    if hidden > 0 {
        let names: Vec<_> =
            DISPENSABLE.iter().take(hidden).map(|name| name.replace('\n', " ").to_lowercase()).collect();
        writeln!(out, "For want of room without: {} (a wider terminal or --json shows them)", names.join(", "))?;
    }
    writeln!(out, "Days (UTC): {} to {}, {} with usage", report.from, report.to, report.days.len())?;
    Ok(())
}

fn write_where_to_look(report: &Report, stored: &[NaiveDate], out: &mut dyn Write) -> anyhow::Result<()> {
    let whose = report.user.as_ref().map_or_else(String::new, |user| format!(" of {user}"));
    writeln!(out, "No usage{whose} from {} to {} (UTC).", report.from, report.to)?;
    match (stored.first(), stored.last()) {
        _ if !report.noise.is_empty() => writeln!(out, "Requests came, but none that counts.")?,
        (Some(first), Some(last)) => {
            writeln!(out, "There are events from {first} to {last}: see --from and --to.")?;
            if report.user.is_some() {
                writeln!(out, "`copilens users list` shows the users' names.")?;
            }
        }
        _ => {
            writeln!(out, "Nothing is recorded yet. `copilens env NAME` prints the settings for a user's IDE,")?;
            writeln!(out, "`copilens check` looks for faults, and `copilens demo` shows what to expect.")?;
        }
    }
    Ok(())
}

fn write_noise(report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    if !report.noise.is_empty() {
        let mut reasons: Vec<_> = report.noise.iter().collect();
        reasons.sort_by_key(|(_, count)| Reverse(**count));
        let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {}", grouped(**count))).collect();
        writeln!(out, "Left out as noise: {}", reasons.join(", "))?;
    }
    Ok(())
}

/// 1234567 as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A name that a client sent, cut, and without what a terminal would obey.
fn printable(name: &str) -> String {
    name.chars().take(NAME_WIDTH).map(|char| if is_obeyed(char) { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
