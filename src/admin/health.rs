//! Liveness and readiness, for load balancers and supervisors.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

/// Lists what keeps this proxy from doing its whole job, one line each; empty when all is well. Called at each request, so it must not block.
pub type Health = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

pub(super) fn routes(health: Health) -> Router {
    Router::new().route("/livez", get("ok\n")).route("/readyz", get(readyz)).with_state(health)
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    let problems = health();
    if problems.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines = problems.iter().map(|problem| format!("{}\n", problem.replace(['\r', '\n'], " "))).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}
