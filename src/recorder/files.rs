//! Record files on disk: where they lie, and how they get there without anybody ever seeing half of one.
//!
//! `usage/<user>/<kind>/<UTC time>_<machine id>_<client address>_<editor-version>.json`, the legacy add-on's names. Only
//! the user's name, which is safe by its type, is taken as it is; what a client sent is reduced to `[A-Za-z0-9._-]`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use chrono::NaiveDate;
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::archive;
use super::record::Record;
use crate::exchange::ExchangeId;
use crate::identity::{NameError, UserName, secret_file};
use crate::spool::with_remedy;

/// Longest part of a file name that a client decides.
const MAX_PART: usize = 64;
/// As many characters of the machine id as the legacy add-on kept.
const MACHINE_PART: usize = 10;

/// Why a record could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk said no.
    #[error("cannot write {}: {}", .path.display(), with_remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is there cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record's user is no user name.
    #[error("record of a user that is none: {0}")]
    User(#[from] NameError),
}

impl FileError {
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FileError + '_ {
    |source| FileError::Write { path: path.to_owned(), source }
}

/// The folders that records and day files are written to.
#[derive(Debug, Clone)]
pub struct RecordFiles {
    log_dir: PathBuf,
    /// The archive that was looked into last: records that come late come many of a day.
    archived: Arc<Mutex<Option<Archived>>>,
}

/// What an archive has.
#[derive(Debug)]
struct Archived {
    path: PathBuf,
    /// Length and time, which are others where the archive is another.
    state: (u64, Option<SystemTime>),
    ids: HashSet<ExchangeId>,
}

