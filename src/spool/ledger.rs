//! Which entries are on disk, which of them are settled, and which segments can therefore go.
//!
//! Pure bookkeeping under the spool's lock: files are touched by its callers, after they have let go of the lock.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::segment::{HEADER_BYTES, Scan, Seq, Tail};

/// Names one spooled entry until it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    pub(super) segment: Seq,
    pub(super) index: usize,
}

/// Where a reader goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) segment: Seq,
    pub(super) offset: u64,
    pub(super) index: usize,
}

/// A segment that nobody needs any more: to be unlinked or, if something in it could not be read, put aside.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) struct Retired {
    pub(super) segment: Seq,
    pub(super) damaged: bool,
    /// Bytes on disk, which count until [`Ledger::removed`].
    bytes: u64,
}

#[derive(Debug)]
struct Segment {
    /// Where the last whole frame ends.
    end: u64,
    /// One for each entry: is it settled?
    settled: Vec<bool>,
    unsettled: u64,
    /// Since when there is something unsettled, at the earliest.
    since: DateTime<Utc>,
    /// Nothing will be appended any more.
    sealed: bool,
    damaged: bool,
    /// Written to since the last fdatasync.
    unsynced: Option<Arc<File>>,
}

/// All segments, oldest first; only the last can be unsealed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    segments: BTreeMap<Seq, Segment>,
    bytes: u64,
    unsettled: u64,
    set_aside: u64,
}

impl Ledger {
    /// Takes in a segment of an earlier run.
    pub(super) fn recover(&mut self, seq: Seq, scan: &Scan) {
        let since = i64::try_from(seq).ok().and_then(DateTime::from_timestamp_micros).unwrap_or_else(Utc::now);
        let damaged = scan.tail == Tail::Damaged;
        let unsettled = scan.entries as u64;
        let settled = vec![false; scan.entries];
        let segment = Segment { end: scan.end, settled, unsettled, since, sealed: true, damaged, unsynced: None };
        self.segments.insert(seq, segment);
        self.bytes += scan.end;
        self.unsettled += unsettled;
        self.set_aside += u64::from(damaged);
    }

    /// Takes in a new segment, which holds its header only.
    pub(super) fn begin(&mut self, seq: Seq) {
        let segment = Segment {
            end: HEADER_BYTES,
            settled: Vec::new(),
            unsettled: 0,
            since: Utc::now(),
            sealed: false,
            damaged: false,
            unsynced: None,
        };
        self.segments.insert(seq, segment);
        self.bytes += HEADER_BYTES;
    }

    /// `entries` more were written to `file`, `bytes` long together.
    pub(super) fn append(&mut self, seq: Seq, entries: usize, bytes: u64, file: &Arc<File>) {
        let Some(segment) = self.segments.get_mut(&seq) else { return };
        if segment.unsettled == 0 {
            segment.since = Utc::now();
        }
        segment.settled.resize(segment.settled.len() + entries, false);
        segment.unsettled += entries as u64;
        segment.end += bytes;
        segment.unsynced = Some(Arc::clone(file));
        self.bytes += bytes;
        self.unsettled += entries as u64;
    }

    /// Nothing will be appended to this segment any more.
    pub(super) fn seal(&mut self, seq: Seq) -> Option<Retired> {
        self.segments.get_mut(&seq)?.sealed = true;
        self.retire(seq)
    }

    /// The entry needs the spool no more. Settling it again changes nothing.
    pub(super) fn settle(&mut self, token: Token) -> Option<Retired> {
        let segment = self.segments.get_mut(&token.segment)?;
        let settled = segment.settled.get_mut(token.index)?;
        if std::mem::replace(settled, true) {
            return None;
        }
        segment.unsettled -= 1;
        self.unsettled -= 1;
        self.retire(token.segment)
    }

    /// The entry cannot be read: its segment is to be kept for inspection.
    pub(super) fn set_aside(&mut self, token: Token) -> Option<Retired> {
        if self.is_settled(token) {
            return None;
        }
        self.segments.get_mut(&token.segment)?.damaged = true;
        self.set_aside += 1;
        self.settle(token)
    }

    /// No entry from `position` on can be read. Returns where to go on.
    pub(super) fn set_rest_aside(&mut self, position: Position) -> (Position, Option<Retired>) {
        let Some(segment) = self.segments.get(&position.segment) else { return (position, None) };
        let (index, offset) = (segment.settled.len(), segment.end);
        let mut retired = None;
        for index in position.index..index {
            retired = retired.or(self.set_aside(Token { segment: position.segment, index }));
        }
        (Position { index, offset, ..position }, retired)
    }

