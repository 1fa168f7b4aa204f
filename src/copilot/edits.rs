//! What an answer's tool calls change in files, read from their arguments: what was asked of the tools, whatever they did.
//!
//! Tools are known by name: those of VS Code and the editors that follow it (vscode-copilot-chat, `toolNames.ts` and its
//! `*Params` types), and those of `@github/copilot` 1.0.102 (its tool list was seen live) and of the models trained on them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::answer::ToolCall;
use super::language;
use super::vocabulary::Edits;

/// Tools that take a path and the text for it.
const EDITORS: [&str; 11] = [
    "replace_string_in_file",
    "multi_replace_string_in_file",
    "insert_edit_into_file",
    "create_file",
    "edit_notebook_file",
    "edit",
    "create",
    "write",
    "str_replace",
    "str_replace_editor",
    "str_replace_based_edit_tool",
];

/// The tool that takes a patch in the format of OpenAI's `apply_patch`.
const PATCH: &str = "apply_patch";

/// What stands in an edit for lines that stay as they are (`insert_edit_into_file`).
const ELLIPSIS: &str = "...existing code...";

/// All file edits of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FileEdits {
    /// How many, and how many lines.
    pub(super) amount: Edits,
    /// Language of the first file whose name tells one.
    pub(super) language: Option<&'static str>,
}

impl FileEdits {
    pub(super) fn of<'a>(calls: impl Iterator<Item = &'a ToolCall>) -> Self {
        let mut edits = Self::default();
        for call in calls {
            let arguments = || serde_json::from_str::<Value>(&call.arguments).unwrap_or_default();
            if call.name == PATCH {
                // Functions take it in JSON, freeform tools as it is.
                let object = arguments();
                edits.add_patch(text(&object, &["input", "patch"]).unwrap_or(&call.arguments));
            } else if EDITORS.contains(&call.name.as_str()) {
                edits.add_call(&arguments());
            }
        }
        edits
    }

    /// A call with one edit, or with a list of them.
    fn add_call(&mut self, call: &Value) {
        let path = path(call);
        let listed = ["replacements", "edits"].iter().find_map(|key| call.get(key)?.as_array());
        let listed = listed.map_or(std::slice::from_ref(call), Vec::as_slice);
        let files: BTreeSet<_> = listed
            .iter()
            .filter_map(|edit| {
                let file = self::path(edit).or(path)?;
                let (added, removed) = lines(edit)?;
                self.amount.lines_added += added;
                self.amount.lines_removed += removed;
                Some(file)
            })
            .collect();
        files.into_iter().for_each(|file| self.add_file(file));
    }

    fn add_patch(&mut self, patch: &str) {
        for line in patch.lines() {
            if let Some(file) = patched_file(line) {
                self.add_file(file);
            } else if line.starts_with('+') {
                self.amount.lines_added += 1;
            } else if line.starts_with('-') {
                self.amount.lines_removed += 1;
            }
        }
    }

    fn add_file(&mut self, path: &str) {
        self.amount.files += 1;
        self.language = self.language.or_else(|| language::of_path(path));
    }
}

fn patched_file(line: &str) -> Option<&str> {
    let header = line.strip_prefix("*** ")?;
    ["Update File: ", "Add File: ", "Delete File: "].iter().find_map(|kind| header.strip_prefix(kind))
}

fn path(edit: &Value) -> Option<&str> {
    text(edit, &["filePath", "path", "file_path"])
}

/// Lines added and removed by an edit; none where it has no text, as a request to look at a file has none.
fn lines(edit: &Value) -> Option<(u64, u64)> {
    let old = text(edit, &["oldString", "old_str", "old_string"]);
    let new = text(edit, &["newString", "new_str", "new_string"]);
    if old.is_some() || new.is_some() {
        return Some(compare(old.unwrap_or_default(), new.unwrap_or_default()));
    }
    let whole = text(edit, &["content", "file_text", "code", "insert_text", "newCode"])?;
    Some((whole.lines().filter(|line| !line.contains(ELLIPSIS)).count() as u64, 0))
}

/// The lines that only one of two texts has, however often each has them. A line that stays is neither added nor removed,
/// wherever it stands; nor is one that only moves, which a comparison by place would count on both sides.
fn compare(old: &str, new: &str) -> (u64, u64) {
    let mut left: BTreeMap<&str, u64> = BTreeMap::new();
    for line in old.lines() {
        *left.entry(line).or_default() += 1;
    }
    let mut added = 0;
    for line in new.lines() {
        match left.get_mut(line) {
            Some(count) if *count > 0 => *count -= 1,
            _ => added += 1,
        }
    }
    (added, left.values().sum())
}

