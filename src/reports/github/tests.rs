//! GitHub's reports of a store with invented users.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::*;
use crate::copilot::observation::{Account as GithubAccount, Notice};
use crate::identity::Account;
use crate::reports::{ReportError, Roster};
use crate::store::{Noticed, SqliteStore, UsageStore};
use crate::usage::UsageEvent;
use crate::usage::sample::{chat, completion, id, noon, step};

/// The last day of the sample.
fn today() -> NaiveDate {
    noon().date_naive()
}

fn ago(days: i64, mut event: UsageEvent) -> UsageEvent {
    event.ended_at -= TimeDelta::days(days);
    event
}

fn cli(n: u32, user: &str) -> UsageEvent {
    UsageEvent {
        feature: "copilot_cli".to_owned(),
        ide: None,
        editor: Some("copilot-1.0.102".to_owned()),
        ..chat(n, user)
    }
}

/// Ada codes today and 40 days ago, Grace asks every third day, Linus had the CLI on two days of last month.
fn events() -> Vec<UsageEvent> {
    let mut events = vec![completion(1, "ada"), completion(2, "ada"), ago(40, completion(3, "ada"))];
    events.extend((0..20).map(|n| ago(i64::from(n) * 3, chat(100 + n, "grace"))));
    events.extend([step(200, "grace"), ago(20, cli(300, "linus")), ago(26, cli(301, "linus"))]);
    events
}

fn noticed(n: u32, user: &str, notice: Notice) -> Noticed {
    Noticed { id: id(9000 + u128::from(n)), user: user.to_owned(), at: noon(), notice }
}

fn person(name: &str, teams: &[&str]) -> Account {
    let teams = teams.iter().map(|team| (*team).to_owned()).collect();
    Account { teams, ..Account::new(name.parse().unwrap()) }
}

struct Site {
    reports: Reports,
    _folder: tempfile::TempDir,
}

fn site(unknown: Unknown) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("usage.sqlite3")).unwrap();
    store.insert(&events()).unwrap();
    let told = GithubAccount {
        key: Some("ada-account".to_owned()),
        login: Some("ada-l".to_owned()),
        github_id: Some(815),
        plan: Some("copilot_for_business_seat_quota".to_owned()),
        ..GithubAccount::default()
    };
    let nothing = Notice::Telemetry(Vec::new());
    store.take_notice(&[noticed(1, "ada", Notice::Account(told)), noticed(2, "silent", nothing)]).unwrap();
    let accounts = [
        person("ada", &["Core Tools", "web"]),
        person("grace", &["web", "Web"]),
        Account { disabled: true, ..person("linus", &["kernel"]) },
        person("nobody", &[]),
    ];
    let roster = Arc::new(Roster::of(&accounts, &store).unwrap());
    let reports = Reports { store: Arc::new(store), roster, organization: "example".to_owned(), unknown };
    Site { reports, _folder: folder }
}

/// The records that `report` writes, as many as it says.
fn records(report: impl FnOnce(&mut dyn Write) -> Result<u64>) -> Vec<Value> {
    let mut text = Vec::new();
    let count = report(&mut text).unwrap();
    assert!(text.is_empty() || text.ends_with(b"\n"));
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let records: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(count, records.len() as u64);
    records
}

fn names(records: &[Value], name: &str) -> Vec<String> {
    records.iter().map(|record| record[name].as_str().unwrap().to_owned()).collect()
}

fn sum(records: &[Value], counter: &str) -> u64 {
    records.iter().map(|record| record[counter].as_u64().unwrap()).sum()
}

#[test]
fn users_of_a_day_have_their_logins_and_phases() {
    let site = site(Unknown::Zero);
    let users = records(|out| site.reports.users_1_day(today(), out));
    assert_eq!(names(&users, "user_login"), ["ada-l", "grace"], "those with activity, by name");
    assert_eq!((users[0]["user_id"].as_u64(), users[1].get("user_id")), (Some(815), None));
    assert_eq!(
        (&users[0]["code_generation_activity_count"], &users[1]["user_initiated_interaction_count"]),
        (&json!(2), &json!(1))
    );
    assert_eq!((&users[0]["ai_adoption_phase"]["phase"], &users[0]["used_chat"]), (&json!("No Cohort"), &json!(false)));
    assert_eq!(users[0].get("report_end_day"), None);
    let earlier = records(|out| site.reports.users_1_day(today() - Days::new(20), out));
    assert_eq!(names(&earlier, "user_login"), ["linus"]);
    let phase = &earlier[0]["ai_adoption_phase"];
    assert_eq!((&phase["phase_number"], &earlier[0]["used_cli"]), (&json!(2), &json!(true)));
    assert_eq!(records(|out| site.reports.users_1_day(today() + Days::new(1), out)), Vec::<Value>::new());
}

