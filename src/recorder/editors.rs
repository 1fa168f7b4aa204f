//! Which editor a user had last, for requests that do not tell: the language server's next-edit suggestions carry no editor's
//! header (1.539.0, observed).

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::copilot::vocabulary::Kind;
use crate::copilot::{Endpoint, Facts};
use crate::exchange::{ExchangeId, Head};
use crate::store::{LastEditor, StoreError, UsageStore};

/// Editors kept for each user: a person has a few open at a time.
const MOST: usize = 8;

/// The editors of each user, the last one first, by the `User-Agent` that they sent.
#[derive(Debug, Default)]
pub(super) struct Editors(HashMap<String, Vec<(Option<String>, LastEditor)>>);

impl Editors {
    /// Learns the exchange's editor, or fills it in where the exchange does not tell it: from the user's last request with the
    /// same `User-Agent`, else with any, else from the store.
    pub(super) fn complete(
        &mut self,
        head: &Head,
        facts: &mut Facts,
        store: &dyn UsageStore,
    ) -> Result<(), StoreError> {
        if facts.ide.is_some() {
            self.learn(head, facts);
        } else if (facts.kind, facts.endpoint) == (Kind::Completions, Some(Endpoint::Chat)) {
            let end = (head.timings.ended_at, head.id);
            if let Some(editor) = self.last(&head.user, facts.user_agent.as_deref(), end, store)? {
                facts.infer_editor(editor.editor, editor.plugin, editor.machine_id);
            }
        }
        Ok(())
    }

    fn learn(&mut self, head: &Head, facts: &Facts) {
        let editor = LastEditor {
            editor: facts.editor.clone(),
            plugin: facts.plugin.clone(),
            machine_id: facts.machine_id.clone(),
        };
        let known = self.0.entry(head.user.clone()).or_default();
        known.retain(|(agent, _)| *agent != facts.user_agent);
        known.insert(0, (facts.user_agent.clone(), editor));
        known.truncate(MOST);
    }

    fn last(
        &mut self,
        user: &str,
        agent: Option<&str>,
        before: (DateTime<Utc>, ExchangeId),
        store: &dyn UsageStore,
    ) -> Result<Option<LastEditor>, StoreError> {
        let Some(known) = self.0.get(user) else {
            return store.last_editor(user, before);
        };
        let same = known.iter().find(|(known, _)| known.as_deref() == agent);
        Ok(same.or_else(|| known.first()).map(|(_, editor)| editor.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copilot::understand;
    use crate::exchange::{BodySize, Ending, Exchange, Timings};

    #[test]
    fn of_agents_without_end_the_last_few_are_kept() {
        let mut editors = Editors::default();
        for number in 0..100 {
            let field = |name: &str, value: String| (name.to_owned(), value);
            let head = Head {
                account: None,
                id: ExchangeId::now(),
                user: "octocat".to_owned(),
                client: [127, 0, 0, 1].into(),
                method: "POST".to_owned(),
                url: "https://api.business.githubcopilot.com/chat/completions".to_owned(),
                request_headers: vec![
                    field("editor-version", format!("vscode/{number}")),
                    field("user-agent", format!("agent/{number}")),
                ],
                request_size: BodySize::default(),
                response: None,
                response_size: BodySize::default(),
                ending: Ending::Completed,
                timings: Timings {
                    started_at: DateTime::UNIX_EPOCH,
                    ended_at: DateTime::UNIX_EPOCH,
                    first_byte_us: None,
                    duration_us: 0,
                },
            };
            let facts = understand(
                &Exchange { head: head.clone(), request_body: vec![].into(), response_body: vec![].into() },
                0,
            )
            .facts;
            assert!(facts.editor_version.is_some());
            editors.learn(&head, &facts);
        }
        assert_eq!(editors.0["octocat"].len(), MOST);
        assert_eq!(editors.0["octocat"][0].0.as_deref(), Some("agent/99"));
    }
}