fn text<'a>(object: &'a Value, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| object.get(key)?.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::copilot::answer::Answer;

    fn of(name: &str, arguments: &str) -> (u64, u64, u64, Option<&'static str>) {
        let call = json!({"function": {"name": name, "arguments": arguments}});
        let answer = Answer::read(&[json!({"choices": [{"message": {"tool_calls": [call]}}]})]);
        let edits = FileEdits::of(answer.calls.values());
        (edits.amount.files, edits.amount.lines_added, edits.amount.lines_removed, edits.language)
    }

    fn json(name: &str, arguments: &Value) -> (u64, u64, u64, Option<&'static str>) {
        of(name, &arguments.to_string())
    }

    #[test]
    fn a_replacement_counts_the_lines_that_change() {
        let (old, new) = ("fn a() {\n    one();\n}\n", "fn a() {\n    two();\n    three();\n}\n");
        let expected = (1, 2, 1, Some("rust"));
        for arguments in [
            json!({"filePath": "/w/a.rs", "oldString": old, "newString": new, "explanation": "x"}),
            json!({"path": "/w/a.rs", "old_str": old, "new_str": new}),
            json!({"file_path": "/w/a.rs", "old_string": old, "new_string": new, "command": "str_replace"}),
        ] {
            for name in ["replace_string_in_file", "edit", "str_replace_editor"] {
                assert_eq!(json(name, &arguments), expected, "{name} {arguments}");
            }
        }
    }

    #[test]
    fn several_replacements_in_a_call_count_a_file_once() {
        let edit = |path: &str, new: &str| json!({"filePath": path, "oldString": "a\nb", "newString": new});
        let arguments =
            json!({"explanation": "x", "replacements": [edit("a.go", "a\nc"), edit("a.go", ""), edit("b.py", "b\na")]});
        assert_eq!(json("multi_replace_string_in_file", &arguments), (2, 1, 3, Some("go")));
    }

    #[test]
    fn new_files_and_inserted_code_are_added() {
        assert_eq!(
            json("create_file", &json!({"filePath": "a.ts", "content": "1\n2\n"})),
            (1, 2, 0, Some("typescript"))
        );
        assert_eq!(json("create", &json!({"path": "a.txt", "file_text": "1"})), (1, 1, 0, Some("plaintext")));
        let code = "// ...existing code...\nfn b() {}\n// ...existing code...\n";
        assert_eq!(json("insert_edit_into_file", &json!({"filePath": "a", "code": code})), (1, 1, 0, None));
        let insertion = json!({"command": "insert", "path": "a.c", "insert_line": 3, "new_str": "x\n"});
        assert_eq!(json("str_replace_editor", &insertion), (1, 1, 0, Some("c")));
    }

    #[test]
    fn a_patch_is_read_from_json_and_as_it_is() {
        let patch = "*** Begin Patch\n*** Update File: src/a.py\n@@ def a():\n context\n-old\n+new\n+more\n*** Add File: b.js\n+x\n*** Delete File: c.js\n*** End Patch\n";
        let expected = (3, 3, 1, Some("python"));
        assert_eq!(of("apply_patch", patch), expected);
        assert_eq!(json("apply_patch", &json!({"input": patch, "explanation": "x"})), expected);
    }

    #[test]
    fn what_edits_nothing_counts_nothing() {
        let none = (0, 0, 0, None);
        assert_eq!(json("str_replace_editor", &json!({"command": "view", "path": "a.rs"})), none);
        assert_eq!(json("read_file", &json!({"filePath": "a.rs", "content": "x"})), none);
        for arguments in [
            "",
            "{\"filePath\":\"a.rs\",\"content\":\"cut",
            "[]",
            "7",
            "{}",
            r#"{"filePath":3,"content":"x"}"#,
            r#"{"replacements":[1,{}]}"#,
        ] {
            assert_eq!(of("create_file", arguments), none, "{arguments}");
        }
        assert_eq!(of("apply_patch", ""), none);
    }

    proptest! {
        #[test]
        fn lines_that_stay_are_not_counted(kept in prop::collection::vec("[a-c]{0,2}", 0..9), at in 0_usize..9, new in prop::collection::vec("[d-f]{1,2}", 0..5)) {
            let mut changed = kept.clone();
            changed.splice(at.min(kept.len())..at.min(kept.len()), new.iter().cloned());
            let joined = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            prop_assert_eq!(compare(&joined(&kept), &joined(&changed)), (new.len() as u64, 0));
            prop_assert_eq!(compare(&joined(&changed), &joined(&kept)), (0, new.len() as u64));
        }

        #[test]
        fn any_arguments_are_read(arguments in r#"[{}\[\]":,a-z +*\n-]{0,40}"#) {
            for name in ["apply_patch", "create_file"] {
                prop_assert!(of(name, &arguments).0 <= 40);
            }
        }
    }
}
