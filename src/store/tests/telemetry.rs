//! What telemetry tells comes to the right user, day and count, and stays.

use super::*;
use crate::copilot::observation::{
    ChatAction, ChatActionKind, Fate, Observation, SessionTotals, SuggestionKind, SuggestionReport,
};
use crate::usage::{ChatActions, Fates, Sessions};

on_each_engine!(
    a_suggestion_is_booked_on_its_exchanges_day,
    telemetry_that_comes_first_waits_for_its_exchange,
    what_is_told_twice_counts_once_across_restarts,
    users_with_the_same_ids_never_meet,
    of_several_acceptances_of_one_suggestion_the_greatest_counts,
    the_last_look_tells_whether_a_suggestion_was_kept,
    next_edits_chat_actions_and_sessions_count_apart,
    who_sends_no_telemetry_is_absent_and_who_sends_empty_telemetry_is_not,
    what_telemetry_told_stays_where_events_are_replaced,
    a_completion_that_waited_becomes_a_turn_in_its_place,
    an_accepted_suggestion_was_shown_to_somebody,
    an_interaction_had_a_turn_if_an_earlier_chat_turn_of_the_user_names_it,
    the_last_editor_is_that_of_the_newest_exchange_before_that_told_it,
    a_clients_lies_about_its_counts_do_not_stop_the_store,
    what_the_command_line_tells_does_not_make_suggestions_known,
    what_was_done_with_an_answer_is_booked_on_its_day_whichever_comes_first,
);

/// A notice by `user`, a day and `n` seconds after the sample day's noon.
fn noticed(n: u32, user: &str, observations: Vec<Observation>) -> Noticed {
    Noticed {
        id: id(1000 + u128::from(n)),
        user: user.to_owned(),
        at: noon() + TimeDelta::days(1) + TimeDelta::seconds(n.into()),
        notice: Notice::Telemetry(observations),
    }
}

/// A report of suggestion `n`, which came with `request-n`.
fn report(n: u32, fate: Fate) -> SuggestionReport {
    SuggestionReport {
        suggestion_id: format!("suggestion-{n}"),
        kind: SuggestionKind::Completion,
        request_id: Some(format!("request-{n}")),
        fate,
        lines: Some(2),
        characters: Some(64),
        language: Some("python".to_owned()),
        model: None,
        editor_version: Some("vscode/1.99.0".to_owned()),
        time: None,
    }
}

fn told(n: u32, user: &str, reports: Vec<SuggestionReport>) -> Noticed {
    noticed(n, user, reports.into_iter().map(Observation::Suggestion).collect())
}

/// Telemetry of the next day: suggestion `n` was shown.
pub(in crate::store) fn shown_later(n: u32, user: &str) -> Noticed {
    told(n, user, vec![report(n, Fate::Shown)])
}

fn next_day() -> NaiveDate {
    today() + TimeDelta::days(1)
}

fn completions(store: &dyn UsageStore, day: NaiveDate, user: &str) -> Fates {
    store.acceptance(day).unwrap()[user].completions
}

const ACCEPTED: Fate = Fate::Accepted { partially: false };

fn a_suggestion_is_booked_on_its_exchanges_day(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada")]);
    let changed = store.take_notice(&[told(1, "ada", vec![report(1, Fate::Shown), report(1, ACCEPTED)])]).unwrap().days;
    assert_eq!(changed, BTreeSet::from([today(), next_day()]));
    let fates = completions(&*store, today(), "ada");
    assert_eq!((fates.shown, fates.accepted, fates.lines_shown, fates.lines_accepted), (1, 1, 2, 2));
    assert_eq!(store.acceptance(next_day()).unwrap()["ada"], Acceptance::default(), "telemetry came on that day");
    assert_eq!(store.day(today()).unwrap().users["ada"].acceptance.as_ref().unwrap().completions, fates);
}

fn telemetry_that_comes_first_waits_for_its_exchange(engine: Engine) {
    let store = engine.store_with(&[]);
    assert_eq!(store.take_notice(&[shown_later(1, "ada")]).unwrap().days, BTreeSet::from([next_day()]));
    assert_eq!(completions(&*store, next_day(), "ada").shown, 1);
    let inserted = store.insert(&[completion(1, "grace"), completion(2, "ada")]).unwrap();
    assert_eq!(inserted.rebooked, BTreeSet::new(), "another user's request, another request");
    let late = UsageEvent { id: id(7), ..completion(1, "ada") };
    assert_eq!(store.insert(&[late]).unwrap().rebooked, BTreeSet::from([today(), next_day()]));
    assert_eq!(completions(&*store, today(), "ada").shown, 1);
    assert_eq!(store.acceptance(next_day()).unwrap()["ada"], Acceptance::default());
}

