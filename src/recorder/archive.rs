//! Archives: the record files of one user, kind and day as one file, `usage/<user>/<kind>/<day>.ndjson.zst`.
//!
//! Each line is a record's JSON with the name of its file before all else: `{"file":"...json", ...}`. Less that key and
//! indented by four it is the file again, byte for byte. A file that is JSON of another layout stands as
//! `{"file":"...json","text":"..."}`. An agent's steps repeat the conversation so far, so the window is as long as
//! `zstd -d` takes without being asked to, and matches are looked for in all of it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Map, Value};
use tempfile::NamedTempFile;

use super::files::{FileError, RecordFiles};
use super::record::{Record, indented};
use crate::exchange::ExchangeId;

/// Ending of an archive's name, after the day.
const ENDING: &str = ".ndjson.zst";
/// 128 KiB to 128 MiB, the most that zstd(1) and the library read without a flag. The compressor's memory and the time to
/// prepare it go by it, so a small day gets a small window.
const WINDOW_LOG: RangeInclusive<u32> = 17..=27;
/// Beyond this, time grows faster than archives shrink.
const LEVEL: i32 = 9;

/// The archive of a day in a folder of record files.
pub(super) fn path(folder: &Path, day: NaiveDate) -> PathBuf {
    folder.join(format!("{day}{ENDING}"))
}

/// The day in an archive's name; `None` for any other file.
pub(super) fn day_of(path: &Path) -> Option<NaiveDate> {
    path.file_name()?.to_str()?.strip_suffix(ENDING)?.parse().ok()
}

/// The line for a record's file; `None` where the text is no record.
pub(super) fn line(name: &str, text: &[u8]) -> Option<Vec<u8>> {
    let record: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let mut line = Map::from_iter([("file".to_owned(), Value::from(name))]);
    line.extend(record);
    let plain = serde_json::to_vec(&line).ok()?;
    if text_of(&plain).is_ok_and(|again| again.as_bytes() == text) {
        return Some(plain);
    }
    let line =
        [("file", name), ("text", std::str::from_utf8(text).ok()?)].map(|(key, value)| (key.to_owned(), value.into()));
    serde_json::to_vec(&Map::from_iter(line)).ok()
}

/// The text of the file that a line stands for.
///
/// # Errors
/// Where the line is none of an archive.
pub(super) fn text_of(line: &[u8]) -> serde_json::Result<String> {
    if let Some(text) = kept_text(line) {
        return Ok(text);
    }
    let mut record: Map<String, Value> = serde_json::from_slice(line)?;
    record.shift_remove("file");
    Ok(indented(&record))
}

/// The record of a line.
///
/// # Errors
/// Where it is none of ours.
pub(super) fn record_of(line: &[u8]) -> serde_json::Result<Record> {
    serde_json::from_slice(line).or_else(|error| kept_text(line).map_or(Err(error), |text| serde_json::from_str(&text)))
}

/// The id in a line, where it has one.
pub(super) fn id_of(line: &[u8]) -> Option<ExchangeId> {
    #[derive(Deserialize)]
    struct Named {
        id: ExchangeId,
    }
    let named: Option<Named> = serde_json::from_slice(line).ok();
    named.or_else(|| serde_json::from_str(&kept_text(line)?).ok()).map(|named| named.id)
}

/// The text of a file that was of another layout.
fn kept_text(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Kept {
        text: String,
    }
    serde_json::from_slice(line).ok().map(|Kept { text }| text)
}

/// The ids of an archive's records, as far as it can be read: what comes late is kept all the same.
pub(super) fn ids(path: &Path) -> HashSet<ExchangeId> {
    let mut ids = HashSet::new();
    let mut look = || -> io::Result<()> {
        for line in Lines::open(path)?.into_iter().flatten() {
            ids.extend(id_of(&line?));
        }
        Ok(())
    };
    if let Err(error) = look() {
        tracing::error!(path = %path.display(), %error, "an archive of records is damaged; restore it from a backup or move it away");
    }
    ids
}

/// The lines of an archive, one at a time.
pub(super) struct Lines(BufReader<zstd::Decoder<'static, BufReader<File>>>);

impl Lines {
    /// Of the archive at this path; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            opened => opened?,
        };
        Ok(Some(Self(BufReader::new(zstd::Decoder::new(file)?))))
    }
}

impl Iterator for Lines {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                line.pop_if(|last| *last == b'\n');
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// An archive in the making, which nobody sees until it is finished.
pub(super) struct Writer(zstd::Encoder<'static, NamedTempFile>);

impl Writer {
    /// For lines of about so many bytes.
    pub(super) fn begin(files: &RecordFiles, bytes: u64) -> Result<Self, FileError> {
        let file = files.temporary()?;
        let path = file.path().to_owned();
        let window_log = (u64::BITS - bytes.leading_zeros()).clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
        let begin = || {
            let mut encoder = zstd::Encoder::new(file, LEVEL)?;
            encoder.long_distance_matching(true)?;
            encoder.window_log(window_log)?;
            encoder.include_checksum(true)?;
            Ok(encoder)
        };
        begin().map(Self).map_err(|error| FileError::write(&path, error))
    }

    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), FileError> {
        let added = self.0.write_all(line).and_then(|()| self.0.write_all(b"\n"));
        added.map_err(|error| FileError::write(self.0.get_ref().path(), error))
    }

    /// Puts the archive in its place, in place of the one before; it is safe from a power loss then. Its time of arrival is
    /// that of its newest record.
    pub(super) fn finish(self, path: &Path, arrived: SystemTime) -> Result<(), FileError> {
        let failed = |error| FileError::write(path, error);
        let file = self.0.finish().map_err(failed)?;
        file.as_file().set_modified(arrived).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        path.parent().map_or(Ok(()), sync_folder).map_err(failed)
    }
}

/// Makes sure that the names in a folder outlast a power loss.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
