//! Events and the days that they make.

use super::*;

on_each_engine!(
    events_come_back_as_they_went_in,
    an_id_is_stored_once_and_its_first_event_stays,
    a_count_beyond_belief_neither_fails_nor_overflows_the_day,
    an_earlier_answer_is_found_by_user_request_status_and_end,
    days_are_those_with_events,
    events_are_chosen_by_day_and_user,
    noise_is_counted_by_reason,
    what_is_replaced_leaves_the_rest,
    questions_are_answered_from_the_state_before_while_all_are_replaced,
    a_panic_while_all_are_replaced_changes_nothing,
    the_rollup_is_the_fold_of_the_events,
    midnight_parts_the_days,
    what_was_stored_is_there_after_closing,
);

/// Every optional field absent, another word for every enumeration, the odd microsecond.
fn bare() -> UsageEvent {
    UsageEvent {
        kind: Kind::Chat,
        outcome: Outcome::Failed,
        started_at: noon() - TimeDelta::microseconds(1),
        ended_at: chrono::Utc.with_ymd_and_hms(2025, 3, 14, 23, 59, 59).unwrap() + TimeDelta::microseconds(999_999),
        status: None,
        ide: None,
        editor: None,
        plugin: None,
        machine_id: None,
        session_id: None,
        account: None,
        language: None,
        model: None,
        model_version: None,
        request_id: None,
        interaction_id: None,
        streamed: false,
        first_byte_ms: None,
        duration_ms: 0.1 + 0.2,
        ..completion(90, "zoe")
    }
}

fn events_come_back_as_they_went_in(engine: Engine) {
    let canceled = UsageEvent { outcome: Outcome::Canceled, ..noise(3, "ada", "canceled") };
    let costly = UsageEvent {
        action: Some("agent".to_owned()),
        tokens: Tokens { cache_written: Some(7), reasoning: Some(8), ..Tokens::default() },
        nano_aiu: Some(3_100_000_000),
        edits: Edits { files: 1, lines_added: 2, lines_removed: 3 },
        ..step(5, "grace")
    };
    let events = [completion(1, "ada"), step(2, "ada"), canceled, chat(4, "grace"), costly, bare()];
    assert_eq!(all_events(&*engine.store_with(&events)), events);
}

fn an_id_is_stored_once_and_its_first_event_stays(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada")]);
    let changed = UsageEvent { lines_suggested: 99, ..completion(1, "ada") };
    let new = store.insert(&[changed, completion(2, "ada"), completion(2, "ada")]).unwrap();
    assert_eq!(new.new, [false, true, false]);
    assert_eq!(all_events(&*store), [completion(1, "ada"), completion(2, "ada")]);
}

fn a_count_beyond_belief_neither_fails_nor_overflows_the_day(engine: Engine) {
    let lie = |n| UsageEvent { tokens: Tokens { input: Some(u64::MAX), ..Tokens::default() }, ..completion(n, "ada") };
    let store = engine.store_with(&[lie(1), lie(2), lie(3)]);
    assert_eq!(store.day(today()).unwrap().users["ada"].tokens.input, Some(3 << 40));
}

fn an_earlier_answer_is_found_by_user_request_status_and_end(engine: Engine) {
    let failed =
        |n| UsageEvent { status: Some(503), request_id: Some("retried".to_owned()), ..noise(n, "ada", "status") };
    let answered = UsageEvent { status: Some(200), ..failed(2) };
    let store = engine.store_with(&[failed(1), answered.clone(), failed(3)]);
    let asked = |user, request, after: TimeDelta, n| {
        store.was_answered(user, request, (answered.ended_at + after, id(n))).unwrap()
    };
    let (none, one) = (TimeDelta::zero(), TimeDelta::microseconds(1));
    assert!(asked("ada", "retried", one, 0), "noise is an answer too");
    assert!(!asked("ada", "retried", -one, 9), "a later one is not an earlier one");
    assert!(!asked("ada", "retried", none, 2), "itself is not an earlier one");
    assert!(asked("ada", "retried", none, 3), "ids break ties");
    assert!(!asked("ada", "retried", none, 1), "ids break ties");
    assert!(!asked("grace", "retried", one, 0), "another user's is another's");
    assert!(!asked("ada", "another", one, 0));
}

fn days_are_those_with_events(engine: Engine) {
    let store = engine.store_with(&[tomorrow(noise(1, "ada", "no_text")), completion(2, "ada"), completion(3, "ada")]);
    assert_eq!(store.days().unwrap(), [today(), today() + TimeDelta::days(1)]);
    assert!(engine.store_with(&[]).days().unwrap().is_empty());
}

