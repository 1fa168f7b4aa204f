//! Simulated developers: an editor with its Copilot plug-in, behind a proxy.
//!
//! A [`Developer`] makes single requests, exactly as told; a [`Workday`] makes a believable mix of them and counts what
//! it did, so that a test can compare that with what was recorded.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use rustls::RootCertStore;
use serde_json::{Value, json};

use super::client::{ClientError, Connection, Credentials, ProxyClient, Reply};
use super::copilot::{NOTHING_TO_ADD, control};
use super::corpus::{self, Conversation, Snippet};
use super::rng::Seeded;

mod editor;
mod newer;
mod reading;
mod requests;
mod telemetry;
mod work;
mod workday;

pub use editor::EditorProfile;
pub use work::{Suggestion, SuggestionKind, Turn, WorkError};
pub use workday::{Deed, Tally, Workday};

use reading::Brought;
use requests::{Asked, ChatCall, Purpose, Session};
use telemetry::Fate;

const ACCOUNT_HOST: &str = "api.github.com";
const CHAT_HOST: &str = "api.business.githubcopilot.com";
const GHOST_HOST: &str = "proxy.business.githubcopilot.com";
const TELEMETRY_HOST: &str = "telemetry.business.githubcopilot.com";

/// Every host that a developer's editor calls.
pub const HOSTS: [&str; 4] = [ACCOUNT_HOST, CHAT_HOST, GHOST_HOST, TELEMETRY_HOST];

/// Who a developer is.
#[derive(Debug, Clone)]
pub struct Person {
    /// User name for the proxy.
    pub name: String,
    /// Password for the proxy.
    pub password: String,
    /// What is worked with.
    pub editor: EditorProfile,
    /// Languages worked in (`python`, `typescript`, `go`, `rust`, `java`, `sql`, `markdown`); empty for any.
    pub languages: Vec<String>,
    /// False where telemetry is switched off in the editor.
    pub telemetry: bool,
    /// Decides, with the name, everything that looks random.
    pub seed: u64,
}

impl Person {
    fn knows(&self, language: &str) -> bool {
        self.languages.is_empty() || self.languages.iter().any(|known| known == language)
    }
}

/// One developer at one editor. Connections stay open between requests, one a host.
#[derive(Debug)]
pub struct Developer {
    person: Person,
    session: Session,
    client: ProxyClient,
    connections: tokio::sync::Mutex<HashMap<&'static str, Arc<Connection>>>,
    unsent: Mutex<Vec<Value>>,
    rng: Mutex<Seeded>,
}

impl Developer {
    /// A developer behind the proxy at `proxy`, whose CA is among `roots`.
    #[must_use]
    pub fn new(person: Person, proxy: SocketAddr, roots: RootCertStore) -> Self {
        let mut rng = Seeded::named(person.seed, &person.name);
        let session = new_session(&person, &mut rng);
        let client = ProxyClient::new(proxy, Credentials::basic(&person.name, &person.password), roots);
        let (connections, unsent) = Default::default();
        Self { person, session, client, connections, unsent, rng: Mutex::new(rng) }
    }

