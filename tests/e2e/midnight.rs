//! UTC midnight, through the real binary under a shifted clock.

use std::path::PathBuf;

use chrono::{Days, NaiveDate, Utc};
use copilens::sim::copilot::FakeOptions;
use copilens::sim::tls::Alpn;
use serde_json::Value;

use crate::asking::Ask;
use crate::support::{Copilens, Site, Upstream, files_in, json, wait_until};

/// The library of Debian's package `faketime`.
fn faketime() -> Option<PathBuf> {
    let folders = files_in("/usr/lib".as_ref());
    folders.iter().map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}

/// Yesterday, so that certificates made under the shifted clock are valid by the real one too.
fn yesterday() -> NaiveDate {
    Utc::now().date_naive() - Days::new(1)
}

fn shortly_before_midnight(site: Site, day: NaiveDate, library: &std::path::Path) -> Copilens {
    Copilens::start_with(site, |command| {
        command.env("LD_PRELOAD", library).env("TZ", "UTC").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("FAKETIME", format!("@{day} 23:59:55"));
    })
}

fn day_of(record: &Value) -> &str {
    record["timestamp"].as_str().unwrap().split_once('T').unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_around_midnight_are_booked_on_the_day_of_their_end() {
    let Some(library) = faketime() else {
        println!("skipped: no libfaketime (Debian package faketime)");
        return;
    };
    let upstream = Upstream::with(FakeOptions { gated: true, ..FakeOptions::default() }, Alpn::Both).await;
    let before = yesterday();
    let after = before + Days::new(1);
    let copilens = shortly_before_midnight(Site::new(&upstream), before, &library);

    let across = Ask::chat();
    let mut answer = across.send(&copilens.tunnel("bob", across.host, Alpn::Http2).await).await;
    let connection = copilens.tunnel("alice", Ask::completion().host, Alpn::Http2).await;
    let mut sent = 0;
    let mut after_midnight = 0;
    // Answers that are not streamed pass the gate. Three of the new day are enough.
    while after_midnight < 3 {
        Ask::completion().whole().finish(&connection).await;
        sent += 1;
        let records = copilens.wait_for_records("alice", "completions", sent);
        after_midnight = records.iter().filter(|record| day_of(record) == after.to_string()).count();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    upstream.fake.release(1000);
    answer.bytes().await.unwrap();

    let chat = copilens.wait_for_records("bob", "chat", 1).remove(0);
    assert!(chat["timings"]["started_at"].as_str().unwrap().starts_with(&before.to_string()), "{chat}");
    assert_eq!(day_of(&chat), after.to_string());
    let before_midnight = sent - after_midnight;
    assert!(before_midnight > 0);
    let day = |day: NaiveDate| {
        let path = copilens.site.path(&format!("logs/metrics/copilot-usage_{day}.json"));
        if path.exists() { json(&path) } else { Value::Null }
    };
    wait_until("the new day's file", || {
        (day(after)["total_completions_count"] == after_midnight && day(after)["total_chat_turns"] == 1).then_some(())
    });
    assert_eq!(
        (&day(before)["total_completions_count"], &day(before)["total_chat_turns"]),
        (&before_midnight.into(), &0.into())
    );
    assert_eq!(files_in(&copilens.site.path("logs/metrics")).len(), 2);
}
