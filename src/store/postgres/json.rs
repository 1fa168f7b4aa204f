//! Rows as JSON and back: one parameter and one round trip for as many rows as there are, columns by their names
//! (PostgreSQL's manual, section 9.16, `json_populate_recordset`).

use std::io;

use data_encoding::HEXLOWER;
use postgres::types::Type;
use postgres::{GenericClient, Row};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::ser::{CharEscape, Formatter};

use super::error::Answer;

/// Writes what PostgreSQL's text cannot hold as the replacement character.
struct WithoutNul;

impl Formatter for WithoutNul {
    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::AsciiControl(0) => writer.write_all("\u{fffd}".as_bytes()),
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"\\/"),
            CharEscape::Backspace => writer.write_all(b"\\b"),
            CharEscape::FormFeed => writer.write_all(b"\\f"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }
}

/// The rows as a JSON array.
fn array<T: Serialize>(rows: &[T]) -> Answer<String> {
    let mut text = Vec::new();
    rows.serialize(&mut serde_json::Serializer::with_formatter(&mut text, WithoutNul))?;
    Ok(String::from_utf8(text)?)
}

/// Bytes as PostgreSQL's text of them.
pub(super) fn bytes_or_null<S: Serializer>(bytes: &Option<&[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => serializer.collect_str(&format_args!("\\x{}", HEXLOWER.encode_display(bytes))),
        None => serializer.serialize_none(),
    }
}

/// As what is stored, for a parameter that is compared with it.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Runs a statement whose only parameter, `$1::json`, is the rows. Where there are none, nothing is asked.
pub(super) fn query<T: Serialize>(client: &mut impl GenericClient, sql: &str, rows: &[T]) -> Answer<Vec<Row>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    Ok(client.query_typed(sql, &[(&array(rows)?, Type::TEXT)])?)
}

/// The first column of each row, which is JSON, as a value.
pub(super) fn values<T: DeserializeOwned>(rows: &[Row]) -> Answer<Vec<T>> {
    rows.iter().map(|row| Ok(serde_json::from_str(row.try_get(0)?)?)).collect()
}

/// A table, for writing rows that may be there already.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static [&'static str],
    /// The columns beside its key.
    pub(super) others: &'static [&'static str],
}

impl Table {
    /// Stores rows in the place of those with the same key, which must not come twice. `only_if` is a condition on both, where
    /// the row is there already: `EXCLUDED` is the new one.
    pub(super) fn put<T: Serialize>(&self, client: &mut impl GenericClient, rows: &[T], only_if: &str) -> Answer<()> {
        let (name, key) = (self.name, self.key.join(", "));
        let set: Vec<_> = self.others.iter().map(|column| format!("{column} = EXCLUDED.{column}")).collect();
        let (set, only_if) = (set.join(", "), if only_if.is_empty() { "TRUE" } else { only_if });
        let sql = format!(
            "INSERT INTO {name} SELECT * FROM json_populate_recordset(NULL::{name}, $1::json)
             ON CONFLICT ({key}) DO UPDATE SET {set} WHERE {only_if}"
        );
        query(client, &sql, rows).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_it_was_but_for_nul() {
        let odd = "\0 \u{1} \u{1f} \" \\ \\u0000 / \u{8} \u{c} \n \r \t é \u{10ffff}";
        let written = array(&[odd]).unwrap();
        let read: Vec<String> = serde_json::from_str(&written).unwrap();
        assert_eq!(read, [text(odd)]);
        assert_eq!(read[0], odd.replace('\0', "\u{fffd}"));
    }
}
