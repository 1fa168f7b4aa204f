//! Server-sent events (HTML standard, section 9.2), read from a whole buffer.

use std::borrow::Cow;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The last `event` line's value, where there is one in UTF-8.
    pub name: Option<&'a str>,
    /// The `data` lines' values joined by line feeds. Bytes, since a server may send what is no UTF-8.
    pub data: Cow<'a, [u8]>,
}

/// The stream's events in order.
///
/// Differs from the standard in one point: a last event whose blank line never came is given too, for a record tells
/// what came, cut off or not. Events without any `data` line are left out, as the standard has it.
pub fn events(stream: &[u8]) -> impl Iterator<Item = Event<'_>> {
    let mut lines = Lines { rest: stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream) };
    std::iter::from_fn(move || next_event(&mut lines))
}

fn next_event<'a>(lines: &mut Lines<'a>) -> Option<Event<'a>> {
    let mut name = None;
    let mut data: Option<Cow<'a, [u8]>> = None;
    loop {
        match lines.next() {
            Some([]) | None if data.is_some() => return data.map(|data| Event { name, data }),
            Some([]) => name = None,
            None => return None,
            Some(line) => match field(line) {
                (b"data", value) => data = Some(joined(data, value)),
                (b"event", value) => name = std::str::from_utf8(value).ok(),
                _ => {}
            },
        }
    }
}

fn joined<'a>(data: Option<Cow<'a, [u8]>>, value: &'a [u8]) -> Cow<'a, [u8]> {
    let Some(data) = data else { return Cow::Borrowed(value) };
    let mut data = data.into_owned();
    data.push(b'\n');
    data.extend_from_slice(value);
    Cow::Owned(data)
}

/// A line's field name and value: without a colon it is all name, with one in front a comment, whose name is empty.
pub(super) fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr::memchr(b':', line) else { return (line, b"") };
    let (name, value) = line.split_at(colon);
    let value = value.strip_prefix(b":").unwrap_or(value);
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

/// Lines that end with CR, LF or CRLF; the last may lack its end.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\r', b'\n', self.rest).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(stream: &str) -> Vec<(Option<&str>, String)> {
        events(stream.as_bytes())
            .map(|event| (event.name, String::from_utf8(event.data.into_owned()).unwrap()))
            .collect()
    }

    fn data(stream: &str) -> Vec<String> {
        read(stream).into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(data("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
        assert_eq!(
            data(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
            ["first event", "second event", " third event"]
        );
        assert_eq!(data("data\n\ndata\ndata\n\ndata:\n\n"), ["", "\n", ""]);
        assert_eq!(data("data:test\n\ndata: test\n\n"), ["test", "test"]);
    }

    #[test]
    fn names_belong_to_their_event_alone() {
        let stream = "event: a\ndata: 1\n\ndata: 2\n\nevent: lost\n\ndata: 3\n\nevent: b\nevent: c\ndata: 4\n\n";
        let names: Vec<_> = read(stream).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [Some("a"), None, None, Some("c")]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(data("\u{feff}data: 1\n\n"), ["1"]);
    }

    #[test]
    fn the_last_event_is_given_though_cut_off() {
        assert_eq!(data("data: 1\n\ndata: 2\n"), ["1", "2"]);
        assert_eq!(data("data: 1\n\ndata: {\"a"), ["1", "{\"a"]);
        assert_eq!(data("data: 1\n\ndat"), ["1"]);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_with_any_line_ends(
            events in prop::collection::vec(prop::collection::vec("[ a-z:{}]{0,8}", 1..4), 0..8),
            end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            space in prop::sample::select(vec![" ", ""]),
            comment in prop::sample::select(vec!["", ":", ": ping", "retry: 3", "unknown"]),
        ) {
            let mut stream = String::new();
            for lines in &events {
                for line in lines {
                    // Without a space of its own, a value that begins with one would lose it.
                    let space = if line.starts_with(' ') { " " } else { space };
                    stream += &format!("data:{space}{line}{end}");
                    if !comment.is_empty() { stream += &format!("{comment}{end}"); }
                }
                stream += end;
            }
            let expected: Vec<_> = events.iter().map(|lines| lines.join("\n")).collect();
            prop_assert_eq!(data(&stream), expected);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for event in events(&bytes) {
                prop_assert!(event.data.len() <= bytes.len());
            }
        }
    }
}
