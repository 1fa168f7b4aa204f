//! Compaction cut off anywhere, what comes late, what is damaged, and what it saves.

use std::cell::Cell;
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::recorder::files::tests::record_of;
use crate::recorder::rebuild;
use crate::store::{FILE_NAME, SqliteStore};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn noon() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-20T12:00:00Z").unwrap().into()
}

/// Files that arrived before are to be compacted.
fn limit() -> SystemTime {
    noon().into()
}

/// A log folder with records of `octocat`.
struct Folder {
    root: tempfile::TempDir,
    files: RecordFiles,
}

impl Folder {
    fn new() -> Self {
        // In memory where there is such a place: what is tested is the order of steps, not the disk.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { files: RecordFiles::open(root.path()).unwrap(), root }
    }

    fn chats(&self) -> PathBuf {
        self.files.usage_dir().join("octocat/chat")
    }

    /// Writes a record that arrived a minute after its end, or before the limit where it was later.
    fn write(&self, record: &Record) -> PathBuf {
        let path = self.files.write(record, CLIENT).unwrap();
        let at = SystemTime::from(record.ended_at().unwrap()).min(limit() - DAY) + Duration::from_secs(60);
        set_arrival(&path, at);
        path
    }

    /// Compacts until `steps` of it are done; gives what it did.
    fn compact(&self, steps: usize) -> Swept {
        let (left, mut swept) = (Cell::new(steps), Swept::default());
        let go_on = || left.replace(left.get().saturating_sub(1)) > 0;
        compact(&self.files, limit(), &go_on, &mut swept);
        swept
    }

    /// As after the end of the process.
    fn reopened(self) -> Self {
        Self { files: RecordFiles::open(self.root.path()).unwrap(), ..self }
    }

    fn plain(&self) -> Vec<PathBuf> {
        self.with_ending(".json")
    }

    fn archives(&self) -> Vec<PathBuf> {
        self.with_ending(".ndjson.zst")
    }

    fn with_ending(&self, ending: &str) -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(self.chats()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.to_str().unwrap().ends_with(ending));
        paths.sort();
        paths
    }

    /// The lines of all archives.
    fn lines(&self) -> Vec<Vec<u8>> {
        self.archives().iter().flat_map(|path| Lines::open(path).unwrap().unwrap()).map(Result::unwrap).collect()
    }

    /// Every file by its name, be it in an archive. One that is there twice is the same both times.
    fn texts(&self) -> BTreeMap<String, Vec<u8>> {
        let of_file =
            |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
        let mut texts: BTreeMap<_, _> = self.plain().into_iter().map(of_file).collect();
        for line in self.lines() {
            let name: Value = serde_json::from_slice(&line).unwrap();
            let text = archive::text_of(&line).unwrap().into_bytes();
            let before = texts.insert(name["file"].as_str().unwrap().to_owned(), text.clone());
            assert!(before.is_none_or(|before| before == text));
        }
        texts
    }

    fn rebuilt(&self) -> crate::recorder::Rebuilt {
        let store = SqliteStore::open(&self.root.path().join(FILE_NAME)).unwrap();
        rebuild(&self.files, &store, None, None).unwrap()
    }
}

