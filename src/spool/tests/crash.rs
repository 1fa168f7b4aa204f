//! What a new process finds after a crash at any moment.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// The only segment of a spool with the exchanges 0 to 2, and where each entry ends.
fn three_entries() -> (PathBuf, Vec<u8>, Vec<usize>) {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let mut ends = vec![12];
    for number in 0..3 {
        put(&spool, exchange(number)).unwrap();
        ends.push(usize::try_from(spool.status().bytes).unwrap());
    }
    spool.close();
    let file = files(dir.path(), "spool").remove(0);
    (PathBuf::from(file.file_name().unwrap()), std::fs::read(&file).unwrap(), ends)
}

#[test]
fn a_segment_cut_at_any_byte_gives_all_whole_entries() {
    let (name, bytes, ends) = three_entries();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    for cut in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|&&end| end <= cut).count().saturating_sub(1);
        let spool = open(dir.path());
        if whole > 0 {
            assert_eq!(std::fs::metadata(&path).unwrap().len(), ends[whole] as u64, "cut at {cut}");
        }
        let entries = drain(&mut spool.reader());
        assert_eq!(numbers(&entries), (0..whole).collect::<Vec<_>>(), "cut at {cut}");
        assert_eq!(spool.status().unreadable, 0, "cut at {cut}");
        settle_all(&spool, &entries);
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "cut at {cut}: the folder is not empty");
    }
}

#[test]
fn room_that_was_never_written_is_no_damage() {
    let (name, bytes, _) = three_entries();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(&name), [bytes, vec![0; 9000]].concat()).unwrap();
    let spool = open(dir.path());
    assert_eq!((drain(&mut spool.reader()).len(), spool.status().unreadable), (3, 0));
}

#[test]
fn what_was_not_settled_comes_again_before_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    put_all(&spool, 0..4);
    settle_all(&spool, &drain(&mut spool.reader())[..2]);
    drop(spool);
    let spool = open(dir.path());
    put_all(&spool, 4..6);
    let again = numbers(&drain(&mut spool.reader()));
    assert_eq!(again, [0, 1, 2, 3, 4, 5], "settled entries of an unfinished segment come again too");
}

#[test]
fn a_copy_of_the_folder_taken_at_any_moment_holds_all_that_was_acked_before() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), Options { segment_bytes: 50_000, ..options() }).unwrap();
    let (acked, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                put(&spool, large(number, 5000)).unwrap();
                acked.store(number + 1, Ordering::SeqCst);
            }
        });
        for round in 1..=10 {
            eventually("more is acked", || acked.load(Ordering::SeqCst) >= round * 7);
            let before = acked.load(Ordering::SeqCst);
            let copy = copy_of(dir.path());
            let got = numbers(&drain(&mut open(copy.path()).reader()));
            assert!(got.len() >= before, "{} of {before}", got.len());
            assert_eq!(got, (0..got.len()).collect::<Vec<_>>());
        }
        stop.store(true, Ordering::SeqCst);
    });
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files(dir, "spool") {
        std::fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    copy
}
