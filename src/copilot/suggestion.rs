//! How much code an answer suggests: the text of completions and next edits, and the fenced code blocks of chat.

use std::collections::BTreeMap;

use super::language;

/// In what form an answer suggests code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Each text is code: ghost text.
    Code,
    /// Each text is an edit in the markup of its model: next-edit suggestions.
    Edit,
    /// Each text may have fenced code blocks: chat.
    Markdown,
}

/// Lines of a next edit that are its model's markup (vscode-copilot-chat, `xtabProvider.ts`).
const EDIT_TAGS: [&str; 5] = ["<EDIT>", "</EDIT>", "<INSERT>", "</INSERT>", "<NO_CHANGE>"];

/// What an answer suggests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Suggestions {
    /// Texts with code (completions, next edits) or fenced code blocks (chat): GitHub counts each block as one generation.
    pub(super) count: u64,
    /// Lines of all of them.
    pub(super) lines: u64,
    /// Characters (Unicode scalar values) of all of them, line ends between lines included.
    pub(super) characters: u64,
    /// Language of the first code block that names one.
    pub(super) language: Option<String>,
}

impl Suggestions {
    /// What is suggested by the texts of an answer.
    pub(super) fn of(form: Form, texts: &BTreeMap<u64, String>) -> Self {
        let mut suggestions = Self::default();
        for text in texts.values() {
            match form {
                Form::Code => suggestions.add_code(text),
                Form::Edit => suggestions.add_code(&without_markup(text)),
                Form::Markdown => suggestions.add_blocks(text),
            }
        }
        suggestions
    }

    fn add_code(&mut self, code: &str) {
        if !code.trim().is_empty() {
            self.add(code);
        }
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

/// A next edit without its fences and tags.
fn without_markup(text: &str) -> String {
    let is_markup = |line: &str| {
        let line = line.trim();
        line.starts_with("```") || EDIT_TAGS.contains(&line) || (line.starts_with("<|") && line.ends_with("|>"))
    };
    text.lines().filter(|line| !is_markup(line)).collect::<Vec<_>>().join("\n")
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
        self.info.split(is_separator).find(|word| !word.is_empty()).and_then(language::named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(form: Form, texts: &[&str]) -> (u64, u64, u64, Option<String>) {
        let texts: BTreeMap<_, _> = (0..).zip(texts.iter().map(|text| (*text).to_owned())).collect();
        let found = Suggestions::of(form, &texts);
        (found.count, found.lines, found.characters, found.language)
    }

    #[test]
    fn completions_count_their_text() {
        assert_eq!(of(Form::Code, &["\treturn w * h"]), (1, 1, 13, None));
        assert_eq!(of(Form::Code, &["a\nbé\n", " ", "c"]), (2, 3, 6, None));
        assert_eq!(of(Form::Code, &[]), (0, 0, 0, None));
    }

    #[test]
    fn next_edits_count_without_their_markup() {
        assert_eq!(of(Form::Edit, &["```\n<EDIT>\nfn a() {\n}\n</EDIT>\n```"]), (1, 2, 10, None));
        assert_eq!(of(Form::Edit, &["<|code_to_edit|>\nlet a = 1;\n<|/code_to_edit|>"]), (1, 1, 10, None));
        assert_eq!(of(Form::Edit, &["<NO_CHANGE>\n"]), (0, 0, 0, None));
        assert_eq!(of(Form::Edit, &["a\n\nb"]), (1, 3, 4, None));
    }

    #[test]
    fn chat_counts_its_code_blocks() {
        let text = "Try:\n```\nplain\n```\nor\n~~~ Rust ignore\nfn a() {\n}\n~~~\ndone";
        assert_eq!(of(Form::Markdown, &[text]), (2, 3, 15, Some("rust".into())));
        assert_eq!(of(Form::Markdown, &["no code, only `ticks` and ```ticks```"]), (0, 0, 0, None));
    }

    #[test]
    fn a_block_ends_at_its_own_fence_alone() {
        assert_eq!(of(Form::Markdown, &["````md\n```js\nx\n```\n````\nafter"]), (1, 3, 11, Some("md".into())));
        assert_eq!(of(Form::Markdown, &["```py\n~~~\n``\n``` no\n```"]), (1, 3, 13, Some("py".into())));
    }

    #[test]
    fn a_block_that_is_cut_off_counts() {
        assert_eq!(of(Form::Markdown, &["1. so\n   ```c++\n   int x;"]), (1, 1, 9, Some("c++".into())));
        assert_eq!(of(Form::Markdown, &["```go"]), (1, 0, 0, Some("go".into())));
    }

    #[test]
    fn info_strings_name_a_language_in_several_ways() {
        for info in ["python", " Python title=a", "python:src/a.py", "{python}", "python,linenos"] {
            assert_eq!(of(Form::Markdown, &[&format!("```{info}\n```")]).3.as_deref(), Some("python"), "{info}");
        }
        assert_eq!(of(Form::Markdown, &[&format!("```{}\n```", "x".repeat(65))]).3, None);
    }
}
