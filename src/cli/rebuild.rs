//! `rebuild`: days anew from their record files.

use std::io::Write;
use std::path::Path;

use chrono::NaiveDate;

use crate::app::{LogFolder, store_path};
use crate::cli::Failure;
use crate::config::Sources;
use crate::recorder::{RecordFiles, rebuild};
use crate::store::{SqliteStore, StoreError, UsageStore as _};

/// The days to make anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// First UTC day, as 2026-11-21 [default: the first with records]
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// Last UTC day [default: the last with records]
    #[arg(long, value_name = "DAY")]
    to: Option<NaiveDate>,
}

pub(crate) fn run(arguments: &Arguments, sources: &Sources, out: &mut dyn Write) -> Result<(), Failure> {
    let settings = sources.settings()?;
    let _folder = LogFolder::lock(&settings.log_dir)?;
    let files = RecordFiles::open(&settings.log_dir)?;
    let store = open(&store_path(&settings), out)?;
    let rebuilt = rebuild(&files, &store, arguments.from, arguments.to)?;
    if (arguments.from, arguments.to) == (None, None) {
        store.mark_whole()?;
    }
    for (path, reason) in &rebuilt.unreadable {
        writeln!(out, "left out: {}: {reason}", path.display())?;
    }
    match (rebuilt.days.first(), rebuilt.days.last()) {
        (Some(first), Some(last)) => {
            writeln!(out, "{} days from {} records: {first} to {last}", rebuilt.days.len(), rebuilt.records)?;
        }
        _ => writeln!(out, "no record files in {} for these days", files.usage_dir().display())?,
    }
    Ok(())
}

/// A damaged store does not keep the records from making a new one.
pub(super) fn open(path: &Path, out: &mut dyn Write) -> Result<SqliteStore, Failure> {
    let opened = SqliteStore::open(path).and_then(|store| store.check().map(|()| store));
    match opened {
        Err(StoreError::Corrupt { .. }) => {
            let (store, aside) = SqliteStore::open_anew(path)?;
            writeln!(out, "the damaged store was set aside as {}", aside.display())?;
            Ok(store)
        }
        opened => Ok(opened?),
    }
}