fn set_arrival(path: &Path, at: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

fn ended(days_ago: i64, seconds: i64) -> DateTime<Utc> {
    noon() - TimeDelta::days(days_ago) + TimeDelta::seconds(seconds)
}

fn chat(days_ago: i64, seconds: i64) -> Record {
    let asked = json!({"messages": [{"role": "user", "content": format!("question {seconds}: größer?")}]}).to_string();
    record_of(ended(days_ago, seconds), asked.as_bytes(), br#"{"choices":[{"message":{"content":"So: 1.50"}}]}"#)
}

/// How a file's text lies.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Ours,
    /// As another program may have written it.
    Compact,
    /// A file of somebody else with a name like ours.
    Foreign,
}

#[derive(Debug, Clone)]
struct Planted {
    days_ago: i64,
    layout: Layout,
    young: bool,
}

fn planted() -> impl Strategy<Value = Planted> {
    let layout = prop_oneof![4 => Just(Layout::Ours), 1 => Just(Layout::Compact), 1 => Just(Layout::Foreign)];
    (2..5_i64, layout, prop::bool::weighted(0.15)).prop_map(|(days_ago, layout, young)| Planted {
        days_ago,
        layout,
        young,
    })
}

/// What happens to a folder.
#[derive(Debug, Clone)]
enum Event {
    Arrive(Planted),
    /// A run that is cut off after so many steps, and a new start.
    Run(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![3 => planted().prop_map(Event::Arrive), 1 => (0..25_usize).prop_map(Event::Run)];
    prop::collection::vec(event, 1..25)
}

fn plant(folder: &Folder, number: usize, planted: &Planted) {
    let path = folder.write(&chat(planted.days_ago, i64::try_from(number).unwrap()));
    let text = fs::read(&path).unwrap();
    match planted.layout {
        Layout::Ours => {}
        Layout::Compact => {
            let value: Value = serde_json::from_slice(&text).unwrap();
            fs::write(&path, value.to_string()).unwrap();
        }
        Layout::Foreign => fs::write(&path, format!("{{\"proxy-authorization\": [\"{number}\"]}}")).unwrap(),
    }
    let old = limit() - DAY;
    set_arrival(&path, if planted.young { limit() + DAY } else { old });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("LONG_TESTS").is_some() { 2000 } else { 60 }))]

    #[test]
    fn whatever_is_there_and_wherever_it_is_cut_off_every_file_is_there_as_it_was(events in events()) {
        let (mut folder, mut expected) = (Folder::new(), BTreeMap::new());
        fs::create_dir_all(folder.chats()).unwrap();
        for (number, event) in events.iter().enumerate() {
            match event {
                Event::Arrive(planted) => {
                    plant(&folder, number, planted);
                    expected = folder.texts();
                }
                Event::Run(steps) => {
                    folder.compact(*steps);
                    folder = folder.reopened();
                }
            }
            prop_assert_eq!(&folder.texts(), &expected);
        }
        folder.plain().iter().for_each(|path| set_arrival(path, limit() - DAY));
        folder.compact(usize::MAX);
        prop_assert_eq!(&folder.texts(), &expected);
        prop_assert_eq!(folder.plain().len() + folder.lines().len(), expected.len(), "nothing is there twice");
        prop_assert_eq!(folder.compact(usize::MAX), Swept::default());
        prop_assert_eq!(fs::read_dir(folder.root.path().join(".unfinished")).unwrap().count(), 0);
    }
}

#[test]
fn a_rebuild_finds_each_record_once_wherever_the_compaction_was_cut_off() {
    let records: Vec<Record> = (0..4).map(|number| chat(3 + number % 2, number)).collect();
    for steps in 0..20 {
        let folder = Folder::new();
        records.iter().take(2).for_each(|record| drop(folder.write(record)));
        folder.compact(usize::MAX);
        records.iter().for_each(|record| drop(folder.write(record)));
        folder.compact(steps);
        let folder = folder.reopened();
        let rebuilt = folder.rebuilt();
        assert_eq!((rebuilt.records, rebuilt.days.len(), rebuilt.unreadable), (4, 2, vec![]), "{steps} steps");
        assert_eq!(folder.rebuilt().records, 4);
    }
}

#[test]
fn an_archived_record_is_not_written_again_and_a_late_one_joins_the_others() {
    let folder = Folder::new();
    let (early, late) = (chat(3, 0), chat(3, 5));
    let path = folder.write(&early);
    let arrived_first = fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(folder.compact(usize::MAX).compacted, 1);
    let archive = folder.archives().remove(0);
    assert_eq!(fs::metadata(&archive).unwrap().modified().unwrap(), arrived_first);
    assert_eq!(folder.files.write(&early, CLIENT).unwrap(), archive);
    assert_eq!(folder.plain(), Vec::<PathBuf>::new());

    let path = folder.write(&late);
    let arrived_last = fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(folder.plain().len(), 1);
    assert_eq!((folder.compact(usize::MAX).compacted, folder.lines().len()), (1, 2));
    assert_eq!(fs::metadata(&archive).unwrap().modified().unwrap(), arrived_last);
    for record in [&early, &late] {
        assert_eq!(folder.files.write(record, CLIENT).unwrap(), archive);
    }
}

/// A completion that waited becomes a turn; it may be in an archive as noise by then.
#[test]
fn a_file_goes_before_the_archived_record_of_the_same_exchange() {
    let folder = Folder::new();
    let mut record = chat(3, 0);
    folder.write(&record);
    folder.compact(usize::MAX);
    record.action = Some("changed".to_owned());
    let path = folder.files.write_over(&record, CLIENT).unwrap();
    assert!(path.extension().is_some_and(|extension| extension == "json"), "{}", path.display());
    assert_eq!(folder.rebuilt().records, 1);
    set_arrival(&path, limit() - DAY);
    folder.compact(usize::MAX);
    let lines = folder.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(archive::record_of(&lines[0]).unwrap(), record);
}

