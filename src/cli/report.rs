//! `copilens report`: who did how much, in a terminal table or as JSON.

mod text;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;

use anyhow::ensure;
use chrono::{Days, NaiveDate};
use serde::Serialize;

use crate::copilot::vocabulary::Tokens;
use crate::store::UsageStore;
use crate::usage::{UserUsage, add_tokens};

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
fn is_obeyed(char: char) -> bool {
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
    noise: BTreeMap<String, u64>,
}

/// One row of the table.
#[derive(Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    completions: u64,
    chat_turns: u64,
    steps: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_editor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_language: Option<String>,
    lines_suggested: u64,
}

/// What a user, or all of them, did on all days of the report.
#[derive(Default)]
struct Sum {
    completions: u64,
    chat_turns: u64,
    steps: u64,
    tokens: Tokens,
    models: BTreeMap<String, u64>,
    editors: BTreeMap<String, u64>,
    languages: BTreeMap<String, u64>,
    lines_suggested: u64,
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
        let noise = store.noise_counts(from, to, user)?;
        Ok(Self { from, to, days, user: user.map(str::to_owned), users, total: total.line(None), noise })
    }
}

impl Sum {
    fn add(&mut self, usage: &UserUsage) {
        self.completions += usage.completions_count();
        self.chat_turns += usage.chat_turns();
        self.steps += usage.steps;
        add_tokens(&mut self.tokens, usage.tokens);
        add_counts(&mut self.models, &usage.models);
        add_counts(&mut self.editors, &usage.chat);
        for (editor, languages) in &usage.completions {
            *self.editors.entry(editor.clone()).or_default() += languages.values().sum::<u64>();
            add_counts(&mut self.languages, languages);
        }
        self.lines_suggested += usage.lines_suggested;
    }

    fn line(self, user: Option<String>) -> Line {
        Line {
            user,
            completions: self.completions,
            chat_turns: self.chat_turns,
            steps: self.steps,
            tokens: Some(self.tokens).filter(|tokens| *tokens != Tokens::default()),
            top_model: top(self.models),
            top_editor: top(self.editors),
            top_language: top(self.languages),
            lines_suggested: self.lines_suggested,
        }
    }
}

fn add_counts(sum: &mut BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) {
    for (name, count) in counts {
        *sum.entry(name.clone()).or_default() += count;
    }
}

