//! Usage: what is counted. Pure functions from usage events to the numbers that people read; no I/O, no clock.

mod acceptance;
mod day;
mod day_file;
mod event;
pub mod github;
mod rollup;
#[cfg(test)]
pub(crate) mod sample;

pub use acceptance::{Acceptance, ChatActions, Fates, Sessions, ToldFates};
pub use day::{DayUsage, EventGroup, UNKNOWN, UserUsage, add_edits, add_known, add_tokens};
pub use event::{IMPORTED, IMPORTED_COUNT, UsageEvent};
pub use rollup::{
    Activity, COUNTERS, Cell, Cells, Client, Counts, Engagement, Fold, IdDigest, OTHERS, OrganizationDay,
    OrganizationSums, Surface, Surfaces, Told, ToldAction, ToldSuggestion, Totals, UserDay, id_digest,
};