#[test]
fn users_of_28_days_have_a_record_for_each_active_day() {
    let site = site(Unknown::Zero);
    let users = records(|out| site.reports.users_28_day(today(), out));
    let of = |login: &str| users.iter().filter(|user| user["user_login"] == login).count();
    assert_eq!([of("ada-l"), of("grace"), of("linus"), users.len()], [1, 10, 2, 13]);
    let mut days = names(&users, "day");
    assert!(days.is_sorted());
    days.dedup();
    assert_eq!(
        (days.first().map(String::as_str), days.last().map(String::as_str)),
        (Some("2025-02-15"), Some("2025-03-14"))
    );
    for user in &users {
        assert_eq!([&user["report_start_day"], &user["report_end_day"]], ["2025-02-15", "2025-03-14"]);
    }
    // As on its day: the first of two days with the CLI is no phase, the second is one.
    let cli: Vec<_> = users.iter().filter(|user| user["user_login"] == "linus").collect();
    assert_eq!(cli.iter().map(|user| &user["ai_adoption_phase"]["phase_number"]).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn an_organization_is_the_sum_of_its_users() {
    let site = site(Unknown::Zero);
    let users = records(|out| site.reports.users_1_day(today(), out));
    let organization = records(|out| site.reports.organization_1_day(today(), out)).remove(0);
    for counter in ["user_initiated_interaction_count", "code_generation_activity_count", "loc_suggested_to_add_sum"] {
        assert_eq!(organization[counter].as_u64().unwrap(), sum(&users, counter), "{counter}");
    }
    let active = ["daily_active_users", "weekly_active_users", "monthly_active_users", "monthly_active_chat_users"];
    assert_eq!(active.map(|name| organization[name].as_u64().unwrap()), [2, 2, 3, 1]);
    let engaged: u64 = sum(organization["totals_by_ai_adoption_phase"].as_array().unwrap(), "total_engaged_users");
    assert_eq!(engaged, 2);
}

#[test]
fn the_days_of_28_are_those_of_1() {
    let site = site(Unknown::Zero);
    let report = records(|out| site.reports.organization_28_day(today(), out)).remove(0);
    assert_eq!([&report["report_start_day"], &report["report_end_day"]], ["2025-02-15", "2025-03-14"]);
    assert!(report["created_at"].as_str().unwrap().ends_with('Z'));
    let days = report["day_totals"].as_array().unwrap();
    assert_eq!(days.len(), 28, "nobody was active on most, but before");
    for day in days {
        let date = day["day"].as_str().unwrap().parse().unwrap();
        let mut alone = records(|out| site.reports.organization_1_day(date, out)).remove(0);
        alone.as_object_mut().unwrap().remove("totals_by_ai_adoption_phase");
        assert_eq!(*day, alone);
    }
}

#[test]
fn long_before_anybody_there_is_nothing() {
    let site = site(Unknown::Zero);
    for day in [today() - Days::new(400), NaiveDate::MIN, NaiveDate::MAX] {
        assert!(records(|out| site.reports.organization_1_day(day, out)).is_empty());
        assert!(records(|out| site.reports.users_28_day(day, out)).is_empty());
        let report = records(|out| site.reports.organization_28_day(day, out)).remove(0);
        assert_eq!(report["day_totals"], json!([]));
    }
}

#[test]
fn teams_of_any_size_are_joined_by_slug() {
    let site = site(Unknown::Zero);
    let members = records(|out| site.reports.user_teams_1_day(today(), out));
    let rows: Vec<_> = members.iter().map(|member| (member["user_login"].as_str(), member["slug"].as_str())).collect();
    let expected = [("ada-l", "core-tools"), ("ada-l", "web"), ("grace", "web"), ("linus", "kernel")];
    assert_eq!(rows, expected.map(|(login, slug)| (Some(login), Some(slug))));
    let ids: BTreeSet<_> = members.iter().map(|member| member["team_id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids, ["core-tools", "web", "kernel"].map(team_id).into());
}

#[test]
fn the_closed_endpoint_tells_of_all_and_of_a_team() {
    let site = site(Unknown::Zero);
    let metrics = |from: u64, team| {
        let days = site.reports.copilot_metrics(today() - Days::new(from), today(), team).unwrap();
        serde_json::to_value(days).unwrap()
    };
    let all = metrics(0, None);
    assert_eq!((&all[0]["date"], &all[0]["total_active_users"]), (&json!("2025-03-14"), &json!(2)));
    assert_eq!(metrics(0, Some("core-tools"))[0]["total_active_users"], 1);
    assert_eq!(metrics(0, Some("core-tools"))[0]["copilot_ide_chat"]["editors"], json!([]));
    assert_eq!(metrics(0, Some("web")), all);
    assert_eq!(metrics(27, Some("kernel")).as_array().unwrap().len(), 2);
    assert_eq!((metrics(0, Some("kernel")), metrics(0, Some("no-team"))), (json!([]), json!([])));
    assert_eq!(metrics(5, None).as_array().unwrap().len(), 2, "days without any activity are left out");
}

#[test]
fn seats_come_in_pages() {
    let site = site(Unknown::Zero);
    let page = |page, size| serde_json::to_value(site.reports.seats(page, size).unwrap()).unwrap();
    let logins = |page: &Value| {
        let seats = page["seats"].as_array().unwrap().iter();
        seats.map(|seat| seat["assignee"]["login"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = page(1, 50);
    assert_eq!(
        (&all["total_seats"], logins(&all)),
        (&json!(3), ["ada-l", "grace", "nobody"].map(str::to_owned).into())
    );
    assert_eq!((logins(&page(2, 2)), logins(&page(0, 1))), (vec!["nobody".to_owned()], vec!["ada-l".to_owned()]));
    for (number, size) in [(3, 2), (1, 0), (usize::MAX, usize::MAX)] {
        assert_eq!((logins(&page(number, size)).len(), &page(number, size)["total_seats"]), (0, &json!(3)));
    }
    let ada = &all["seats"][0];
    assert_eq!(ada["last_activity_at"], "2025-03-14T12:00:02Z");
    assert_eq!(ada["last_activity_editor"], "vscode/1.99.0/copilot/1.297.0");
    assert_eq!((&ada["assigning_team"]["slug"], &ada["plan_type"]), (&json!("core-tools"), &json!("business")));
    assert_eq!(all["seats"][2]["last_activity_at"], Value::Null);
}

#[test]
fn a_cycle_is_a_calendar_month() {
    let site = site(Unknown::Zero);
    let active = |day: NaiveDate| {
        let billing = serde_json::to_value(site.reports.billing(day).unwrap()).unwrap();
        let seats = &billing["seat_breakdown"];
        [&seats["total"], &seats["active_this_cycle"], &seats["inactive_this_cycle"]]
            .map(|count| count.as_u64().unwrap())
    };
    assert_eq!(active(today()), [3, 2, 1]);
    // Linus, who was there in February, has no seat any more; in January Grace was alone.
    assert_eq!(active(NaiveDate::from_ymd_opt(2025, 2, 28).unwrap()), [3, 2, 1]);
    assert_eq!(active(NaiveDate::from_ymd_opt(2025, 1, 31).unwrap()), [3, 1, 2]);
    assert_eq!(active(NaiveDate::from_ymd_opt(2025, 4, 30).unwrap()), [3, 0, 3]);
}

#[test]
fn unknown_numbers_are_left_out_where_that_is_wanted() {
    let site = site(Unknown::Omit);
    let users = records(|out| site.reports.users_1_day(today(), out));
    assert!(users.iter().all(|user| user.get("code_acceptance_activity_count").is_none()));
    assert_eq!(serde_json::to_value(site.reports.seats(1, 1).unwrap()).unwrap()["seats"][0].get("created_at"), None);
}

/// A reader that fails once, and counts how often it was handed something.
struct Stumbling {
    handed: usize,
    fails_at: usize,
}

impl Write for Stumbling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.handed += 1;
        if self.handed == self.fails_at { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_report() {
    let site = site(Unknown::Zero);
    let mut reader = Stumbling { handed: 0, fails_at: 3 };
    let error = site.reports.users_28_day(today(), &mut reader).unwrap_err();
    assert!(matches!(error, ReportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe));
    assert_eq!(reader.handed, 3);
}

#[test]
fn slugs_are_as_githubs() {
    for (name, slug) in [
        ("Core Tools", "core-tools"),
        ("justice_league", "justice_league"),
        (" R&D -- 2.0! ", "r-d-2-0"),
        ("Größe", "größe"),
        ("...", ""),
    ] {
        assert_eq!(crate::reports::team_slug(name), slug);
    }
}
