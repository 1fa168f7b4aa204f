//! Reports: usage in formats that other tools read, put together from the store and the allowlist.
//!
//! What a report looks like is in [`usage`](crate::usage); here is who asks the store what, and who stands behind a name.

mod breakdown;
mod columns;
mod coralogix;
mod csv;
mod day_gauges;
mod events;
mod exposition;
mod gcp_exporter;
mod github;
mod lines;
mod openmetrics;
mod parquet;
mod roster;
#[cfg(test)]
mod sample;
mod source;
mod usage_page;

use std::io;
use std::sync::Arc;

use chrono::NaiveDate;

pub use roster::{Person, Roster, team_id, team_slug};
pub use source::ReportSource;
pub use usage_page::UsagePage;

use crate::config::Unknown;
use crate::store::{StoreError, UsageStore};

/// Why a report was not written, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever reads it.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// The result of writing a report.
pub type Result<T> = std::result::Result<T, ReportError>;

/// What a table is to tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// First UTC day.
    pub from: NaiveDate,
    /// Last UTC day.
    pub to: NaiveDate,
    /// This user only, by the allowlist's name.
    pub user: Option<String>,
    /// Of events: those that count for nothing, too.
    pub noise: bool,
}

/// What all reports are made of.
#[derive(Clone)]
pub struct Reports {
    /// Usage.
    pub store: Arc<dyn UsageStore>,
    /// Who is who.
    pub roster: Arc<Roster>,
    /// `organization`.
    pub organization: String,
    /// `reports.unknown`.
    pub unknown: Unknown,
}
