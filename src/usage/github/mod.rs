//! Usage in GitHub's own formats: the records of its usage metrics reports, the answer of the closed `/copilot/metrics` endpoint,
//! and seats. Field names and meanings are GitHub's ("Data available in Copilot usage metrics" and "Copilot" of its REST API).
//!
//! The numbers keep GitHub's identities: each counter of a record is the sum over its `totals_by_feature`, and the sum over its
//! `totals_by_ide` and the features `copilot_cli` and `copilot_app`; all but interactions are the sum over
//! `totals_by_language_feature`, too.

mod activity;
mod adoption;
mod breakdown;
mod client;
mod closed;
mod organization;
mod seat;
mod team;
#[cfg(test)]
mod tests;
mod user;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

pub use adoption::{AdoptionPhase, PhaseTotals, phase, phases};
pub use closed::{ClosedMetrics, closed_metrics};
pub use organization::{Audience, Organization, OrganizationReport, organization};
pub use seat::{Billing, Holder, Seat, Seats, billing, seat};
pub use team::TeamMember;
pub use user::{User, Window, user};

/// What stands for a number that is not known. GitHub's readers expect one, and 0 is what they get unless told otherwise
/// (`reports.unknown`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// GitHub's zero value: 0, `false`, an object of zeros.
    Zero,
    /// Nothing: the field is left out.
    Omit,
}

impl Gaps {
    /// What is known, else what stands for it.
    #[must_use]
    pub fn fill<T: Default>(self, known: Option<T>) -> Option<T> {
        match self {
            Self::Zero => Some(known.unwrap_or_default()),
            Self::Omit => known,
        }
    }

    /// A count, all of which or only a part is known.
    fn count(self, count: u64, is_known: bool) -> Option<u64> {
        (is_known || self == Self::Zero).then_some(count)
    }

    /// A sum of which 0 says that nobody told anything.
    fn told(self, sum: u64) -> Option<u64> {
        self.count(sum, sum > 0)
    }
}

/// GitHub's login and number of a user. The number is left out where it is not known: a 0 would join all such users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// `user_login`.
    pub login: &'a str,
    /// `user_id`.
    pub id: Option<u64>,
}

/// A time as GitHub's reports write it: `2025-10-01T00:01:43.000Z`.
fn milliseconds<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
