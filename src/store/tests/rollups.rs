//! Roll-ups are always what a fold of the events gives, whatever came in which order and however much of it was refreshed.

use proptest::collection::vec;
use proptest::sample::select;

use super::telemetry_in_any_order::any_notice;
use super::*;
use crate::store::rollup::{FIRST_DAY, LAST_DAY};
use crate::usage::sample::any_usage;
use crate::usage::{Surface, Told};

on_each_engine!(
    roll_ups_are_the_fold_of_what_came_whatever_was_refreshed,
    refreshing_goes_on_until_nothing_is_left,
    many_users_are_handed_out_in_their_order_until_it_breaks,
    ranges_are_cut_by_the_day_within_months,
    what_telemetry_adds_is_told_once,
    the_last_client_goes_back_when_its_exchange_turns_out_as_noise,
    a_forgotten_person_is_in_no_table_and_counts_stay,
    a_person_is_forgotten_twice_under_one_name,
);

type Key = (NaiveDate, String);

fn user_days(store: &dyn UsageStore, users: Option<&BTreeSet<String>>) -> Vec<(Key, UserDay)> {
    let mut days = Vec::new();
    store
        .user_days(FIRST_DAY, LAST_DAY, users, &mut |day, user, known| {
            days.push(((day, user.to_owned()), known));
            ControlFlow::Continue(())
        })
        .unwrap();
    days
}

/// Ranges within months, over whole ones, and over ends of years.
fn ranges() -> [(NaiveDate, NaiveDate); 5] {
    let date = |month, day| NaiveDate::from_ymd_opt(2025, month, day).unwrap();
    [
        (FIRST_DAY, LAST_DAY),
        (date(3, 1), date(3, 31)),
        (date(3, 14), date(3, 31)),
        (date(2, 22), date(4, 1)),
        (date(3, 15), date(5, 4)),
    ]
}

/// Everything that is asked of roll-ups.
#[derive(Debug, PartialEq)]
struct Answers {
    days: Vec<(Key, UserDay)>,
    organization: BTreeMap<NaiveDate, OrganizationDay>,
    sums: BTreeMap<NaiveDate, OrganizationSums>,
    totals: Vec<BTreeMap<String, Totals>>,
    activity: Vec<Vec<Activity>>,
    last_seen: BTreeMap<String, Client>,
}

fn ends() -> [NaiveDate; 3] {
    [0, 17, 50].map(|days| today() + TimeDelta::days(days))
}

fn answers(store: &dyn UsageStore) -> Answers {
    Answers {
        days: user_days(store, None),
        organization: store.organization_days(FIRST_DAY, LAST_DAY).unwrap(),
        sums: store.organization_sums(FIRST_DAY, LAST_DAY).unwrap(),
        totals: ranges().map(|(from, to)| store.totals(from, to).unwrap()).to_vec(),
        activity: ends().map(|to| store.activity(to).unwrap()).to_vec(),
        last_seen: store.last_seen().unwrap(),
    }
}

/// The same, counted out from users' days.
fn counted(days: Vec<(Key, UserDay)>) -> Answers {
    let mut organization: BTreeMap<NaiveDate, OrganizationDay> = BTreeMap::new();
    let mut last_seen: BTreeMap<String, Client> = BTreeMap::new();
    for ((day, user), known) in &days {
        organization.entry(*day).or_default().add(known);
        if let Some(client) = known.last_client() {
            last_seen.insert(user.clone(), client.clone());
        }
    }
    organization.retain(|_, day| day.users > 0);
    let totals = ranges().map(|(from, to)| {
        let mut totals: BTreeMap<String, Totals> = BTreeMap::new();
        for ((day, user), known) in days.iter().filter(|((day, _), _)| (from..=to).contains(day)) {
            let _ = day;
            totals.entry(user.clone()).or_default().add(&known.totals());
        }
        totals
    });
    let activity = ends().map(|to| activity(&days, to));
    let sums = organization.iter().map(|(day, known)| (*day, OrganizationSums::of(known))).collect();
    Answers { organization, sums, totals: totals.to_vec(), activity: activity.to_vec(), last_seen, days }
}

