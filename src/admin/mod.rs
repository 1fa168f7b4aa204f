//! The admin listener's pages. The onboarding part of it is open to everyone and is also served through the proxy.

mod access;
mod address;
mod downloads;
mod github;
mod health;
mod install;
mod metrics;
mod onboarding;
mod security;
mod token;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;

pub use access::Access;
pub use address::ProxyAddress;
pub use github::Desk;
pub use health::{Condition, Health};
pub use metrics::UsageMetrics;
pub use onboarding::Onboarding;
pub use token::AdminToken;

use access::Guard;
use onboarding::{AddressSource, Site};

use crate::identity::Scope;

/// What the admin listener shows. The onboarding facts may be swapped at any time, for example after a reload.
#[derive(Clone)]
pub struct AdminState {
    /// What users need to connect.
    pub onboarding: Arc<ArcSwap<Onboarding>>,
    /// Answers `/readyz`.
    pub health: Health,
    /// What `/metrics` tells.
    pub metrics: Arc<Registry>,
    /// What `/metrics/usage` tells.
    pub usage: UsageMetrics,
    /// What opens what is not for everybody.
    pub access: Access,
    /// Answers on GitHub's paths.
    pub desk: Arc<Desk>,
}

/// All pages of the admin listener.
pub fn router(state: AdminState) -> Router {
    let site = Site { onboarding: state.onboarding, address: AddressSource::HostHeader };
    let pages = Router::new().route("/", get(|| async { Redirect::to("/install") }));
    let github = github::routes(state.desk, state.access.clone());
    let guard = Guard { access: state.access, needed: Scope::Metrics, refuse: access::refuse_in_words };
    let guarded = metrics::routes(state.metrics, state.usage).route_layer(from_fn_with_state(guard, access::require));
    finish(pages.merge(onboarding_pages(site)).merge(health::routes(state.health)).merge(guarded).merge(github))
}

/// The install page, also at `/`, and the downloads, for `http://mitm.it/` and `http://copilens.local/` through the proxy.
/// The proxy inserts [`ReachedAt`](crate::config::ReachedAt) into the request's extensions.
pub fn onboarding_router(onboarding: Arc<ArcSwap<Onboarding>>) -> Router {
    let site = Site { onboarding, address: AddressSource::Proxy };
    let front = Router::new().route("/", get(install::page)).with_state(site.clone());
    finish(front.merge(onboarding_pages(site)))
}

fn onboarding_pages(site: Site) -> Router {
    install::routes().merge(downloads::routes()).with_state(site)
}

fn finish(pages: Router) -> Router {
    pages.fallback(not_found).layer(axum::middleware::map_response(security::add_headers))
}

async fn not_found(uri: Uri) -> Response {
    github::not_found(&uri).unwrap_or_else(|| (StatusCode::NOT_FOUND, "not found\n").into_response())
}

#[cfg(test)]
mod tests;
