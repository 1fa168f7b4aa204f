//! Accounts and allowances: each user's own, as told last.

use super::*;
use crate::copilot::observation::Account;

on_each_engine!(
    events_tell_the_key_and_when_it_was_used,
    what_is_known_under_a_login_goes_to_its_account_once_that_is_known,
    each_fact_is_the_one_told_last_whatever_came_first,
    the_newest_of_each_allowance_stays_whether_an_event_or_a_notice_tells_it,
);

fn told(n: u32, user: &str, account: Account) -> Noticed {
    let at = noon() + TimeDelta::seconds(n.into());
    Noticed { id: id(n.into()), user: user.to_owned(), at, notice: Notice::Account(account) }
}

fn later(days: i64, noticed: Noticed) -> Noticed {
    Noticed { at: noticed.at + TimeDelta::days(days), ..noticed }
}

fn account(key: Option<&str>, login: Option<&str>) -> Account {
    Account { key: key.map(str::to_owned), login: login.map(str::to_owned), ..Account::default() }
}

/// Accounts of all time: user, key and login.
fn accounts(store: &dyn UsageStore) -> Vec<(String, String, Option<String>)> {
    let uses = store.accounts(NaiveDate::default(), today() + TimeDelta::days(9)).unwrap();
    uses.into_iter().map(|used| (used.user, used.account.key.unwrap(), used.account.login)).collect()
}

fn row(user: &str, key: &str, login: Option<&str>) -> (String, String, Option<String>) {
    (user.to_owned(), key.to_owned(), login.map(str::to_owned))
}

fn events_tell_the_key_and_when_it_was_used(engine: Engine) {
    let store = engine.store_with(&[tomorrow(completion(1, "ada")), completion(2, "ada"), noise(3, "grace", "status")]);
    assert_eq!(accounts(&*store), [row("ada", "ada-account", None), row("grace", "grace-account", None)]);
    let next_day = today() + TimeDelta::days(1);
    let ada = store.accounts(next_day, next_day).unwrap();
    assert_eq!(
        ada.iter().map(|used| (&*used.user, used.first_day, used.last_day)).collect::<Vec<_>>(),
        [("ada", today(), next_day)]
    );
}

fn what_is_known_under_a_login_goes_to_its_account_once_that_is_known(engine: Engine) {
    let store = engine.store_with(&[]);
    let plan = Account { plan: Some("business".to_owned()), ..account(None, Some("Octocat")) };
    store.take_notice(&[told(1, "ada", plan), told(2, "grace", account(None, Some("octocat")))]).unwrap();
    assert_eq!(
        accounts(&*store),
        [row("ada", "login:octocat", Some("Octocat")), row("grace", "login:octocat", Some("octocat"))]
    );
    store.take_notice(&[later(2, told(3, "ada", account(Some("k1"), Some("octocat"))))]).unwrap();
    assert_eq!(accounts(&*store), [row("ada", "k1", Some("octocat")), row("grace", "login:octocat", Some("octocat"))]);
    let ada = store.accounts(today(), today()).unwrap().remove(0);
    assert_eq!((ada.account.plan.as_deref(), ada.first_day), (Some("business"), today()));
}

fn each_fact_is_the_one_told_last_whatever_came_first(engine: Engine) {
    let full = |plan: &str| Account {
        github_id: Some(7),
        plan: Some(plan.to_owned()),
        organizations: vec!["example".to_owned()],
        enhanced_telemetry: Some(false),
        ..account(Some("k"), Some("octocat"))
    };
    let notices =
        [told(1, "ada", full("free")), told(2, "ada", full("business")), told(3, "ada", account(Some("k"), None))];
    let mut backwards = notices.clone();
    backwards.reverse();
    for notices in [notices, backwards] {
        let store = engine.store_with(&[]);
        store.take_notice(&notices).unwrap();
        assert_eq!(store.accounts(today(), today()).unwrap()[0].account, full("business"));
    }
}

fn the_newest_of_each_allowance_stays_whether_an_event_or_a_notice_tells_it(engine: Engine) {
    let quota = |name: &str, left| Quota {
        name: name.to_owned(),
        entitlement: Some(300.0),
        percent_remaining: Some(left),
        overage: Some(0.0),
        overage_permitted: Some(true),
        resets_at: Some("2025-04-01T00:00:00Z".to_owned()),
    };
    let event = |n, left| UsageEvent { quotas: vec![quota("chat", left)], ..chat(n, "ada") };
    let store = engine.store_with(&[event(5, 50.0), event(4, 40.0)]);
    let account =
        Account { quotas: vec![quota("premium_interactions", 9.5), quota("chat", 99.0)], ..Account::default() };
    store.take_notice(&[told(1, "ada", account)]).unwrap();
    let ada = |quota| ("ada".to_owned(), quota);
    assert_eq!(store.quotas().unwrap(), [ada(quota("chat", 50.0)), ada(quota("premium_interactions", 9.5))]);
    assert!(all_events(&*store).iter().all(|event| event.quotas.is_empty()));
    assert_eq!(accounts(&*store), [row("ada", "ada-account", None)], "no account where neither key nor login is told");
}
