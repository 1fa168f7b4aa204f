//! The sweep: removes record files that have been kept for as long, or take as much room, as `[records]` says, and compacts
//! those that are old enough for it.
//!
//! A file's age counts from its arrival here (its modification time), so records that are imported later are kept as long
//! as others. What the spool set aside as unreadable holds the same texts and goes by the same rule. Usage events, which
//! hold no text, stay.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::compaction::compact;
use super::files::{RecordFiles, day_of};
use super::{archive, pending};
use crate::config::Records;
use crate::identity::secret_file;
use crate::spool;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Files removed.
    pub removed: u64,
    /// Files that are in an archive by now.
    pub compacted: u64,
    /// Files and folders that could not be looked at, compacted or removed.
    pub failed: u64,
}

/// Removes what has been kept for more than `retention_days`, compacts what came `compact_after_days` ago, and removes the
/// oldest days where the rest is more than `retention_size`; nothing for what is 0. Completions that nobody saw within a day
/// go in any case. Links are not followed. It ends early, and can be done again at any time, where `go_on` says no.
#[must_use]
pub fn sweep(files: &RecordFiles, records: &Records, now: SystemTime, go_on: &dyn Fn() -> bool) -> Swept {
    let mut swept = Swept::default();
    let before = |days: u32| now.checked_sub(DAY * days).filter(|_| days > 0);
    if let Some(limit) = now.checked_sub(pending::PATIENCE) {
        sweep_pending(files, limit, &mut swept);
    }
    if secret_file::refuse_link(&files.usage_dir()).is_err() {
        swept.failed += 1;
        return swept;
    }
    if let Some(limit) = before(records.retention_days) {
        sweep_set_aside(files, limit, &mut swept);
        sweep_records(files, limit, &mut swept);
    }
    if let Some(limit) = before(records.compact_after_days) {
        compact(files, limit, go_on, &mut swept);
    }
    if let Some(limit) = oversize(files, records.retention_size, now, &mut swept).filter(|_| go_on()) {
        sweep_records(files, limit, &mut swept);
    }
    swept
}

/// Before when files must have arrived to go, so that the rest takes no more than `most` bytes: whole UTC days, the present
/// one excepted.
fn oversize(files: &RecordFiles, most: u64, now: SystemTime, swept: &mut Swept) -> Option<SystemTime> {
    if most == 0 {
        return None;
    }
    let mut days: BTreeMap<NaiveDate, u64> = BTreeMap::new();
    each_record(files, swept, &mut |entry, _| {
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            *days.entry(DateTime::<Utc>::from(metadata.modified()?).date_naive()).or_default() += metadata.len();
        }
        Ok(())
    });
    let (mut left, today) = (days.values().sum::<u64>(), DateTime::<Utc>::from(now).date_naive());
    let mut last = None;
    for (day, bytes) in days.range(..today) {
        if left <= most {
            break;
        }
        (left, last) = (left - bytes, day.succ_opt());
    }
    if left > most {
        tracing::warn!(
            bytes = left,
            limit = most,
            "the records of the present day alone are more than `records.retention_size`"
        );
    }
    last.map(|day| day.and_time(NaiveTime::MIN).and_utc().into())
}

/// Hands each record file and archive to `each`, with the day in its name.
fn each_record(files: &RecordFiles, swept: &mut Swept, each: &mut dyn FnMut(&DirEntry, NaiveDate) -> io::Result<()>) {
    for user in folders(&files.usage_dir(), swept) {
        for kind in folders(&user.path(), swept) {
            for entry in entries(&kind.path(), swept) {
                let path = entry.path();
                let day = day_of(&path).or_else(|| archive::day_of(&path));
                if let Some(Err(_)) = day.map(|day| each(&entry, day)) {
                    swept.failed += 1;
                }
            }
        }
    }
}

fn sweep_records(files: &RecordFiles, limit: SystemTime, swept: &mut Swept) {
    let limit_day = DateTime::<Utc>::from(limit).date_naive();
    let mut removed = 0;
    each_record(files, swept, &mut |entry, day| {
        // No file arrives before the end of its exchange, so most need no look at their metadata.
        if day <= limit_day {
            removed += u64::from(remove_expired(entry, limit)?);
        }
        Ok(())
    });
    swept.removed += removed;
}

fn sweep_set_aside(files: &RecordFiles, limit: SystemTime, swept: &mut Swept) {
    for entry in entries(&files.spool_dir(), swept) {
        if spool::is_set_aside(&entry.path()) {
            swept.count(&remove_expired(&entry, limit));
        }
    }
}

impl Swept {
    fn count(&mut self, removed: &io::Result<bool>) {
        match removed {
            Ok(removed) => self.removed += u64::from(*removed),
            Err(_) => self.failed += 1,
        }
    }
}

fn sweep_pending(files: &RecordFiles, limit: SystemTime, swept: &mut Swept) {
    if secret_file::refuse_link(&files.pending_dir()).is_err() {
        swept.failed += 1;
        return;
    }
    for user in folders(&files.pending_dir(), swept) {
        for entry in entries(&user.path(), swept) {
            swept.count(&remove_expired(&entry, limit));
        }
    }
}

/// Whether it was a file that arrived before `limit`, which is removed then.
fn remove_expired(entry: &DirEntry, limit: SystemTime) -> io::Result<bool> {
    let arrived_before = |metadata: Metadata| Ok(metadata.is_file() && metadata.modified()? < limit);
    let expired = entry.metadata().and_then(arrived_before)?;
    if expired {
        fs::remove_file(entry.path())?;
    }
    Ok(expired)
}

