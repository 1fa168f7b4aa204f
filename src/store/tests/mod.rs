//! The store's promises, kept by each of its kinds: what goes in comes out, once, and the SQL rollup is the fold of the events.
//!
//! A test here is a function of an [`Engine`]; [`on_each_engine`] makes a test of it for every kind of store.

mod accounts;
mod events;
mod rollups;
mod telemetry;
mod telemetry_in_any_order;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Deref};

use chrono::{NaiveDate, TimeDelta, TimeZone};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use super::*;
use crate::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use crate::usage::sample::{any_events, chat, completion, id, noise, noon, step};

/// Where a store of one kind is kept, of which nobody else knows; it is gone with this.
pub(in crate::store) trait Place {
    /// Opens the store as a proxy does; makes it the first time.
    fn open(&self) -> Box<dyn UsageStore>;

    /// The rows of a table as text, in the order of its key; what is neither text nor a number, as ASCII with escapes.
    fn rows(&self, table: &str) -> Vec<String>;
}

/// A kind of store: makes places for its tests.
#[derive(Clone, Copy)]
pub(in crate::store) struct Engine(pub(in crate::store) fn() -> Box<dyn Place>);

impl Engine {
    /// A new store that has these events.
    fn store_with(self, events: &[UsageEvent]) -> TestStore {
        let place = (self.0)();
        let store = place.open();
        store.insert(events).unwrap();
        TestStore { store, place }
    }
}

/// An open store and its place.
struct TestStore {
    store: Box<dyn UsageStore>,
    place: Box<dyn Place>,
}

impl Deref for TestStore {
    type Target = dyn UsageStore;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl TestStore {
    /// Closed and opened again.
    fn restarted(self) -> Self {
        let Self { store, place } = self;
        drop(store);
        Self { store: place.open(), place }
    }
}

/// Makes tests of functions of an [`Engine`].
macro_rules! on_each_engine {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test($crate::store::sqlite::tests::ENGINE); })*
        }
        mod postgres {
            $(#[test] fn $test() { $crate::store::postgres::tests::engine().into_iter().for_each(super::$test); })*
        }
    };
}
use on_each_engine;

/// As `proptest!`, for a property of an engine.
fn check<S: Strategy>(cases: u32, any: &S, property: impl Fn(S::Value) -> TestCaseResult) {
    let outcome = TestRunner::new(ProptestConfig::with_cases(cases)).run(any, property);
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

pub(in crate::store) fn today() -> NaiveDate {
    noon().date_naive()
}

fn tomorrow(event: UsageEvent) -> UsageEvent {
    UsageEvent { ended_at: event.ended_at + TimeDelta::days(1), ..event }
}

fn events_of(store: &dyn UsageStore, from: NaiveDate, to: NaiveDate, user: Option<&str>) -> Vec<UsageEvent> {
    let mut events = Vec::new();
    store
        .events(from, to, user, &mut |event| {
            events.push(event);
            ControlFlow::Continue(())
        })
        .unwrap();
    events
}

pub(in crate::store) fn all_events(store: &dyn UsageStore) -> Vec<UsageEvent> {
    events_of(store, NaiveDate::default(), today() + TimeDelta::days(9), None)
}

pub(in crate::store) fn fold<'a>(day: NaiveDate, events: impl IntoIterator<Item = &'a UsageEvent>) -> DayUsage {
    let mut usage = DayUsage::new(day);
    events.into_iter().filter(|event| event.day() == day).for_each(|event| usage.add(event));
    usage
}

pub(in crate::store) use telemetry::shown_later;
