//! The report as people and scripts see it.

use chrono::TimeDelta;

use super::*;
use crate::copilot::observation::{Account, Fate, Notice, Observation, Quota, SuggestionKind, SuggestionReport};
use crate::copilot::vocabulary::{Edits, Tokens};
use crate::store::{FILE_NAME, Noticed, SqliteStore};
use crate::usage::UsageEvent;
use crate::usage::sample::{chat, completion, noise, noon, step};

fn today() -> NaiveDate {
    noon().date_naive()
}

fn earlier(days: i64, event: UsageEvent) -> UsageEvent {
    UsageEvent { ended_at: event.ended_at - TimeDelta::days(days), ..event }
}

fn team() -> Vec<UsageEvent> {
    let tokens = Tokens { input: Some(1_234_567), output: Some(890), cached: None, ..Tokens::default() };
    let rust = UsageEvent { language: Some("rust".to_owned()), ..completion(3, "grace") };
    let jetbrains = UsageEvent { editor: Some("JetBrains-IU-251.1".to_owned()), ..chat(5, "grace") };
    vec![
        completion(1, "ada"),
        earlier(2, completion(2, "grace")),
        rust.clone(),
        UsageEvent { id: completion(4, "").id, ..rust },
        UsageEvent { tokens, ..jetbrains },
        step(6, "grace"),
        noise(7, "ada", "no_text"),
        noise(8, "ada", "no_text"),
        earlier(2, noise(9, "grace", "canceled")),
        earlier(7, completion(10, "linus")),
    ]
}

fn printed(events: &[UsageEvent], args: &ReportArgs) -> String {
    printed_on(None, events, args)
}

fn printed_on(width: Option<u16>, events: &[UsageEvent], args: &ReportArgs) -> String {
    printed_with(&[], width, events, args)
}

