//! Bytes that are not what was written: whatever can be read is read, and nothing is thrown away.

use super::*;

/// A frame as the documentation of `segment` has it.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let head = [length, crc32c::crc32c(payload).to_le_bytes()].concat();
    [head.as_slice(), &crc32c::crc32c(&head).to_le_bytes(), payload].concat()
}

fn payload(number: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    crate::spool::entry::encode(&exchange(number).into(), &mut payload).unwrap();
    payload
}

/// A folder with one segment of these frames.
fn folder(header: &[u8], frames: &[Vec<u8>]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("0000000000000042.spool"), [header, &frames.concat()].concat()).unwrap();
    dir
}

const HEADER: &[u8] = b"CPLSPOOL\x01\0\0\0";

/// Opens, reads and settles all; returns the numbers read and the count of unreadable places.
fn use_up(dir: &Path) -> (Vec<usize>, u64) {
    let spool = open(dir);
    let entries = drain(&mut spool.reader());
    settle_all(&spool, &entries);
    (numbers(&entries), spool.status().unreadable)
}

#[test]
fn any_flipped_bit_is_found_and_the_segment_kept() {
    let clean = folder(HEADER, &[0, 1, 2].map(|number| frame(&payload(number))));
    let bytes = std::fs::read(clean.path().join("0000000000000042.spool")).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let dir = folder(&flipped, &[]);
        let (got, unreadable) = use_up(dir.path());
        assert_eq!(unreadable, 1, "byte {at}");
        assert!(got.len() < 3 && got.is_sorted(), "byte {at}: {got:?}");
        assert_eq!(files(dir.path(), "spool").len(), 0, "byte {at}");
        let kept = std::fs::read(dir.path().join("0000000000000042.damaged")).unwrap();
        assert_eq!(kept, flipped, "byte {at}");
    }
}

#[test]
fn a_damaged_payload_costs_that_entry_only() {
    let mut broken = frame(&payload(1));
    *broken.last_mut().unwrap() ^= 1;
    let dir = folder(HEADER, &[frame(&payload(0)), broken, frame(&payload(2))]);
    assert_eq!(use_up(dir.path()), (vec![0, 2], 1));
}

#[test]
fn an_entry_of_a_later_version_is_set_aside_once() {
    let mut later = payload(1);
    later[0] = 3;
    let dir = folder(HEADER, &[frame(&payload(0)), frame(&later), frame(b""), frame(&payload(3))]);
    assert_eq!(use_up(dir.path()), (vec![0, 3], 2));
    assert_eq!(use_up(dir.path()), (vec![], 0));
    assert_eq!(files(dir.path(), "damaged").len(), 1);
}

#[test]
fn a_segment_of_a_later_version_is_kept() {
    let dir = folder(b"CPLSPOOL\x02\0\0\0", &[frame(&payload(0))]);
    assert_eq!(use_up(dir.path()), (vec![], 1));
    assert_eq!(files(dir.path(), "damaged").len(), 1);
}

#[test]
fn a_segment_damaged_while_in_use_costs_its_rest_only() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), Options { segment_bytes: 1, ..options() }).unwrap();
    put_all(&spool, 0..3);
    let second = files(dir.path(), "spool").remove(1);
    std::fs::OpenOptions::new().write(true).open(second).unwrap().set_len(40).unwrap();
    let entries = drain(&mut spool.reader());
    assert_eq!(numbers(&entries), [0, 2]);
    assert_eq!(files(dir.path(), "damaged").len(), 1);
    settle_all(&spool, &entries);
    assert_eq!(spool.status().entries_unsettled, 0);
}
