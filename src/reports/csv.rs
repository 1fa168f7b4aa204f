//! CSV: RFC 4180, in UTF-8, with nothing that a spreadsheet would take for a formula.
//!
//! A text that a spreadsheet might run gets an apostrophe in front, as OWASP's page on CSV injection advises, and so does one
//! that begins with an apostrophe. Who takes one leading apostrophe off a text has it as it was. Numbers, times, days and flags
//! are never touched. What is unknown is an empty field.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::rc::Rc;

use chrono::{NaiveDate, SecondsFormat};
use csv::{Terminator, WriterBuilder};

use super::columns::{self, Column, Get, UsageRow};
use super::{Person, Reports, Result, Scope};
use crate::usage::UserDay;

impl Reports {
    /// Writes one line for each day, user, editor, feature, language and model, after a line with the columns' names. Gives the
    /// number of lines after that.
    ///
    /// # Errors
    /// The store cannot be read, or `out` cannot be written.
    pub fn csv(&self, scope: &Scope, out: &mut dyn Write) -> Result<u64> {
        let columns = columns::of_usage();
        let mut table = Table::begin(&columns, out)?;
        let users = scope.user.clone().map(|user| BTreeSet::from([user]));
        let mut failed = None;
        self.store.user_days(scope.from, scope.to, users.as_ref(), &mut |day, user, usage| match write_day(
            &mut table,
            day,
            self.roster.person(user),
            usage,
        ) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or_else(|| table.end(), Err).map_err(Into::into)
    }

    /// Writes one line an event, after a line with the columns' names. Gives the number of events.
    ///
    /// # Errors
    /// The store cannot be read, or `out` cannot be written.
    pub fn events_csv(&self, scope: &Scope, out: &mut dyn Write) -> Result<u64> {
        let columns = columns::of_events();
        let mut table = Table::begin(&columns, out)?;
        self.each_event(scope, |event| table.write(&event))?;
        Ok(table.end()?)
    }
}

/// The lines of one user's day.
fn write_day<W: Write>(
    table: &mut Table<'_, UsageRow, W>,
    day: NaiveDate,
    person: Person,
    usage: UserDay,
) -> io::Result<()> {
    let person = Rc::new(person);
    for (cell, counts) in usage.cells {
        table.write(&UsageRow { day, person: Rc::clone(&person), telemetry: usage.telemetry, cell, counts })?;
    }
    Ok(())
}

/// A table in the making.
struct Table<'c, R, W: Write> {
    columns: &'c [Column<R>],
    out: csv::Writer<W>,
    rows: u64,
}

impl<'c, R, W: Write> Table<'c, R, W> {
    /// With the line that names the columns.
    fn begin(columns: &'c [Column<R>], out: W) -> io::Result<Self> {
        let mut out = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
        out.write_record(columns.iter().map(|column| column.name)).map_err(io_error)?;
        Ok(Self { columns, out, rows: 0 })
    }

    fn write(&mut self, row: &R) -> io::Result<()> {
        for column in self.columns {
            self.out.write_field(field(column, row).as_bytes()).map_err(io_error)?;
        }
        self.out.write_record(None::<&[u8]>).map_err(io_error)?;
        self.rows += 1;
        Ok(())
    }

    /// Gives the number of rows.
    fn end(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.rows)
    }
}

fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

/// A row's text in a column, before it is quoted.
fn field<'r, R>(column: &Column<R>, row: &'r R) -> Cow<'r, str> {
    match column.value {
        Get::Text(get) => get(row).map_or_else(|| "".into(), defused),
        Get::Count(get) => get(row).map_or_else(|| "".into(), |count| count.to_string().into()),
        Get::Measure(get) => get(row).map_or_else(|| "".into(), |measure| measure.to_string().into()),
        Get::Flag(get) => if get(row) { "true" } else { "false" }.into(),
        Get::Time(get) => get(row).to_rfc3339_opts(SecondsFormat::Micros, true).into(),
        Get::Day(get) => get(row).to_string().into(),
    }
}

/// The text with an apostrophe in front, where it needs one.
fn defused(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_dangerous(&text) { format!("'{text}").into() } else { text }
}

/// Whether a spreadsheet might take the text for a formula: by its first character, or by the first one after blanks and
/// quotes, which some spreadsheets drop; and whether it begins with what makes it safe.
///
/// The characters are those of <https://owasp.org/www-community/attacks/CSV_Injection> with their full-width forms, and NUL
/// (OWASP ASVS 5.0, 1.2.10).
fn is_dangerous(text: &str) -> bool {
    let begins_with = |text: &str, chars: &[char]| text.starts_with(chars);
    let inner = text.trim_start_matches(|char: char| {
        char.is_whitespace() || char.is_control() || matches!(char, '"' | '\'' | '\u{200b}' | '\u{feff}')
    });
    begins_with(text, &['\'', '\t', '\r', '\n', '\0'])
        || begins_with(inner, &['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests;