fn activity(days: &[(Key, UserDay)], to: NaiveDate) -> Vec<Activity> {
    let mut users: BTreeMap<&str, Activity> = BTreeMap::new();
    for ((day, user), known) in days.iter().filter(|(_, known)| !known.cells.is_empty()) {
        let age = (to - *day).num_days();
        if (0..64).contains(&age) {
            let unseen = || Activity { user: user.clone(), active: 0, surfaces: [0; 5] };
            let activity = users.entry(user).or_insert_with(unseen);
            activity.active |= 1 << age;
            for (place, surface) in Surface::ALL.into_iter().enumerate() {
                activity.surfaces[place] |= u64::from(known.surfaces().has(surface)) << age;
            }
        }
    }
    users.into_values().collect()
}

/// Something that happens to a store.
#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<UsageEvent>),
    Replace(Vec<UsageEvent>),
    ReplaceAll(Vec<UsageEvent>),
    Notice(Noticed),
    Refresh(usize),
    Forget,
}

fn any_step() -> impl Strategy<Value = Step> {
    let notice = (select(vec!["ada", "grace"]), 0..3_i64, any_notice()).prop_map(|(user, day, notice)| {
        Step::Notice(Noticed { id: id(0), user: user.to_owned(), at: noon() + TimeDelta::days(day), notice })
    });
    prop_oneof![
        4 => any_usage().prop_map(Step::Insert),
        2 => any_usage().prop_map(|mut events| { events.truncate(3); Step::Replace(events) }),
        2 => any_usage().prop_map(Step::ReplaceAll),
        4 => notice,
        4 => (0..40_usize).prop_map(Step::Refresh),
        1 => Just(Step::Forget),
    ]
}

fn take(store: &dyn UsageStore, step: &Step) {
    match step {
        Step::Insert(events) => drop(store.insert(events).unwrap()),
        Step::Replace(events) => drop(store.replace(events).unwrap()),
        Step::ReplaceAll(events) => store.replace_all(&mut events.iter().cloned()).unwrap(),
        Step::Notice(noticed) => drop(store.take_notice(std::slice::from_ref(noticed)).unwrap()),
        Step::Refresh(limit) => drop(store.refresh(*limit).unwrap()),
        Step::Forget => drop(store.forget("ada", "someone").unwrap()),
    }
}

/// Days by their events alone.
fn of_events(events: &[UsageEvent]) -> BTreeMap<Key, UserDay> {
    let mut users: BTreeMap<Key, Vec<&UsageEvent>> = BTreeMap::new();
    events.iter().for_each(|event| users.entry((event.day(), event.user.clone())).or_default().push(event));
    let days = users.into_iter().map(|(key, events)| (key, UserDay::of(events, Told::default())));
    days.filter(|(_, day)| !day.is_empty()).collect()
}

fn every_event(store: &dyn UsageStore) -> Vec<UsageEvent> {
    events_of(store, FIRST_DAY, LAST_DAY, None)
}

fn roll_ups_are_the_fold_of_what_came_whatever_was_refreshed(engine: Engine) {
    check(16, &vec(any_step(), 1..10), |steps| {
        let (refreshed, folded) = (engine.store_with(&[]), engine.store_with(&[]));
        for step in &steps {
            take(&*refreshed, step);
            if !matches!(step, Step::Refresh(_)) {
                take(&*folded, step);
            }
            let told = answers(&*refreshed);
            prop_assert_eq!(&told, &counted(told.days.clone()));
            prop_assert_eq!(told, answers(&*folded));
        }
        if !steps.iter().any(|step| matches!(step, Step::Notice(_))) {
            let days: BTreeMap<_, _> = user_days(&*refreshed, None).into_iter().collect();
            prop_assert_eq!(days, of_events(&every_event(&*refreshed)));
        }
        let before = answers(&*refreshed);
        while refreshed.refresh(7).unwrap() {}
        prop_assert_eq!(refreshed.place.rows("stale"), Vec::<String>::new());
        prop_assert_eq!(&before, &answers(&*refreshed));
        let ada = BTreeSet::from(["ada".to_owned()]);
        let of_ada: Vec<_> = before.days.into_iter().filter(|((_, user), _)| user == "ada").collect();
        prop_assert_eq!(of_ada, user_days(&*refreshed, Some(&ada)));
        Ok(())
    });
}

