//! Finds the end of an uncompressed streamed answer while it passes, so that the proxy can make the exchange durable before
//! the client sees it finished.

use memchr::memchr2;

/// The last line of an answer of the completions and chat endpoints.
const DONE: &[u8] = b"data: [DONE]";

/// Where the blank stands in [`DONE`] that may be missing (HTML standard, section 9.2.6: one space after the colon goes).
const BLANK: usize = 5;

/// Watches the chunks of one server-sent event stream for its last event, `data: [DONE]`.
///
/// Chunks may be cut anywhere. Allocates nothing, and looks at no more than the first bytes of a line. Further last
/// events (of other endpoints) belong here as well.
#[derive(Debug, Clone, Default)]
pub struct EndScanner {
    line: Line,
}

/// How far the current line is known.
#[derive(Debug, Clone, Copy)]
enum Line {
    /// Its bytes so far are these first ones of [`DONE`].
    Like(usize),
    /// It is another line.
    Other,
}

impl Default for Line {
    fn default() -> Self {
        Self::Like(0)
    }
}

impl EndScanner {
    /// Takes the stream's next chunk; true where the last event's line ends in it, with CR, LF or CRLF.
    pub fn scan(&mut self, chunk: &[u8]) -> bool {
        let mut rest = chunk;
        let mut found = false;
        loop {
            rest = match self.line {
                Line::Other => memchr2(b'\r', b'\n', rest).and_then(|end| rest.get(end..)).unwrap_or_default(),
                Line::Like(_) => rest,
            };
            let Some((byte, after)) = rest.split_first() else { return found };
            found |= self.step(*byte);
            rest = after;
        }
    }

    /// Moves on by one byte; true where it ends the last event's line.
    fn step(&mut self, byte: u8) -> bool {
        let found = matches!(byte, b'\r' | b'\n') && matches!(self.line, Line::Like(known) if known == DONE.len());
        self.line = match (byte, self.line) {
            (b'\r' | b'\n', _) => Line::Like(0),
            (_, Line::Like(known)) => continued(known, byte),
            (_, Line::Other) => Line::Other,
        };
        found
    }
}

fn continued(known: usize, byte: u8) -> Line {
    let known = if known == BLANK && byte != b' ' { known + 1 } else { known };
    if DONE.get(known) == Some(&byte) { Line::Like(known + 1) } else { Line::Other }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(text: &str) -> bool {
        EndScanner::default().scan(text.as_bytes())
    }

    #[test]
    fn the_last_line_is_found_in_every_spelling() {
        for end in ["\n", "\r", "\r\n", "\n\n"] {
            for line in ["data: [DONE]", "data:[DONE]"] {
                assert!(ends(&format!("{line}{end}")), "{line}{end:?}");
                assert!(ends(&format!("data: {{}}{end}{end}{line}{end}tail")), "{line}{end:?}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        let others = [
            "data: [DONE]",
            "data: [DONE] \n",
            "data:  [DONE]\n",
            " data: [DONE]\n",
            "data: {\"text\":\"data: [DONE]\"}\n",
            "data: data: [DONE]\n",
            "data: [DONE\n]\n",
            "data\n: [DONE]\n",
            "\n\n",
            "",
        ];
        for text in others {
            assert!(!ends(text), "{text:?}");
        }
    }

    #[test]
    fn only_the_chunk_that_ends_the_line_tells() {
        let mut scanner = EndScanner::default();
        assert!(!scanner.scan(b"data: {}\n\nda"));
        assert!(!scanner.scan(b"ta: [DONE]"));
        assert!(scanner.scan(b"\n\n"));
        assert!(!scanner.scan(b"\n"));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_answer(
            parts in prop::collection::vec("data:|data: |\\[DONE\\]|\r|\n|\r\n| |[a-z]{0,5}", 0..30),
            cuts in prop::collection::vec(1_usize..9, 1..40),
        ) {
            let text: String = parts.concat();
            let mut expected = text.replace('\r', "\n").split('\n').map(str::to_owned).collect::<Vec<_>>();
            expected.pop();
            let expected = expected.iter().any(|line| line == "data: [DONE]" || line == "data:[DONE]");
            prop_assert_eq!(ends(&text), expected);

            let mut scanner = EndScanner::default();
            let mut rest = text.as_bytes();
            let mut found = false;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                found |= scanner.scan(chunk);
                rest = after;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
