//! Files as the library's own reader gets them.

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use proptest::prelude::*;

use super::*;
use crate::reports::ReportError;
use crate::reports::sample::{Satisfied, everything, reports_on};
use crate::usage::sample::{any_events, completion};

fn read(file: Vec<u8>) -> SerializedFileReader<Bytes> {
    SerializedFileReader::new(Bytes::from(file)).unwrap()
}

/// A value as the reader of the library that wrote it gives it.
fn expected(column: &Column<UsageEvent>, event: &UsageEvent) -> Field {
    let known = |field: Option<Field>| field.unwrap_or(Field::Null);
    match column.value {
        Get::Text(get) => known(get(event).map(|text| Field::Str(text.into_owned()))),
        Get::Count(get) => known(get(event).map(|count| Field::Long(count.try_into().unwrap()))),
        Get::Measure(get) => known(get(event).map(Field::Double)),
        Get::Flag(get) => Field::Bool(get(event)),
        Get::Time(get) => Field::TimestampMicros(get(event).timestamp_micros()),
        Get::Day(get) => Field::Date(get(event).to_epoch_days()),
    }
}

fn assert_row(row: &Row, event: &UsageEvent) {
    let columns = columns::of_events();
    assert_eq!(row.len(), columns.len());
    for (column, (name, field)) in columns.iter().zip(row.get_column_iter()) {
        assert_eq!((name.as_str(), field), (column.name, &expected(column, event)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_event_reads_back_in_groups_of_any_size(mut events in any_events(), group in 1..50_usize) {
        let (reports, _folder) = reports_on(&events);
        events.sort_by(|a, b| (a.day(), &a.user, a.id).cmp(&(b.day(), &b.user, b.id)));
        let mut file = Vec::new();
        let count = reports.parquet_in_groups(&everything(), &mut file, group).unwrap();
        prop_assert_eq!(count, events.len() as u64);
        let file = read(file);
        prop_assert_eq!(file.num_row_groups(), events.len().div_ceil(group));
        let rows: Vec<Row> = file.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
        prop_assert_eq!(rows.len(), events.len());
        rows.iter().zip(&events).for_each(|(row, event)| assert_row(row, event));
    }
}

#[test]
fn it_is_compressed_and_says_who_made_it() {
    let (reports, _folder) = reports_on(&[completion(1, "ada")]);
    let mut file = Vec::new();
    reports.parquet(&everything(), &mut file).unwrap();
    let file = read(file);
    let metadata = file.metadata();
    assert!(metadata.file_metadata().created_by().unwrap().starts_with("copilens version "));
    for column in metadata.row_group(0).columns() {
        assert!(matches!(column.compression(), Compression::ZSTD(_)), "{column:?}");
    }
}

#[test]
fn a_reader_that_has_had_enough_is_told_from_other_errors() {
    let (reports, _folder) = reports_on(&[completion(1, "ada")]);
    for after in [0, 4, 200] {
        let refused = reports.parquet(&everything(), Satisfied { after }).unwrap_err();
        assert!(
            matches!(&refused, ReportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe),
            "{refused:?}"
        );
    }
}
