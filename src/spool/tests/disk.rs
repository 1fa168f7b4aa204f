//! Disks that fill up, folders that vanish: exchanges are refused meanwhile, and it all works again without a hand.

use std::process::Command;

use super::*;

#[cfg(unix)]
#[test]
fn folder_and_files_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("logs/spool");
    let spool = open(&folder);
    put_all(&spool, 0..1);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&files(&folder, "spool")[0])), (0o700, 0o600));
}

#[test]
fn a_folder_that_cannot_be_had_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "in the way").unwrap();
    let error = Spool::open(&path, options()).err().unwrap();
    assert!(matches!(&error, SpoolError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_folder_removed_while_running_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("logs/spool");
    let spool = open(&folder);
    let mut reader = spool.reader();
    put_all(&spool, 0..2);
    std::fs::remove_dir_all(dir.path().join("logs")).unwrap();
    put_all(&spool, 2..4);
    assert_eq!(files(&folder, "spool").len(), 1);
    assert_eq!(numbers(&drain(&mut reader)), [2, 3]);
    assert_eq!(spool.status().unreadable, 2, "the two that went with the folder are counted");
}

#[test]
fn a_folder_that_cannot_be_made_again_is_reported_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("spool");
    let spool = open(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    for _ in 0..2 {
        assert!(matches!(put(&spool, exchange(0)), Err(SpoolError::Write { .. })));
        assert!(spool.status().last_error.is_some());
    }
    std::fs::remove_file(&folder).unwrap();
    eventually("the error is gone without traffic", || spool.status().last_error.is_none());
    put_all(&spool, 1..2);
    assert_eq!(numbers(&drain(&mut spool.reader())), [1]);
}

/// A small file system of its own, unmounted in the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where mounting is not permitted.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

/// Fills the disk; returns how many exchanges it took.
fn fill(spool: &Spool) -> usize {
    let taken = (0..).take_while(|&number| put(spool, large(number, 30_000)).is_ok()).count();
    assert!((20..40).contains(&taken), "{taken} of 30 kB fit into 1 MiB");
    taken
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a tmpfs is not permitted");
        return;
    };
    let folder = disk.0.path().join("spool");
    let spool = Spool::open(&folder, Options { segment_bytes: 200_000, ..options() }).unwrap();
    let mut reader = spool.reader();
    for _ in 0..2 {
        let taken = fill(&spool);
        let error = put(&spool, large(0, 30_000)).unwrap_err();
        assert!(matches!(error, SpoolError::Write { .. }), "{error:?}");
        let entries = drain(&mut reader);
        assert_eq!(numbers(&entries), (0..taken).collect::<Vec<_>>(), "all that was acked, nothing that was refused");
        settle_all(&spool, &entries);
        eventually("the error is gone without traffic", || spool.status().last_error.is_none());
    }
    assert_eq!(spool.status().unreadable, 0);
}

#[test]
fn a_write_that_failed_half_way_leaves_no_trace_in_its_segment() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a tmpfs is not permitted");
        return;
    };
    // No housekeeping in between, which would cut the segment too.
    let patient = Options { segment_bytes: 200_000, sync_interval: Duration::from_secs(3600), ..options() };
    let spool = Spool::open(&disk.0.path().join("spool"), patient).unwrap();
    let mut reader = spool.reader();
    fill(&spool);
    let entries = drain(&mut reader);
    let (last, others) = entries.split_last().unwrap();
    settle_all(&spool, others);
    put(&spool, exchange(1000)).unwrap();
    let next = reader.next_batch(10, u64::MAX, Duration::ZERO).unwrap();
    assert_eq!(next.first().unwrap().token.segment, last.token.segment, "the failed write's segment is used again");
    assert_eq!(numbers(&next), [1000]);
    assert_eq!((spool.status().last_error, spool.status().unreadable), (None, 0));
}

#[test]
fn a_spool_opens_on_a_full_disk_and_reads_what_is_there() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a tmpfs is not permitted");
        return;
    };
    let folder = disk.0.path().join("spool");
    let taken = fill(&open(&folder));
    std::fs::write(disk.0.path().join("rest"), vec![1; 1 << 20]).unwrap_err();
    let spool = open(&folder);
    assert!(spool.status().last_error.is_some());
    let entries = drain(&mut spool.reader());
    assert_eq!(entries.len(), taken);
    settle_all(&spool, &entries);
    std::fs::remove_file(disk.0.path().join("rest")).unwrap();
    eventually("the error is gone without traffic", || spool.status().last_error.is_none());
}

#[test]
fn a_read_only_disk_is_refused_at_start() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a tmpfs is not permitted");
        return;
    };
    let folder = disk.0.path().join("spool");
    drop(open(&folder));
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap();
    assert!(remounted.success());
    let error = Spool::open(&folder, options()).err().unwrap();
    assert!(matches!(error, SpoolError::Write { .. }), "{error:?}");
}
