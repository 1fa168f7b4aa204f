//! The report as people read it: a table, then what it covers and leaves out; or where to look when there is nothing.

use std::cmp::Reverse;
use std::io::Write;

use chrono::NaiveDate;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ColumnConstraint, LineStyle, Table, TableStyle};

use super::accounts::KEY_PREFIX;
use super::{Line, Report, Sharing, is_obeyed};

const HEADER: [&str; 15] = [
    "User",
    "Completions",
    "Shown",
    "Accepted",
    "Rate",
    "Chat\nturns",
    "Steps",
    "Tokens\nin",
    "Tokens\nout",
    AI_CREDITS,
    "Top\nmodel",
    "Top\neditor",
    "Top\nlanguage",
    "Lines\nsuggested",
    LINES_ACCEPTED,
];

const AI_CREDITS: &str = "AI\ncredits";
const LINES_ACCEPTED: &str = "Lines\naccepted";

const STYLE: TableStyle = UTF8_FULL_CONDENSED.header_separator(LineStyle::new('├', '─', '┼', '┤'));

/// Columns of [`HEADER`] that a narrow terminal goes without, the first one first.
const DISPENSABLE: [&str; 11] = [
    "Lines\nsuggested",
    "Top\nmodel",
    "Top\neditor",
    "Top\nlanguage",
    LINES_ACCEPTED,
    AI_CREDITS,
    "Tokens\nin",
    "Tokens\nout",
    "Rate",
    "Shown",
    "Accepted",
];

/// Characters of a name that a client sent that are shown in the table.
const NAME_WIDTH: usize = 32;

/// Hexadecimal digits of an account's key that are shown.
const KEY_SHOWN: usize = 8;

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
    write_noise(report, out)?;
    write_sharing(&report.sharing, out)
}

impl Report {
    /// The table's lines, without as many of the [`DISPENSABLE`] columns as `width` has no room for, and which those are.
    fn lines(&self, width: Option<u16>) -> (Vec<String>, Vec<&'static str>) {
        let widest = width.map_or(usize::MAX, usize::from);
        let fits = |lines: &[String]| lines.iter().all(|line| line.chars().count() <= widest);
        let mut dispensable = DISPENSABLE.into_iter().filter(|column| self.has(column));
        let mut hidden = Vec::new();
        loop {
            let lines: Vec<String> = self.table(&hidden).lines().collect();
            if fits(&lines) {
                return (lines, hidden);
            }
            match dispensable.next() {
                Some(column) => hidden.push(column),
                None => return (lines, hidden),
            }
        }
    }

    /// Whether anything is known that the column would show.
    fn has(&self, column: &str) -> bool {
        match column {
            AI_CREDITS => self.total.nano_aiu.is_some(),
            "Shown" | "Accepted" | "Rate" | LINES_ACCEPTED => self.total.shown.is_some(),
            _ => true,
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
            if hidden.contains(&name) || !self.has(name) {
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
            known(self.shown),
            known(self.accepted),
            self.accepted_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.0}%")),
            grouped(self.chat_turns),
            grouped(self.steps),
            known(self.tokens.and_then(|tokens| tokens.input)),
            known(self.tokens.and_then(|tokens| tokens.output)),
            self.nano_aiu.map_or_else(|| "-".to_owned(), credits),
            name(&self.top_model),
            name(&self.top_editor),
            name(&self.top_language),
            grouped(self.lines_suggested),
            known(self.lines_accepted),
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
    if !hidden.is_empty() {
        let names: Vec<_> = hidden.iter().map(|column| column_name(column)).collect();
        writeln!(out, "For want of room without: {} (a wider terminal or --json shows them)", names.join(", "))?;
    }
    writeln!(out, "Days (UTC): {} to {}, {} with usage", report.from, report.to, report.days.len())?;
    write_telemetry(report, out)
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

/// Says what the columns that come from telemetry leave out.
fn write_telemetry(report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    match (report.users_with_telemetry, report.users.len()) {
        (with, all) if with == all => {}
        (0, _) => writeln!(out, "Shown and accepted are not known: no client sent telemetry.")?,
        (with, all) => {
            writeln!(out, "Shown and accepted: of {with} of {all} users; the others' clients sent no telemetry.")?;
        }
    }
    Ok(())
}

/// What is shown of accounts that look shared, before their users.
const SHARED_ACCOUNTS: &str = "
GitHub accounts that several users use. GitHub blocks accounts that are shared:
give each user a seat, and have each sign in to GitHub as themselves.";

/// And before the accounts of users who have several.
const SEVERAL_ACCOUNTS: &str = "
Users who use several GitHub accounts. Where one is another person's, have them
sign out of it; where a proxy password is shared, `copilens users rotate NAME`
gives that user a new one.";

fn write_sharing(sharing: &Sharing, out: &mut dyn Write) -> anyhow::Result<()> {
    if !sharing.accounts_with_several_users.is_empty() {
        writeln!(out, "{SHARED_ACCOUNTS}")?;
    }
    for (account, users) in &sharing.accounts_with_several_users {
        let users: Vec<_> = users.iter().map(String::as_str).collect();
        writeln!(out, "  {}: {}", account_name(account), users.join(", "))?;
    }
    if !sharing.users_with_several_accounts.is_empty() {
        writeln!(out, "{SEVERAL_ACCOUNTS}")?;
    }
    for (user, accounts) in &sharing.users_with_several_accounts {
        let accounts: Vec<_> = accounts.iter().map(|account| account_name(account)).collect();
        writeln!(out, "  {user}: {}", accounts.join(", "))?;
    }
    Ok(())
}

/// A column's name within a sentence.
fn column_name(column: &str) -> String {
    match column {
        AI_CREDITS => "AI credits".to_owned(),
        "Rate" => "acceptance rate".to_owned(),
        _ => column.replace('\n', " ").to_lowercase(),
    }
}

/// A login, or the beginning of a key, which is enough to tell accounts apart.
fn account_name(account: &str) -> String {
    let key = account.strip_prefix(KEY_PREFIX).map(|key| key.get(..KEY_SHOWN).unwrap_or(key));
    key.map_or_else(|| printable(account), |key| format!("{} (login not known)", printable(key)))
}

/// Billionths of a credit as credits with two decimals.
fn credits(nano_aiu: u64) -> String {
    let hundredths = nano_aiu.saturating_add(5_000_000) / 10_000_000;
    format!("{}.{:02}", grouped(hundredths / 100), hundredths % 100)
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
    fn credits_have_two_decimals() {
        let shown = [0, 4_999_999, 5_000_000, 3_100_000_000, 1_234_567_890_123].map(credits);
        assert_eq!(shown, ["0.00", "0.00", "0.01", "3.10", "1,234.57"]);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