impl RecordFiles {
    /// In this log folder. What an earlier run left half-written is removed.
    ///
    /// # Errors
    /// Where the folders cannot be made.
    pub fn open(log_dir: &Path) -> Result<Self, FileError> {
        let files = Self { log_dir: log_dir.to_owned(), archived: Arc::default() };
        let unfinished = files.unfinished();
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&unfinished)(error)),
            _ => {}
        }
        create_folder(&unfinished)?;
        Ok(files)
    }

    /// The log folder.
    pub(super) fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// `usage/`, with a folder for each user.
    #[must_use]
    pub fn usage_dir(&self) -> PathBuf {
        self.log_dir.join("usage")
    }

    /// `metrics/`, with a file for each day.
    #[must_use]
    pub fn metrics_dir(&self) -> PathBuf {
        self.log_dir.join("metrics")
    }

    /// `spool/`, where exchanges wait to be recorded.
    #[must_use]
    pub fn spool_dir(&self) -> PathBuf {
        self.log_dir.join("spool")
    }

    /// `pending/`, where completions wait that nobody has seen yet.
    pub(super) fn pending_dir(&self) -> PathBuf {
        self.log_dir.join("pending")
    }

    /// `unrecognised/`, with a sample of each place in Copilot's traffic that this version does not know.
    fn unrecognised_dir(&self) -> PathBuf {
        self.log_dir.join("unrecognised")
    }

    /// Files are written here and then moved to their place, which is atomic within a file system.
    fn unfinished(&self) -> PathBuf {
        self.log_dir.join(".unfinished")
    }

    /// Writes the record, in place of an earlier one of the same exchange; gives its path.
    ///
    /// # Errors
    /// [`FileError`]; nothing is visible then.
    pub fn write_over(&self, record: &Record, client: IpAddr) -> Result<PathBuf, FileError> {
        let path = self.write_plain(record, client)?;
        self.replace(&path, record.to_json().as_bytes()).map(|()| path)
    }

    /// Writes the record, unless it is there already, be it in an archive; gives the path of the file that has it.
    ///
    /// # Errors
    /// [`FileError`]; nothing is visible then.
    pub fn write(&self, record: &Record, client: IpAddr) -> Result<PathBuf, FileError> {
        match self.archive_with(record)? {
            Some(archive) => Ok(archive),
            None => self.write_plain(record, client),
        }
    }

    /// The archive that has the record. Only late records look into one: most days have none yet.
    fn archive_with(&self, record: &Record) -> Result<Option<PathBuf>, FileError> {
        let user: UserName = record.user.parse()?;
        let Some(day) = record.timestamp.get(..10).and_then(|day| day.parse().ok()) else { return Ok(None) };
        let archive = archive::path(&self.usage_dir().join(user.as_str()).join(record.kind.as_str()), day);
        let Ok(metadata) = fs::symlink_metadata(&archive) else { return Ok(None) };
        let state = (metadata.len(), metadata.modified().ok());
        let mut known = self.archived.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.as_ref().is_some_and(|known| known.path == archive && known.state == state) {
            let ids = archive::ids(&archive);
            *known = Some(Archived { path: archive.clone(), state, ids });
        }
        Ok(known.as_ref().is_some_and(|known| known.ids.contains(&record.id)).then_some(archive))
    }

    fn write_plain(&self, record: &Record, client: IpAddr) -> Result<PathBuf, FileError> {
        let user: UserName = record.user.parse()?;
        let of_user = self.usage_dir().join(user.as_str());
        let folder = of_user.join(record.kind.as_str());
        refuse_links([&self.usage_dir(), &of_user, &folder])?;
        let stem = file_stem(record, client);
        let mut file = self.prepare(record.to_json().as_bytes())?;
        for number in 1_u32.. {
            let path = folder.join(numbered(&stem, number));
            match file.persist_noclobber(&path) {
                Ok(_) => return Ok(path),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    file = match found(&path, record.id) {
                        Found::This => return Ok(path),
                        Found::Another => error.file,
                        Found::Torn => {
                            error.file.persist(&path).map_err(|error| failed(&path)(error.error))?;
                            return Ok(path);
                        }
                    };
                }
                Err(error) if error.error.kind() == io::ErrorKind::NotFound => {
                    create_folder(&folder)?;
                    file = error.file;
                    match file.persist_noclobber(&path) {
                        Ok(_) => return Ok(path),
                        Err(error) => return Err(failed(&path)(error.error)),
                    }
                }
                Err(error) => return Err(failed(&path)(error.error)),
            }
        }
        Err(failed(&folder)(io::ErrorKind::AlreadyExists.into()))
    }

    /// Puts a day file in place of the one before.
    ///
    /// # Errors
    /// [`FileError`]; the file before stays.
    pub fn replace_day_file(&self, name: &str, text: &str) -> Result<PathBuf, FileError> {
        let path = self.metrics_dir().join(name);
        self.replace(&path, text.as_bytes()).map(|()| path)
    }

    /// Takes a folder out of its place in one step; gives where it is now, from where the next start removes it. `None` where
    /// there is none.
    pub(super) fn take_away(&self, folder: &Path) -> Result<Option<PathBuf>, FileError> {
        refuse_links([&folder.to_owned()])?;
        create_folder(&self.unfinished())?;
        let away = self.unfinished().join(ExchangeId::now().to_string());
        match fs::rename(folder, &away) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            moved => moved.map(|()| Some(away)).map_err(failed(folder)),
        }
    }

    /// Keeps the first sample of a place.
    pub(super) fn write_sample(&self, place: &str, sample: &str) -> Result<(), FileError> {
        let path = self.unrecognised_dir().join(format!("{}.txt", part(place, MAX_PART)));
        if path.exists() { Ok(()) } else { self.replace(&path, sample.as_bytes()) }
    }

    /// Puts a file in place of the one before, and makes its folder.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.log_dir) {
            secret_file::refuse_link(folder).map_err(failed(folder))?;
        }
        create_folder(path.parent().unwrap_or(&self.log_dir))?;
        self.prepare(content)?.persist(path).map(drop).map_err(|error| failed(path)(error.error))
    }

    /// A finished file without a name in the log folder yet; only its owner can read it.
    fn prepare(&self, content: &[u8]) -> Result<NamedTempFile, FileError> {
        let mut file = self.temporary()?;
        file.write_all(content).map_err(failed(&self.unfinished()))?;
        Ok(file)
    }

    /// An empty file without a name in the log folder yet; only its owner can read it.
    pub(super) fn temporary(&self) -> Result<NamedTempFile, FileError> {
        let folder = self.unfinished();
        refuse_links([&folder])?;
        let made = NamedTempFile::new_in(&folder).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                create_folder(&folder).map(|()| NamedTempFile::new_in(&folder)).unwrap_or(Err(error))
            }
            _ => Err(error),
        });
        made.map_err(failed(&folder))
    }
}

/// Makes a folder and its parents, for the owner alone.
fn create_folder(path: &Path) -> Result<(), FileError> {
    secret_file::create_folder(path).map_err(failed(path))
}

/// Nothing in the log folder is written through a link: what copilens may do, whoever plants one may not.
pub(super) fn refuse_links<const N: usize>(folders: [&PathBuf; N]) -> Result<(), FileError> {
    folders.into_iter().try_for_each(|folder| secret_file::refuse_link(folder).map_err(failed(folder)))
}

fn file_stem(record: &Record, client: IpAddr) -> String {
    let machine = part(record.machine_id().unwrap_or("unknown"), MACHINE_PART);
    let editor = part(&record.editor_label().unwrap_or_else(|| "unknown".to_owned()), MAX_PART);
    format!("{}_{machine}_{}_{editor}", record.file_stamp(), part(&client.to_string(), MAX_PART))
}

