//! Roll-ups come back from bytes as they were, and other bytes are refused.

use proptest::prelude::*;

use super::packed::Packed;
use super::*;
use crate::usage::sample::any_usage;
use crate::usage::{Told, UsageEvent};

fn same<T: Packed + PartialEq>(value: &T) -> bool {
    T::unpack(&value.pack().unwrap()).unwrap() == *value
}

fn month(events: &[UsageEvent]) -> Month {
    let mut month = Month::default();
    events.iter().for_each(|event| month.put(event.day(), &UserDay::of([event], Told::default())));
    month
}

proptest! {
    #[test]
    fn roll_ups_are_bytes_and_back(events in any_usage(), telemetry in any::<bool>()) {
        let day = UserDay::of(&events, Told { telemetry, ..Told::default() });
        let organization = OrganizationDay::of([&day, &UserDay::of(&events[..events.len() / 2], Told::default())]);
        prop_assert!(same(&day) && same(&day.totals()) && same(&organization) && same(&OrganizationSums::of(&organization)));
        let month = month(&events);
        let year: Year = [(FIRST_DAY, MonthSum::of(&month)), (LAST_DAY, MonthSum::default())].into_iter().collect();
        prop_assert!(same(&month) && same(&year));
        prop_assert!(day.last_client().is_none_or(same));
    }

    #[test]
    fn other_bytes_are_refused_and_never_believed_to_be_many(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = (UserDay::unpack(&bytes), OrganizationDay::unpack(&bytes), Month::unpack(&bytes), Totals::unpack(&bytes));
        let _ = (Client::unpack(&bytes), Year::unpack(&bytes), OrganizationSums::unpack(&bytes));
    }
}

#[test]
fn a_month_has_its_days_in_order_and_once() {
    let sample = |day: u32, n| {
        let event = crate::usage::sample::completion(n, "ada");
        let day = event.day().checked_add_days(chrono::Days::new(day.into())).unwrap();
        (day, UserDay::of([&event], Told::default()))
    };
    let mut month = Month::default();
    for (day, known) in [sample(3, 1), sample(1, 2), sample(2, 3), sample(2, 4)] {
        month.put(day, &known);
    }
    let (first, _) = sample(1, 1);
    let (last, _) = sample(3, 1);
    assert_eq!(month.sum((first, last)).counts.requests, 3);
    assert_eq!(month.sum((first, first)).counts.requests, 1);
    month.put(first, &UserDay::default());
    assert_eq!(month.each().count(), 2);
}
