//! Wall clocks that jump or nearly stand still. Needs Debian's package `faketime`, whose library shifts the clock of one process.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{NaiveDateTime, Utc};
use copilens::sim::client::ClientError;
use copilens::sim::tls::Alpn;
use serde_json::Value;

use crate::asking::Ask;
use crate::load::{Books, Load, Seen, assert_balanced, busy_upstream, patient_site};
use crate::support::{ACCOUNT_HOST, CHAT_HOST, COMPLETIONS_HOST, Copilens, Site, Upstream, files_in};

/// What shifts a clock.
pub(crate) struct FakeTime(PathBuf);

impl FakeTime {
    /// `None`, and a line for `./tests/run`, where it is not installed.
    pub(crate) fn find() -> Option<Self> {
        let folders = files_in("/usr/lib".as_ref());
        let found = folders.iter().map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
        if found.is_none() {
            println!("skipped: no libfaketime (Debian package faketime)");
        }
        found.map(Self)
    }

    /// With `@`, a clock that runs from that time on, and with `x2` at the end, twice as fast.
    pub(crate) fn start_at(&self, site: Site, time: &str) -> Copilens {
        self.start_with(site, &[("FAKETIME", time)])
    }

    /// With a clock that [`step`] sets, eight hours west of Greenwich.
    fn start_adjustable(&self, site: Site) -> Copilens {
        let variables = [("FAKETIME_TIMESTAMP_FILE", OFFSET_FILE), ("FAKETIME_NO_CACHE", "1"), ("TZ", "XXX+8")];
        self.start_with(site, &variables)
    }

    /// Lengths of time pass as they do.
    fn start_with(&self, site: Site, variables: &[(&str, &str)]) -> Copilens {
        Copilens::start_with(site, |command| {
            command.env("LD_PRELOAD", &self.0).env("TZ", "UTC").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            command.envs(variables.iter().copied());
        })
    }
}

const OFFSET_FILE: &str = "clock-offset";

/// Sets the clock of a running copilens off by so many seconds.
fn step(site: &Site, seconds: i64) {
    let new = site.path("clock-offset.new");
    fs::write(&new, format!("{seconds:+}")).unwrap();
    fs::rename(new, site.path(OFFSET_FILE)).unwrap();
}

fn milliseconds(record: &Value, key: &str) -> f64 {
    record["timings"][key].as_f64().unwrap()
}

fn assert_ids_differ(books: &Books) {
    let ids: BTreeSet<_> = books.records.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), books.records.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn e9_a_clock_that_jumps_back_and_forth_costs_nothing() {
    let Some(faketime) = FakeTime::find() else { return };
    let upstream = busy_upstream().await;
    let site = patient_site(&upstream);
    step(&site, 0);
    let copilens = faketime.start_adjustable(site);
    let seen = Arc::new(Seen::default());
    let load = Load::start(&copilens, &seen);
    seen.wait_for(30).await;
    // To each host the first tunnel comes under another clock, so that each certificate is made under it.
    let hosts = ["copilot-proxy.githubusercontent.com", ACCOUNT_HOST, COMPLETIONS_HOST, CHAT_HOST];
    for (host, seconds) in hosts.into_iter().zip([-3600, 3600, -60, 0]) {
        step(&copilens.site, seconds);
        seen.wait_for(seen.finished() + 40).await;
        copilens.client("alice").tls(host, 443, host, Alpn::Http2).await.unwrap();
    }
    load.end().await;
    assert_eq!((seen.cut(), seen.unanswered()), (0, vec![]));
    copilens.wait_for_readyz(200).await;
    let (code, site) = copilens.stop();
    assert_eq!(code, Some(0));

    let books = Books::open(&site);
    assert_ids_differ(&books);
    for record in &books.records {
        let (first_byte, whole) = (milliseconds(record, "first_byte_ms"), milliseconds(record, "duration_ms"));
        assert!(0.0 <= first_byte && first_byte <= whole && whole < 20_000.0, "{}", record["timings"]);
    }
    let stamps: Vec<_> = books.records.iter().map(|record| record["timestamp"].as_str().unwrap()).collect();
    for stamp in &stamps {
        let off = (Utc::now() - stamp.parse::<NaiveDateTime>().unwrap().and_utc()).num_minutes();
        assert!(off.abs() < 2 * 60, "UTC: {stamp} is {off} minutes off");
    }
    let hours: BTreeSet<_> = stamps.iter().map(|stamp| stamp.get(..13).unwrap()).collect();
    assert!(hours.len() >= 3, "the clock was set: {hours:?}");
    assert_eq!(assert_balanced(&site, &seen), seen.finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn e9_a_certificate_made_under_a_wrong_clock_is_made_anew_under_the_right_one() {
    let Some(faketime) = FakeTime::find() else { return };
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    // A machine without a battery for its clock, before it has asked the network for the time.
    step(&site, -40 * 24 * 60 * 60);
    let copilens = faketime.start_adjustable(site);
    let client = copilens.client("alice");
    let early = client.tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http2).await;
    assert!(matches!(early, Err(ClientError::Handshake { .. })), "the certificate has expired by the client's clock");
    step(&copilens.site, 0);
    let tunnel = client.tunnel(CHAT_HOST, 443, Alpn::Http2).await.unwrap();
    assert_eq!(Ask::chat().finish(&tunnel).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_a_thousand_exchanges_of_one_user_in_the_same_millisecond_have_a_file_each() {
    const CONNECTIONS: usize = 10;
    const EACH: usize = 100;
    let Some(faketime) = FakeTime::find() else { return };
    let upstream = Upstream::start().await;
    // So slow that ten seconds are a tenth of a millisecond.
    let noon = format!("@{} 12:00:00 x0.00001", crate::midnight::yesterday());
    let copilens = faketime.start_at(patient_site(&upstream), &noon);
    let client = copilens.client("alice");
    let mut asking = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = client.clone();
        asking.spawn(async move {
            let tunnel = client.tunnel(COMPLETIONS_HOST, 443, Alpn::Http2).await.unwrap();
            for number in 0..EACH {
                let ask = Ask::completion().whole().prompt(&format!("{connection}-{number}"));
                assert_eq!(ask.finish(&tunnel).await.0, 200);
            }
        });
    }
    asking.join_all().await;
    let (code, site) = copilens.stop();
    assert_eq!(code, Some(0));
    let books = Books::open(&site);
    assert_ids_differ(&books);
    assert_eq!(books.prompts().len(), CONNECTIONS * EACH);
    let stamps: BTreeSet<_> = books.records.iter().map(|record| record["timestamp"].as_str().unwrap()).collect();
    let milliseconds: BTreeSet<_> = stamps.iter().map(|stamp| stamp.get(..23).unwrap()).collect();
    assert_eq!(milliseconds.len(), 1, "{milliseconds:?}");
    assert!(stamps.len() < CONNECTIONS * EACH / 2, "several a microsecond: {}", stamps.len());
    assert_eq!(assert_balanced(&site, &Seen::default()), CONNECTIONS * EACH);
}