/// A client's text as part of a file name.
fn part(text: &str, max: usize) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    text.chars().take(max).map(safe).collect()
}

fn numbered(stem: &str, number: u32) -> String {
    if number == 1 { format!("{stem}.json") } else { format!("{stem}-{number}.json") }
}

/// The day in a record file's name; `None` for any other file.
pub(super) fn day_of(path: &Path) -> Option<NaiveDate> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    name.get(..10)?.parse().ok()
}

/// What has the name already.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The record of this very exchange, written before a restart.
    This,
    /// Another exchange's record.
    Another,
    /// What a power loss left of a record: its name, but not its content.
    Torn,
}

fn found(path: &Path, id: ExchangeId) -> Found {
    #[derive(Deserialize)]
    struct Named {
        id: ExchangeId,
    }
    let read = File::open(path).map_err(serde_json::Error::io);
    match read.and_then(|file| serde_json::from_reader::<_, Named>(io::BufReader::new(file))) {
        Ok(named) if named.id == id => Found::This,
        Err(error) if error.is_eof() || error.is_syntax() => Found::Torn,
        _ => Found::Another,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::copilot::{History, classify, understand};
    use crate::exchange::{BodySize, Ending, Exchange, Head, Timings};

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A record of one and the same microsecond, user and client.
    fn record() -> Record {
        record_of(DateTime::from_timestamp_micros(1_735_524_794_189_603).unwrap(), b"", b"")
    }

    /// A chat of `octocat` that ended then.
    pub(in crate::recorder) fn record_of(at: DateTime<Utc>, asked: &[u8], answered: &[u8]) -> Record {
        let head = Head {
            account: None,
            id: ExchangeId::now(),
            user: "octocat".to_owned(),
            client: CLIENT,
            method: "POST".to_owned(),
            url: "https://api.example.com/chat/completions".to_owned(),
            request_headers: vec![("editor-version".to_owned(), "vscode/1.96.2".to_owned())],
            request_size: BodySize::default(),
            response: Some(crate::exchange::ResponseHead { status: 200, headers: Vec::new() }),
            response_size: BodySize::default(),
            ending: Ending::Completed,
            timings: Timings { started_at: at, ended_at: at, first_byte_us: None, duration_us: 1 },
        };
        let (request_body, response_body) = (asked.to_vec().into(), answered.to_vec().into());
        let exchange = Exchange { head, request_body, response_body };
        let understanding = understand(&exchange, 1 << 20);
        let verdict = classify(&understanding.facts, History::default());
        Record::new(&exchange.head, understanding, &verdict)
    }

    #[test]
    fn another_exchange_of_the_same_name_gets_a_number_and_the_same_one_its_own_file_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = RecordFiles::open(folder.path()).unwrap();
        let records = [record(), record(), record()];
        let written: Vec<_> = records.iter().map(|record| files.write(record, CLIENT).unwrap()).collect();
        let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        let stem = "2024-12-30T02-13-14.189603_unknown_127.0.0.1_vscode-1.96.2";
        assert_eq!(names, [format!("{stem}.json"), format!("{stem}-2.json"), format!("{stem}-3.json")]);
        for (record, path) in records.iter().zip(&written) {
            assert_eq!(&files.write(record, CLIENT).unwrap(), path);
            assert_eq!(found(path, record.id), Found::This);
        }
        assert_eq!(fs::read_dir(files.unfinished()).unwrap().count(), 0);
    }

    #[test]
    fn a_record_that_a_power_loss_has_torn_is_written_again_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let files = RecordFiles::open(folder.path()).unwrap();
        let record = record();
        let path = files.write(&record, CLIENT).unwrap();
        let whole = fs::read(&path).unwrap();
        for torn in [&[][..], &whole[..50], &[0; 4096]] {
            fs::write(&path, torn).unwrap();
            assert_eq!(files.write(&record, CLIENT).unwrap(), path);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn what_an_earlier_run_left_unfinished_is_swept_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let files = RecordFiles::open(folder.path()).unwrap();
        fs::write(files.unfinished().join("half"), "{").unwrap();
        let files = RecordFiles::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(files.unfinished()).unwrap().count(), 0);
    }

    #[test]
    fn a_clients_text_cannot_leave_the_folder() {
        assert_eq!(part("JetBrains-PC/243.22562.220", MAX_PART), "JetBrains-PC-243.22562.220");
        assert_eq!(part("../../etc/passwd\0\\", MAX_PART), "..-..-etc-passwd--");
        assert_eq!(part("4ce93ec3b250003c", MACHINE_PART), "4ce93ec3b2");
        assert_eq!(part("日本", MAX_PART), "--");
    }
}