fn printed_with(notices: &[Noticed], width: Option<u16>, events: &[UsageEvent], args: &ReportArgs) -> String {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join(FILE_NAME)).unwrap();
    store.insert(events).unwrap();
    store.take_notice(notices).unwrap();
    let mut out = Vec::new();
    report(&store, args, today(), width, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn only(user: &str) -> ReportArgs {
    ReportArgs { user: Some(user.to_owned()), ..ReportArgs::default() }
}

#[test]
fn a_week_of_a_team() {
    insta::assert_snapshot!(printed(&team(), &ReportArgs::default()), @"
    ┌───────┬─────────────┬───────┬───────┬───────────┬────────┬────────────────┬───────────────┬──────────┬───────────┐
    │ User  ┆ Completions ┆  Chat ┆ Steps ┆    Tokens ┆ Tokens ┆ Top            ┆ Top           ┆ Top      ┆     Lines │
    │       ┆             ┆ turns ┆       ┆        in ┆    out ┆ model          ┆ editor        ┆ language ┆ suggested │
    ├───────┼─────────────┼───────┼───────┼───────────┼────────┼────────────────┼───────────────┼──────────┼───────────┤
    │ grace ┆           3 ┆     1 ┆     1 ┆ 1,235,467 ┆  1,010 ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ rust     ┆         8 │
    │ ada   ┆           1 ┆     0 ┆     0 ┆         - ┆      - ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆         2 │
    ├───────┼─────────────┼───────┼───────┼───────────┼────────┼────────────────┼───────────────┼──────────┼───────────┤
    │ total ┆           4 ┆     1 ┆     1 ┆ 1,235,467 ┆  1,010 ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆        10 │
    └───────┴─────────────┴───────┴───────┴───────────┴────────┴────────────────┴───────────────┴──────────┴───────────┘
    Days (UTC): 2025-03-08 to 2025-03-14, 2 with usage
    Shown and accepted are not known: no client sent telemetry.
    Left out as noise: no_text 2, canceled 1
    ");
}

#[test]
fn a_narrow_terminal_goes_without_some_columns() {
    insta::assert_snapshot!(printed_on(Some(80), &team(), &only("ada")), @"
    ┌───────┬─────────────┬───────┬───────┬────────┬────────┬──────────┐
    │ User  ┆ Completions ┆  Chat ┆ Steps ┆ Tokens ┆ Tokens ┆ Top      │
    │       ┆             ┆ turns ┆       ┆     in ┆    out ┆ language │
    ├───────┼─────────────┼───────┼───────┼────────┼────────┼──────────┤
    │ ada   ┆           1 ┆     0 ┆     0 ┆      - ┆      - ┆ python   │
    ├───────┼─────────────┼───────┼───────┼────────┼────────┼──────────┤
    │ total ┆           1 ┆     0 ┆     0 ┆      - ┆      - ┆ python   │
    └───────┴─────────────┴───────┴───────┴────────┴────────┴──────────┘
    For want of room without: lines suggested, top model, top editor (a wider terminal or --json shows them)
    Days (UTC): 2025-03-08 to 2025-03-14, 1 with usage
    Shown and accepted are not known: no client sent telemetry.
    Left out as noise: no_text 2
    ");
    let narrowest = printed_on(Some(20), &team(), &ReportArgs::default());
    assert!(narrowest.contains("│ total ┆           4 ┆     1 ┆     1 │"), "{narrowest}");
}

#[test]
fn json_has_the_same_numbers() {
    insta::assert_snapshot!(printed(&team(), &ReportArgs { json: true, ..ReportArgs::default() }));
}

#[test]
fn one_user() {
    insta::assert_snapshot!(printed(&team(), &only("ada")), @"
    ┌───────┬─────────────┬───────┬───────┬────────┬────────┬────────────────┬───────────────┬──────────┬───────────┐
    │ User  ┆ Completions ┆  Chat ┆ Steps ┆ Tokens ┆ Tokens ┆ Top            ┆ Top           ┆ Top      ┆     Lines │
    │       ┆             ┆ turns ┆       ┆     in ┆    out ┆ model          ┆ editor        ┆ language ┆ suggested │
    ├───────┼─────────────┼───────┼───────┼────────┼────────┼────────────────┼───────────────┼──────────┼───────────┤
    │ ada   ┆           1 ┆     0 ┆     0 ┆      - ┆      - ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆         2 │
    ├───────┼─────────────┼───────┼───────┼────────┼────────┼────────────────┼───────────────┼──────────┼───────────┤
    │ total ┆           1 ┆     0 ┆     0 ┆      - ┆      - ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆         2 │
    └───────┴─────────────┴───────┴───────┴────────┴────────┴────────────────┴───────────────┴──────────┴───────────┘
    Days (UTC): 2025-03-08 to 2025-03-14, 1 with usage
    Shown and accepted are not known: no client sent telemetry.
    Left out as noise: no_text 2
    ");
}

#[test]
fn the_range_is_the_callers() {
    let day = today() - TimeDelta::days(7);
    let args = ReportArgs { from: Some(day), to: Some(day), json: true, ..ReportArgs::default() };
    let report: serde_json::Value = serde_json::from_str(&printed(&team(), &args)).unwrap();
    assert_eq!(report["days"], serde_json::json!(["2025-03-07"]));
    assert_eq!(report["users"][0]["user"], "linus");
    assert_eq!(report["users"].as_array().unwrap().len(), 1);
    assert_eq!(report["noise"], serde_json::json!({}));
}

#[test]
fn an_empty_report_says_where_to_look() {
    insta::assert_snapshot!(printed(&[], &ReportArgs::default()), @"
    No usage from 2025-03-08 to 2025-03-14 (UTC).
    Nothing is recorded yet. `copilens env NAME` prints the settings for a user's IDE,
    `copilens check` looks for faults, and `copilens demo` shows what to expect.
    ");
    insta::assert_snapshot!(printed(&[earlier(30, chat(1, "ada"))], &ReportArgs::default()), @"
    No usage from 2025-03-08 to 2025-03-14 (UTC).
    There are events from 2025-02-12 to 2025-02-12: see --from and --to.
    ");
    insta::assert_snapshot!(printed(&team(), &only("mary")), @"
    No usage of mary from 2025-03-08 to 2025-03-14 (UTC).
    There are events from 2025-03-07 to 2025-03-14: see --from and --to.
    `copilens users list` shows the users' names.
    ");
    insta::assert_snapshot!(printed(&[noise(1, "ada", "no_text")], &ReportArgs::default()), @"
    No usage from 2025-03-08 to 2025-03-14 (UTC).
    Requests came, but none that counts.
    Left out as noise: no_text 1
    ");
}

#[test]
fn the_first_day_of_all_has_no_six_days_before() {
    let args = ReportArgs { to: Some(NaiveDate::MIN), ..ReportArgs::default() };
    assert!(printed(&team(), &args).starts_with("No usage from"));
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join(FILE_NAME)).unwrap();
    let args = ReportArgs { from: Some(today()), to: Some(today() - TimeDelta::days(1)), ..ReportArgs::default() };
    let refused = report(&store, &args, today(), None, &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(refused, "--from 2025-03-14 is after --to 2025-03-13: give the earlier day to --from");
}

#[test]
fn a_clients_text_cannot_speak_to_the_terminal() {
    let language = Some(format!("py\u{1b}[2J\nthon{}", "x".repeat(99)));
    let text = printed(&[UsageEvent { language, ..completion(1, "ada") }], &ReportArgs::default());
    assert!(text.contains("py?[2J?thonxxx") && !text.contains('\u{1b}'), "{text}");
}

fn noticed(n: u32, user: &str, notice: Notice) -> Noticed {
    Noticed { id: completion(n, user).id, user: user.to_owned(), at: noon(), notice }
}

/// Telemetry that tells that as many suggestions were shown, and the first ones of them accepted.
fn told(user: &str, shown: u32, accepted: u32) -> Noticed {
    let report = |n: u32, fate| {
        Observation::Suggestion(SuggestionReport {
            suggestion_id: format!("suggestion-{n}"),
            kind: if n == 0 { SuggestionKind::NextEdit } else { SuggestionKind::Completion },
            request_id: None,
            fate,
            lines: Some(3),
            characters: Some(90),
            language: None,
            model: None,
            editor_version: None,
            time: None,
        })
    };
    let accepted = (0..accepted).map(|n| report(n, Fate::Accepted { partially: false }));
    noticed(0, user, Notice::Telemetry((0..shown).map(|n| report(n, Fate::Shown)).chain(accepted).collect()))
}

/// Grace's clients tell what was accepted, Mary's that nothing was shown, and nobody else's send telemetry.
fn telemetry() -> Vec<Noticed> {
    vec![told("grace", 6, 2), told("mary", 0, 0)]
}

fn costly_team() -> Vec<UsageEvent> {
    let agent = UsageEvent {
        nano_aiu: Some(1_234_560_000_000),
        edits: Edits { files: 2, lines_added: 30, lines_removed: 4 },
        ..step(11, "grace")
    };
    [team(), vec![agent]].concat()
}

#[test]
fn what_was_shown_and_accepted_is_over_the_users_with_telemetry() {
    insta::assert_snapshot!(printed_with(&telemetry(), None, &costly_team(), &ReportArgs::default()), @"
    ┌───────┬─────────────┬───────┬──────────┬──────┬───────┬───────┬───────────┬────────┬──────────┬────────────────┬───────────────┬──────────┬───────────┬──────────┐
    │ User  ┆ Completions ┆ Shown ┆ Accepted ┆ Rate ┆  Chat ┆ Steps ┆    Tokens ┆ Tokens ┆       AI ┆ Top            ┆ Top           ┆ Top      ┆     Lines ┆    Lines │
    │       ┆             ┆       ┆          ┆      ┆ turns ┆       ┆        in ┆    out ┆  credits ┆ model          ┆ editor        ┆ language ┆ suggested ┆ accepted │
    ├───────┼─────────────┼───────┼──────────┼──────┼───────┼───────┼───────────┼────────┼──────────┼────────────────┼───────────────┼──────────┼───────────┼──────────┤
    │ grace ┆           3 ┆     6 ┆        2 ┆  33% ┆     1 ┆     2 ┆ 1,236,367 ┆  1,130 ┆ 1,234.56 ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ rust     ┆         8 ┆        6 │
    │ ada   ┆           1 ┆     - ┆        - ┆    - ┆     0 ┆     0 ┆         - ┆      - ┆        - ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆         2 ┆        - │
    │ mary  ┆           0 ┆     0 ┆        0 ┆    - ┆     0 ┆     0 ┆         - ┆      - ┆        - ┆ -              ┆ -             ┆ -        ┆         0 ┆        0 │
    ├───────┼─────────────┼───────┼──────────┼──────┼───────┼───────┼───────────┼────────┼──────────┼────────────────┼───────────────┼──────────┼───────────┼──────────┤
    │ total ┆           4 ┆     6 ┆        2 ┆  33% ┆     1 ┆     2 ┆ 1,236,367 ┆  1,130 ┆ 1,234.56 ┆ gpt-4o-copilot ┆ vscode-1.99.0 ┆ python   ┆        10 ┆        6 │
    └───────┴─────────────┴───────┴──────────┴──────┴───────┴───────┴───────────┴────────┴──────────┴────────────────┴───────────────┴──────────┴───────────┴──────────┘
    Days (UTC): 2025-03-08 to 2025-03-14, 2 with usage
    Shown and accepted: of 2 of 3 users; the others' clients sent no telemetry.
    Left out as noise: no_text 2, canceled 1
    ");
    insta::assert_snapshot!(printed_with(&telemetry(), Some(100), &costly_team(), &ReportArgs::default()), @"
    ┌───────┬─────────────┬───────┬──────────┬──────┬───────┬───────┬───────────┬────────┬──────────┐
    │ User  ┆ Completions ┆ Shown ┆ Accepted ┆ Rate ┆  Chat ┆ Steps ┆    Tokens ┆ Tokens ┆       AI │
    │       ┆             ┆       ┆          ┆      ┆ turns ┆       ┆        in ┆    out ┆  credits │
    ├───────┼─────────────┼───────┼──────────┼──────┼───────┼───────┼───────────┼────────┼──────────┤
    │ grace ┆           3 ┆     6 ┆        2 ┆  33% ┆     1 ┆     2 ┆ 1,236,367 ┆  1,130 ┆ 1,234.56 │
    │ ada   ┆           1 ┆     - ┆        - ┆    - ┆     0 ┆     0 ┆         - ┆      - ┆        - │
    │ mary  ┆           0 ┆     0 ┆        0 ┆    - ┆     0 ┆     0 ┆         - ┆      - ┆        - │
    ├───────┼─────────────┼───────┼──────────┼──────┼───────┼───────┼───────────┼────────┼──────────┤
    │ total ┆           4 ┆     6 ┆        2 ┆  33% ┆     1 ┆     2 ┆ 1,236,367 ┆  1,130 ┆ 1,234.56 │
    └───────┴─────────────┴───────┴──────────┴──────┴───────┴───────┴───────────┴────────┴──────────┘
    For want of room without: lines suggested, top model, top editor, top language, lines accepted (a wider terminal or --json shows them)
    Days (UTC): 2025-03-08 to 2025-03-14, 2 with usage
    Shown and accepted: of 2 of 3 users; the others' clients sent no telemetry.
    Left out as noise: no_text 2, canceled 1
    ");
}

fn account(n: u32, user: &str, key: Option<&str>, login: Option<&str>) -> Noticed {
    let account = Account { key: key.map(str::to_owned), login: login.map(str::to_owned), ..Account::default() };
    noticed(n, user, Notice::Account(account))
}

/// The report of the team, each of whom has an account of their own, and whose requests told `notices`.
fn printed_for(notices: &[Noticed], args: &ReportArgs) -> String {
    printed_with(notices, Some(80), &team(), args)
}

#[test]
fn accounts_that_look_shared_are_named_with_the_remedy() {
    let sharing = [
        account(1, "ada", Some("ada-account"), Some("Octocat")),
        account(2, "grace", None, Some("octocat")),
        account(3, "grace", Some("0123456789abcdef"), None),
        account(4, "linus", Some("0123456789abcdef"), None),
    ];
    insta::assert_snapshot!(printed_for(&sharing, &ReportArgs::default()), @"
    ┌───────┬─────────────┬───────┬───────┬───────────┬────────┬──────────┐
    │ User  ┆ Completions ┆  Chat ┆ Steps ┆    Tokens ┆ Tokens ┆ Top      │
    │       ┆             ┆ turns ┆       ┆        in ┆    out ┆ language │
    ├───────┼─────────────┼───────┼───────┼───────────┼────────┼──────────┤
    │ grace ┆           3 ┆     1 ┆     1 ┆ 1,235,467 ┆  1,010 ┆ rust     │
    │ ada   ┆           1 ┆     0 ┆     0 ┆         - ┆      - ┆ python   │
    ├───────┼─────────────┼───────┼───────┼───────────┼────────┼──────────┤
    │ total ┆           4 ┆     1 ┆     1 ┆ 1,235,467 ┆  1,010 ┆ python   │
    └───────┴─────────────┴───────┴───────┴───────────┴────────┴──────────┘
    For want of room without: lines suggested, top model, top editor (a wider terminal or --json shows them)
    Days (UTC): 2025-03-08 to 2025-03-14, 2 with usage
    Shown and accepted are not known: no client sent telemetry.
    Left out as noise: no_text 2, canceled 1

    GitHub accounts that several users use. GitHub blocks accounts that are shared:
    give each user a seat, and have each sign in to GitHub as themselves.
      01234567 (login not known): grace, linus
      octocat: ada, grace

    Users who use several GitHub accounts. Where one is another person's, have them
    sign out of it; where a proxy password is shared, `copilens users rotate NAME`
    gives that user a new one.
      grace: 01234567 (login not known), grace-ac (login not known), octocat
    ");
    let ada = printed_for(&sharing, &only("ada"));
    assert!(ada.contains("  octocat: ada, grace") && !ada.contains("linus"), "{ada}");
    let json: serde_json::Value =
        serde_json::from_str(&printed_for(&sharing, &ReportArgs { json: true, ..ReportArgs::default() })).unwrap();
    assert_eq!(json["accounts_with_several_users"]["octocat"], serde_json::json!(["ada", "grace"]));
    assert_eq!(
        json["users_with_several_accounts"]["grace"],
        serde_json::json!(["key:0123456789abcdef", "key:grace-account", "octocat"])
    );
}

#[test]
fn an_account_of_which_only_the_login_is_known_may_be_the_one_of_which_only_the_key_is() {
    let told = [account(1, "ada", None, Some("octocat")), account(2, "grace", None, Some("hubot"))];
    assert!(!printed_for(&told, &ReportArgs::default()).contains("accounts"));
    let another = [told.as_slice(), &[account(3, "ada", None, Some("hubot"))]].concat();
    let text = printed_for(&another, &ReportArgs::default());
    assert!(
        text.contains("  hubot: ada, grace") && text.contains("  ada: hubot, ada-acco (login not known), octocat"),
        "{text}"
    );
}

#[test]
fn json_has_what_telemetry_and_accounts_tell_and_nothing_where_it_is_unknown() {
    let quota = Quota {
        name: "premium_interactions".to_owned(),
        entitlement: Some(300.0),
        percent_remaining: Some(87.5),
        overage: None,
        overage_permitted: Some(false),
        resets_at: Some("2025-04-01T00:00:00Z".to_owned()),
    };
    let account = Account {
        key: Some("grace-account".to_owned()),
        login: Some("hopper".to_owned()),
        plan: Some("business".to_owned()),
        organizations: vec!["example".to_owned()],
        quotas: vec![quota],
        ..Account::default()
    };
    let notices = [telemetry(), vec![noticed(1, "grace", Notice::Account(account))]].concat();
    let args = ReportArgs { json: true, ..ReportArgs::default() };
    let report: serde_json::Value = serde_json::from_str(&printed_with(&notices, None, &costly_team(), &args)).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&report["users"][0]).unwrap());
    let ada = report["users"][1].as_object().unwrap();
    assert!(
        ["shown", "accepted", "accepted_percent", "acceptance", "nano_aiu"].iter().all(|key| !ada.contains_key(*key))
    );
    let mary = &report["users"][2];
    assert_eq!((&mary["user"], &mary["shown"], &mary["completions"]), (&"mary".into(), &0.into(), &0.into()));
    assert_eq!(report["users_with_telemetry"], 2);
}