fn events_are_chosen_by_day_and_user(engine: Engine) {
    let (first, second, third) = (completion(1, "ada"), chat(2, "grace"), tomorrow(chat(3, "ada")));
    let store = engine.store_with(&[third.clone(), second.clone(), first.clone()]);
    let next_day = third.day();
    assert_eq!(events_of(&*store, today(), today(), None), [first.clone(), second]);
    assert_eq!(events_of(&*store, today(), next_day, Some("ada")), [first, third.clone()]);
    assert_eq!(events_of(&*store, next_day, next_day, None), [third]);
}

fn noise_is_counted_by_reason(engine: Engine) {
    let events = [
        noise(1, "ada", "no_text"),
        noise(2, "ada", "no_text"),
        noise(3, "grace", "status"),
        tomorrow(noise(4, "ada", "status")),
        UsageEvent { reason: None, ..noise(5, "ada", "") },
        step(6, "ada"),
    ];
    let store = engine.store_with(&events);
    let counts = |user| store.noise_counts(today(), today(), user).unwrap();
    let by_reason = |counts: &[(&str, u64)]| counts.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect();
    assert_eq!(counts(None), by_reason(&[("no_text", 2), ("status", 1), ("unspecified", 1)]));
    assert_eq!(counts(Some("grace")), by_reason(&[("status", 1)]));
}

fn what_is_replaced_leaves_the_rest(engine: Engine) {
    let old_noise = noise(3, "ada", "no_text");
    let kept = tomorrow(completion(5, "ada"));
    let store = engine.store_with(&[
        completion(1, "ada"),
        step(2, "ada"),
        old_noise.clone(),
        noise(4, "ada", "a"),
        kept.clone(),
    ]);
    let new = [chat(1, "ada"), noise(4, "ada", "b")];
    store.replace_all(&mut new.clone().into_iter()).unwrap();
    assert_eq!(all_events(&*store), [new[0].clone(), step(2, "ada"), old_noise, new[1].clone(), kept]);
}

fn questions_are_answered_from_the_state_before_while_all_are_replaced(engine: Engine) {
    let first = completion(1, "ada");
    let store = engine.store_with(std::slice::from_ref(&first));
    let mut answers = Vec::new();
    let other = UsageEvent { request_id: Some("another".to_owned()), ..first.clone() };
    let mut events = [other, completion(2, "ada")].into_iter().inspect(|event| {
        answers.push(store.was_answered("ada", "request-1", (event.ended_at, event.id)).unwrap());
    });
    store.replace_all(&mut events).unwrap();
    assert_eq!(answers, [false, true]);
    assert!(!store.was_answered("ada", "request-1", (first.ended_at + TimeDelta::days(1), first.id)).unwrap());
}

fn a_panic_while_all_are_replaced_changes_nothing(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada")]);
    let replacing =
        std::panic::AssertUnwindSafe(|| store.replace_all(&mut std::iter::once_with(|| panic!("a record is odd"))));
    assert!(std::panic::catch_unwind(replacing).is_err());
    assert_eq!(all_events(&*store), [completion(1, "ada")]);
    assert_eq!(store.insert(&[completion(2, "ada")]).unwrap().new, [true]);
}

fn the_rollup_is_the_fold_of_the_events(engine: Engine) {
    check(32, &any_events(), |events| {
        let store = engine.store_with(&events);
        for day in [today(), today() + TimeDelta::days(1)] {
            prop_assert_eq!(store.day(day).unwrap(), fold(day, &events));
        }
        let mut sorted = events;
        sorted.sort_by(|a, b| (&a.user, a.id).cmp(&(&b.user, b.id)));
        prop_assert_eq!(all_events(&*store), sorted);
        Ok(())
    });
}

fn midnight_parts_the_days(engine: Engine) {
    let last = bare();
    let first = UsageEvent { id: id(91), ended_at: last.ended_at + TimeDelta::microseconds(1), ..last.clone() };
    let store = engine.store_with(&[last.clone(), first.clone()]);
    assert_eq!(store.days().unwrap(), [today(), today() + TimeDelta::days(1)]);
    assert_eq!(store.day(last.day()).unwrap(), fold(last.day(), [&last]));
    assert_eq!(store.day(first.day()).unwrap(), fold(first.day(), [&first]));
}

fn what_was_stored_is_there_after_closing(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada")]).restarted();
    assert_eq!(all_events(&*store), [completion(1, "ada")]);
    assert_eq!(store.insert(&[completion(1, "ada")]).unwrap().new, [false]);
}
