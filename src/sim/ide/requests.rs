//! The requests that editors make: header fields and bodies as the real clients send them.

use bytes::Bytes;
use http::Request;
use http::request::Builder;
use serde_json::{Value, json};

use super::editor::EditorProfile;
use crate::sim::corpus::{Conversation, Snippet};

/// Model of ghost text; a part of its URL.
pub(super) const GHOST_ENGINE: &str = "gpt-41-copilot";
/// Model of chats.
pub(super) const CHAT_MODEL: &str = "gpt-4.1";

/// What the requests of one run of one editor have in common.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) editor: EditorProfile,
    pub(super) token: String,
    pub(super) tracking_id: String,
    pub(super) machine_id: String,
    pub(super) session_id: String,
    /// `X-Interaction-Id` of all next edits.
    pub(super) edits_id: String,
}

/// How ghost text is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    WhileTyping,
    Speculatively,
}

impl Session {
    /// A body-less request for the account or the models.
    pub(super) fn get(&self, path: &str) -> Result<Request<Bytes>, http::Error> {
        self.identified(Request::get(path)).header("accept", "*/*").body(Bytes::new())
    }

    /// Ghost text: `POST /v1/engines/{engine}/completions`.
    pub(super) fn ghost_text(&self, id: &str, body: &Value, asked: Asked) -> Result<Request<Bytes>, http::Error> {
        let path = format!("/v1/engines/{GHOST_ENGINE}/completions");
        let speculative = if asked == Asked::Speculatively { "true" } else { "false" };
        let request =
            Request::post(path).header("X-Copilot-Async", "true").header("X-Copilot-Speculative", speculative);
        let request = self
            .identified(request)
            .header("Openai-Organization", "github-copilot")
            .header("X-Request-Id", id)
            .header("OpenAI-Intent", "copilot-ghost");
        self.posted(request, body)
    }

    /// A next edit: `POST /chat/completions` on the completions host. It says nothing of the editor, and that an agent began
    /// it (language server 1.539.0).
    pub(super) fn next_edit(&self, id: &str, body: &Value) -> Result<Request<Bytes>, http::Error> {
        let request = Request::post("/chat/completions")
            .header("Authorization", format!("Bearer {}", self.token))
            .header("X-Request-Id", id)
            .header("OpenAI-Intent", "conversation-other")
            .header("X-GitHub-Api-Version", &self.editor.api_version)
            .header("X-Interaction-Id", &self.edits_id)
            .header("X-Initiator", "agent")
            .header("X-Interaction-Type", "conversation-other")
            .header("X-Agent-Task-Id", id)
            .header("User-Agent", &self.editor.user_agent);
        self.posted(request, body)
    }

    /// Chat, over any interface.
    pub(super) fn chat(&self, call: &ChatCall<'_>, body: &Value) -> Result<Request<Bytes>, http::Error> {
        let (interaction_type, intent) = call.purpose.names(self.editor.language_server.is_some());
        let request = self
            .identified(Request::post(call.path))
            .header("Copilot-Integration-Id", &self.editor.integration)
            .header("X-Initiator", call.initiator)
            .header("X-Interaction-Id", call.interaction)
            .header("X-Interaction-Type", interaction_type)
            .header("Openai-Organization", "github-copilot")
            .header("X-Request-Id", call.id)
            .header("OpenAI-Intent", intent);
        self.posted(request, body)
    }

    fn identified(&self, request: Builder) -> Builder {
        let mut request = request
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Editor-Version", &self.editor.version)
            .header("Editor-Plugin-Version", &self.editor.plugin);
        if let Some(version) = &self.editor.language_server {
            request = request.header("Copilot-Language-Server-Version", version);
        }
        request
            .header("VScode-SessionId", &self.session_id)
            .header("VScode-MachineId", &self.machine_id)
            .header("X-GitHub-Api-Version", &self.editor.api_version)
            .header("User-Agent", &self.editor.user_agent)
    }

    fn posted(&self, request: Builder, body: &Value) -> Result<Request<Bytes>, http::Error> {
        request
            .header("Content-Type", "application/json")
            .header("accept", "*/*")
            .header("accept-encoding", "br, gzip, deflate")
            .body(Bytes::from(body.to_string()))
    }
}

/// What tells one chat request from another.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChatCall<'a> {
    pub(super) path: &'static str,
    pub(super) id: &'a str,
    pub(super) interaction: &'a str,
    pub(super) initiator: &'static str,
    pub(super) purpose: Purpose,
}

/// What a chat request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A question in ask mode.
    Question,
    /// The title and the next question after an answer.
    FollowUp,
    /// A task for an agent.
    Task,
}

