//! Removes record files that have been kept for as long as `records.retention_days` says.
//!
//! A file's age counts from its arrival here (its modification time), so records that are imported later are kept as long
//! as others. What the spool set aside as unreadable holds the same texts and goes by the same rule. Usage events, which
//! hold no text, stay.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::files::{RecordFiles, day_of};
use super::pending;
use crate::identity::secret_file;
use crate::spool;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Files removed.
    pub removed: u64,
    /// Files and folders that could not be looked at or removed.
    pub failed: u64,
}

/// Removes what has been kept for more than `days`; nothing where that is 0. Completions that nobody saw within a day go in
/// any case. Links are not followed.
#[must_use]
pub fn sweep(files: &RecordFiles, days: u32, now: SystemTime) -> Swept {
    let mut swept = Swept::default();
    if let Some(limit) = now.checked_sub(pending::PATIENCE) {
        sweep_pending(files, limit, &mut swept);
    }
    let Some(limit) = now.checked_sub(DAY * days).filter(|_| days > 0) else { return swept };
    for entry in entries(&files.spool_dir(), &mut swept) {
        if spool::is_set_aside(&entry.path()) {
            remove_expired(&entry, limit, &mut swept);
        }
    }
    if secret_file::refuse_link(&files.usage_dir()).is_err() {
        swept.failed += 1;
        return swept;
    }
    for user in folders(&files.usage_dir(), &mut swept) {
        for kind in folders(&user.path(), &mut swept) {
            for entry in entries(&kind.path(), &mut swept) {
                sweep_one(&entry, limit, &mut swept);
            }
        }
    }
    swept
}

fn sweep_pending(files: &RecordFiles, limit: SystemTime, swept: &mut Swept) {
    if secret_file::refuse_link(&files.pending_dir()).is_err() {
        swept.failed += 1;
        return;
    }
    for user in folders(&files.pending_dir(), swept) {
        for entry in entries(&user.path(), swept) {
            remove_expired(&entry, limit, swept);
        }
    }
}

fn sweep_one(entry: &DirEntry, limit: SystemTime, swept: &mut Swept) {
    // No file arrives before the end of its exchange, so most need no look at their metadata.
    let limit_day = DateTime::<Utc>::from(limit).date_naive();
    if day_of(&entry.path()).is_none_or(|day| day > limit_day) {
        return;
    }
    remove_expired(entry, limit, swept);
}

fn remove_expired(entry: &DirEntry, limit: SystemTime, swept: &mut Swept) {
    let expired = entry.metadata().and_then(|metadata| Ok(metadata.is_file() && metadata.modified()? < limit));
    match expired.and_then(|expired| if expired { fs::remove_file(entry.path()).map(|()| true) } else { Ok(false) }) {
        Ok(removed) => swept.removed += u64::from(removed),
        Err(_) => swept.failed += 1,
    }
}

fn folders(path: &Path, swept: &mut Swept) -> Vec<DirEntry> {
    let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries(path, swept).into_iter().filter(is_folder).collect()
}

fn entries(path: &Path, swept: &mut Swept) -> Vec<DirEntry> {
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

    #[test]
    fn what_arrived_long_ago_goes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let now = DateTime::parse_from_rfc3339("2026-11-21T12:00:00Z").unwrap().into();
        place(root.path(), "2026-08-01T00-00-00.000000_a.json", 112, now);
        place(root.path(), "2026-08-02T00-00-00.000000_imported-later.json", 3, now);
        place(root.path(), "2026-11-20T00-00-00.000000_new.json", 1, now);
        place(root.path(), "notes-of-an-admin.txt", 400, now);
        let files = RecordFiles::open(root.path()).unwrap();
        assert_eq!(sweep(&files, 0, now), Swept::default());
        assert_eq!(sweep(&files, 90, now), Swept { removed: 1, failed: 0 });
        assert_eq!(
            names(root.path()),
            [
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
        assert_eq!(sweep(&RecordFiles::open(root.path()).unwrap(), 0, now), Swept { removed: 2, failed: 0 });
        assert!(root.path().join("pending/alice/a.json").exists());
        assert_eq!(names(root.path()).len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_leads_nowhere() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let now = SystemTime::now();
        place(elsewhere.path(), "2020-01-01T00-00-00.000000_a.json", 2000, now);
        fs::create_dir_all(root.path().join("usage")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("usage/alice"), root.path().join("usage/mallory")).unwrap();
        assert_eq!(sweep(&RecordFiles::open(root.path()).unwrap(), 90, now), Swept::default());
        assert_eq!(names(elsewhere.path()).len(), 1);
    }
}
