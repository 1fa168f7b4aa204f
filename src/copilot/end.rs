//! Finds the end of an uncompressed streamed answer while it passes, so that the proxy can make the exchange durable before
//! the client sees it finished.

use memchr::memchr2;

use super::sse::field;

/// First bytes of a line that are looked at: enough for the longest start of a last event.
const MOST: usize = 64;

/// The last events of the Responses and Messages interfaces (`openai-openapi` and Anthropic's streaming reference). After
/// `error` neither sends another.
const LAST: [&[u8]; 5] = [b"response.completed", b"response.incomplete", b"response.failed", b"message_stop", b"error"];

/// Watches the chunks of one server-sent event stream for its last event: `data: [DONE]` of completions and chat, or one of
/// the other interfaces, which have a name, in an `event` line or at the beginning of their JSON.
///
/// Chunks may be cut anywhere. Allocates nothing, and looks at no more than the first bytes of a line.
#[derive(Debug, Clone)]
pub struct EndScanner {
    /// First bytes of a line whose end has not come.
    held: [u8; MOST],
    /// How many those are.
    length: usize,
    /// Whether the last byte was a carriage return, so that a line feed belongs to it.
    after_return: bool,
    /// What is known of the event whose lines pass.
    event: Event,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Event {
    /// It has no name so far.
    #[default]
    Unnamed,
    /// It is one of [`LAST`].
    Last,
    /// It is another.
    Other,
}

impl Default for EndScanner {
    fn default() -> Self {
        Self { held: [0; MOST], length: 0, after_return: false, event: Event::Unnamed }
    }
}

impl EndScanner {
    /// Takes the stream's next chunk. True where the stream's end lies in it: the end of the line `data: [DONE]`, or the blank
    /// line after another last event, for only there a client takes note of the event (HTML standard, section 9.2.6).
    pub fn scan(&mut self, chunk: &[u8]) -> bool {
        let mut found = false;
        let mut rest = chunk;
        if self.after_return && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.after_return = false;
        }
        while let Some(end) = memchr2(b'\r', b'\n', rest) {
            let (line, after) = rest.split_at(end);
            found |= self.finish_line(line);
            self.after_return = after == b"\r";
            rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
        }
        self.hold(rest);
        found
    }

    /// Takes the bytes before a line's end; true where the stream ends with the line.
    fn finish_line(&mut self, line: &[u8]) -> bool {
        if self.length == 0 {
            return self.event.take(line.get(..MOST).unwrap_or(line));
        }
        self.hold(line);
        let Self { held, length, event, .. } = self;
        let ends = event.take(held.get(..*length).unwrap_or_default());
        *length = 0;
        ends
    }

    fn hold(&mut self, part: &[u8]) {
        let free = self.held.get_mut(self.length..).unwrap_or_default();
        let fitting = part.len().min(free.len());
        for (slot, byte) in free.iter_mut().zip(part) {
            *slot = *byte;
        }
        self.length += fitting;
    }
}

impl Event {
    /// Takes the first bytes of the event's next line; true where it is the last line of the stream.
    fn take(&mut self, line: &[u8]) -> bool {
        if line.is_empty() {
            return std::mem::take(self) == Self::Last;
        }
        match field(line) {
            (b"data", b"[DONE]") => return true,
            (b"event", name) => *self = Self::named(name),
            (b"data", json) if *self == Self::Unnamed => *self = event_type(json).map_or(Self::Other, Self::named),
            _ => {}
        }
        false
    }

    fn named(name: &[u8]) -> Self {
        if LAST.contains(&name) { Self::Last } else { Self::Other }
    }
}

