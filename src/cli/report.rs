//! `copilens report`: who did how much, in a terminal table or as JSON.

mod accounts;
mod sum;
mod text;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;

use anyhow::ensure;
use chrono::{Days, NaiveDate};
use serde::Serialize;

use self::accounts::{Sharing, Used};
use self::sum::{Line, Sum};
use crate::store::UsageStore;

/// Days that a report covers where it is not told: today and the six before.
const DEFAULT_DAYS: u64 = 7;

/// The arguments of `copilens report`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ReportArgs {
    /// First UTC day, as 2025-03-14 [default: six days before the last]
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<NaiveDate>,
    /// Last UTC day [default: today]
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<NaiveDate>,
    /// This user only
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes the report of the days that `args` name; `today` is the current UTC day, `width` that of the terminal, if it is one.
///
/// # Errors
/// The range ends before it begins, the store cannot be read, or `out` cannot be written.
pub(crate) fn report(
    store: &dyn UsageStore,
    args: &ReportArgs,
    today: NaiveDate,
    width: Option<u16>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let to = args.to.unwrap_or(today);
    let from = args.from.unwrap_or_else(|| to.checked_sub_days(Days::new(DEFAULT_DAYS - 1)).unwrap_or(to));
    ensure!(from <= to, "--from {from} is after --to {to}: give the earlier day to --from");
    let report = Report::of(store, from, to, args.user.as_deref())?;
    if args.json {
        writeln!(out, "{}", escaped(&serde_json::to_string_pretty(&report)?))?;
        return Ok(());
    }
    text::write(&report, &store.days()?, width, out)
}

/// Whether a terminal would obey the character instead of showing it: control characters, and those of Unicode that part
/// lines or turn the direction of writing (UAX #9 section 2).
pub(super) fn is_obeyed(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON with what a terminal would obey as escapes, for JSON itself asks that of few characters (RFC 8259 section 7).
/// Outside of strings there are none but line ends.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '\n' => text.push(char),
            // All of them are below U+10000, so one escape is enough.
            _ if is_obeyed(char) => text.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => text.push(char),
        }
    }
    text
}

/// What is printed, and the keys of `--json`. What is unknown is absent.
#[derive(Serialize)]
struct Report {
    from: NaiveDate,
    to: NaiveDate,
    /// Those of the range with usage.
    days: Vec<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    users: Vec<Line>,
    total: Line,
    /// How many users' clients sent telemetry: over these are what is shown and accepted, and the rate.
    users_with_telemetry: usize,
    noise: BTreeMap<String, u64>,
    #[serde(flatten)]
    sharing: Sharing,
}

impl Report {
    fn of(store: &dyn UsageStore, from: NaiveDate, to: NaiveDate, user: Option<&str>) -> anyhow::Result<Self> {
        let mut days = Vec::new();
        let mut total = Sum::default();
        let mut users = BTreeMap::<String, Sum>::new();
        for day in store.days()?.into_iter().filter(|day| (from..=to).contains(day)) {
            let mut usage = store.day(day)?.users;
            usage.retain(|name, _| user.is_none_or(|user| user == name));
            if !usage.is_empty() {
                days.push(day);
            }
            for (name, usage) in usage {
                total.add(&usage);
                users.entry(name).or_default().add(&usage);
            }
        }
        let mut users: Vec<_> = users.into_iter().map(|(name, sum)| sum.line(Some(name))).collect();
        users.sort_by_key(|line| Reverse(line.completions + line.chat_turns));
        let users_with_telemetry = users.iter().filter(|line| line.shown.is_some()).count();
        let used = Used::of(store, from, to)?;
        used.add_to(&mut users);
        Ok(Self {
            from,
            to,
            days,
            user: user.map(str::to_owned),
            users,
            total: total.line(None),
            users_with_telemetry,
            noise: store.noise_counts(from, to, user)?,
            sharing: used.sharing(user),
        })
    }
}

#[cfg(test)]
mod tests;
