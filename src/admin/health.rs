//! Liveness and readiness, for load balancers and supervisors.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

/// How this proxy is, one line for each thing.
#[derive(Debug, Default)]
pub struct Condition {
    /// What keeps it from doing its whole job; empty when all is well.
    pub problems: Vec<String>,
    /// What an operator should know in time.
    pub notes: Vec<String>,
}

/// Tells the condition. Called at each request, so it must not block.
pub type Health = Arc<dyn Fn() -> Condition + Send + Sync>;

pub(super) fn routes(health: Health) -> Router {
    Router::new().route("/livez", get("ok\n")).route("/readyz", get(readyz)).with_state(health)
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    let Condition { problems, notes } = health();
    let notes = notes.iter().map(|note| format!("note: {note}"));
    if problems.is_empty() {
        return (StatusCode::OK, lines(std::iter::once("ready".to_owned()).chain(notes)));
    }
    (StatusCode::SERVICE_UNAVAILABLE, lines(problems.iter().cloned().chain(notes)))
}

fn lines(texts: impl Iterator<Item = String>) -> String {
    texts.map(|text| format!("{}\n", text.replace(['\r', '\n'], " "))).collect()
}
