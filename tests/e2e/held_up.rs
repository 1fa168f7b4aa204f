//! Disks and folders that fail while copilens runs: traffic passes or is refused as set, what is lost is counted, and all
//! works again without a hand.

use std::fs;

use copilens::sim::client::ClientError;
use copilens::sim::tls::Alpn;
use serde_json::Value;

use crate::asking::Ask;
use crate::support::{Copilens, Site, Upstream, wait_until};

/// With room for a few exchanges, and with a recorder that cannot write.
fn site_that_fills(upstream: &Upstream) -> Site {
    let site = Site::new(upstream).set("capture.max_body", "\"20KB\"").set("capture.spool_limit", "\"20KB\"");
    fs::create_dir(site.path("logs")).unwrap();
    fs::write(site.path("logs/usage"), "in the way").unwrap();
    site
}

async fn ask(copilens: &Copilens) -> (u16, Vec<u8>) {
    let ask = Ask::completion();
    let (status, body) = ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    (status.as_u16(), body.to_vec())
}

/// Asks until the spool is full; gives the number of exchanges.
async fn fill(copilens: &Copilens) -> usize {
    for sent in 1..=200 {
        ask(copilens).await;
        if copilens.admin("/readyz").await.1.contains("the spool is full") {
            return sent;
        }
    }
    panic!("20 kB hold more than 200 exchanges");
}

fn records(copilens: &Copilens) -> usize {
    copilens.records("alice", "completions").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_spools_limit_traffic_passes_and_is_counted_until_there_is_room_again() {
    let upstream = Upstream::start().await;
    let copilens = site_that_fills(&upstream).start();
    let kept = fill(&copilens).await;
    for _ in 0..3 {
        let (status, body) = ask(&copilens).await;
        assert_eq!(status, 200);
        assert!(body.ends_with(b"data: [DONE]\n\n"));
    }
    let fault = copilens.wait_for_readyz(503).await;
    assert!(fault.contains("3 exchanges were not recorded since the start"), "{fault}");

    fs::remove_file(copilens.site.path("logs/usage")).unwrap();
    copilens.wait_for_readyz(200).await;
    copilens.wait_for_records("alice", "completions", kept);
    ask(&copilens).await;
    copilens.wait_for_records("alice", "completions", kept + 1);
    copilens.wait_for_day(|day| day["total_completions_count"] == kept + 1);
    let lines = copilens.log().matches("exchanges are not recorded").count();
    assert_eq!(lines, 1, "one line tells of all that were refused for the same reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_line_of_the_log_tells_what_was_not_recorded() {
    let upstream = Upstream::start().await;
    let mut copilens = site_that_fills(&upstream).start();
    let kept = fill(&copilens).await;
    ask(&copilens).await;
    copilens.signal(rustix::process::Signal::TERM);
    assert_eq!(copilens.exit_code(), Some(0));
    let last = wait_until("the last line", || {
        copilens.log().lines().find(|line| line.contains("copilens has stopped")).map(str::to_owned)
    });
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&last["unrecorded"], &last["waiting"], &last["late"]), (&1.into(), &kept.into(), &0.into()), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_spools_limit_traffic_is_refused_where_that_is_set() {
    let upstream = Upstream::start().await;
    let copilens = site_that_fills(&upstream).set("capture.on_failure", "\"refuse\"").start();
    let kept = fill(&copilens).await;
    let (status, body) = ask(&copilens).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &body["error"]["code"]), (503, &"not_recording".into()));
    assert_eq!(upstream.fake.seen().request_count, kept as u64, "the refused request went nowhere");
    let opened = crate::websocket::asking::try_open(&copilens.client("alice"), &[]).await;
    assert!(matches!(opened, Err(ClientError::Refused { answer, .. }) if answer.status == 503));
    assert_eq!(upstream.fake.seen().request_count, kept as u64, "nor did the upgrade");
    // What is nothing to record passes all the same.
    let connection = copilens.tunnel("alice", "api.github.com", Alpn::Http2).await;
    let request = http::Request::get("/copilot_internal/user").body(bytes::Bytes::new()).unwrap();
    assert_eq!(connection.send(request).await.unwrap().status(), 200);

    fs::remove_file(copilens.site.path("logs/usage")).unwrap();
    assert_eq!(copilens.wait_for_readyz(200).await, "ready\n");
    assert_eq!(ask(&copilens).await.0, 200);
    copilens.wait_for_records("alice", "completions", kept + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_cannot_be_written_is_reported_until_it_can() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let spool = copilens.site.path("logs/spool");
    fs::remove_dir_all(&spool).unwrap();
    fs::write(&spool, "in the way").unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&copilens).await.0, 200);
    }
    let fault = copilens.wait_for_readyz(503).await;
    assert!(fault.contains("logs/spool") && fault.contains("2 exchanges were not recorded"), "{fault}");
    fs::remove_file(&spool).unwrap();
    copilens.wait_for_readyz(200).await;
    ask(&copilens).await;
    copilens.wait_for_records("alice", "completions", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_file_that_cannot_be_written_holds_up_nothing_else() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    fs::create_dir(site.path("logs")).unwrap();
    fs::write(site.path("logs/metrics"), "in the way").unwrap();
    let copilens = site.start();
    ask(&copilens).await;
    wait_until("the record", || (records(&copilens) == 1).then_some(()));
    let fault = copilens.wait_for_readyz(503).await;
    assert!(fault.contains("logs/metrics"), "{fault}");
    fs::remove_file(copilens.site.path("logs/metrics")).unwrap();
    copilens.wait_for_day(|day| day["total_completions_count"] == 1);
    copilens.wait_for_readyz(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_day_file_is_made_anew_with_its_numbers() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    ask(&copilens).await;
    copilens.wait_for_day(|day| day["total_completions_count"] == 1);
    let site = copilens.kill();
    let day = crate::support::files_in(&site.path("logs/metrics")).remove(0);
    let before = fs::read_to_string(&day).unwrap();
    fs::write(&day, &before[..before.len() / 2]).unwrap();
    let _copilens = site.start();
    wait_until("the day file", || (fs::read_to_string(&day).unwrap() == before).then_some(()));
}
