//! The one place where the texts of prompts and answers are taken out of what is kept (`content = "metadata"`).
//!
//! It is passed on every way to the disk: before the spool, before a record, before a record that waits, before one that is
//! imported. What it leaves behind tells sizes, times, names and counts.

use serde_json::Value;

use super::record::Record;
use crate::copilot::Understanding;
use crate::identity::Content;

impl Understanding {
    /// Keeps no more than `content` says.
    pub(super) fn keep(&mut self, content: Content) {
        keep(content, &mut self.request_content, &mut self.response_content);
    }
}

impl Record {
    /// Keeps no more than `content` says.
    pub fn keep(&mut self, content: Content) {
        keep(content, &mut self.request.content, &mut self.response.content);
    }
}

fn keep(content: Content, asked: &mut Value, answered: &mut Vec<Value>) {
    if content == Content::Metadata {
        (*asked, *answered) = (Value::Null, Vec::new());
    }
}