#[test]
fn a_damaged_archive_is_told_and_what_came_later_stays_beside_it() {
    let folder = Folder::new();
    for number in 0..50 {
        folder.write(&chat(3, number));
    }
    folder.compact(usize::MAX);
    let archive = folder.archives().remove(0);
    let whole = fs::read(&archive).unwrap();
    for damaged in [&whole[..whole.len() / 2], &whole[..3], b"", b"no zstd at all"] {
        fs::write(&archive, damaged).unwrap();
        let path = folder.write(&chat(3, 100));
        let swept = folder.compact(usize::MAX);
        assert_eq!(swept, Swept { failed: 1, ..Swept::default() });
        assert!(path.exists());
        assert_eq!(fs::read(&archive).unwrap(), damaged);
        let rebuilt = folder.rebuilt();
        assert_eq!(rebuilt.unreadable.len(), 1, "{:?}", rebuilt.unreadable);
        assert!(rebuilt.records >= 1);
    }
}

/// All of this crate's code, as something to read.
fn sources(folder: &Path) -> String {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let text =
        |path: &PathBuf| if path.is_dir() { sources(path) } else { fs::read_to_string(path).unwrap_or_default() };
    paths.iter().map(text).collect()
}

/// What an agent sends in a day: each step brings the whole conversation again, with another file that it has read.
fn agents_day(folder: &Folder, sessions: usize, steps: usize) -> usize {
    let text: Vec<char> = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).chars().collect();
    let (system, mut unread) = text.split_at(20_000);
    let system: String = system.iter().collect();
    let mut bytes = 0;
    for session in 0..sessions {
        let mut messages = vec![json!({"role": "system", "content": system})];
        messages.push(json!({"role": "user", "content": format!("Task {session}: make it faster.")}));
        for step in 0..steps {
            let seconds = i64::try_from(session * 1000 + step).unwrap();
            let asked = json!({"model": "demo-large", "stream": false, "messages": messages}).to_string();
            let answer = json!({"role": "assistant", "content": format!("Step {step} of {session}: I read on. {}", ExchangeId::now())});
            let answered = json!({"choices": [{"message": answer}]}).to_string();
            let path = folder.write(&record_of(ended(3, seconds), asked.as_bytes(), answered.as_bytes()));
            bytes += usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
            let (part, rest) = unread.split_at(4000.min(unread.len()));
            unread = rest;
            let part: String = part.iter().collect();
            messages.extend([
                answer,
                json!({"role": "tool", "content": part, "tool_call_id": ExchangeId::now().to_string()}),
            ]);
        }
    }
    bytes
}

fn gzip(text: &[u8]) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap().len()
}

#[test]
fn an_agents_day_shrinks_far_more_than_its_files_would_one_by_one() {
    let folder = Folder::new();
    let (sessions, steps) = if std::env::var_os("LONG_TESTS").is_some() { (12, 40) } else { (2, 12) };
    let bytes = agents_day(&folder, sessions, steps);
    let texts: Vec<_> = folder.texts().into_values().collect();
    let one_by_one: usize = texts.iter().map(|text| gzip(text)).sum();
    let by_zstd: usize = texts.iter().map(|text| zstd::encode_all(&text[..], 9).unwrap().len()).sum();
    let begun = std::time::Instant::now();
    folder.compact(usize::MAX);
    let took = begun.elapsed();
    let archived = usize::try_from(fs::metadata(&folder.archives()[0]).unwrap().len()).unwrap();
    println!(
        "{} records, {bytes} bytes: {archived} in the archive (1:{}), {one_by_one} by gzip (1:{}), {by_zstd} by zstd (1:{}), {took:?}",
        texts.len(),
        bytes / archived,
        bytes / one_by_one,
        bytes / by_zstd
    );
    assert!(archived * 5 < one_by_one && archived * 5 < by_zstd, "{archived} {one_by_one} {by_zstd}");
}

/// Somebody else's program reads an archive, without a flag.
#[test]
fn zstd_of_the_system_reads_an_archive() {
    let folder = Folder::new();
    let records: Vec<Record> = (0..3).map(|number| chat(3, number)).collect();
    records.iter().for_each(|record| drop(folder.write(record)));
    let texts = folder.texts();
    folder.compact(usize::MAX);
    let program = Command::new("zstd").arg("-dc").arg(&folder.archives()[0]).stdin(Stdio::null()).output();
    let Ok(output) = program else { return println!("skipped: there is no zstd(1)") };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&[u8]> = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    for (line, (name, text)) in lines.iter().zip(&texts) {
        let mut record: Value = serde_json::from_slice(line).unwrap();
        let file = record.as_object_mut().unwrap().shift_remove("file").unwrap();
        assert_eq!((file.as_str().unwrap(), serde_json::from_slice::<Value>(text).unwrap()), (name.as_str(), record));
    }
    assert_eq!(lines.len(), 3);
}