fn what_is_told_twice_counts_once_across_restarts(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada")]);
    let notice = shown_later(1, "ada");
    store.take_notice(&[notice.clone(), notice.clone()]).unwrap();
    let store = store.restarted();
    assert_eq!(store.take_notice(&[Noticed { id: id(5), ..notice }]).unwrap().days, BTreeSet::new());
    assert_eq!(completions(&*store, today(), "ada").shown, 1);
}

fn users_with_the_same_ids_never_meet(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada"), UsageEvent { id: id(2), ..completion(1, "grace") }]);
    store.take_notice(&[shown_later(1, "ada"), told(1, "grace", vec![report(1, Fate::Rejected)])]).unwrap();
    let (ada, grace) = (completions(&*store, today(), "ada"), completions(&*store, today(), "grace"));
    assert_eq!((ada.shown, ada.rejected, grace.shown, grace.rejected), (1, 0, 0, 1));
    assert!(store.was_shown("ada", "request-1").unwrap());
    assert!(!store.was_shown("grace", "request-1").unwrap());
}

fn of_several_acceptances_of_one_suggestion_the_greatest_counts(engine: Engine) {
    let part = |lines| SuggestionReport { lines: Some(lines), ..report(1, Fate::Accepted { partially: true }) };
    let store = engine.store_with(&[completion(1, "ada")]);
    store.take_notice(&[told(1, "ada", vec![part(1), part(5), part(3), report(1, Fate::Rejected)])]).unwrap();
    let fates = completions(&*store, today(), "ada");
    assert_eq!((fates.accepted, fates.accepted_partially, fates.lines_accepted, fates.rejected), (1, 1, 5, 0));
    store.take_notice(&[told(2, "ada", vec![report(1, ACCEPTED)])]).unwrap();
    assert_eq!(completions(&*store, today(), "ada").accepted_partially, 0, "all of it in the end");
}

fn the_last_look_tells_whether_a_suggestion_was_kept(engine: Engine) {
    let look = |n, after_s, kept| report(n, Fate::StillInCode { after_s, kept });
    let store = engine.store_with(&[]);
    let counts = |n, reports| {
        store.take_notice(&[told(n, "ada", reports)]).unwrap();
        let fates = completions(&*store, next_day(), "ada");
        (fates.kept, fates.lost)
    };
    assert_eq!(counts(1, vec![look(1, 30, true), look(1, 15, false)]), (0, 0), "nobody said that it was accepted");
    assert_eq!(counts(1, vec![report(1, ACCEPTED)]), (1, 0));
    assert_eq!(counts(2, vec![report(2, ACCEPTED), look(2, 15, true), look(2, 600, false)]), (1, 1));
}

fn next_edits_chat_actions_and_sessions_count_apart(engine: Engine) {
    let next_edit = SuggestionReport { kind: SuggestionKind::NextEdit, ..report(1, ACCEPTED) };
    let action = |key: &str, kind| {
        Observation::ChatAction(ChatAction {
            key: key.to_owned(),
            kind,
            interaction_id: Some("interaction-1".to_owned()),
            request_id: None,
            language: Some("rust".to_owned()),
            model: None,
            lines: Some(4),
            characters: None,
            time: None,
        })
    };
    let session = |session: &str| {
        Observation::Session(SessionTotals {
            session_id: session.to_owned(),
            lines_added: Some(10),
            lines_removed: None,
            files_modified: Some(2),
            premium_requests: Some(0.33),
            nano_aiu: Some(u64::MAX),
            time: None,
        })
    };
    let observations = vec![
        Observation::Suggestion(next_edit),
        action("a", ChatActionKind::Copied),
        action("a", ChatActionKind::Copied),
        action("b", ChatActionKind::Applied),
        action("c", ChatActionKind::EditUndone),
        session("one"),
        session("one"),
        session("two"),
    ];
    let store = engine.store_with(&[]);
    store.take_notice(&[noticed(1, "ada", observations)]).unwrap();
    let acceptance = store.acceptance(next_day()).unwrap().remove("ada").unwrap();
    assert_eq!((acceptance.completions, acceptance.next_edits.accepted), (Fates::default(), 1));
    assert_eq!(acceptance.chat, ChatActions { copied: 1, applied: 1, edits_undone: 1, lines: 8, ..Default::default() });
    assert_eq!(acceptance.sessions, Sessions { count: 2, lines_added: 20, lines_removed: 0, files_modified: 4 });
}