    fn retire(&mut self, seq: Seq) -> Option<Retired> {
        let segment = self.segments.get(&seq).filter(|segment| segment.sealed && segment.unsettled == 0)?;
        let retired = Retired { segment: seq, damaged: segment.damaged, bytes: segment.end };
        self.segments.remove(&seq);
        Some(retired)
    }

    /// The segment's file is no more.
    pub(super) fn removed(&mut self, retired: &Retired) {
        self.bytes -= retired.bytes;
    }

    /// The first place at or after `position` with something to read, and how far it goes.
    pub(super) fn unread(&self, position: Position) -> Option<(Position, u64)> {
        self.segments.range(position.segment..).find_map(|(&seq, segment)| {
            let start = if seq == position.segment {
                position
            } else {
                Position { segment: seq, offset: HEADER_BYTES, index: 0 }
            };
            (start.offset < segment.end).then_some((start, segment.end))
        })
    }

    pub(super) fn is_settled(&self, token: Token) -> bool {
        let settled = self.segments.get(&token.segment).and_then(|segment| segment.settled.get(token.index));
        settled.copied().unwrap_or(true)
    }

    /// True where every entry of the segment is settled.
    pub(super) fn all_settled(&self, seq: Seq) -> bool {
        self.segments.get(&seq).is_none_or(|segment| segment.unsettled == 0)
    }

    /// The files written to since this was last asked, less those already gone.
    pub(super) fn take_unsynced(&mut self) -> Vec<(Seq, Arc<File>)> {
        let segments = self.segments.iter_mut();
        segments.filter_map(|(&seq, segment)| segment.unsynced.take().map(|file| (seq, file))).collect()
    }

    /// The file could not be synced.
    pub(super) fn still_unsynced(&mut self, seq: Seq, file: Arc<File>) {
        if let Some(segment) = self.segments.get_mut(&seq) {
            segment.unsynced = Some(file);
        }
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn unsettled(&self) -> u64 {
        self.unsettled
    }

    /// Entries and tails that could not be read since the start.
    pub(super) fn unreadable(&self) -> u64 {
        self.set_aside
    }

    /// Since when something is unsettled.
    pub(super) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.segments.values().find(|segment| segment.unsettled > 0).map(|segment| segment.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_segment(entries: usize) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.begin(7);
        ledger.append(7, entries, 100, &Arc::new(tempfile::tempfile().unwrap()));
        ledger
    }

    #[test]
    fn a_segment_goes_when_it_is_sealed_and_settled_in_either_order() {
        let gone = Some(Retired { segment: 7, damaged: false, bytes: HEADER_BYTES + 100 });
        let mut sealed_first = with_segment(1);
        assert_eq!(sealed_first.seal(7), None);
        assert_eq!(sealed_first.settle(Token { segment: 7, index: 0 }), gone);
        let mut settled_first = with_segment(1);
        assert_eq!(settled_first.settle(Token { segment: 7, index: 0 }), None);
        let retired = settled_first.seal(7);
        assert_eq!(retired, gone);
        assert_eq!(settled_first.bytes(), HEADER_BYTES + 100, "its file is still there");
        settled_first.removed(&retired.unwrap());
        assert_eq!((settled_first.bytes(), settled_first.unsettled()), (0, 0));
    }

    #[test]
    fn settling_twice_or_what_never_was_changes_nothing() {
        let mut ledger = with_segment(2);
        let first = Token { segment: 7, index: 0 };
        for token in [first, first, Token { segment: 7, index: 5 }, Token { segment: 8, index: 0 }] {
            assert_eq!(ledger.settle(token), None);
        }
        assert_eq!(ledger.unsettled(), 1);
    }

    #[test]
    fn a_segment_with_something_set_aside_is_kept() {
        let mut ledger = with_segment(3);
        assert_eq!(ledger.seal(7), None);
        assert_eq!(ledger.settle(Token { segment: 7, index: 0 }), None);
        let (_, retired) = ledger.set_rest_aside(Position { segment: 7, offset: 40, index: 1 });
        assert_eq!(retired, Some(Retired { segment: 7, damaged: true, bytes: HEADER_BYTES + 100 }));
        assert_eq!(ledger.unreadable(), 2);
    }
}
