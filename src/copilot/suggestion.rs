//! How much code an answer suggests: the text of completions, and the fenced code blocks of chat.

use super::answer::Answer;
use super::vocabulary::Kind;

/// Longest name that is taken for a language.
const LONGEST_LANGUAGE: usize = 64;

/// What an answer suggests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Suggestions {
    /// Choices with text (completions) or fenced code blocks (chat): GitHub counts each block as one generation.
    pub(super) count: u64,
    /// Lines of all of them.
    pub(super) lines: u64,
    /// Characters (Unicode scalar values) of all of them, line ends between lines included.
    pub(super) characters: u64,
    /// Language of the first code block that names one.
    pub(super) language: Option<String>,
}

impl Suggestions {
    pub(super) fn of(kind: Kind, answer: &Answer) -> Self {
        let mut suggestions = Self::default();
        for text in answer.texts.values() {
            match kind {
                Kind::Completions if text.trim().is_empty() => {}
                Kind::Completions => suggestions.add(text),
                Kind::Chat => suggestions.add_blocks(text),
            }
        }
        suggestions
    }

    fn add(&mut self, code: &str) {
        self.count += 1;
        self.lines += code.lines().count() as u64;
        self.characters += code.chars().count() as u64;
    }

    /// Adds the fenced code blocks of a Markdown text; one that the text's end cuts off counts too.
    fn add_blocks(&mut self, text: &str) {
        let mut open: Option<(Fence<'_>, Vec<&str>)> = None;
        for line in text.lines() {
            open = match open.take() {
                None => Fence::opened_by(line).map(|fence| (fence, Vec::new())),
                Some((fence, code)) if fence.is_closed_by(line) => {
                    self.add_block(&fence, &code);
                    None
                }
                Some((fence, mut code)) => {
                    code.push(line);
                    Some((fence, code))
                }
            };
        }
        if let Some((fence, code)) = open {
            self.add_block(&fence, &code);
        }
    }

    fn add_block(&mut self, fence: &Fence<'_>, code: &[&str]) {
        self.add(&code.join("\n"));
        if self.language.is_none() {
            self.language = fence.language();
        }
    }
}

/// The line that opens a code block (`CommonMark` 0.31 section 4.5). Any indentation will do, since blocks also stand in
/// list items.
struct Fence<'a> {
    mark: char,
    length: usize,
    info: &'a str,
}

impl<'a> Fence<'a> {
    fn opened_by(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let info = line.trim_start_matches(mark);
        let length = line.len() - info.len();
        (length >= 3 && !(mark == '`' && info.contains('`'))).then_some(Self { mark, length, info })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        line.len() >= self.length && line.chars().all(|mark| mark == self.mark)
    }

    /// The first word of the info string: `python` of `python title="a.py"` and of `python:src/a.py`.
    fn language(&self) -> Option<String> {
        let is_separator = |letter: char| letter.is_whitespace() || ",:={}".contains(letter);
        self.info.split(is_separator).find(|word| !word.is_empty()).and_then(language_name)
    }
}

/// A language's name in lower case; none where it says nothing or is too long for a name.
pub(super) fn language_name(text: &str) -> Option<String> {
    let name = text.trim().to_lowercase();
    (!name.is_empty() && name.len() <= LONGEST_LANGUAGE).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(kind: Kind, texts: &[&str]) -> (u64, u64, u64, Option<String>) {
        let texts: BTreeMap<_, _> = (0..).zip(texts.iter().map(|text| (*text).to_owned())).collect();
        let found = Suggestions::of(kind, &Answer { texts, ..Answer::default() });
        (found.count, found.lines, found.characters, found.language)
    }

    #[test]
    fn completions_count_their_text() {
        assert_eq!(of(Kind::Completions, &["\treturn w * h"]), (1, 1, 13, None));
        assert_eq!(of(Kind::Completions, &["a\nbé\n", " ", "c"]), (2, 3, 6, None));
        assert_eq!(of(Kind::Completions, &[]), (0, 0, 0, None));
    }

    #[test]
    fn chat_counts_its_code_blocks() {
        let text = "Try:\n```\nplain\n```\nor\n~~~ Rust ignore\nfn a() {\n}\n~~~\ndone";
        assert_eq!(of(Kind::Chat, &[text]), (2, 3, 15, Some("rust".into())));
        assert_eq!(of(Kind::Chat, &["no code, only `ticks` and ```ticks```"]), (0, 0, 0, None));
    }

    #[test]
    fn a_block_ends_at_its_own_fence_alone() {
        assert_eq!(of(Kind::Chat, &["````md\n```js\nx\n```\n````\nafter"]), (1, 3, 11, Some("md".into())));
        assert_eq!(of(Kind::Chat, &["```py\n~~~\n``\n``` no\n```"]), (1, 3, 13, Some("py".into())));
    }

    #[test]
    fn a_block_that_is_cut_off_counts() {
        assert_eq!(of(Kind::Chat, &["1. so\n   ```c++\n   int x;"]), (1, 1, 9, Some("c++".into())));
        assert_eq!(of(Kind::Chat, &["```go"]), (1, 0, 0, Some("go".into())));
    }

    #[test]
    fn info_strings_name_a_language_in_several_ways() {
        for info in ["python", " Python title=a", "python:src/a.py", "{python}", "python,linenos"] {
            assert_eq!(of(Kind::Chat, &[&format!("```{info}\n```")]).3.as_deref(), Some("python"), "{info}");
        }
        assert_eq!(of(Kind::Chat, &[&format!("```{}\n```", "x".repeat(65))]).3, None);
    }
}
