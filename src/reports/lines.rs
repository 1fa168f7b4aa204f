//! NDJSON: one record a line.

use std::io::{self, Write};

use serde::Serialize;

/// Writes records, and counts them.
pub(super) struct Lines<'a> {
    out: &'a mut dyn Write,
    line: Vec<u8>,
    count: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn to(out: &'a mut dyn Write) -> Self {
        Self { out, line: Vec::new(), count: 0 }
    }

    /// Hands over one record, in one piece.
    pub(super) fn write(&mut self, record: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.count += 1;
        Ok(())
    }

    /// How many were written.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
