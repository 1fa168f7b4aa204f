//! What can be exported, and which options go with it.

use std::io::{self, Write as _};

use chrono::{Days, NaiveDate};
use clap::ValueEnum;

use super::output::Output;
use crate::reports::{ReportError, Reports, Scope};

/// Days of GitHub's longest reports, and of all others where `--from` is not told.
const MONTH: u64 = 28;

/// A format, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Daily usage as a table: one line a day, user, editor, feature, language and model
    Csv,
    /// Each exchange that counts, one JSON object a line
    Events,
    /// The same as a table
    EventsCsv,
    /// The same as typed columns, to be read by DuckDB, pandas and the like
    Parquet,
    /// GitHub's report of users on a day (NDJSON), for each day
    #[value(name = "users-1-day")]
    UsersOneDay,
    /// GitHub's report of users on the 28 days that end with --to
    #[value(name = "users-28-day")]
    UsersMonth,
    /// GitHub's report of everybody on a day, for each day
    #[value(name = "organization-1-day")]
    OrganizationOneDay,
    /// GitHub's report of everybody on the 28 days that end with --to
    #[value(name = "organization-28-day")]
    OrganizationMonth,
    /// GitHub's report of who is in which team on a day, for each day
    #[value(name = "user-teams-1-day")]
    UserTeamsOneDay,
    /// The answer of GitHub's closed metrics endpoint (JSON)
    CopilotMetrics,
    /// Gauges of each day, to be taken in by Prometheus
    Openmetrics,
}

impl Format {
    /// The name on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(super) fn is_text(self) -> bool {
        self != Self::Parquet
    }

    pub(super) fn is_of_events(self) -> bool {
        matches!(self, Self::Events | Self::EventsCsv | Self::Parquet)
    }

    pub(super) fn can_be_of_one_user(self) -> bool {
        self.is_of_events() || self == Self::Csv
    }

    pub(super) fn is_githubs(self) -> bool {
        !self.can_be_of_one_user() && self != Self::Openmetrics
    }

    /// Whether it has as many days as it has, and `--from` is not to be told.
    pub(super) fn is_of_a_month(self) -> bool {
        matches!(self, Self::UsersMonth | Self::OrganizationMonth)
    }

    /// The last day where it is not told. Samples of a day are stamped with its end, which is to come today.
    pub(super) fn last_day(self, today: NaiveDate) -> NaiveDate {
        let yesterday = today.pred_opt().unwrap_or(today);
        if self == Self::Openmetrics { yesterday } else { today }
    }

    /// The first day where it is not told.
    pub(super) fn first_day(self, last: NaiveDate) -> NaiveDate {
        match self {
            Self::UsersOneDay | Self::OrganizationOneDay | Self::UserTeamsOneDay => last,
            _ => last.checked_sub_days(Days::new(MONTH - 1)).unwrap_or(last),
        }
    }

    /// Writes it; gives the number of records, where it has any.
    pub(super) fn write(self, reports: &Reports, scope: &Scope, out: &mut Output) -> Result<Option<u64>, ReportError> {
        let records = match self {
            Self::Openmetrics => return reports.openmetrics(scope.from, scope.to, out).map(|()| None),
            Self::Csv => reports.csv(scope, out),
            Self::Events => reports.events(scope, out),
            Self::EventsCsv => reports.events_csv(scope, out),
            Self::Parquet => reports.parquet(scope, out),
            Self::UsersOneDay => each_day(scope, |day| reports.users_1_day(day, out)),
            Self::UsersMonth => reports.users_28_day(scope.to, out),
            Self::OrganizationOneDay => each_day(scope, |day| reports.organization_1_day(day, out)),
            Self::OrganizationMonth => reports.organization_28_day(scope.to, out),
            Self::UserTeamsOneDay => each_day(scope, |day| reports.user_teams_1_day(day, out)),
            Self::CopilotMetrics => {
                let days = reports.copilot_metrics(scope.from, scope.to, None)?;
                serde_json::to_writer(&mut *out, &days).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
                Ok(days.len() as u64)
            }
        };
        records.map(Some)
    }
}

fn each_day(scope: &Scope, write: impl FnMut(NaiveDate) -> Result<u64, ReportError>) -> Result<u64, ReportError> {
    scope.from.iter_days().take_while(|day| *day <= scope.to).map(write).sum()
}