/// The name with the highest count; of several, the first by name.
fn top(counts: BTreeMap<String, u64>) -> Option<String> {
    counts.into_iter().min_by_key(|(_, count)| Reverse(*count)).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::store::{FILE_NAME, SqliteStore};
    use crate::usage::UsageEvent;
    use crate::usage::sample::{chat, completion, noise, noon, step};

    fn today() -> NaiveDate {
        noon().date_naive()
    }

    fn earlier(days: i64, event: UsageEvent) -> UsageEvent {
        UsageEvent { ended_at: event.ended_at - TimeDelta::days(days), ..event }
    }

    fn team() -> Vec<UsageEvent> {
        let tokens = Tokens { input: Some(1_234_567), output: Some(890), cached: None, ..Tokens::default() };
        let rust = UsageEvent { language: Some("rust".to_owned()), ..completion(3, "grace") };
        let jetbrains = UsageEvent { editor: Some("JetBrains-IU-251.1".to_owned()), ..chat(5, "grace") };
        vec![
            completion(1, "ada"),
            earlier(2, completion(2, "grace")),
            rust.clone(),
            UsageEvent { id: completion(4, "").id, ..rust },
            UsageEvent { tokens, ..jetbrains },
            step(6, "grace"),
            noise(7, "ada", "no_text"),
            noise(8, "ada", "no_text"),
            earlier(2, noise(9, "grace", "canceled")),
            earlier(7, completion(10, "linus")),
        ]
    }

    fn printed(events: &[UsageEvent], args: &ReportArgs) -> String {
        printed_on(None, events, args)
    }

    fn printed_on(width: Option<u16>, events: &[UsageEvent], args: &ReportArgs) -> String {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join(FILE_NAME)).unwrap();
        store.insert(events).unwrap();
        let mut out = Vec::new();
        report(&store, args, today(), width, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn only(user: &str) -> ReportArgs {
        ReportArgs { user: Some(user.to_owned()), ..ReportArgs::default() }
    }

    #[test]
    fn a_week_of_a_team() {
        insta::assert_snapshot!(printed(&team(), &ReportArgs::default()), @"
        ┌───────┬─────────────┬───────┬───────┬───────────┬────────┬────────────────┬───────────────┬──────────┬───────────┐
        │ User  ┆ Completions ┆  Chat ┆ Steps ┆    Tokens ┆ Tokens ┆ Top            ┆ Top           ┆ Top      ┆     Lines │
        │       ┆             ┆ turns ┆       ┆        in ┆    out ┆ model          ┆ editor        ┆ language ┆ suggested │
        ├───────┼─────────────┼───────┼───────┼───────────┼────────┼────────────────┼───────────────┼──────────┼───────────┤
        │ grace ┆           3 ┆     1 ┆     1 ┆ 1,235,467 ┆  1,010 ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ rust     ┆         8 │
        │ ada   ┆           1 ┆     0 ┆     0 ┆         - ┆      - ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆         2 │
        ├───────┼─────────────┼───────┼───────┼───────────┼────────┼────────────────┼───────────────┼──────────┼───────────┤
        │ total ┆           4 ┆     1 ┆     1 ┆ 1,235,467 ┆  1,010 ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆        10 │
        └───────┴─────────────┴───────┴───────┴───────────┴────────┴────────────────┴───────────────┴──────────┴───────────┘
        Days (UTC): 2025-03-08 to 2025-03-14, 2 with usage
        Left out as noise: no_text 2, canceled 1
        ");
    }

    #[test]
    fn a_narrow_terminal_goes_without_some_columns() {
        insta::assert_snapshot!(printed_on(Some(80), &team(), &only("ada")), @"
        ┌───────┬─────────────┬───────┬───────┬────────┬────────┬──────────┐
        │ User  ┆ Completions ┆  Chat ┆ Steps ┆ Tokens ┆ Tokens ┆ Top      │
        │       ┆             ┆ turns ┆       ┆     in ┆    out ┆ language │
        ├───────┼─────────────┼───────┼───────┼────────┼────────┼──────────┤
        │ ada   ┆           1 ┆     0 ┆     0 ┆      - ┆      - ┆ python   │
        ├───────┼─────────────┼───────┼───────┼────────┼────────┼──────────┤
        │ total ┆           1 ┆     0 ┆     0 ┆      - ┆      - ┆ python   │
        └───────┴─────────────┴───────┴───────┴────────┴────────┴──────────┘
        For want of room without: lines suggested, top model, top editor (a wider terminal or --json shows them)
        Days (UTC): 2025-03-08 to 2025-03-14, 1 with usage
        Left out as noise: no_text 2
        ");
        let narrowest = printed_on(Some(20), &team(), &ReportArgs::default());
        assert!(narrowest.contains("│ total ┆           4 ┆     1 ┆     1 │"), "{narrowest}");
    }

    #[test]
    fn json_has_the_same_numbers() {
        insta::assert_snapshot!(printed(&team(), &ReportArgs { json: true, ..ReportArgs::default() }), @r#"
        {
          "from": "2025-03-08",
          "to": "2025-03-14",
          "days": [
            "2025-03-12",
            "2025-03-14"
          ],
          "users": [
            {
              "user": "grace",
              "completions": 3,
              "chat_turns": 1,
              "steps": 1,
              "tokens": {
                "input": 1235467,
                "output": 1010,
                "cached": 512
              },
              "top_model": "gpt-4o-copilot",
              "top_editor": "vscode-1.99.0",
              "top_language": "rust",
              "lines_suggested": 8
            },
            {
              "user": "ada",
              "completions": 1,
              "chat_turns": 0,
              "steps": 0,
              "top_model": "gpt-4o-copilot",
              "top_editor": "vscode-1.99.0",
              "top_language": "python",
              "lines_suggested": 2
            }
          ],
          "total": {
            "completions": 4,
            "chat_turns": 1,
            "steps": 1,
            "tokens": {
              "input": 1235467,
              "output": 1010,
              "cached": 512
            },
            "top_model": "gpt-4o-copilot",
            "top_editor": "vscode-1.99.0",
            "top_language": "python",
            "lines_suggested": 10
          },
          "noise": {
            "canceled": 1,
            "no_text": 2
          }
        }
        "#);
    }

    #[test]
    fn one_user() {
        insta::assert_snapshot!(printed(&team(), &only("ada")), @"
        ┌───────┬─────────────┬───────┬───────┬────────┬────────┬────────────────┬───────────────┬──────────┬───────────┐
        │ User  ┆ Completions ┆  Chat ┆ Steps ┆ Tokens ┆ Tokens ┆ Top            ┆ Top           ┆ Top      ┆     Lines │
        │       ┆             ┆ turns ┆       ┆     in ┆    out ┆ model          ┆ editor        ┆ language ┆ suggested │
        ├───────┼─────────────┼───────┼───────┼────────┼────────┼────────────────┼───────────────┼──────────┼───────────┤
        │ ada   ┆           1 ┆     0 ┆     0 ┆      - ┆      - ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆         2 │
        ├───────┼─────────────┼───────┼───────┼────────┼────────┼────────────────┼───────────────┼──────────┼───────────┤
        │ total ┆           1 ┆     0 ┆     0 ┆      - ┆      - ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆         2 │
        └───────┴─────────────┴───────┴───────┴────────┴────────┴────────────────┴───────────────┴──────────┴───────────┘
        Days (UTC): 2025-03-08 to 2025-03-14, 1 with usage
        Left out as noise: no_text 2
        ");
    }

    #[test]
    fn the_range_is_the_callers() {
        let day = today() - TimeDelta::days(7);
        let args = ReportArgs { from: Some(day), to: Some(day), json: true, ..ReportArgs::default() };
        let report: serde_json::Value = serde_json::from_str(&printed(&team(), &args)).unwrap();
        assert_eq!(report["days"], serde_json::json!(["2025-03-07"]));
        assert_eq!(report["users"][0]["user"], "linus");
        assert_eq!(report["users"].as_array().unwrap().len(), 1);
        assert_eq!(report["noise"], serde_json::json!({}));
    }

    #[test]
    fn an_empty_report_says_where_to_look() {
        insta::assert_snapshot!(printed(&[], &ReportArgs::default()), @"
        No usage from 2025-03-08 to 2025-03-14 (UTC).
        Nothing is recorded yet. `copilens env NAME` prints the settings for a user's IDE,
        `copilens check` looks for faults, and `copilens demo` shows what to expect.
        ");
        insta::assert_snapshot!(printed(&[earlier(30, chat(1, "ada"))], &ReportArgs::default()), @"
        No usage from 2025-03-08 to 2025-03-14 (UTC).
        There are events from 2025-02-12 to 2025-02-12: see --from and --to.
        ");
        insta::assert_snapshot!(printed(&team(), &only("mary")), @"
        No usage of mary from 2025-03-08 to 2025-03-14 (UTC).
        There are events from 2025-03-07 to 2025-03-14: see --from and --to.
        `copilens users list` shows the users' names.
        ");
        insta::assert_snapshot!(printed(&[noise(1, "ada", "no_text")], &ReportArgs::default()), @"
        No usage from 2025-03-08 to 2025-03-14 (UTC).
        Requests came, but none that counts.
        Left out as noise: no_text 1
        ");
    }

    #[test]
    fn the_first_day_of_all_has_no_six_days_before() {
        let args = ReportArgs { to: Some(NaiveDate::MIN), ..ReportArgs::default() };
        assert!(printed(&team(), &args).starts_with("No usage from"));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join(FILE_NAME)).unwrap();
        let args = ReportArgs { from: Some(today()), to: Some(today() - TimeDelta::days(1)), ..ReportArgs::default() };
        let refused = report(&store, &args, today(), None, &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(refused, "--from 2025-03-14 is after --to 2025-03-13: give the earlier day to --from");
    }

    #[test]
    fn a_clients_text_cannot_speak_to_the_terminal() {
        let language = Some(format!("py\u{1b}[2J\nthon{}", "x".repeat(99)));
        let text = printed(&[UsageEvent { language, ..completion(1, "ada") }], &ReportArgs::default());
        assert!(text.contains("py?[2J?thonxxx") && !text.contains('\u{1b}'), "{text}");
    }
}
