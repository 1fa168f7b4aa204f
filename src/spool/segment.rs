//! Segment files: their names, their layout, and what can be read of one that a crash left behind.
//!
//! A segment is a header (magic, version) and frames. A frame is the payload's length, the payload's CRC-32C, the
//! CRC-32C of these two (4 bytes each, little-endian), and the payload. The third number tells an unfinished last write
//! (the frame's head is right, its payload ends early) from damage (the frame's head is wrong), and lets the reader step
//! over a payload that is damaged.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::entry::{self, EntryError, Spooled};

/// Magic and version: a file that begins otherwise was not written by this version.
const HEADER: &[u8; 12] = b"CPLSPOOL\x01\0\0\0";
/// Where the first frame begins.
pub(super) const HEADER_BYTES: u64 = HEADER.len() as u64;
/// Bytes of a frame before its payload.
const FRAME_HEAD: usize = 12;

const EXTENSION: &str = "spool";
const SET_ASIDE: &str = "damaged";

/// A segment's name: microseconds since 1970 at its creation, raised where the clock went back, so that names sort in
/// the order of writing.
pub(super) type Seq = u64;

pub(super) fn path(dir: &Path, seq: Seq) -> PathBuf {
    dir.join(format!("{seq:016}.{EXTENSION}"))
}

/// Where a segment goes that holds something unreadable.
pub(super) fn damaged_path(dir: &Path, seq: Seq) -> PathBuf {
    dir.join(format!("{seq:016}.{SET_ASIDE}"))
}

/// Whether the file is such a segment.
pub(crate) fn is_set_aside(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SET_ASIDE)
}

/// The segments in `dir`, oldest first. Links, folders and other names are not ours.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Seq>> {
    let mut found = Vec::new();
    for item in dir.read_dir()? {
        let item = item?;
        let name = PathBuf::from(item.file_name());
        let seq = name.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(seq), Some(EXTENSION)) = (seq, name.extension().and_then(|ext| ext.to_str()))
            && path(dir, seq).file_name() == Some(name.as_os_str())
            && item.file_type()?.is_file()
        {
            found.push(seq);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Creates the segment `seq` with its header, for the owner only; leaves no file behind on failure.
pub(super) fn create(dir: &Path, seq: Seq) -> io::Result<File> {
    let path = path(dir, seq);
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path)?;
    if let Err(error) = file.write_all(HEADER) {
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok(file)
}

/// Appends `spooled` as a frame to `buffer`, which is unchanged on failure.
pub(super) fn push_frame(buffer: &mut Vec<u8>, spooled: &Spooled) -> Result<(), EntryError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_HEAD]);
    let written = entry::encode(spooled, buffer).and_then(|()| {
        let (head, payload) = buffer.split_at_mut(start).1.split_at_mut(FRAME_HEAD);
        head.copy_from_slice(&FrameHead::of(payload)?.to_bytes());
        Ok(())
    });
    if written.is_err() {
        buffer.truncate(start);
    }
    written
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameHead {
    length: u32,
    checksum: u32,
}

impl FrameHead {
    fn of(payload: &[u8]) -> Result<Self, EntryError> {
        let length = u32::try_from(payload.len()).map_err(|_| EntryError::TooLarge(payload.len()))?;
        Ok(Self { length, checksum: crc32c::crc32c(payload) })
    }

    fn to_bytes(self) -> [u8; FRAME_HEAD] {
        let ([l0, l1, l2, l3], [c0, c1, c2, c3]) = (self.length.to_le_bytes(), self.checksum.to_le_bytes());
        let own = crc32c::crc32c(&[l0, l1, l2, l3, c0, c1, c2, c3]);
        let [o0, o1, o2, o3] = own.to_le_bytes();
        [l0, l1, l2, l3, c0, c1, c2, c3, o0, o1, o2, o3]
    }

    fn parse(bytes: [u8; FRAME_HEAD]) -> Option<Self> {
        let [l0, l1, l2, l3, c0, c1, c2, c3, ..] = bytes;
        let (length, checksum) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
        let head = Self { length, checksum };
        (head.to_bytes() == bytes).then_some(head)
    }
}

/// A frame as read back.
pub(super) struct Frame {
    /// Where the next frame begins.
    pub(super) next: u64,
    /// The payload; `None` if it is not what was written.
    pub(super) payload: Option<Bytes>,
}