pub(super) fn folders(path: &Path, swept: &mut Swept) -> Vec<DirEntry> {
    let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries(path, swept).into_iter().filter(is_folder).collect()
}

pub(super) fn entries(path: &Path, swept: &mut Swept) -> Vec<DirEntry> {
    match fs::read_dir(path).and_then(Iterator::collect::<io::Result<_>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(_) => {
            swept.failed += 1;
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn place(root: &Path, name: &str, age_days: u32, now: SystemTime) {
        let folder = root.join("usage/alice/chat");
        fs::create_dir_all(&folder).unwrap();
        let file = File::create(folder.join(name)).unwrap();
        file.set_modified(now - DAY * age_days).unwrap();
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root.join("usage/alice/chat")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn swept(files: &RecordFiles, retention_days: u32, now: SystemTime) -> Swept {
        sweep(files, &Records { retention_days, retention_size: 0, compact_after_days: 0 }, now, &|| true)
    }

    #[test]
    fn what_arrived_long_ago_goes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let now = DateTime::parse_from_rfc3339("2026-11-21T12:00:00Z").unwrap().into();
        place(root.path(), "2026-08-01T00-00-00.000000_a.json", 112, now);
        place(root.path(), "2026-08-01.ndjson.zst", 91, now);
        place(root.path(), "2026-08-02.ndjson.zst", 3, now);
        place(root.path(), "2026-08-02T00-00-00.000000_imported-later.json", 3, now);
        place(root.path(), "2026-11-20T00-00-00.000000_new.json", 1, now);
        place(root.path(), "notes-of-an-admin.txt", 400, now);
        let files = RecordFiles::open(root.path()).unwrap();
        assert_eq!(swept(&files, 0, now), Swept::default());
        assert_eq!(swept(&files, 90, now), Swept { removed: 2, ..Swept::default() });
        assert_eq!(
            names(root.path()),
            [
                "2026-08-02.ndjson.zst",
                "2026-08-02T00-00-00.000000_imported-later.json",
                "2026-11-20T00-00-00.000000_new.json",
                "notes-of-an-admin.txt"
            ]
        );
    }

    #[test]
    fn what_nobody_saw_within_a_day_goes_whatever_is_set() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (user, name, hours) in [("alice", "a.json", 23), ("alice", "b.json", 25), ("bob", "c.json", 49)] {
            let folder = root.path().join("pending").join(user);
            fs::create_dir_all(&folder).unwrap();
            let file = File::create(folder.join(name)).unwrap();
            file.set_modified(now - Duration::from_secs(hours * 60 * 60)).unwrap();
        }
        place(root.path(), "2020-01-01T00-00-00.000000_a.json", 2000, now);
        assert_eq!(swept(&RecordFiles::open(root.path()).unwrap(), 0, now), Swept { removed: 2, ..Swept::default() });
        assert!(root.path().join("pending/alice/a.json").exists());
        assert_eq!(names(root.path()).len(), 1);
    }

    #[test]
    fn beyond_the_size_the_days_that_came_first_go_whole_and_the_present_one_stays() {
        let root = tempfile::tempdir().unwrap();
        let now = DateTime::parse_from_rfc3339("2026-11-21T12:00:00Z").unwrap().into();
        let folder = root.path().join("usage/alice/chat");
        // By arrival: 300 bytes three days ago, 200 two days ago, 100 yesterday, 400 today.
        for (name, bytes, age) in [
            ("2026-11-18T00-00-00.000000_a.json", 100, 3),
            ("2026-11-10.ndjson.zst", 200, 3),
            ("2026-11-19T00-00-00.000000_a.json", 100, 2),
            ("2026-11-17T00-00-00.000000_late.json", 100, 2),
            ("2026-11-20T00-00-00.000000_a.json", 100, 1),
            ("2026-11-21T00-00-00.000000_a.json", 300, 0),
            ("2026-11-01T00-00-00.000000_imported.json", 100, 0),
        ] {
            place(root.path(), name, age, now);
            fs::write(folder.join(name), vec![b' '; bytes]).unwrap();
            File::options().write(true).open(folder.join(name)).unwrap().set_modified(now - DAY * age).unwrap();
        }
        let files = RecordFiles::open(root.path()).unwrap();
        let sweep_to = |retention_size| {
            let records = Records { retention_days: 0, retention_size, compact_after_days: 0 };
            (sweep(&files, &records, now, &|| true).removed, names(root.path()).len())
        };
        assert_eq!(sweep_to(0), (0, 7));
        assert_eq!(sweep_to(1000), (0, 7));
        assert_eq!(sweep_to(999), (2, 5));
        assert_eq!(sweep_to(700), (0, 5));
        assert_eq!(sweep_to(599), (2, 3));
        assert_eq!(sweep_to(1), (1, 2));
        assert_eq!(
            names(root.path()),
            ["2026-11-01T00-00-00.000000_imported.json", "2026-11-21T00-00-00.000000_a.json"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_leads_nowhere() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let now = SystemTime::now();
        place(elsewhere.path(), "2020-01-01T00-00-00.000000_a.json", 2000, now);
        fs::create_dir_all(root.path().join("usage")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("usage/alice"), root.path().join("usage/mallory")).unwrap();
        assert_eq!(swept(&RecordFiles::open(root.path()).unwrap(), 90, now), Swept::default());
        assert_eq!(names(elsewhere.path()).len(), 1);
    }
}
