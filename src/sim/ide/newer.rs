//! The newer ways: next edits, and models behind other interfaces than chat completions.

use serde_json::json;

use super::reading::Brought;
use super::requests::{self, ChatCall, Purpose};
use super::work::{Suggestion, SuggestionKind, Turn, WorkError};
use super::{CHAT_HOST, Developer, GHOST_HOST, turn};
use crate::sim::client::ClientError;

impl Developer {
    /// Asks for a change near the cursor, where a keyword is misspelt.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn suggest_edit(&self) -> Result<Suggestion, WorkError> {
        let snippet = self.snippet();
        let (request_id, completion_id) = {
            let mut rng = self.rng();
            (rng.uuid(), rng.uuid())
        };
        let body = requests::edit_body(snippet);
        let request = self.session.next_edit(&request_id, &body).map_err(ClientError::from)?;
        let text = Brought::by(&self.fetch(GHOST_HOST, request).await?).text;
        let (language, kind) = (snippet.language.to_owned(), SuggestionKind::NextEdit);
        Ok(Suggestion { request_id, completion_id, language, text, kind })
    }

    /// One chat turn in ask mode with a model behind the Responses interface.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn ask_over_responses(&self) -> Result<Turn, WorkError> {
        self.ask_over("/responses").await
    }

    /// One chat turn in ask mode with a model behind the Messages interface.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn ask_over_messages(&self) -> Result<Turn, WorkError> {
        self.ask_over("/v1/messages").await
    }

    async fn ask_over(&self, path: &'static str) -> Result<Turn, WorkError> {
        let conversation = self.conversation();
        let (id, interaction) = {
            let mut rng = self.rng();
            (rng.uuid(), rng.uuid())
        };
        let text = |kind: &str| json!({"role": "user", "content": [{"type": kind, "text": conversation.question}]});
        let body = if path == "/responses" {
            json!({"model": "gpt-5-mini", "instructions": requests::INSTRUCTIONS, "input": [text("input_text")],
                   "reasoning": {"effort": "medium", "summary": "auto"}, "store": false, "stream": true})
        } else {
            json!({"model": "claude-sonnet-4.5", "max_tokens": 8192, "messages": [text("text")], "stream": true,
                   "system": [{"type": "text", "text": requests::INSTRUCTIONS}]})
        };
        let call = ChatCall { path, id: &id, interaction: &interaction, initiator: "user", purpose: Purpose::Question };
        let request = self.session.chat(&call, &body).map_err(ClientError::from)?;
        let brought = Brought::by(&self.fetch(CHAT_HOST, request).await?);
        Ok(turn(interaction, conversation, brought.text, 0))
    }
}
