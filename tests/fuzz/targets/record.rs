//! Any JSON as a record file: refused, or the event that it makes is booked on the day that it says, and stays the same
//! when the record is written again.

#![no_main]

use copilens::recorder::Record;
use copilens::usage::{DayUsage, UsageEvent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(record) = serde_json::from_slice::<Record>(text) else { return };
    let written = record.to_json();
    let read: Record = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(read, record);
    assert_eq!(read.to_json(), written);
    assert!(!record.file_stamp().contains(':'));
    match (record.event(), read.event()) {
        (Ok(event), Ok(again)) => {
            assert_eq!(event, again);
            the_event_is_booked(&record, &event);
        }
        (Err(_), Err(_)) => {}
        (one, other) => panic!("{one:?} and {other:?}"),
    }
});

fn the_event_is_booked(record: &Record, event: &UsageEvent) {
    assert_eq!(event.user, record.user);
    assert!(!event.host.contains(['/', '?']));
    let kept = serde_json::to_string(event).expect("an event is JSON");
    assert_eq!(&serde_json::from_str::<UsageEvent>(&kept).expect("what was written"), event);
    let mut day = DayUsage::new(event.day());
    day.add(event);
    serde_json::from_str::<serde_json::Value>(&day.to_json()).expect("a day file is JSON");
}
