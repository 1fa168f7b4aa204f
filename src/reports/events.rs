//! Events, one JSON object a line (NDJSON).

use std::io::{self, Write};
use std::ops::ControlFlow;

use chrono::NaiveDate;
use serde::Serialize;

use super::lines::Lines;
use super::{Reports, Result, Scope};
use crate::copilot::vocabulary::Class;
use crate::usage::UsageEvent;

/// A line's keys.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    day: NaiveDate,
    #[serde(flatten)]
    event: &'a UsageEvent,
}

impl<'a> From<&'a UsageEvent> for Line<'a> {
    fn from(event: &'a UsageEvent) -> Self {
        Self { day: event.day(), event }
    }
}

impl Reports {
    /// Writes one line an event: its day, and the fields of [`UsageEvent`] that are known. Gives the number of events.
    ///
    /// # Errors
    /// The store cannot be read, or `out` cannot be written.
    pub fn events(&self, scope: &Scope, out: &mut dyn Write) -> Result<u64> {
        let mut lines = Lines::to(out);
        self.each_event(scope, |event| lines.write(&Line::from(&event)))
    }

    /// Hands the events of the scope to `each` until that fails. Gives their number.
    pub(super) fn each_event(&self, scope: &Scope, mut each: impl FnMut(UsageEvent) -> io::Result<()>) -> Result<u64> {
        let (mut handed, mut failed) = (0, None);
        self.store.events(scope.from, scope.to, scope.user.as_deref(), &mut |event| {
            if event.class == Class::Noise && !scope.noise {
                return ControlFlow::Continue(());
            }
            handed += 1;
            failed = each(event).err();
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failed.map_or(Ok(handed), |error| Err(error.into()))
    }
}

#[cfg(test)]
mod tests;