fn who_sends_no_telemetry_is_absent_and_who_sends_empty_telemetry_is_not(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada"), completion(2, "grace")]);
    assert_eq!(store.take_notice(&[noticed(1, "linus", vec![])]).unwrap().days, BTreeSet::from([next_day()]));
    assert_eq!(store.acceptance(today()).unwrap(), BTreeMap::new());
    assert_eq!(store.acceptance(next_day()).unwrap(), BTreeMap::from([("linus".to_owned(), Acceptance::default())]));
    assert_eq!(store.days().unwrap(), [today(), next_day()]);
    assert_eq!(store.day(next_day()).unwrap().users["linus"].acceptance, Some(Acceptance::default()));
}

fn what_telemetry_told_stays_where_events_are_replaced(engine: Engine) {
    let store = engine.store_with(&[completion(1, "ada"), completion(2, "ada")]);
    store.take_notice(&[shown_later(1, "ada"), shown_later(2, "ada"), shown_later(3, "ada")]).unwrap();
    let before = (store.acceptance(today()).unwrap(), store.acceptance(next_day()).unwrap());
    store.replace_all(&mut [completion(1, "ada")].into_iter()).unwrap();
    assert_eq!((store.acceptance(today()).unwrap(), store.acceptance(next_day()).unwrap()), before);
    store.replace_all(&mut [completion(3, "ada")].into_iter()).unwrap();
    assert_eq!(completions(&*store, today(), "ada").shown, 3, "an exchange that was missing is found");
}

fn a_completion_that_waited_becomes_a_turn_in_its_place(engine: Engine) {
    let waiting = noise(1, "ada", "speculative");
    let store = engine.store_with(&[waiting.clone(), completion(2, "ada")]);
    store.take_notice(&[shown_later(1, "ada")]).unwrap();
    let turn = UsageEvent { class: Class::Turn, reason: None, ..waiting };
    store.replace(&[turn.clone(), completion(3, "ada")]).unwrap();
    assert_eq!(all_events(&*store), [turn, completion(2, "ada"), completion(3, "ada")]);
    assert_eq!(completions(&*store, today(), "ada").shown, 1);
}

fn an_accepted_suggestion_was_shown_to_somebody(engine: Engine) {
    let store = engine.store_with(&[]);
    let notice = told(1, "ada", vec![report(1, ACCEPTED), report(2, Fate::Rejected), report(3, Fate::Shown)]);
    store.take_notice(&[notice]).unwrap();
    let shown = [1, 2, 3, 4].map(|n| store.was_shown("ada", &format!("request-{n}")).unwrap());
    assert_eq!(shown, [true, false, true, false]);
    assert_eq!(completions(&*store, next_day(), "ada").shown, 1, "only what was told as shown counts as shown");
}

fn an_interaction_had_a_turn_if_an_earlier_chat_turn_of_the_user_names_it(engine: Engine) {
    let same = |event| UsageEvent { interaction_id: Some("one".to_owned()), ..event };
    let store = engine.store_with(&[same(step(1, "ada")), same(chat(3, "ada")), same(completion(2, "ada"))]);
    let asked = |user, interaction, n: i64| {
        store.had_turn(user, interaction, (noon() + TimeDelta::seconds(n), id(n.try_into().unwrap()))).unwrap()
    };
    assert!(asked("ada", "one", 4));
    assert!(!asked("ada", "one", 3), "itself is not an earlier one, nor is a step or a completion");
    assert!(!asked("grace", "one", 4));
    assert!(!asked("ada", "two", 4));
}

