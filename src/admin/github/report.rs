//! The reports that have paths at GitHub, and the names of their files.

use std::fmt;
use std::io::Write;

use chrono::{Days, NaiveDate};

use crate::reports::{Reports, Result};

/// Days of a report over a month.
const MONTH: u64 = 28;
/// What every file's name ends with.
const EXTENSION: &str = ".ndjson";

/// Whose reports: GitHub has the same paths for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `/orgs/{org}`
    Organization,
    /// `/enterprises/{enterprise}`
    Enterprise,
}

/// A report in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// `organization-1-day`, and `enterprise-1-day`, which differs in its name.
    Organization(Family),
    /// `organization-28-day` and `enterprise-28-day` likewise.
    OrganizationMonth(Family),
    /// `users-1-day`
    Users,
    /// `users-28-day`
    UsersMonth,
    /// `user-teams-1-day`
    Teams,
}

impl Report {
    const ALL: [Self; 7] = [
        Self::Organization(Family::Organization),
        Self::Organization(Family::Enterprise),
        Self::OrganizationMonth(Family::Organization),
        Self::OrganizationMonth(Family::Enterprise),
        Self::Users,
        Self::UsersMonth,
        Self::Teams,
    ];

    /// The last part of GitHub's path, before `/latest`.
    fn name(self) -> &'static str {
        match self {
            Self::Organization(Family::Organization) => "organization-1-day",
            Self::Organization(Family::Enterprise) => "enterprise-1-day",
            Self::OrganizationMonth(Family::Organization) => "organization-28-day",
            Self::OrganizationMonth(Family::Enterprise) => "enterprise-28-day",
            Self::Users => "users-1-day",
            Self::UsersMonth => "users-28-day",
            Self::Teams => "user-teams-1-day",
        }
    }

    /// The report of this name among the paths of an organization or of an enterprise.
    pub(super) fn find(family: Family, name: &str) -> Option<Self> {
        let fits = |report: &Self| match report {
            Self::Organization(of) | Self::OrganizationMonth(of) => *of == family,
            _ => true,
        };
        Self::ALL.into_iter().find(|report| report.name() == name && fits(report))
    }

    /// Whether it is of many days.
    pub(super) fn is_of_month(self) -> bool {
        matches!(self, Self::OrganizationMonth(_) | Self::UsersMonth)
    }
}

/// A report of a day, or of the days that end with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReportFile {
    pub(super) report: Report,
    pub(super) day: NaiveDate,
}

impl ReportFile {
    /// The file of this name; `None` for any other text.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (report, day) = name.strip_suffix(EXTENSION)?.split_once('_')?;
        let report = Report::ALL.into_iter().find(|known| known.name() == report)?;
        let file = Self { report, day: day.parse().ok()? };
        // A day may be written in more than one way.
        (file.to_string() == name).then_some(file)
    }

    /// Its first day.
    pub(super) fn from(self) -> NaiveDate {
        let before = if self.report.is_of_month() { MONTH - 1 } else { 0 };
        self.day.checked_sub_days(Days::new(before)).unwrap_or(self.day)
    }

    /// Whether there is anything to report: teams are known for any day, and all else tells of the 28 days before, too.
    pub(super) fn is_there(self, reports: &Reports) -> Result<bool> {
        const MONTH_MASK: u64 = (1 << MONTH) - 1;
        let is_of_teams = self.report == Report::Teams;
        Ok(is_of_teams || reports.store.activity(self.day)?.iter().any(|user| user.active & MONTH_MASK != 0))
    }

    /// Writes it: one JSON object a line.
    pub(super) fn write(self, reports: &Reports, out: &mut dyn Write) -> Result<u64> {
        match self.report {
            Report::Organization(_) => reports.organization_1_day(self.day, out),
            Report::OrganizationMonth(_) => reports.organization_28_day(self.day, out),
            Report::Users => reports.users_1_day(self.day, out),
            Report::UsersMonth => reports.users_28_day(self.day, out),
            Report::Teams => reports.user_teams_1_day(self.day, out),
        }
    }
}

impl fmt::Display for ReportFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}{EXTENSION}", self.report.name(), self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_reports() {
        let found = |family, name| Report::find(family, name).is_some();
        for name in ["users-1-day", "users-28-day", "user-teams-1-day"] {
            assert!(found(Family::Organization, name) && found(Family::Enterprise, name), "{name}");
        }
        for name in ["organization-1-day", "organization-28-day"] {
            assert!(found(Family::Organization, name) && !found(Family::Enterprise, name), "{name}");
        }
        for name in ["enterprise-1-day", "enterprise-28-day"] {
            assert!(!found(Family::Organization, name) && found(Family::Enterprise, name), "{name}");
        }
        assert!(!found(Family::Organization, "repos-1-day") && !found(Family::Organization, ""));
    }

    #[test]
    fn a_month_has_28_days_and_ends_with_its_day() {
        let file = ReportFile::parse("users-28-day_2026-03-01.ndjson").unwrap();
        assert_eq!(file.from().to_string(), "2026-02-02");
        assert_eq!((file.day - file.from()).num_days(), 27);
        let file = ReportFile::parse("users-1-day_2026-03-01.ndjson").unwrap();
        assert_eq!(file.from(), file.day);
    }

    #[test]
    fn only_names_of_files_are_files() {
        for report in Report::ALL {
            let file = ReportFile { report, day: "2026-03-01".parse().unwrap() };
            assert_eq!(ReportFile::parse(&file.to_string()), Some(file));
        }
        for wrong in [
            "",
            "users-1-day",
            "users-1-day_2026-03-01",
            "users-1-day_2026-3-1.ndjson",
            "users-1-day_2026-02-30.ndjson",
            "../users-1-day_2026-03-01.ndjson",
            "repos-1-day_2026-03-01.ndjson",
        ] {
            assert_eq!(ReportFile::parse(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_makes_reading_fail(name in ".*", days in proptest::num::i32::ANY) {
            let _ = ReportFile::parse(&name);
            if let Some(day) = NaiveDate::from_num_days_from_ce_opt(days) {
                let file = ReportFile { report: Report::UsersMonth, day };
                let _ = file.from();
                let _ = ReportFile::parse(&file.to_string());
            }
        }
    }
}
