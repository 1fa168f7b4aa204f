//! `copilens export`: usage for other programs, to standard output or into a file.

mod output;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{Days, NaiveDate};
use clap::ValueEnum;

use self::output::Output;
use super::{Failure, USAGE};
use crate::app::store_path;
use crate::config::{Allowlist, Settings, Sources};
use crate::reports::{ReportError, Reports, Roster, Scope};
use crate::store::SqliteStore;

/// Days that are written where none is told: as many as GitHub's longest reports have.
const DEFAULT_DAYS: u64 = 28;

/// The arguments of `copilens export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to write
    #[arg(long)]
    format: Format,
    /// First UTC day, as 2026-11-21 [default: 27 days before the last]
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// Last UTC day [default: today]
    #[arg(long, value_name = "DAY")]
    to: Option<NaiveDate>,
    /// This user only
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Events that count for nothing, too: their `class` is `noise`
    #[arg(long)]
    noise: bool,
    /// The file to write, which appears whole or not at all [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Daily usage as a table: one line a day, user, editor, feature, language and model
    Csv,
    /// Each exchange that counts, one JSON object a line
    Events,
    /// The same as a table
    EventsCsv,
    /// The same as typed columns
    Parquet,
}

impl Format {
    fn is_text(self) -> bool {
        self != Self::Parquet
    }

    fn is_of_events(self) -> bool {
        self != Self::Csv
    }
}

/// Writes what `arguments` ask for; `today` is the current UTC day.
pub(crate) fn run(arguments: &Arguments, sources: &Sources, today: NaiveDate) -> Result<(), Failure> {
    let scope = scope(arguments, today)?;
    let reports = reports(sources.settings()?)?;
    let mut output = Output::open(arguments.output.as_deref(), arguments.format.is_text())?;
    let written = write(&reports, arguments.format, &scope, &mut output);
    let finished = written.and_then(|rows| Ok(output.finish(rows, &scope)?));
    match finished {
        // Whoever reads has had enough.
        Err(ReportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(ReportError::Write(error)) => Err(output::failure(arguments.output.as_deref(), &error)),
        Err(ReportError::Store(error)) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

fn write(reports: &Reports, format: Format, scope: &Scope, output: &mut Output) -> Result<u64, ReportError> {
    match format {
        Format::Csv => reports.csv(scope, output),
        Format::Events => reports.events(scope, output),
        Format::EventsCsv => reports.events_csv(scope, output),
        Format::Parquet => reports.parquet(scope, output),
    }
}

fn scope(arguments: &Arguments, today: NaiveDate) -> Result<Scope, Failure> {
    if arguments.noise && !arguments.format.is_of_events() {
        return Err(Failure::new(USAGE, "--noise goes with events, events-csv and parquet"));
    }
    let to = arguments.to.unwrap_or(today);
    let from = arguments.from.unwrap_or_else(|| to.checked_sub_days(Days::new(DEFAULT_DAYS - 1)).unwrap_or(to));
    if from > to {
        let wrong = format!("--from {from} is after --to {to}: give the earlier day to --from");
        return Err(Failure::new(USAGE, wrong));
    }
    Ok(Scope { from, to, user: arguments.user.clone(), noise: arguments.noise })
}

fn reports(settings: Settings) -> Result<Reports, Failure> {
    let store = Arc::new(SqliteStore::open_to_read(&store_path(&settings))?);
    let path = &settings.auth.allowlist;
    // What people did is worth having without their logins and teams.
    let allowlist = if path.exists() { Allowlist::load(path)? } else { Allowlist::default() };
    let roster = Arc::new(Roster::of(&allowlist.accounts, store.as_ref())?);
    Ok(Reports { store, roster, organization: settings.organization, unknown: settings.reports.unknown })
}
