//! `rebuild`: days anew from their record files.

use std::io::Write;
use std::sync::Arc;

use chrono::NaiveDate;

use crate::app::LogFolder;
use crate::cli::Failure;
use crate::config::{Settings, Sources, StoreUrl};
use crate::recorder::{RecordFiles, rebuild, refresh_all};
use crate::store::{self, SqliteStore, StoreError, UsageStore};

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
    let store = open(&settings, out)?;
    let rebuilt = rebuild(&files, &*store, arguments.from, arguments.to)?;
    if (arguments.from, arguments.to) == (None, None) {
        store.mark_whole()?;
    }
    refresh_all(&*store)?;
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

/// A damaged file does not keep the records from making a new one.
pub(super) fn open(settings: &Settings, out: &mut dyn Write) -> Result<Arc<dyn UsageStore>, Failure> {
    if settings.store.url != StoreUrl::Sqlite {
        return Ok(store::open::to_write(settings)?);
    }
    let path = &store::open::sqlite_path(&settings.log_dir);
    let opened = SqliteStore::open(path).and_then(|store| store.check().map(|()| store));
    match opened {
        Err(StoreError::Corrupt { .. }) => {
            let (store, aside) = SqliteStore::open_anew(path)?;
            writeln!(out, "the damaged store was set aside as {}", aside.display())?;
            Ok(Arc::new(store))
        }
        opened => Ok(Arc::new(opened?)),
    }
}