impl Purpose {
    /// `X-Interaction-Type` and `OpenAI-Intent`. The language server (1.539.0) names the agent in ask mode as well, so that
    /// the type alone tells the modes apart.
    fn names(self, language_server: bool) -> (&'static str, &'static str) {
        match self {
            Self::Question if language_server => ("conversation-panel", "conversation-agent"),
            Self::Question | Self::FollowUp => ("conversation-panel", "conversation-panel"),
            Self::Task => ("conversation-agent", "conversation-agent"),
        }
    }
}

/// The body of a ghost-text request at a snippet's cursor; `typed` stands before the cursor.
pub(super) fn ghost_body(snippet: &Snippet, typed: &str, asked: Asked) -> Value {
    let mark = match snippet.language {
        "python" => "#",
        "sql" => "--",
        "markdown" => "",
        _ => "//",
    };
    let prompt = format!("{mark} Path: {}\n{typed}", snippet.path);
    let most = if asked == Asked::Speculatively { 20 } else { 500 };
    json!({"prompt": prompt, "suffix": snippet.suffix, "max_tokens": most, "temperature": 0, "top_p": 1, "n": 1,
           "stop": ["\n\n\n", "\n```"], "stream": true,
           "extra": {"language": snippet.language, "next_indent": 0, "trim_by_indentation": true,
                     "prompt_tokens": prompt.len() / 4, "suffix_tokens": snippet.suffix.len() / 4},
           "code_annotations": false})
}

/// The body of a request for the next edit: a snippet, complete but for a misspelt word, in front of the cursor.
pub(super) fn edit_body(snippet: &Snippet) -> Value {
    let text = format!("{}{}", snippet.prefix, snippet.completion);
    let typed = text.replacen("return", "retrun", 1);
    let area = if typed == text { format!("{text}\nretrun") } else { typed };
    let file = format!(
        "<|current_file_content|>\ncurrent_file_path: {}\n{area}{}\n<|/current_file_content|>",
        snippet.path, snippet.suffix
    );
    let messages = json!([
        {"role": "system", "content": "Predict the next code edit based on user context."},
        {"role": "user", "content": file},
    ]);
    json!({"messages": messages, "model": "copilot-nes-oct", "temperature": 0, "top_p": 1, "stream": true,
           "prediction": {"type": "content", "content": area}, "n": 1})
}

/// What the model is told to be.
pub(super) const INSTRUCTIONS: &str =
    "You are an expert AI programming assistant, working with a user in an editor. Keep answers short.";

/// The messages with which a chat begins.
pub(super) fn opening(conversation: &Conversation, question: &str) -> Vec<Value> {
    let file = format!("<attachment filePath=\"/work/project/src/current\" language=\"{}\"/>", conversation.language);
    vec![
        json!({"role": "system", "content": INSTRUCTIONS}),
        json!({"role": "user", "content": format!("<context>\n{file}\n</context>")}),
        json!({"role": "user", "content": question}),
    ]
}

/// The body of a chat without tools.
pub(super) fn chat_body(messages: &[Value]) -> Value {
    json!({"messages": messages, "model": CHAT_MODEL, "temperature": 0, "top_p": 1, "max_tokens": 4096, "n": 1,
           "stream": true, "stream_options": {"include_usage": true}})
}

/// The body of one call of an agent.
pub(super) fn agent_body(messages: &[Value]) -> Value {
    let tools = json!([
        tool("read_file", "Read the contents of a file.", "filePath"),
        tool("grep_search", "Find text in the files of the workspace.", "query"),
        tool("list_dir", "List the contents of a directory.", "path"),
        tool("create_file", "Create a file with content.", "filePath"),
    ]);
    with(chat_body(messages), [("tools", tools), ("tool_choice", json!("auto"))])
}

/// The body of the call with which JetBrains editors fetch a title and a next question after an answer.
pub(super) fn follow_up_body(question: &str, answer: &str) -> Value {
    let history =
        format!("Consider the following conversation history:\n1) User: {question}\nGitHub Copilot: {answer}");
    let task = "Your task is to come up with two suggestions: a title and a follow-up question.";
    let messages = [json!({"role": "user", "content": history}), json!({"role": "system", "content": task})];
    let tools = json!([tool("showSuggestions", "Show the computed suggestions to the user.", "followUp")]);
    let choice = json!({"type": "function", "function": {"name": "showSuggestions"}});
    let fields = [("model", json!("gpt-4o-mini")), ("tools", tools), ("tool_choice", choice)];
    with(chat_body(&messages), fields)
}

/// An object with further fields, or other values for those that it has.
fn with<const N: usize>(mut object: Value, fields: [(&str, Value); N]) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    }
    object
}

fn tool(name: &str, description: &str, argument: &str) -> Value {
    let parameters = json!({"type": "object", "required": [argument], "properties": {argument: {"type": "string"}}});
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}})
}