    /// Who it is.
    #[must_use]
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// What an editor does when it starts: token, user, models, a ping.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn sign_in(&self) -> Result<(), WorkError> {
        for (host, path) in [
            (ACCOUNT_HOST, "/copilot_internal/v2/token"),
            (ACCOUNT_HOST, "/copilot_internal/user"),
            (CHAT_HOST, "/models"),
            (CHAT_HOST, "/_ping"),
        ] {
            self.fetch(host, self.session.get(path).map_err(ClientError::from)?).await?;
        }
        Ok(())
    }

    /// Asks for ghost text and takes the whole answer.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn complete(&self) -> Result<Suggestion, WorkError> {
        self.ghost_text("", Asked::WhileTyping).await
    }

    /// Fetches ghost text ahead, as editors do while a suggestion is on display.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn complete_speculatively(&self) -> Result<Suggestion, WorkError> {
        self.ghost_text("", Asked::Speculatively).await
    }

    /// Asks for ghost text where there is nothing to add.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn complete_in_vain(&self) -> Result<Suggestion, WorkError> {
        self.ghost_text(NOTHING_TO_ADD, Asked::WhileTyping).await
    }

    /// Asks for ghost text and types on after the first piece of the answer, which gives the answer up.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn cancel_completion(&self) -> Result<(), WorkError> {
        let snippet = self.snippet();
        let body = requests::ghost_body(snippet, snippet.prefix, Asked::WhileTyping);
        let id = self.rng().uuid();
        let mut request = self.session.ghost_text(&id, &body, Asked::WhileTyping).map_err(ClientError::from)?;
        // The fake waits after the first piece, so that the answer can never be complete before it is given up.
        let (name, one) = (HeaderName::from_static(control::STALL), HeaderValue::from_static("1"));
        request.headers_mut().insert(name, one);
        let mut reply = self.send(GHOST_HOST, request).await?;
        reply.chunk().await?;
        drop(reply);
        self.connections.lock().await.remove(GHOST_HOST);
        Ok(())
    }

    /// One chat turn in ask mode.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn ask(&self) -> Result<Turn, WorkError> {
        let (conversation, interaction_id) = (self.conversation(), self.rng().uuid());
        let body = requests::chat_body(&requests::opening(conversation, conversation.question));
        let brought = self.chat_call(&interaction_id, "user", Purpose::Question, &body, None).await?;
        Ok(turn(interaction_id, conversation, brought.text, 0))
    }

    /// The call for a title and a next question that JetBrains editors send after an answer: the same interaction, also
    /// begun by the "user", and yet no turn.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn fetch_follow_up(&self, turn: &Turn) -> Result<(), WorkError> {
        let body = requests::follow_up_body(&turn.question, &turn.answer);
        self.chat_call(&turn.interaction_id, "user", Purpose::FollowUp, &body, None).await.map(drop)
    }

    /// One agent turn: the person's request, then `steps` calls by the agent with the results of its tools.
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn agent_turn(&self, steps: u64) -> Result<Turn, WorkError> {
        let (conversation, interaction_id) = (self.conversation(), self.rng().uuid());
        let mut messages = requests::opening(conversation, conversation.question);
        let mut answer = String::new();
        for step in 0..=steps {
            let initiator = if step == 0 { "user" } else { "agent" };
            let body = requests::agent_body(&messages);
            let tool = (step < steps).then_some("any");
            let brought = self.chat_call(&interaction_id, initiator, Purpose::Task, &body, tool).await?;
            if let Some(call) = brought.call {
                let function = json!({"name": call.name, "arguments": call.arguments});
                let calls = json!([{"id": call.id, "type": "function", "function": function}]);
                messages.push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
                messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": "3 lines found"}));
            }
            answer = brought.text;
        }
        Ok(turn(interaction_id, conversation, answer, steps))
    }

    /// Notes that a suggestion was shown. Like the next ones it is sent with the next [`Developer::send_telemetry`], and
    /// without effect where telemetry is off.
    pub fn show(&self, suggestion: &Suggestion) {
        self.report(suggestion, Fate::Shown);
    }

    /// Notes that a suggestion was accepted whole.
    pub fn accept(&self, suggestion: &Suggestion) {
        self.report(suggestion, Fate::Accepted);
    }

    /// Notes that the first line of a suggestion was accepted, and the rest was not.
    pub fn accept_part(&self, suggestion: &Suggestion) {
        self.report(suggestion, Fate::AcceptedInPart);
        self.report(suggestion, Fate::RestRejected);
    }

    /// Notes that an accepted suggestion was still there after a while.
    pub fn keep(&self, suggestion: &Suggestion) {
        self.report(suggestion, Fate::StillInCode);
    }

    /// Notes that a suggestion was rejected.
    pub fn reject(&self, suggestion: &Suggestion) {
        self.report(suggestion, Fate::Rejected);
    }

    /// Sends what was noted since the last time, if anything.
    ///
    /// # Errors
    /// [`WorkError`]; what was noted is lost then, as with the real clients.
    pub async fn send_telemetry(&self) -> Result<(), WorkError> {
        let events = std::mem::take(&mut *self.unsent());
        if events.is_empty() {
            return Ok(());
        }
        let request = telemetry::batch(&self.session, events).map_err(ClientError::from)?;
        self.fetch(TELEMETRY_HOST, request).await.map(drop)
    }

    async fn ghost_text(&self, typed_after: &str, asked: Asked) -> Result<Suggestion, WorkError> {
        let snippet = self.snippet();
        let typed = format!("{}{typed_after}", snippet.prefix);
        let (request_id, completion_id) = {
            let mut rng = self.rng();
            (rng.uuid(), rng.uuid())
        };
        let body = requests::ghost_body(snippet, &typed, asked);
        let request = self.session.ghost_text(&request_id, &body, asked).map_err(ClientError::from)?;
        let text = Brought::by(&self.fetch(GHOST_HOST, request).await?).text;
        let kind = match asked {
            Asked::WhileTyping => SuggestionKind::GhostText,
            Asked::Speculatively => SuggestionKind::Speculative,
        };
        Ok(Suggestion { request_id, completion_id, language: snippet.language.to_owned(), text, kind })
    }

    async fn chat_call(
        &self,
        interaction: &str,
        initiator: &'static str,
        purpose: Purpose,
        body: &Value,
        tool: Option<&'static str>,
    ) -> Result<Brought, WorkError> {
        let id = self.rng().uuid();
        let call = ChatCall { path: "/chat/completions", id: &id, interaction, initiator, purpose };
        let mut request = self.session.chat(&call, body).map_err(ClientError::from)?;
        if let Some(tool) = tool {
            // The fake decides as a model would; a developer who wants so many steps has to say so.
            request.headers_mut().insert(HeaderName::from_static(control::TOOL), HeaderValue::from_static(tool));
        }
        Ok(Brought::by(&self.fetch(CHAT_HOST, request).await?))
    }

    /// Sends a request and reads the whole answer, which has to be 2xx.
    async fn fetch(&self, host: &'static str, request: Request<Bytes>) -> Result<Bytes, WorkError> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let mut reply = self.send(host, request).await?;
        let (status, body) = (reply.status(), reply.bytes().await?);
        if status.is_success() {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Err(WorkError::Status { method, path, status: status.as_u16(), body })
    }

    async fn send(&self, host: &'static str, request: Request<Bytes>) -> Result<Reply, ClientError> {
        self.connection(host).await?.send(request).await
    }

    async fn connection(&self, host: &'static str) -> Result<Arc<Connection>, ClientError> {
        let mut connections = self.connections.lock().await;
        if let Some(open) = connections.get(host)
            && !open.is_closed().await
        {
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(self.client.tunnel(host, 443, self.person.editor.alpn).await?);
        connections.insert(host, Arc::clone(&opened));
        Ok(opened)
    }

    fn report(&self, suggestion: &Suggestion, fate: Fate) {
        if self.person.telemetry {
            let event = match suggestion.kind {
                SuggestionKind::NextEdit => telemetry::edit_envelope(&self.session, suggestion, fate),
                _ => Some(telemetry::envelope(&self.session, suggestion, fate)),
            };
            self.unsent().extend(event);
        }
    }

    fn unsent(&self) -> MutexGuard<'_, Vec<Value>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rng(&self) -> MutexGuard<'_, Seeded> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snippet(&self) -> &'static Snippet {
        corpus::pick(corpus::SNIPPETS, |snippet| self.person.knows(snippet.language), &mut self.rng())
    }

    fn conversation(&self) -> &'static Conversation {
        corpus::pick(corpus::CONVERSATIONS, |talk| self.person.knows(talk.language), &mut self.rng())
    }
}

fn turn(interaction_id: String, conversation: &Conversation, answer: String, steps: u64) -> Turn {
    let (language, question) = (conversation.language.to_owned(), conversation.question.to_owned());
    Turn { interaction_id, language, question, answer, steps }
}

fn new_session(person: &Person, rng: &mut Seeded) -> Session {
    let tracking_id = rng.hex(32);
    let expires = chrono::Utc::now().timestamp() + 1800;
    let token = format!(
        "tid={tracking_id};exp={expires};sku=copilot_for_business_seat_quota;proxy-ep={GHOST_HOST};st=dotcom;chat=1:{}",
        rng.hex(64)
    );
    let session_id = format!("{}{}", rng.uuid(), chrono::Utc::now().timestamp_millis());
    let (machine_id, edits_id) = (rng.hex(64), rng.uuid());
    Session { editor: person.editor.clone(), token, tracking_id, machine_id, session_id, edits_id }
}
