//! The install page: trust the CA, set up the editor, test it; with this proxy's own address in every line.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::address::ProxyAddress;
use super::onboarding::{Onboarding, Site};

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/install", get(page))
        .route("/install.css", asset("text/css; charset=utf-8", include_str!("templates/install.css")))
        .route("/install.js", asset("text/javascript; charset=utf-8", include_str!("templates/install.js")))
}

fn asset(content_type: &'static str, content: &'static str) -> MethodRouter<Site> {
    get(([(CONTENT_TYPE, content_type)], content))
}

pub(super) async fn page(State(site): State<Site>, request: Parts) -> Response {
    let onboarding = site.onboarding.load();
    match InstallPage::new(&onboarding, &site.proxy_address(&request)).render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "the install page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// `NAME` and `PASSWORD` stay placeholders: the page is open to everyone.
#[derive(Template)]
#[template(config = "src/admin/askama.toml", path = "install.html")]
struct InstallPage<'a> {
    /// `host:port`.
    proxy: String,
    host: &'a str,
    port: u16,
    /// The proxy's URL with placeholders for the credentials.
    url: String,
    ca_name: &'a str,
    expiry: String,
    fingerprint: String,
    fingerprint_spaced: String,
    fingerprint_plain: String,
    intercept_hosts: &'a [String],
    prompts_kept: bool,
    prompts_differ: bool,
    telemetry_read: bool,
    retention_days: u32,
}

impl<'a> InstallPage<'a> {
    fn new(onboarding: &'a Onboarding, proxy: &'a ProxyAddress) -> Self {
        let ca = &onboarding.ca;
        Self {
            proxy: proxy.to_string(),
            host: proxy.host(),
            port: proxy.port(),
            url: format!("http://NAME:PASSWORD@{proxy}"),
            ca_name: ca.common_name(),
            expiry: ca.not_after().format("%-d %B %Y, %H:%M:%S UTC").to_string(),
            fingerprint: ca.fingerprint(),
            fingerprint_spaced: ca.fingerprint_with(" "),
            fingerprint_plain: ca.fingerprint_with("").to_lowercase(),
            intercept_hosts: &onboarding.intercept_hosts,
            prompts_kept: onboarding.prompts_kept,
            prompts_differ: onboarding.prompts_differ,
            telemetry_read: onboarding.telemetry_read,
            retention_days: onboarding.retention_days,
        }
    }
}
