//! Events, one JSON object a line (NDJSON).

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde_json::Value;

use super::{Reports, Result, Scope};
use crate::copilot::vocabulary::Class;
use crate::usage::UsageEvent;

impl Reports {
    /// Writes one line an event: its day, and the fields of [`UsageEvent`] that are known. Gives the number of events.
    ///
    /// # Errors
    /// The store cannot be read, or `out` cannot be written.
    pub fn events(&self, scope: &Scope, mut out: impl Write) -> Result<u64> {
        self.each_event(scope, |event| {
            serde_json::to_writer(&mut out, &line(&event)?)?;
            out.write_all(b"\n")
        })
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

pub(super) fn line(event: &UsageEvent) -> serde_json::Result<Value> {
    let mut line = serde_json::to_value(event)?;
    if let Value::Object(fields) = &mut line {
        fields.retain(|_, value| is_known(value));
        fields.shift_insert(0, "day".to_owned(), serde_json::to_value(event.day())?);
    }
    Ok(line)
}

fn is_known(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