/// Reads the frame at `offset` of a segment known to be written up to `end`.
///
/// # Errors
/// Where the frame's head is wrong or the disk fails: nothing behind `offset` can be read.
pub(super) fn read_frame(file: &mut File, offset: u64, end: u64) -> io::Result<Frame> {
    file.seek(SeekFrom::Start(offset))?;
    let mut head = [0; FRAME_HEAD];
    file.read_exact(&mut head)?;
    let head = FrameHead::parse(head).ok_or_else(|| io::Error::other("the head of a frame is damaged"))?;
    let next = offset + FRAME_HEAD as u64 + u64::from(head.length);
    if next > end {
        return Err(io::Error::other("a frame is longer than its segment"));
    }
    let mut payload = vec![0; head.length as usize];
    file.read_exact(&mut payload)?;
    let right = crc32c::crc32c(&payload) == head.checksum;
    Ok(Frame { next, payload: right.then(|| Bytes::from(payload)) })
}

/// What follows the last whole frame of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    Clean,
    /// A write that a crash cut short: nobody was told that it had succeeded.
    Unfinished,
    /// Bytes that no interrupted write explains.
    Damaged,
}

/// What a segment from an earlier run holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Whole frames. Their payloads are checked when they are read.
    pub(super) entries: usize,
    /// Where the last whole frame ends.
    pub(super) end: u64,
    /// What comes after it.
    pub(super) tail: Tail,
}

/// Walks over the frames of a segment from an earlier run. Where the disk cannot read on, the rest counts as damaged.
pub(super) fn scan(file: &File) -> io::Result<Scan> {
    let length = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut scan = Scan { entries: 0, end: 0, tail: Tail::Clean };
    scan.tail = match scan_header(&mut reader) {
        Ok(None) => {
            scan.end = HEADER_BYTES;
            scan_frames(&mut reader, length, &mut scan).unwrap_or(Tail::Damaged)
        }
        Ok(Some(tail)) => tail,
        Err(_) => Tail::Damaged,
    };
    Ok(scan)
}

/// `None` where the header is right.
fn scan_header(reader: &mut impl BufRead) -> io::Result<Option<Tail>> {
    let mut header = Vec::new();
    reader.by_ref().take(HEADER_BYTES).read_to_end(&mut header)?;
    Ok(match header.as_slice() {
        whole if whole == HEADER => None,
        part if part.len() < HEADER.len() && HEADER.starts_with(part) => Some(Tail::Unfinished),
        zeros if zeros.iter().all(|&byte| byte == 0) && only_zeros(reader)? => Some(Tail::Unfinished),
        _ => Some(Tail::Damaged),
    })
}

fn scan_frames(reader: &mut BufReader<&File>, length: u64, scan: &mut Scan) -> io::Result<Tail> {
    loop {
        let left = length.saturating_sub(scan.end);
        if left == 0 {
            return Ok(Tail::Clean);
        }
        if left < FRAME_HEAD as u64 {
            return Ok(Tail::Unfinished);
        }
        let mut bytes = [0; FRAME_HEAD];
        reader.read_exact(&mut bytes)?;
        let Some(head) = FrameHead::parse(bytes) else {
            let unfinished = bytes == [0; FRAME_HEAD] && only_zeros(reader)?;
            return Ok(if unfinished { Tail::Unfinished } else { Tail::Damaged });
        };
        let frame = FRAME_HEAD as u64 + u64::from(head.length);
        if frame > left {
            return Ok(Tail::Unfinished);
        }
        reader.seek_relative(i64::from(head.length))?;
        scan.entries += 1;
        scan.end += frame;
    }
}

/// True where nothing but zeros follows: room that was given to the file, but never written, when the power went.
fn only_zeros(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(true);
        }
        if chunk.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        let read = chunk.len();
        reader.consume(read);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_head_with_any_bit_flipped_is_refused() {
        let bytes = FrameHead::of(b"payload").unwrap().to_bytes();
        assert_eq!(FrameHead::parse(bytes), FrameHead::of(b"payload").ok());
        for bit in 0..FRAME_HEAD * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHead::parse(flipped), None, "bit {bit}");
        }
        assert_eq!(FrameHead::parse([0; FRAME_HEAD]), None);
    }

    #[test]
    fn only_plain_files_with_our_names_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0000000000000009.spool", "0000000000000010.damaged", "9.spool", "x.spool", "notes.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("0000000000000011.spool")).unwrap();
        create(dir.path(), 3).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [3, 9]);
    }

    proptest! {
        #[test]
        fn scanning_never_panics_and_never_claims_more_than_there_is(
            bytes in prop::collection::vec(any::<u8>(), 0..200), with_header in any::<bool>(),
        ) {
            let mut file = tempfile::tempfile().unwrap();
            if with_header {
                file.write_all(HEADER).unwrap();
            }
            file.write_all(&bytes).unwrap();
            file.rewind().unwrap();
            let scan = scan(&file).unwrap();
            prop_assert!(scan.end <= file.metadata().unwrap().len());
        }
    }
}