fn the_last_editor_is_that_of_the_newest_exchange_before_that_told_it(engine: Engine) {
    let ide = Some("vim".to_owned());
    let other = UsageEvent { editor: Some("Vim-9.1".to_owned()), ide, plugin: None, ..chat(3, "ada") };
    // The CLI is no editor.
    let cli = UsageEvent { editor: Some("copilot-1.0.102".to_owned()), ide: None, ..chat(4, "ada") };
    let silent = UsageEvent { editor: None, ide: None, ..noise(5, "ada", "no_text") };
    let of_others = [chat(7, "grace"), tomorrow(completion(8, "ada"))];
    let store = engine.store_with(&[&[completion(1, "ada"), other, cli, silent][..], &of_others].concat());
    let editor = |user, day: i64, n: u32| {
        let before = (noon() + TimeDelta::days(day) + TimeDelta::seconds(n.into()), id(n.into()));
        store.last_editor(user, before).unwrap().map(|last| (last.editor.unwrap(), last.plugin))
    };
    let vscode = Some(("vscode-1.99.0".to_owned(), Some("copilot/1.297.0".to_owned())));
    assert_eq!(editor("ada", 0, 1), None);
    assert_eq!(editor("ada", 0, 3), vscode);
    assert_eq!(editor("ada", 0, 6), Some(("Vim-9.1".to_owned(), None)));
    assert_eq!(editor("ada", 1, 8), Some(("Vim-9.1".to_owned(), None)), "of the day before");
    assert_eq!(editor("ada", 2, 9), vscode, "of the day before");
    assert_eq!(editor("ada", 3, 9), None, "two days are too long");
    assert_eq!(editor("linus", 0, 9), None);
}

fn a_clients_lies_about_its_counts_do_not_stop_the_store(engine: Engine) {
    let lie = |n| SuggestionReport { lines: Some(u64::MAX), characters: Some(u64::MAX), ..report(n, Fate::Shown) };
    let long = SuggestionReport { suggestion_id: "x".repeat(1 << 20), language: Some("é".repeat(99)), ..lie(3) };
    let store = engine.store_with(&[]);
    store.take_notice(&[told(1, "ada", vec![lie(1), lie(2), long])]).unwrap();
    assert_eq!(completions(&*store, next_day(), "ada").lines_shown, 3 << 32);
}

fn what_the_command_line_tells_does_not_make_suggestions_known(engine: Engine) {
    let store = engine.store_with(&[]);
    let session = Observation::Session(SessionTotals {
        session_id: "one".to_owned(),
        lines_added: Some(12),
        lines_removed: None,
        files_modified: None,
        premium_requests: None,
        nano_aiu: None,
        time: None,
    });
    let by_cli = |n| Noticed { notice: Notice::CliTelemetry(vec![session.clone()]), ..noticed(n, "ada", vec![]) };
    let suggestions = || store.acceptance(next_day()).unwrap()["ada"].suggestions();
    store.take_notice(&[by_cli(1)]).unwrap();
    assert_eq!(suggestions(), None);
    assert_eq!(store.acceptance(next_day()).unwrap()["ada"].sessions.lines_added, 12);
    // Nothing but that an editor reports, which makes nothing of unknown 0.
    assert_eq!(store.take_notice(&[noticed(2, "ada", vec![])]).unwrap().days, BTreeSet::from([next_day()]));
    assert_eq!(suggestions(), Some(Fates::default()));
    assert_eq!(store.take_notice(&[by_cli(3)]).unwrap().days, BTreeSet::new());
}

fn what_was_done_with_an_answer_is_booked_on_its_day_whichever_comes_first(engine: Engine) {
    let action = |key: &str, request_id: Option<&str>, interaction_id: Option<&str>| {
        Observation::ChatAction(ChatAction {
            key: key.to_owned(),
            kind: ChatActionKind::Copied,
            interaction_id: interaction_id.map(str::to_owned),
            request_id: request_id.map(str::to_owned),
            language: None,
            model: None,
            lines: None,
            characters: None,
            time: None,
        })
    };
    // Both are told on the day after. An exchange of an interaction that is no turn decides nothing.
    let told = noticed(
        1,
        "ada",
        vec![action("by-request", Some("request-1"), None), action("by-turn", None, Some("interaction-2"))],
    );
    let step_before = UsageEvent { ended_at: noon() - TimeDelta::days(1), ..step(2, "ada") };
    let step_before = UsageEvent { id: id(50), request_id: None, ..step_before };
    let events = [step_before, chat(1, "ada"), chat(2, "ada")];
    let copied = |store: &dyn UsageStore| {
        let of = |day| store.acceptance(day).unwrap().get("ada").map_or(0, |acceptance| acceptance.chat.copied);
        [of(today()), of(next_day())]
    };
    let after = engine.store_with(&events);
    assert_eq!(after.take_notice(std::slice::from_ref(&told)).unwrap().days, BTreeSet::from([today(), next_day()]));
    assert_eq!(copied(&*after), [2, 0]);
    let before = engine.store_with(&[]);
    before.take_notice(&[told]).unwrap();
    assert_eq!(copied(&*before), [0, 2]);
    assert_eq!(before.insert(&events).unwrap().rebooked, BTreeSet::from([today(), next_day()]));
    assert_eq!(copied(&*before), [2, 0]);
}
