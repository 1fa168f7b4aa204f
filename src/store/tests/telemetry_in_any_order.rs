//! Telemetry and exchanges in whatever order and however often they come: the same tables, and the counts of a simple model.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::option;
use proptest::sample::select;

use super::*;
use crate::copilot::observation::{
    Account, ChatAction, ChatActionKind, Fate, Observation, SuggestionKind, SuggestionReport,
};

on_each_engine!(the_order_does_not_matter_and_the_counts_are_the_models,);

/// Something that comes to the store.
#[derive(Debug, Clone)]
enum Arrival {
    Event(Box<UsageEvent>),
    Notice(Noticed),
}

const DAYS: i64 = 3;

fn days() -> impl Iterator<Item = NaiveDate> {
    (0..DAYS).map(|n| today() + TimeDelta::days(n))
}

/// Of every kind of suggestion 2, of every request the one whose suggestion it is.
fn any_report() -> impl Strategy<Value = SuggestionReport> {
    let fates = vec![
        Fate::Shown,
        Fate::Accepted { partially: false },
        Fate::Accepted { partially: true },
        Fate::Rejected,
        Fate::StillInCode { after_s: 15, kept: true },
        Fate::StillInCode { after_s: 30, kept: false },
        Fate::StillInCode { after_s: 120, kept: true },
    ];
    (0..4_u8, any::<bool>(), select(fates), option::of(0..9_u64), option::of(0..3_u8)).prop_map(
        |(n, has_request, fate, lines, language)| SuggestionReport {
            suggestion_id: format!("suggestion-{n}"),
            kind: if n % 2 == 0 { SuggestionKind::Completion } else { SuggestionKind::NextEdit },
            request_id: has_request.then(|| format!("request-{n}")),
            fate,
            lines,
            characters: lines.map(|lines| lines * 10),
            language: language.map(|n| format!("language-{n}")),
            model: None,
            editor_version: None,
            time: None,
        },
    )
}

fn any_action() -> impl Strategy<Value = ChatAction> {
    (0..3_u8, any::<bool>(), option::of(0..9_u64)).prop_map(|(n, has_request, lines)| ChatAction {
        key: format!("action-{n}"),
        kind: if n == 0 { ChatActionKind::EditKept } else { ChatActionKind::Inserted },
        interaction_id: None,
        request_id: has_request.then(|| format!("request-{n}")),
        language: None,
        model: None,
        lines,
        characters: None,
        time: None,
    })
}

pub(super) fn any_notice() -> impl Strategy<Value = Notice> {
    let observation = prop_oneof![4 => any_report().prop_map(Observation::Suggestion), 1 => any_action().prop_map(Observation::ChatAction)];
    let account =
        (option::of(0..2_u8), option::of(0..2_u8), option::of(0..2_u8)).prop_map(|(key, login, plan)| Account {
            key: key.map(|n| format!("key-{n}")),
            login: login.map(|n| format!("login-{n}")),
            plan: plan.map(|n| format!("plan-{n}")),
            ..Account::default()
        });
    prop_oneof![4 => vec(observation, 0..5).prop_map(Notice::Telemetry), 1 => account.prop_map(Notice::Account)]
}

fn any_arrival() -> impl Strategy<Value = Arrival> {
    let user = || select(vec!["ada", "grace"]);
    let notice = (user(), 0..DAYS, any_notice()).prop_map(|(user, day, notice)| {
        Arrival::Notice(Noticed { id: id(0), user: user.to_owned(), at: noon() + TimeDelta::days(day), notice })
    });
    let event = (user(), 0..DAYS, 0..4_u8).prop_map(|(user, day, n)| {
        let event = completion(0, user);
        let ended_at = event.ended_at + TimeDelta::days(day);
        Arrival::Event(Box::new(UsageEvent { ended_at, request_id: Some(format!("request-{n}")), ..event }))
    });
    prop_oneof![3 => notice, 1 => event]
}

/// Arrivals with ids and times of their own.
fn any_arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    vec(any_arrival(), 0..12).prop_map(|mut arrivals| {
        for (n, arrival) in arrivals.iter_mut().enumerate() {
            match arrival {
                Arrival::Event(event) => event.id = id(n as u128),
                Arrival::Notice(noticed) => {
                    noticed.id = id(n as u128);
                    noticed.at += TimeDelta::seconds(n as i64);
                }
            }
        }
        arrivals
    })
}

/// The same in another order, some of them twice.
fn again_in_any_order(arrivals: Vec<Arrival>) -> impl Strategy<Value = Vec<Arrival>> {
    let doubled = vec(any::<bool>(), arrivals.len());
    (Just(arrivals), doubled).prop_flat_map(|(arrivals, doubled)| {
        let twice: Vec<_> =
            arrivals.iter().zip(doubled).filter(|(_, twice)| *twice).map(|(arrival, _)| arrival.clone()).collect();
        Just([arrivals, twice].concat()).prop_shuffle()
    })
}

/// Takes one arrival in. Gives the days that the store says have changed.
fn take_in(store: &dyn UsageStore, arrival: &Arrival) -> BTreeSet<NaiveDate> {
    match arrival {
        Arrival::Event(event) => store.insert(std::slice::from_ref(event)).unwrap().rebooked,
        Arrival::Notice(noticed) => store.take_notice(std::slice::from_ref(noticed)).unwrap().days,
    }
}

fn acceptance(store: &dyn UsageStore) -> BTreeMap<NaiveDate, BTreeMap<String, Acceptance>> {
    days().map(|day| (day, store.acceptance(day).unwrap())).filter(|(_, users)| !users.is_empty()).collect()
}

