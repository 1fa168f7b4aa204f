//! GitHub's paths for usage reports, seats and the closed metrics endpoint, so that a tool made for api.github.com works when it
//! is pointed here; the same below `/api/v3`, where clients of GitHub Enterprise Server look.
//!
//! - Reports come as at GitHub: a document with links, then the file (see [`download`]).
//! - `latest` ends with yesterday (UTC), as GitHub's ends with the last whole day; a report of today is served as it stands.
//! - A day without a report, for nobody was active in the 28 days up to it, is 204; a day to come, or none, is 422.
//! - `X-GitHub-Api-Version` changes nothing, and nothing is said of rate limits.

mod download;
mod growing;
mod links;
mod problem;
mod query;
mod report;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::header::{CONTENT_TYPE, HOST, LINK};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use chrono::{NaiveDate, Utc};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access::{self, Access, Guard};
use super::address::plain_authority;
use crate::identity::Scope;
use crate::reports::{ReportSource, Reports};
use links::Links;
use problem::Problem;
use query::Query;
use report::{Family, Report, ReportFile};

/// Where GitHub's paths begin: at api.github.com, and at a GitHub Enterprise Server.
const BASES: [&str; 2] = ["", "/api/v3"];
/// Where the rest of a path may begin.
const FAMILIES: [&str; 2] = ["/orgs/{org}", "/enterprises/{enterprise}"];
/// Reports that are made at once: each reads the store as fast as it can.
const MAKING: usize = 4;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// Files that are on their way to clients at once.
const READING: usize = 32;
/// Entries of a page, where it is not told, as at GitHub.
const SEATS_A_PAGE: usize = 50;
const DAYS_A_PAGE: usize = 100;
/// GitHub has a report of pull requests, of which nothing is seen here.
const OF_REPOSITORIES: &str = "repos-1-day";

/// Who makes the answers.
pub struct Desk {
    source: Arc<ReportSource>,
    links: Links,
    making: Arc<Semaphore>,
    reading: Arc<Semaphore>,
}

impl Desk {
    /// For reports of this source.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(source: Arc<ReportSource>) -> io::Result<Self> {
        let [making, reading] = [MAKING, READING].map(|count| Arc::new(Semaphore::new(count)));
        Ok(Self { source, links: Links::new()?, making, reading })
    }

    /// Waits for the turn to ask the store.
    async fn may_make(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.making).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(Problem::Busy)
    }

    /// Asks off the async threads.
    async fn ask<T: Send + 'static>(
        self: Arc<Self>,
        question: impl FnOnce(&Reports) -> crate::reports::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.may_make().await?;
        let asking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            question(&self.source.reports()?)
        });
        asking.await.map_err(|error| Problem::Report(io::Error::other(error).into()))?.map_err(Problem::from)
    }
}

/// GitHub's paths, for tokens of scope `metrics`; and the files, for who has a link.
pub(super) fn routes(desk: Arc<Desk>, access: Access) -> Router {
    let guard = Guard { access, needed: Scope::Metrics, refuse: problem::refuse };
    let mut guarded = Router::new();
    for base in BASES {
        for family in FAMILIES {
            let at = |rest: &str| format!("{base}{family}{rest}");
            guarded = guarded
                .route(&at("/copilot/metrics"), get(metrics))
                .route(&at("/team/{team}/copilot/metrics"), get(metrics))
                .route(&at("/copilot/metrics/reports/{report}"), get(of_day))
                .route(&at("/copilot/metrics/reports/{report}/latest"), get(latest))
                .route(&at("/copilot/billing"), get(billing))
                .route(&at("/copilot/billing/seats"), get(seats));
        }
    }
    let guarded = guarded.route_layer(from_fn_with_state(guard, access::require));
    guarded.route(&format!("{}{{file}}", links::FOLDER), get(download::download)).with_state(desk)
}

/// The answer for a path that is none of ours; `None` where GitHub would have nothing to do with it.
pub(super) fn not_found(uri: &Uri) -> Option<Response> {
    let is_below = |folder: &str| uri.path().starts_with(folder);
    let is_githubs = ["/orgs/", "/enterprises/", "/api/v3/", links::FOLDER].into_iter().any(is_below);
    is_githubs.then(|| Problem::NotFound.into_response())
}

