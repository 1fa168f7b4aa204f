//! Copilot's language server (`@github/copilot-language-server`), driven as JetBrains and Vim plug-ins drive it.

use std::path::Path;

use serde_json::{Value, json};

use crate::rpc::{Framing, Rpc};
use crate::stage::Stage;

/// What the language server is told of the editor it serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Editor {
    name: &'static str,
    version: &'static str,
    plugin: &'static str,
    plugin_version: &'static str,
}

pub(crate) const INTELLIJ: Editor =
    Editor { name: "JetBrains-IC", version: "2026.1", plugin: "copilot-intellij", plugin_version: "1.5.60-243" };

pub(crate) const VIM: Editor =
    Editor { name: "vim", version: "9.1.2", plugin: "copilot.vim", plugin_version: "1.59.0" };

/// How the language server learns of the proxy and of the credentials for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// All in the setting `http.proxy`.
    ProxyUrl,
    /// The credentials in the setting `http.proxyAuthorization`.
    ProxyAuthorization,
    /// All in `HTTPS_PROXY`.
    Environment,
}

/// Who uses an editor, and how it is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
    pub(crate) way: Way,
    pub(crate) editor: Editor,
    /// `telemetry.telemetryLevel`: `all` or `off`.
    pub(crate) telemetry: &'static str,
}

/// A suggestion in the editor, as the language server gave it.
#[derive(Debug, Clone)]
pub(crate) struct Suggestion(Value);

impl Suggestion {
    pub(crate) fn text(&self) -> &str {
        self.0["insertText"].as_str().or_else(|| self.0["text"].as_str()).unwrap()
    }
}

/// A running language server that was told of an editor.
pub(crate) struct LanguageServer {
    rpc: Rpc,
    work: String,
}

impl LanguageServer {
    /// Starts it for a user; says why not where it is not installed.
    pub(crate) fn start(stage: &Stage, user: User<'_>) -> Result<Self, String> {
        let mut command = stage.client("@github/copilot-language-server", "copilot-language-server")?;
        command.arg("--stdio");
        let url = stage.proxy_url(user.name, user.password);
        let bare = format!("http://{}", stage.copilens.proxy);
        let http = match user.way {
            Way::ProxyUrl => json!({"proxy": url, "proxyStrictSSL": true}),
            Way::ProxyAuthorization => {
                let authorization = format!("{}:{}", user.name, user.password);
                json!({"proxy": bare, "proxyStrictSSL": true, "proxyAuthorization": authorization})
            }
            Way::Environment => {
                command.env("HTTPS_PROXY", url);
                json!({"proxyStrictSSL": true})
            }
        };
        let server = Self { rpc: Rpc::start(command, Framing::Head), work: uri(&stage.folder("work")) };
        server.introduce(user, &http);
        Ok(server)
    }

    fn introduce(&self, user: User<'_>, http: &Value) {
        let Editor { name, version, plugin, plugin_version } = user.editor;
        let options = json!({"editorInfo": {"name": name, "version": version},
                             "editorPluginInfo": {"name": plugin, "version": plugin_version}});
        let folder = json!({"uri": self.work, "name": "work"});
        let parameters = json!({"processId": std::process::id(), "rootUri": self.work, "workspaceFolders": [folder],
                                "capabilities": {"workspace": {"workspaceFolders": true}},
                                "initializationOptions": options});
        self.rpc.call("initialize", parameters);
        self.rpc.notify("initialized", json!({}));
        let settings = json!({"http": http, "telemetry": {"telemetryLevel": user.telemetry}});
        self.rpc.notify("workspace/didChangeConfiguration", json!({"settings": settings}));
    }

    /// Whether the account could be looked up.
    pub(crate) fn is_signed_in(&self) -> bool {
        self.rpc.ask("checkStatus", json!({})).is_ok_and(|status| status["status"] == "OK")
    }

    /// Opens a Python file, and gives its URI.
    pub(crate) fn open(&self, name: &str, text: &str) -> String {
        let uri = format!("{}/{name}", self.work);
        let document = json!({"uri": uri, "languageId": "python", "version": 1, "text": text});
        self.rpc.notify("textDocument/didOpen", json!({"textDocument": document}));
        self.rpc.notify("textDocument/didFocus", json!({"textDocument": {"uri": uri}}));
        uri
    }