fn refreshing_goes_on_until_nothing_is_left(engine: Engine) {
    let users: Vec<String> = (0..10).map(|n| format!("user-{n}")).collect();
    let events: Vec<_> = users.iter().zip(1..).map(|(user, n)| completion(n, user)).collect();
    let store = engine.store_with(&events);
    assert!(store.refresh(4).unwrap());
    assert!(store.refresh(4).unwrap());
    assert!(!store.refresh(4).unwrap());
    assert_eq!(store.place.rows("user_day").len(), 10);
    store.insert(&[completion(20, "user-3")]).unwrap();
    assert!(!store.refresh(4).unwrap());
    assert_eq!(
        store.organization_days(today(), today()).unwrap()[&today()].cells.values().next().unwrap().requests,
        11
    );
}

fn many_users_are_handed_out_in_their_order_until_it_breaks(engine: Engine) {
    let events: Vec<_> = (0..200).map(|n| completion(n, &format!("user-{:03}", (n * 37) % 200))).collect();
    let store = engine.store_with(&events[..150]);
    while store.refresh(64).unwrap() {}
    store.insert(&events[150..]).unwrap();
    let names = |users: Option<&BTreeSet<String>>, most: usize| {
        let mut names = Vec::new();
        store
            .user_days(today(), today(), users, &mut |_, user, _| {
                names.push(user.to_owned());
                if names.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        names
    };
    let all: Vec<String> = (0..200).map(|n| format!("user-{n:03}")).collect();
    assert_eq!(names(None, 1000), all);
    for most in [1, 57, 200] {
        assert_eq!(names(None, most), all[..most]);
    }
    for few in [3, 100] {
        let wanted: BTreeSet<String> = all.iter().step_by(200 / few).cloned().collect();
        assert_eq!(names(Some(&wanted), 1000), wanted.iter().cloned().collect::<Vec<_>>());
        assert_eq!(names(Some(&wanted), 2).len(), 2);
    }
}

fn ranges_are_cut_by_the_day_within_months(engine: Engine) {
    let on = |days: i64, n| {
        let event = completion(n, "ada");
        UsageEvent { ended_at: event.ended_at + TimeDelta::days(days), ..event }
    };
    // 14 March, 31 March, 1 April, 30 April, 1 May.
    let events: Vec<_> = [0, 17, 18, 47, 48].into_iter().zip(1..).map(|(days, n)| on(days, n)).collect();
    let store = engine.store_with(&events);
    while store.refresh(100).unwrap() {}
    let requests = |from: i64, to: i64| {
        let [from, to] = [from, to].map(|days| today() + TimeDelta::days(days));
        store.totals(from, to).unwrap().get("ada").map_or(0, |totals| totals.counts.requests)
    };
    assert_eq!(
        [requests(0, 48), requests(18, 47), requests(1, 17), requests(17, 48), requests(1, 16)],
        [5, 2, 1, 4, 0]
    );
}

fn what_telemetry_adds_is_told_once(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada")]);
    let shown = shown_later(1, "ada");
    let gains = store.take_notice(&[shown.clone(), shown.clone()]).unwrap().gains;
    assert_eq!(gains.len(), 1);
    assert_eq!((&*gains[0].user, gains[0].language.as_deref()), ("ada", Some("python")));
    assert_eq!((gains[0].editor.as_deref(), gains[0].more.completions.shown), (Some("vscode/1.99.0"), 1));
    assert_eq!(store.take_notice(&[shown]).unwrap().gains, []);
}

fn the_last_client_goes_back_when_its_exchange_turns_out_as_noise(engine: Engine) {
    let on = |days: i64, n| {
        let event = completion(n, "ada");
        UsageEvent { ended_at: event.ended_at + TimeDelta::days(days), editor: Some(format!("vscode-{n}.0")), ..event }
    };
    let store = engine.store_with(&[on(0, 1), on(20, 2), on(60, 3)]);
    let version = |refresh: bool| {
        while refresh && store.refresh(100).unwrap() {}
        store.last_seen().unwrap().remove("ada").and_then(|client| client.version)
    };
    assert_eq!(version(true).as_deref(), Some("3.0"));
    for (days, n, left) in [(60, 3, Some("2.0")), (20, 2, Some("1.0")), (0, 1, None)] {
        store.replace(&[UsageEvent { class: Class::Noise, ..on(days, n) }]).unwrap();
        assert_eq!((version(false).as_deref(), version(true).as_deref()), (left, left));
    }
}

const EVERY_TABLE: [&str; 13] = [
    "usage_event",
    "suggestion",
    "chat_action",
    "cli_session",
    "acceptance",
    "account",
    "quota",
    "user_day",
    "organization_day",
    "organization_sums",
    "user_month",
    "user_year",
    "user_client",
];

fn without_names(days: Vec<(Key, UserDay)>) -> Vec<(NaiveDate, UserDay)> {
    days.into_iter().map(|((day, _), known)| (day, known)).collect()
}

fn a_forgotten_person_is_in_no_table_and_counts_stay(engine: Engine) {
    let named = |event: UsageEvent| UsageEvent {
        machine_id: Some("marker-machine".to_owned()),
        session_id: Some("marker-session".to_owned()),
        account: Some("marker-account".to_owned()),
        ..event
    };
    let of_cli = UsageEvent { feature: "copilot_cli".to_owned(), ..named(chat(5, "marker")) };
    let again = UsageEvent { id: id(6), ..of_cli.clone() };
    let events =
        [named(completion(1, "marker")), named(chat(2, "marker")), of_cli, again, tomorrow(noise(7, "marker", "x"))];
    let store = engine.store_with(&[&events[..], &[completion(9, "grace")]].concat());
    store.take_notice(&[shown_later(1, "marker"), shown_later(33, "marker")]).unwrap();
    while store.refresh(100).unwrap() {}
    store.insert(&[tomorrow(completion(8, "marker"))]).unwrap();
    let before = answers(&*store);
    let acceptance = store.acceptance(today()).unwrap()["marker"].clone();

    let days = store.forget("marker", "someone").unwrap();
    assert_eq!(days, BTreeSet::from([today(), today() + TimeDelta::days(1)]));
    let rows: Vec<String> = EVERY_TABLE.into_iter().flat_map(|table| store.place.rows(table)).collect();
    let secrets = ["marker", "request-", "interaction-", "session-", "machine"];
    for row in rows.iter().chain(&store.place.rows("stale")) {
        let of_other = row.contains("grace");
        assert!(of_other || !secrets.iter().any(|secret| row.contains(secret)), "{row}");
    }
    let after = answers(&*store);
    assert_eq!(after.organization, before.organization);
    assert_eq!(without_names(user_days(&*store, Some(&BTreeSet::from(["someone".to_owned()])))).len(), 2);
    let of = |answers: &Answers, name: &str| {
        answers
            .days
            .iter()
            .filter(|((_, user), _)| user == name)
            .map(|(key, day)| (key.0, day.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&after, "someone"), of(&before, "marker"));
    assert_eq!(store.acceptance(today()).unwrap()["someone"], acceptance);
    assert_eq!(store.forget("marker", "someone").unwrap(), BTreeSet::new());
    while store.refresh(100).unwrap() {}
    assert_eq!(answers(&*store), after);
}

fn a_person_is_forgotten_twice_under_one_name(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada"), chat(2, "ada")]);
    store.take_notice(&[shown_later(1, "ada")]).unwrap();
    store.forget("ada", "someone").unwrap();
    store.insert(&[completion(3, "ada"), chat(4, "ada")]).unwrap();
    store.take_notice(&[shown_later(3, "ada")]).unwrap();
    store.forget("ada", "someone").unwrap();
    let totals = store.totals(today(), today()).unwrap();
    assert_eq!(totals.keys().collect::<Vec<_>>(), ["someone"]);
    let counts = totals["someone"].counts;
    assert_eq!((counts.requests, counts.interactions, counts.generations), (4, 2, 4));
    assert_eq!(store.acceptance(today()).unwrap()["someone"].completions.shown, 2);
}