/// A request, as far as all of GitHub's paths have it in common.
struct Request {
    family: Family,
    report: Option<String>,
    team: Option<String>,
    query: Query,
    uri: Uri,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<Desk>> for Request {
    type Rejection = Problem;

    /// A path that is not of our organization is not there.
    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        let parameters = RawPathParams::from_request_parts(parts, desk).await.map_err(|_| Problem::NotFound)?;
        let value = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
        let asked = [(Family::Organization, "org"), (Family::Enterprise, "enterprise")];
        let asked = asked.into_iter().find_map(|(family, name)| Some((family, value(name)?)));
        let (family, name) = asked.ok_or(Problem::NotFound)?;
        if !name.eq_ignore_ascii_case(&desk.source.live().current().settings.organization) {
            return Err(Problem::NotFound);
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let (report, team) = (value("report"), value("team"));
        Ok(Self { family, report, team, query, uri: parts.uri.clone(), headers: parts.headers.clone() })
    }
}

impl Request {
    /// Where this listener is, as the client names it. What proxies before it say is not believed, as anybody may say it.
    fn origin(&self) -> Result<String, Problem> {
        let of_header = || self.headers.get(HOST)?.to_str().ok().and_then(plain_authority);
        let of_target = self.uri.authority().map(|authority| plain_authority(authority.as_str()));
        let authority = of_target.unwrap_or_else(of_header).ok_or(Problem::Host)?;
        Ok(format!("http://{authority}"))
    }

    fn report(&self) -> Result<Report, Problem> {
        let name = self.report.as_deref().unwrap_or_default();
        Report::find(self.family, name).ok_or(Problem::NotFound)
    }

    /// The page's entries with the links to the others.
    fn paged(&self, page: query::Page, total: usize, entries: &impl Serialize) -> Result<Response, Problem> {
        let url = format!("{}{}", self.origin()?, self.uri.path());
        let links = page.links(total, &url, &self.query).map(|links| AppendHeaders([(LINK, links)]));
        Ok((links, json(entries)).into_response())
    }
}

/// `/copilot/metrics/reports/{report}?day=`
async fn of_day(State(desk): State<Arc<Desk>>, request: Request) -> Result<Response, Problem> {
    let day = request.query.day(Utc::now().date_naive());
    if request.report.as_deref() == Some(OF_REPOSITORIES) {
        return day.map(|_| StatusCode::NO_CONTENT.into_response());
    }
    let report = request.report()?;
    if report.is_of_month() {
        return Err(Problem::NotFound);
    }
    let file = ReportFile { report, day: day? };
    link_document(desk, &request, file, serde_json::json!({ "report_day": file.day })).await
}

/// `/copilot/metrics/reports/{report}/latest`
async fn latest(State(desk): State<Arc<Desk>>, request: Request) -> Result<Response, Problem> {
    let report = request.report()?;
    if !report.is_of_month() {
        return Err(Problem::NotFound);
    }
    let file = ReportFile { report, day: yesterday() };
    let span = serde_json::json!({ "report_start_day": file.from(), "report_end_day": file.day });
    link_document(desk, &request, file, span).await
}

async fn link_document(
    desk: Arc<Desk>,
    request: &Request,
    file: ReportFile,
    span: serde_json::Value,
) -> Result<Response, Problem> {
    let origin = request.origin()?;
    if !Arc::clone(&desk).ask(move |reports| file.is_there(reports)).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let link = desk.links.sign(&desk.source.live().current(), file, Utc::now());
    let mut document = serde_json::json!({ "download_links": [format!("{origin}{link}")] });
    if let (Some(document), serde_json::Value::Object(span)) = (document.as_object_mut(), span) {
        document.extend(span);
    }
    Ok(json(&document))
}

/// `/copilot/metrics`, of all or of a team.
async fn metrics(State(desk): State<Arc<Desk>>, request: Request) -> Result<Response, Problem> {
    let (since, until) = request.query.span(Utc::now().date_naive())?;
    let team = request.team.as_deref().map(str::to_ascii_lowercase);
    let days = desk.ask(move |reports| {
        let team = team.as_deref();
        if team.is_some_and(|team| reports.roster.team(team).is_none()) {
            return Ok(None);
        }
        Ok(Some(if since > until { Vec::new() } else { reports.copilot_metrics(since, until, team)? }))
    });
    let days = days.await?.ok_or(Problem::NotFound)?;
    let (page, total) = (request.query.page(DAYS_A_PAGE), days.len());
    request.paged(page, total, &page.of(days))
}

/// `/copilot/billing/seats`
async fn seats(State(desk): State<Arc<Desk>>, request: Request) -> Result<Response, Problem> {
    let page = request.query.page(SEATS_A_PAGE);
    let seats = desk.ask(move |reports| reports.seats(page.number, page.size)).await?;
    request.paged(page, seats.total_seats, &seats)
}

/// `/copilot/billing`
async fn billing(State(desk): State<Arc<Desk>>, _: Request) -> Result<Response, Problem> {
    Ok(json(&desk.ask(|reports| reports.billing(Utc::now().date_naive())).await?))
}

/// The last whole day.
fn yesterday() -> NaiveDate {
    let today = Utc::now().date_naive();
    today.pred_opt().unwrap_or(today)
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => ([(CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests;