    /// Ghost text at the beginning of a line of an open file.
    pub(crate) fn ghost_text(&self, uri: &str, line: u64) -> Suggestion {
        let parameters = json!({"textDocument": {"uri": uri, "version": 1}, "position": {"line": line, "character": 0},
                                "context": {"triggerKind": 2},
                                "formattingOptions": {"tabSize": 4, "insertSpaces": true}});
        let list = self.rpc.call("textDocument/inlineCompletion", parameters);
        Suggestion(list["items"][0].clone())
    }

    pub(crate) fn show(&self, suggestion: &Suggestion) {
        self.rpc.notify("textDocument/didShowCompletion", json!({"item": suggestion.0}));
    }

    pub(crate) fn accept(&self, suggestion: &Suggestion) {
        assert_eq!(self.rpc.call("workspace/executeCommand", suggestion.0["command"].clone()), true);
    }

    /// Accepts the first `length` characters.
    pub(crate) fn accept_part(&self, suggestion: &Suggestion, length: usize) {
        let part = json!({"item": suggestion.0, "acceptedLength": length});
        self.rpc.notify("textDocument/didPartiallyAcceptCompletion", part);
    }

    pub(crate) fn reject(&self, suggestion: &Suggestion) {
        let uuids = &suggestion.0["command"]["arguments"];
        assert_eq!(self.rpc.call("notifyRejected", json!({"uuids": uuids})), "OK");
    }

    /// Puts another text in the place of characters of the first line, as typing does.
    pub(crate) fn replace_in_first_line(&self, uri: &str, from: u64, to: u64, text: &str) {
        let range = json!({"start": {"line": 0, "character": from}, "end": {"line": 0, "character": to}});
        let change = json!({"range": range, "text": text});
        let document = json!({"uri": uri, "version": 2});
        self.rpc.notify("textDocument/didChange", json!({"textDocument": document, "contentChanges": [change]}));
    }

    /// A next-edit suggestion with the cursor in the first line; `None` where there is none.
    pub(crate) fn next_edit(&self, uri: &str, version: u64, character: u64) -> Option<Suggestion> {
        let position = json!({"line": 0, "character": character});
        let parameters = json!({"textDocument": {"uri": uri, "version": version}, "position": position});
        let found = self.rpc.call("textDocument/copilotInlineEdit", parameters);
        found["edits"].get(0).cloned().map(Suggestion)
    }

    /// Shows a next-edit suggestion and tells how it ended: `Accept`, `Reject` or `Ignore`.
    pub(crate) fn end_edit(&self, edit: &Suggestion, how: &str) {
        self.rpc.notify("textDocument/didShowInlineEdit", json!({"item": edit.0}));
        let command = format!("github.copilot.did{how}NextEditSuggestionItem");
        let arguments = &edit.0["command"]["arguments"];
        let done = self.rpc.call("workspace/executeCommand", json!({"command": command, "arguments": arguments}));
        assert_eq!(done, true, "{how}");
    }

    /// Begins a conversation in ask mode, waits for the whole answer, and gives the conversation's and the turn's id.
    pub(crate) fn begin_conversation(&self, uri: &str, question: &str) -> (String, String) {
        let parameters = json!({"workDoneToken": "first", "turns": [{"request": question}], "source": "panel",
                                "capabilities": {"skills": [], "allSkills": false}, "computeSuggestions": true,
                                "textDocument": {"uri": uri}, "workspaceFolder": self.work, "model": "gpt-4.1",
                                "chatMode": "Ask"});
        self.talk("conversation/create", "first", parameters)
    }

    /// Gives a task to the agent, and waits until it is done.
    pub(crate) fn delegate(&self, conversation: &str, uri: &str, task: &str) -> (String, String) {
        let parameters = json!({"workDoneToken": "second", "conversationId": conversation, "message": task,
                                "computeSuggestions": true, "needToolCallConfirmation": false,
                                "textDocument": {"uri": uri}, "workspaceFolder": self.work, "model": "gpt-4.1",
                                "chatMode": "Agent"});
        self.talk("conversation/turn", "second", parameters)
    }

    fn talk(&self, method: &str, token: &str, parameters: Value) -> (String, String) {
        let turn = self.rpc.call(method, parameters);
        self.rpc.wait_for("the end of the turn", |told| {
            told["method"] == "$/progress"
                && told["params"]["token"] == token
                && told["params"]["value"]["kind"] == "end"
        });
        let id = |name: &str| turn[name].as_str().unwrap().to_owned();
        (id("conversationId"), id("turnId"))
    }

    /// Shuts it down, which sends the telemetry that is left.
    pub(crate) fn quit(self) {
        self.rpc.call("shutdown", Value::Null);
        self.rpc.notify("exit", Value::Null);
        assert!(self.rpc.end().success());
    }
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}