/// The value of `type` where an object begins with it.
fn event_type(json: &[u8]) -> Option<&[u8]> {
    let key = json.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"type\"")?;
    let value = key.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    value.get(..memchr::memchr(b'"', value)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(text: &str) -> bool {
        EndScanner::default().scan(text.as_bytes())
    }

    #[test]
    fn done_is_found_in_every_spelling() {
        for end in ["\n", "\r", "\r\n", "\n\n"] {
            for line in ["data: [DONE]", "data:[DONE]"] {
                assert!(ends(&format!("{line}{end}")), "{line}{end:?}");
                assert!(ends(&format!("data: {{}}{end}{end}{line}{end}tail")), "{line}{end:?}");
            }
        }
    }

    #[test]
    fn a_last_event_ends_with_its_blank_line() {
        for name in ["response.completed", "response.incomplete", "response.failed", "message_stop", "error"] {
            for end in ["\n", "\r", "\r\n"] {
                for event in [
                    format!("event: {name}{end}data: {{\"type\":\"{name}\",\"x\":1}}{end}"),
                    format!("data:{{}}{end}event:{name}{end}"),
                    format!("data: {{\"type\":\"{name}\",\"x\":1}}{end}"),
                    format!(": hi{end}data: {{ \"type\": \"{name}\"}}{end}id: 7{end}data: more{end}"),
                ] {
                    let before = format!("event: response.created{end}data: {{}}{end}{end}{event}");
                    let mut scanner = EndScanner::default();
                    assert!(!scanner.scan(before.as_bytes()), "{before:?}");
                    assert!(scanner.scan(end.as_bytes()), "{before:?}");
                    assert!(!scanner.scan(b"\n\ndata: {}\n\n"), "{before:?}");
                }
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
            "event: response.completed.x\n\n",
            "event: response.output_text.delta\ndata: {\"type\":\"response.completed\"}\n\n",
            "event: message_stop\nevent: ping\n\n",
            "data: {\"text\":\"{\\\"type\\\":\\\"error\\\"}\"}\n\n",
            "data: {\"a\":1,\"type\":\"error\"}\n\n",
            "data: {}\ndata: {\"type\":\"error\"}\n\n",
            "event: error\r\ndata: {}\r\n",
        ];
        for text in others {
            assert!(!ends(text), "{text:?}");
        }
    }

    #[test]
    fn only_the_chunk_with_the_end_tells() {
        let mut scanner = EndScanner::default();
        assert!(!scanner.scan(b"data: {}\n\nda"));
        assert!(!scanner.scan(b"ta: [DONE]"));
        assert!(scanner.scan(b"\n\n"));
        assert!(!scanner.scan(b"\n"));
        assert!(!scanner.scan(b"event: message_stop\r"));
        assert!(!scanner.scan(b"\n"), "the line feed belongs to the line before");
        assert!(scanner.scan(b"\r"));
    }

    /// The same, by the book: line by line on the whole text.
    fn expected(text: &str) -> bool {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let lines = text.split('\n').collect::<Vec<_>>();
        let mut last = None;
        lines[..lines.len() - 1].iter().any(|line| {
            let (name, value) = field(line.as_bytes());
            match (name, value) {
                (b"", b"") if line.is_empty() => return std::mem::take(&mut last) == Some(true),
                (b"data", b"[DONE]") => return true,
                (b"event", name) => last = Some(LAST.contains(&name)),
                (b"data", json) if last.is_none() => {
                    last = Some(json.trim_ascii_start().starts_with(br#"{"type":"error"}"#));
                }
                _ => {}
            }
            false
        })
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_answer(
            parts in prop::collection::vec(
                r#"data:|data: |\[DONE\]|event: |event:|error|message_stop|\{"type":"error"\}|\r|\n|\r\n|\n\n| |[a-z]{0,5}"#, 0..30),
            cuts in prop::collection::vec(1_usize..9, 1..40),
        ) {
            let text: String = parts.concat();
            prop_assert_eq!(ends(&text), expected(&text));

            let (mut whole, mut cut) = (EndScanner::default(), EndScanner::default());
            let mut rest = text.as_bytes();
            let mut sent = Vec::new();
            let mut found = false;
            for length in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, after) = rest.split_at((*length).min(rest.len()));
                sent.extend_from_slice(chunk);
                found |= cut.scan(chunk);
                // It tells at once, and not a chunk later.
                prop_assert_eq!(found, EndScanner::default().scan(&sent));
                rest = after;
            }
            prop_assert_eq!(found, whole.scan(text.as_bytes()));
        }
    }
}
