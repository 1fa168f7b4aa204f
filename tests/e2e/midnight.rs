//! UTC midnight, through the real binary under a shifted clock.

use std::fs;
use std::sync::Arc;

use chrono::{Days, NaiveDate, Utc};
use copilens::sim::copilot::FakeOptions;
use copilens::sim::tls::Alpn;
use serde_json::Value;

use crate::asking::Ask;
use crate::clock::FakeTime;
use crate::load::{Books, Load, Seen, assert_balanced, busy_upstream, day_files, patient_site};
use crate::support::{Copilens, Site, Upstream, files_in, json, wait_until};
use crate::telemetry::Suggestion;

/// Yesterday, so that certificates made under the shifted clock are valid by the real one too.
pub(crate) fn yesterday() -> NaiveDate {
    Utc::now().date_naive() - Days::new(1)
}

/// Seconds before the end of the day.
fn start_before_midnight(faketime: &FakeTime, site: Site, day: NaiveDate) -> Copilens {
    faketime.start_at(site, &format!("@{day} 23:59:55"))
}

fn day_of(record: &Value) -> &str {
    record["timestamp"].as_str().unwrap().split_once('T').unwrap().0
}

fn day_file(copilens: &Copilens, day: NaiveDate) -> Value {
    let path = copilens.site.path(&format!("logs/metrics/copilot-usage_{day}.json"));
    if path.exists() { json(&path) } else { Value::Null }
}

/// A user asks for completions until `wanted` of them ended on `day`. Gives the number of those before, and on it.
async fn complete_until(copilens: &Copilens, user: &str, day: NaiveDate, wanted: usize) -> (usize, usize) {
    let connection = copilens.tunnel(user, Ask::completion().host, Alpn::Http2).await;
    let (mut sent, mut on_it) = (0, 0);
    while on_it < wanted {
        Ask::completion().whole().finish(&connection).await;
        sent += 1;
        let records = copilens.wait_for_records(user, "completions", sent);
        on_it = records.iter().filter(|record| day_of(record) == day.to_string()).count();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    (sent - on_it, on_it)
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_around_midnight_are_booked_on_the_day_of_their_end() {
    let Some(faketime) = FakeTime::find() else { return };
    let upstream = Upstream::with(FakeOptions { gated: true, ..FakeOptions::default() }, Alpn::Both).await;
    let before = yesterday();
    let after = before + Days::new(1);
    let copilens = start_before_midnight(&faketime, Site::new(&upstream), before);

    let across = Ask::chat();
    let mut answer = across.send(&copilens.tunnel("bob", across.host, Alpn::Http2).await).await;
    // Answers that are not streamed pass the gate. Three of the new day are enough.
    let (before_midnight, after_midnight) = complete_until(&copilens, "alice", after, 3).await;
    upstream.fake.release(1000);
    answer.bytes().await.unwrap();

    let chat = copilens.wait_for_records("bob", "chat", 1).remove(0);
    assert!(chat["timings"]["started_at"].as_str().unwrap().starts_with(&before.to_string()), "{chat}");
    assert_eq!(day_of(&chat), after.to_string());
    assert!(before_midnight > 0);
    let day = |day| day_file(&copilens, day);
    wait_until("the new day's file", || {
        (day(after)["total_completions_count"] == after_midnight && day(after)["total_chat_turns"] == 1).then_some(())
    });
    assert_eq!(
        (&day(before)["total_completions_count"], &day(before)["total_chat_turns"]),
        (&before_midnight.into(), &0.into())
    );
    assert_eq!(files_in(&copilens.site.path("logs/metrics")).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_and_accepted_after_midnight_is_booked_on_the_day_of_its_exchange() {
    let Some(faketime) = FakeTime::find() else { return };
    let upstream = Upstream::start().await;
    let before = yesterday();
    let after = before + Days::new(1);
    let copilens = start_before_midnight(&faketime, Site::new(&upstream), before);
    let (asked, ahead) = (Ask::completion(), Ask::completion().with("x-copilot-speculative", "true"));
    for ask in [&asked, &ahead] {
        ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    }
    complete_until(&copilens, "bob", after, 1).await;
    assert_eq!(day_of(&copilens.wait_for_records("alice", "completions", 1)[0]), before.to_string());

    let suggestion = Suggestion::of(&asked);
    let told = [suggestion.shown(), suggestion.accepted("full", 40, 3), Suggestion::of(&ahead).shown()];
    let batch = Ask::telemetry(&told);
    batch.finish(&copilens.tunnel("alice", batch.host, Alpn::Http1).await).await;
    let alice = |day| day_file(&copilens, day)["usage"]["alice"].clone();
    let of_exchange = wait_until("the day of the exchanges", || Some(alice(before)).filter(|day| day["shown"] == 2));
    assert_eq!([&of_exchange["accepted"], &of_exchange["lines_accepted"]], [1, 3], "{of_exchange}");
    // What was fetched ahead is a turn of the day on which it came.
    assert_eq!(of_exchange["completions_count"], 2, "{of_exchange}");
    // Of the new day it is known that she was shown nothing.
    let of_telemetry = wait_until("the day of the telemetry", || Some(alice(after)).filter(Value::is_object));
    assert_eq!([&of_telemetry["shown"], &of_telemetry["completions_count"]], [0, 0], "{of_telemetry}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e8_midnight_under_load_books_each_exchange_on_one_day() {
    let Some(faketime) = FakeTime::find() else { return };
    let upstream = busy_upstream().await;
    let before = yesterday();
    let days = [before, before + Days::new(1)].map(|day| day.to_string());
    let copilens = start_before_midnight(&faketime, patient_site(&upstream), before);
    let seen = Arc::new(Seen::default());
    let load = Load::start(&copilens, &seen);
    wait_until("exchanges of the new day", || (day_files(&copilens.site).get(&days[1])?.0 > 30).then_some(()));
    load.end().await;
    let (code, site) = copilens.stop();
    assert_eq!(code, Some(0));

    let books = Books::open(&site);
    for record in &books.records {
        let time =
            |text: &Value| text.as_str().unwrap().trim_end_matches('Z').parse::<chrono::NaiveDateTime>().unwrap();
        let passed = time(&record["timestamp"]) - time(&record["timings"]["started_at"]);
        let measured = record["timings"]["duration_ms"].as_f64().unwrap();
        let passed = passed.num_microseconds().unwrap() as f64 / 1000.0;
        assert!((passed - measured).abs() < 1000.0, "{passed} ms by the clock, {measured} ms measured");
    }
    let booked = books.turns_by_day();
    assert_eq!(booked.keys().collect::<Vec<_>>(), days.iter().collect::<Vec<_>>());
    assert_eq!(day_files(&site), booked);
    // A restart makes both anew.
    fs::remove_dir_all(site.path("logs/metrics")).unwrap();
    let (code, site) = site.start().stop();
    assert_eq!(code, Some(0));
    assert_eq!(assert_balanced(&site, &seen), seen.finished());
}
