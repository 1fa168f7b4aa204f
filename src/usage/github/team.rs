//! The record of user-teams-1-day: team metrics are its join with users-1-day by user and day.

use chrono::NaiveDate;
use serde::Serialize;

use super::Identity;

/// One user in one team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TeamMember<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<u64>,
    user_login: &'a str,
    day: NaiveDate,
    team_id: u64,
    slug: &'a str,
}

impl<'a> TeamMember<'a> {
    /// The user's membership as of that day.
    #[must_use]
    pub fn new(identity: Identity<'a>, day: NaiveDate, (team_id, slug): (u64, &'a str)) -> Self {
        Self { user_id: identity.id, user_login: identity.login, day, team_id, slug }
    }
}