/// All that the store knows from telemetry, as text.
fn tables(store: &TestStore) -> Vec<String> {
    let tables = ["suggestion", "chat_action", "cli_session", "acceptance", "account", "quota"];
    tables.into_iter().flat_map(|table| store.place.rows(table)).collect()
}

/// What is known of a suggestion: its reports, each with its day.
type Reports<'a> = Vec<(NaiveDate, &'a SuggestionReport)>;

/// The day of something that was told on these days, each time with or without its request.
fn booked<'a>(
    user: &str,
    told: impl Iterator<Item = (NaiveDate, Option<&'a String>)>,
    arrivals: &[Arrival],
) -> NaiveDate {
    let (days, requests): (Vec<_>, Vec<_>) = told.unzip();
    let requests: Vec<_> = requests.into_iter().flatten().collect();
    let of_exchange = arrivals.iter().filter_map(|arrival| match arrival {
        Arrival::Event(event) if event.user == user && requests.contains(&event.request_id.as_ref().unwrap()) => {
            Some(event.day())
        }
        _ => None,
    });
    of_exchange.min().or_else(|| days.into_iter().min()).unwrap()
}

fn count(acceptance: &mut Acceptance, reports: &Reports<'_>) {
    let of = |wanted: fn(&Fate) -> bool| {
        reports.iter().map(|(_, report)| *report).filter(move |report| wanted(&report.fate))
    };
    let is_shown: fn(&Fate) -> bool = |fate| matches!(fate, Fate::Shown);
    let is_accepted: fn(&Fate) -> bool = |fate| matches!(fate, Fate::Accepted { .. });
    let lines = |wanted| of(wanted).filter_map(|report| report.lines).max().unwrap_or(0);
    let last_look = reports.iter().filter_map(|(_, report)| match report.fate {
        Fate::StillInCode { after_s, kept } => Some((after_s, kept)),
        _ => None,
    });
    let accepted = of(is_accepted).next().is_some();
    let fully = of(|fate| matches!(fate, Fate::Accepted { partially: false })).next().is_some();
    let look = last_look.max().filter(|_| accepted).map(|(_, kept)| kept);
    let fates = acceptance.fates(reports[0].1.kind);
    fates.shown += u64::from(of(is_shown).next().is_some());
    fates.accepted += u64::from(accepted);
    fates.accepted_partially += u64::from(accepted && !fully);
    fates.rejected += u64::from(!accepted && of(|fate| matches!(fate, Fate::Rejected)).next().is_some());
    fates.lines_shown += lines(is_shown);
    fates.characters_shown += 10 * lines(is_shown);
    fates.lines_accepted += lines(is_accepted);
    fates.characters_accepted += 10 * lines(is_accepted);
    fates.kept += u64::from(look == Some(true));
    fates.lost += u64::from(look == Some(false));
}

fn model(arrivals: &[Arrival]) -> BTreeMap<NaiveDate, BTreeMap<String, Acceptance>> {
    let mut days: BTreeMap<NaiveDate, BTreeMap<String, Acceptance>> = BTreeMap::new();
    let mut suggestions: HashMap<(&str, &str), Reports<'_>> = HashMap::new();
    let mut actions: HashMap<(&str, &str), Vec<(NaiveDate, &ChatAction)>> = HashMap::new();
    for arrival in arrivals {
        let Arrival::Notice(Noticed { user, at, notice: Notice::Telemetry(observations), .. }) = arrival else {
            continue;
        };
        let day = at.date_naive();
        days.entry(day).or_default().entry(user.clone()).or_default();
        for observation in observations {
            match observation {
                Observation::Suggestion(report) => {
                    suggestions.entry((user, &report.suggestion_id)).or_default().push((day, report));
                }
                Observation::ChatAction(action) => actions.entry((user, &action.key)).or_default().push((day, action)),
                Observation::Session(_) => {}
            }
        }
    }
    for ((user, _), reports) in suggestions {
        let told = reports.iter().map(|(day, report)| (*day, report.request_id.as_ref()));
        let day = days.entry(booked(user, told, arrivals)).or_default();
        count(day.entry(user.to_owned()).or_default(), &reports);
    }
    for ((user, _), told) in actions {
        let requests = told.iter().map(|(day, action)| (*day, action.request_id.as_ref()));
        let day = booked(user, requests, arrivals);
        let chat = &mut days.entry(day).or_default().entry(user.to_owned()).or_default().chat;
        chat.add(told[0].1.kind, 1);
        let lines = told.iter().filter_map(|(_, action)| action.lines).max().unwrap_or(0);
        chat.lines += if told[0].1.kind == ChatActionKind::EditKept { 0 } else { lines };
    }
    days
}

fn the_order_does_not_matter_and_the_counts_are_the_models(engine: Engine) {
    let any = any_arrivals().prop_flat_map(|arrivals| (Just(arrivals.clone()), again_in_any_order(arrivals)));
    check(24, &any, |(arrivals, others)| {
        let (one, other) = (engine.store_with(&[]), engine.store_with(&[]));
        for arrival in &arrivals {
            let before = acceptance(&*one);
            let said = take_in(&*one, arrival);
            let after = acceptance(&*one);
            let changed: BTreeSet<_> = days().filter(|day| before.get(day) != after.get(day)).collect();
            prop_assert_eq!(said, changed);
        }
        prop_assert_eq!(acceptance(&*one), model(&arrivals));
        for arrival in &others {
            take_in(&*other, arrival);
        }
        prop_assert_eq!(tables(&other), tables(&one));
        let users = |store: &TestStore| store.accounts(NaiveDate::default(), today() + TimeDelta::days(9)).unwrap();
        prop_assert_eq!(users(&other), users(&one));
        Ok(())
    });
}
