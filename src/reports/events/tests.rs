//! Lines as readers get them, and when there are no more.

use chrono::Days;

use super::*;
use crate::reports::ReportError;
use crate::reports::sample::{Satisfied, everything, reports_on};
use crate::usage::sample::{chat, completion, noise, step};

fn written(reports: &Reports, scope: &Scope) -> String {
    let mut out = Vec::new();
    let count = reports.events(scope, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count() as u64, count);
    assert!(text.is_empty() || text.ends_with('\n'));
    text
}

#[test]
fn a_line_has_the_day_and_what_is_known() {
    let (reports, _folder) = reports_on(&[completion(1, "ada"), step(2, "ada"), noise(3, "bob", "repeat")]);
    insta::assert_snapshot!(written(&reports, &everything()));
}

#[test]
fn an_event_reads_back_as_it_was() {
    let events = [completion(1, "ada"), chat(2, "ada"), step(3, "bob")];
    let (reports, _folder) = reports_on(&events);
    let lines = written(&reports, &everything());
    let read: Vec<UsageEvent> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, events);
}

#[test]
fn days_users_and_noise_are_as_asked() {
    let mut tomorrow = chat(9, "ada");
    tomorrow.ended_at = tomorrow.ended_at + Days::new(1);
    let (reports, _folder) = reports_on(&[completion(1, "ada"), chat(2, "bob"), noise(3, "ada", "repeat"), tomorrow]);
    let all = everything();
    let count = |scope: &Scope| written(&reports, scope).lines().count();
    assert_eq!(count(&all), 4);
    assert_eq!(count(&Scope { noise: false, ..all.clone() }), 3);
    assert_eq!(count(&Scope { to: all.from, ..all.clone() }), 3);
    assert_eq!(count(&Scope { user: Some("bob".into()), ..all.clone() }), 1);
    assert_eq!(count(&Scope { user: Some("nobody".into()), ..all }), 0);
}

#[test]
fn a_reader_that_has_had_enough_ends_the_search() {
    let (reports, _folder) = reports_on(&(0..100).map(|n| completion(n, "ada")).collect::<Vec<_>>());
    let refused = reports.events(&everything(), &mut Satisfied { after: 1000 }).unwrap_err();
    assert!(matches!(&refused, ReportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe), "{refused:?}");
    let mut handed = 0;
    let stopped = reports.each_event(&everything(), |_| {
        handed += 1;
        Err(io::ErrorKind::BrokenPipe.into())
    });
    assert!(stopped.is_err());
    assert_eq!(handed, 1);
}
