//! `/orgs/{org}/copilot/billing/seats` and `/orgs/{org}/copilot/billing` (REST API, "Copilot user management"), as far as the
//! allowlist and the traffic tell.
//!
//! Addresses and node ids are made of logins and numbers as GitHub makes them. What GitHub's schema wants and nobody knows here
//! is the zero of its type, or left out with [`Gaps::Omit`]: `created_at` (since when a user is on the allowlist), and the
//! number and node id of an account that was never told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::{Gaps, Identity};
use crate::usage::Client;

/// Where GitHub's addresses begin.
const API: &str = "https://api.github.com";
const SITE: &str = "https://github.com";

/// The answer about seats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seats {
    /// All seats, on whatever page they are.
    pub total_seats: usize,
    /// Those of the page.
    pub seats: Vec<Seat>,
}

/// A user who may pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seat {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(serialize_with = "seconds")]
    last_activity_at: Option<DateTime<Utc>>,
    last_activity_editor: Option<String>,
    pending_cancellation_date: Option<String>,
    plan_type: &'static str,
    assignee: Assignee,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigning_team: Option<Team>,
}

/// GitHub's `simple-user`. Clients with types want a number; 0 is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Assignee {
    login: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<String>,
    avatar_url: String,
    gravatar_id: &'static str,
    url: String,
    html_url: String,
    followers_url: String,
    following_url: String,
    gists_url: String,
    starred_url: String,
    subscriptions_url: String,
    organizations_url: String,
    repos_url: String,
    events_url: String,
    received_events_url: String,
    #[serde(rename = "type")]
    kind: &'static str,
    site_admin: bool,
}

impl Assignee {
    fn of(identity: Identity<'_>, gaps: Gaps) -> Self {
        let login = identity.login;
        let of_user = |rest: &str| format!("{API}/users/{login}{rest}");
        Self {
            login: login.to_owned(),
            id: gaps.fill(identity.id),
            node_id: gaps.fill(identity.id.map(|id| node_id("User", id))),
            avatar_url: format!("{SITE}/{login}.png"),
            gravatar_id: "",
            url: of_user(""),
            html_url: format!("{SITE}/{login}"),
            followers_url: of_user("/followers"),
            following_url: of_user("/following{/other_user}"),
            gists_url: of_user("/gists{/gist_id}"),
            starred_url: of_user("/starred{/owner}{/repo}"),
            subscriptions_url: of_user("/subscriptions"),
            organizations_url: of_user("/orgs"),
            repos_url: of_user("/repos"),
            events_url: of_user("/events{/privacy}"),
            received_events_url: of_user("/received_events"),
            kind: "User",
            site_admin: false,
        }
    }
}

/// GitHub's `team`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Team {
    id: u64,
    node_id: String,
    url: String,
    html_url: String,
    name: String,
    slug: String,
    description: Option<String>,
    permission: &'static str,
    members_url: String,
    repositories_url: String,
    #[serde(rename = "type")]
    kind: &'static str,
    parent: Option<()>,
}

/// Who has a seat, and through what.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// The user.
    pub identity: Identity<'a>,
    /// The plan as GitHub named it last.
    pub plan: Option<&'a str>,
    /// Number, name and slug of the team that the allowlist names first.
    pub team: Option<(u64, &'a str, &'a str)>,
    /// What the user was last seen with.
    pub client: Option<&'a Client>,
}

/// A user's seat in an organisation.
#[must_use]
pub fn seat(organization: &str, holder: Holder<'_>, gaps: Gaps) -> Seat {
    let epoch = DateTime::UNIX_EPOCH.to_rfc3339_opts(SecondsFormat::Secs, true);
    Seat {
        created_at: (gaps == Gaps::Zero).then_some(epoch),
        last_activity_at: holder.client.map(|client| client.seen_at),
        last_activity_editor: holder.client.and_then(last_activity_editor),
        pending_cancellation_date: None,
        plan_type: plan_type(holder.plan).unwrap_or("unknown"),
        assignee: Assignee::of(holder.identity, gaps),
        assigning_team: holder.team.map(|team| team_of(organization, team)),
    }
}

fn team_of(organization: &str, (id, name, slug): (u64, &str, &str)) -> Team {
    Team {
        id,
        node_id: node_id("Team", id),
        url: format!("{API}/teams/{id}"),
        html_url: format!("{SITE}/orgs/{organization}/teams/{slug}"),
        name: name.to_owned(),
        slug: slug.to_owned(),
        description: None,
        permission: "pull",
        members_url: format!("{API}/teams/{id}/members{{/member}}"),
        repositories_url: format!("{API}/teams/{id}/repos"),
        kind: "organization",
        parent: None,
    }
}

/// GitHub's first form of node ids, which it takes still.
fn node_id(kind: &str, id: u64) -> String {
    STANDARD.encode(format!("0{}:{kind}{id}", kind.len()))
}

/// GitHub's names of the two plans with seats; clients are told longer ones, such as `copilot_for_business_seat_quota`.
fn plan_type(plan: Option<&str>) -> Option<&'static str> {
    ["enterprise", "business"].into_iter().find(|name| plan.is_some_and(|plan| plan.contains(name)))
}

/// Editor, version and plugin as GitHub writes them: `vscode/1.96.2/copilot-chat/0.31.1`.
pub(super) fn last_activity_editor(client: &Client) -> Option<String> {
    let label = client.editor.as_deref()?;
    let version = client.version.as_deref().filter(|version| !version.is_empty());
    let name = version.and_then(|version| label.strip_suffix(version)?.strip_suffix('-'));
    let editor = name.map_or([Some(label), None], |name| [Some(name), version]);
    let parts: Vec<&str> = editor.into_iter().chain([client.plugin.as_deref()]).flatten().collect();
    Some(parts.join("/"))
}

/// The answer about the subscription. What GitHub's settings say nobody tells here; the schema wants two of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Billing {
    seat_breakdown: SeatBreakdown,
    public_code_suggestions: &'static str,
    seat_management_setting: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_type: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SeatBreakdown {
    total: usize,
    active_this_cycle: usize,
    inactive_this_cycle: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_this_cycle: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_invitation: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_cancellation: Option<usize>,
}

/// The subscription of so many seats, of which so many were active in the calendar month. The plan is the one of the last
/// seat by name that tells its plan.
#[must_use]
pub fn billing(total: usize, active: usize, plan: Option<&str>, gaps: Gaps) -> Billing {
    Billing {
        seat_breakdown: SeatBreakdown {
            total,
            active_this_cycle: active,
            inactive_this_cycle: total.saturating_sub(active),
            added_this_cycle: gaps.fill(None),
            pending_invitation: gaps.fill(None),
            pending_cancellation: gaps.fill(None),
        },
        public_code_suggestions: "unconfigured",
        seat_management_setting: "assign_selected",
        plan_type: plan_type(plan),
    }
}

#[expect(clippy::ref_option, reason = "what serde calls it with")]
fn seconds<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).serialize(serializer)
}
