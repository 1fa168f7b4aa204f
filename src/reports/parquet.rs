//! Events as Parquet: typed columns, zstd, a row group at a time.

use std::io::{self, Write};
use std::sync::Arc;

use chrono::NaiveDate;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result as Written};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use super::columns::{self, Column, Get};
use super::{Reports, Result, Scope};
use crate::usage::UsageEvent;

/// Rows that are held in memory and written as one row group: some 40 MB of events. Readers skip and share work by the group.
const GROUP: usize = 1 << 15;

impl Reports {
    /// Writes one row an event. Days are `DATE`, times `TIMESTAMP(MICROS, UTC)`, texts `STRING`, counts 64-bit integers; what is
    /// unknown is null. Gives the number of events.
    ///
    /// # Errors
    /// The store cannot be read, or `out` cannot be written.
    pub fn parquet(&self, scope: &Scope, out: impl Write + Send) -> Result<u64> {
        self.parquet_in_groups(scope, out, GROUP)
    }

    fn parquet_in_groups(&self, scope: &Scope, out: impl Write + Send, size: usize) -> Result<u64> {
        let columns = columns::of_events();
        let schema = schema(&columns).map_err(io_error)?;
        let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties())).map_err(io_error)?;
        let mut rows = Vec::with_capacity(size);
        let count = self.each_event(scope, |event| {
            rows.push(event);
            if rows.len() < size {
                return Ok(());
            }
            let written = write_group(&mut file, &columns, &rows);
            rows.clear();
            written.map_err(io_error)
        })?;
        if !rows.is_empty() {
            write_group(&mut file, &columns, &rows).map_err(io_error)?;
        }
        file.close().map_err(io_error)?;
        Ok(count)
    }
}

/// What the system said, where it was that.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => cause.downcast().map_or_else(io::Error::other, |error| *error),
        error => io::Error::other(error),
    }
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(concat!("copilens version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Those of pages would be held in memory to the end, for every page of the file.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .build()
}

fn schema(columns: &[Column<UsageEvent>]) -> Written<TypePtr> {
    let fields = columns.iter().map(|column| {
        let (physical, logical) = types(&column.value);
        let field = Type::primitive_type_builder(column.name, physical).with_logical_type(logical);
        field.with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
    });
    Type::group_type_builder("usage_event").with_fields(fields.collect::<Written<_>>()?).build().map(Arc::new)
}

fn types<R>(value: &Get<R>) -> (Physical, Option<LogicalType>) {
    match value {
        Get::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        // Signed, for many readers know no other integers.
        Get::Count(_) => (Physical::INT64, None),
        Get::Measure(_) => (Physical::DOUBLE, None),
        Get::Flag(_) => (Physical::BOOLEAN, None),
        Get::Time(_) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Get::Day(_) => (Physical::INT32, Some(LogicalType::Date)),
    }
}

fn write_group<R>(
    file: &mut SerializedFileWriter<impl Write + Send>,
    columns: &[Column<R>],
    rows: &[R],
) -> Written<()> {
    let mut group = file.next_row_group()?;
    for column in columns {
        if let Some(out) = group.next_column()? {
            write_column(out, column, rows)?;
        }
    }
    group.close()?;
    Ok(())
}

/// The physical types are those of [`types`].
fn write_column<R>(out: SerializedColumnWriter<'_>, column: &Column<R>, rows: &[R]) -> Written<()> {
    let rows = rows.iter();
    match column.value {
        Get::Text(get) => {
            write::<ByteArrayType>(out, rows.map(|row| get(row).map(|text| ByteArray::from(text.as_ref()))))
        }
        Get::Count(get) => write::<Int64Type>(out, rows.map(|row| get(row).map(signed))),
        Get::Measure(get) => write::<DoubleType>(out, rows.map(get)),
        Get::Flag(get) => write::<BoolType>(out, rows.map(|row| Some(get(row)))),
        Get::Time(get) => write::<Int64Type>(out, rows.map(|row| Some(get(row).timestamp_micros()))),
        Get::Day(get) => write::<Int32Type>(out, rows.map(|row| Some(days_since_1970(get(row))))),
    }
}

fn write<T: DataType>(mut out: SerializedColumnWriter<'_>, rows: impl Iterator<Item = Option<T::T>>) -> Written<()> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    for value in rows {
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    out.typed::<T>().write_batch(&values, Some(&levels), None)?;
    out.close()
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A `DATE` (parquet-format, LogicalTypes.md).
fn days_since_1970(day: NaiveDate) -> i32 {
    day.to_epoch_days()
}

#[cfg(test)]
mod tests;
