//! `copilens export`: usage for other programs, to standard output or into a file.

mod format;
mod output;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error;

use self::format::Format;
use self::output::Output;
use super::{Failure, USAGE};
use crate::config::{Allowlist, Settings, Sources, Unknown};
use crate::reports::{ReportError, Reports, Roster, Scope};
use crate::store;

/// The arguments of `copilens export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to write
    #[arg(long)]
    format: Format,
    /// First UTC day, as 2026-11-21 [default: 27 days before the last; of 1-day formats the last]
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// Last UTC day [default: today; of openmetrics yesterday]
    #[arg(long, value_name = "DAY")]
    to: Option<NaiveDate>,
    /// This user only; csv and events
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Events that count for nothing, too: their `class` is `noise`
    #[arg(long)]
    noise: bool,
    /// What GitHub's formats say of what is unknown: 0 or nothing [default: `reports.unknown`]
    #[arg(long, value_name = "zero|omit", value_parser = unknown)]
    unknown: Option<Unknown>,
    /// The file to write, which appears whole or not at all [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes what `arguments` ask for; `today` is the current UTC day.
pub(crate) fn run(arguments: &Arguments, sources: &Sources, today: NaiveDate) -> Result<(), Failure> {
    let scope = scope(arguments, today)?;
    let reports = reports(sources.settings()?, arguments.unknown)?;
    let mut output = Output::open(arguments.output.as_deref(), arguments.format.is_text())?;
    let written = arguments.format.write(&reports, &scope, &mut output);
    let finished = written.and_then(|records| Ok(output.finish(records, &scope)?));
    match finished {
        // Whoever reads has had enough.
        Err(ReportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(ReportError::Write(error)) => Err(output::failure(arguments.output.as_deref(), &error)),
        Err(ReportError::Store(error)) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

fn scope(arguments: &Arguments, today: NaiveDate) -> Result<Scope, Failure> {
    let format = arguments.format;
    let wrong = |option: &str| Failure::new(USAGE, format!("{option} does not go with --format {}", format.name()));
    if arguments.noise && !format.is_of_events() {
        return Err(wrong("--noise"));
    }
    if arguments.user.is_some() && !format.can_be_of_one_user() {
        return Err(wrong("--user"));
    }
    if arguments.unknown.is_some() && !format.is_githubs() {
        return Err(wrong("--unknown"));
    }
    if arguments.from.is_some() && format.is_of_a_month() {
        return Err(Failure::new(USAGE, format!("{} is of the 28 days that end with --to", format.name())));
    }
    let to = arguments.to.unwrap_or_else(|| format.last_day(today));
    let from = arguments.from.unwrap_or_else(|| format.first_day(to));
    if from > to {
        let wrong = format!("--from {from} is after --to {to}: give the earlier day to --from");
        return Err(Failure::new(USAGE, wrong));
    }
    Ok(Scope { from, to, user: arguments.user.clone(), noise: arguments.noise })
}

fn reports(settings: Settings, unknown: Option<Unknown>) -> Result<Reports, Failure> {
    let store = store::open::to_read(&settings)?;
    let path = &settings.auth.allowlist;
    // What people did is worth having without their logins and teams.
    let allowlist = if path.exists() { Allowlist::load(path)? } else { Allowlist::default() };
    let roster = Arc::new(Roster::of(&allowlist.accounts, store.as_ref())?);
    let unknown = unknown.unwrap_or(settings.reports.unknown);
    Ok(Reports { store, roster, organization: settings.organization, unknown })
}

/// As in the settings.
fn unknown(text: &str) -> Result<Unknown, Error> {
    Unknown::deserialize(text.into_deserializer())
}
