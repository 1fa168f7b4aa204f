//! `kill -9` between completions that nobody has seen yet, the telemetry that they were shown, and what comes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Days;
use copilens::sim::client::ProxyClient;
use copilens::sim::rng::Seeded;
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::{Ask, fresh_id};
use crate::clock::FakeTime;
use crate::load::{Seen, assert_balanced, busy_upstream, is_long, patient_site, read_to_the_end};
use crate::midnight::yesterday;
use crate::support::{Copilens, Site, Upstream, files_below, files_in, json as json_of, wait_until};

/// Kills of one run; `./tests/run --long` has the second number.
const KILLS: (usize, usize) = (6, 120);
const USERS: [&str; 2] = ["alice", "bob"];

/// A completion fetched ahead that its client has seen to finish, and what the client tells of it.
struct Fetched {
    user: &'static str,
    canary: String,
    telemetry: Ask,
    is_accepted: bool,
}

/// A client that fetches ahead, and tells before, beside and after it what was shown.
async fn fetch_over(client: ProxyClient, user: &'static str, stop: Arc<AtomicBool>) -> Vec<Fetched> {
    let mut fetched = Vec::new();
    let Ok(models) = client.tunnel(Ask::completion().host, 443, Alpn::Http2).await else { return fetched };
    let Ok(telling) = client.tunnel(Ask::telemetry(&[]).host, 443, Alpn::Http1).await else { return fetched };
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let canary = format!("canary-{}", fresh_id());
        let ask = Ask::completion().with("x-copilot-speculative", "true").prompt(&canary);
        let is_accepted = number % 3 == 0;
        let telemetry = Ask::telemetry(&events(&ask, is_accepted));
        if number % 4 == 0 && telling.send(telemetry.request()).await.is_err() {
            break;
        }
        let Ok(mut reply) = models.send(ask.request()).await else { break };
        if !read_to_the_end(&mut reply).await {
            break;
        }
        // Some are told of at once, and some only by another start.
        let is_told = number % 4 < 2;
        fetched.push(Fetched { user, canary, telemetry: telemetry.clone(), is_accepted });
        if is_told && telling.send(telemetry.request()).await.is_err() {
            break;
        }
    }
    fetched
}

fn events(ask: &Ask, is_accepted: bool) -> Vec<Value> {
    let event = |name: &str| {
        json!({
            "name": "x.Event", "iKey": "7d7048df-6dd0-4048-bb23-b716c1461f8f",
            "data": {"baseType": "EventData", "baseData": {
                "name": format!("agent/ghostText.{name}"),
                "properties": {"headerRequestId": ask.request_id(), "clientCompletionId": ask.request_id(),
                               "choiceIndex": "0", "languageId": "python", "compType": "full"},
                "measurements": {"compCharLen": 10, "numLines": 1}
            }}
        })
    };
    if is_accepted { vec![event("shown"), event("accepted")] } else { vec![event("shown")] }
}

async fn fetch_until_killed(copilens: Copilens, rng: &mut Seeded) -> (Site, Vec<Fetched>) {
    let stop = Arc::new(AtomicBool::new(false));
    let clients = USERS.map(|user| tokio::spawn(fetch_over(copilens.client(user), user, Arc::clone(&stop))));
    tokio::time::sleep(Duration::from_millis(100 + rng.below(300))).await;
    let site = copilens.kill();
    stop.store(true, Ordering::Relaxed);
    let mut fetched = Vec::new();
    for client in clients {
        fetched.extend(client.await.unwrap());
    }
    (site, fetched)
}

/// Clients send again what they are not sure of.
async fn tell_all(copilens: &Copilens, fetched: &[Fetched]) {
    for user in USERS {
        let telling = copilens.tunnel(user, Ask::telemetry(&[]).host, Alpn::Http2).await;
        for of_user in fetched.iter().filter(|fetched| fetched.user == user) {
            assert_eq!(of_user.telemetry.finish(&telling).await.0, 200);
        }
    }
}

fn count(days: &[Value], user: &str, key: &str) -> u64 {
    days.iter().map(|day| day["usage"][user][key].as_u64().unwrap_or_default()).sum()
}

/// Prompts of completions that wait.
fn waiting(site: &Site) -> Vec<String> {
    let text = |path: &std::path::PathBuf| json_of(path)["record"]["request"]["content"]["prompt"].to_string();
    files_below(&site.path("logs/pending")).iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_was_shown_is_one_turn_whenever_the_proxy_is_killed() {
    let mut rng = Seeded::new(u64::from(chrono::Utc::now().timestamp_subsec_nanos()));
    let upstream = busy_upstream().await;
    let mut site = patient_site(&upstream).start().stop().1;
    let mut fetched = Vec::new();
    for _ in 0..if is_long() { KILLS.1 } else { KILLS.0 } {
        let (killed, more) = fetch_until_killed(site.start(), &mut rng).await;
        (site, fetched) = (killed, fetched.into_iter().chain(more).collect());
    }
    // The last start dies while it catches up and takes what is told again.
    let copilens = site.start();
    tell_all(&copilens, &fetched[fetched.len() / 2..]).await;
    let copilens = copilens.kill().start();
    tell_all(&copilens, &fetched).await;
    let (expected, seen) = (fetched.len(), Arc::new(Seen::default()));
    assert!(expected > 20, "{expected}");
    fetched.iter().for_each(|fetched| seen.saw(&fetched.canary));
    wait_until("an empty spool", || files_in(&copilens.site.path("logs/spool")).is_empty().then_some(()));
    let (code, site) = copilens.stop();
    assert_eq!(code, Some(0));

    assert_balanced(&site, &seen);
    let waiting = waiting(&site);
    let days: Vec<Value> = files_in(&site.path("logs/metrics")).iter().map(|path| json_of(path)).collect();
    for user in USERS {
        let of_user = || fetched.iter().filter(|fetched| fetched.user == user);
        assert!(of_user().all(|fetched| !waiting.iter().any(|prompt| prompt.contains(&fetched.canary))), "{waiting:?}");
        // Clients may also have told of one whose answer they did not see to finish.
        let (least, most) = (of_user().count() as u64, of_user().count() + if is_long() { KILLS.1 } else { KILLS.0 });
        let shown = count(&days, user, "shown");
        assert!((least..=most as u64).contains(&shown), "{shown} of {user} are shown instead of {least}");
        let accepted = of_user().filter(|fetched| fetched.is_accepted).count() as u64;
        let counted = count(&days, user, "accepted");
        assert!((accepted..=accepted + most as u64 - least).contains(&counted), "{counted} instead of {accepted}");
    }
}

/// What a client fetches ahead, and its telemetry.
fn ahead(is_accepted: bool) -> (Ask, Ask) {
    let ask = Ask::completion().with("x-copilot-speculative", "true");
    let telemetry = Ask::telemetry(&events(&ask, is_accepted));
    (ask, telemetry)
}

async fn send(copilens: &Copilens, ask: &Ask) {
    assert_eq!(ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_wait_on_the_disk_waits_in_the_spool() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    std::fs::create_dir(site.path("logs")).unwrap();
    std::fs::write(site.path("logs/pending"), "in the way").unwrap();
    let copilens = site.start();
    let (asks, telemetry): (Vec<_>, Vec<_>) = (0..4).map(|number| ahead(number % 2 == 0)).unzip();
    for ask in &asks {
        send(&copilens, ask).await;
    }
    assert!(copilens.wait_for_readyz(503).await.contains("logs/pending"));
    send(&copilens, &telemetry[0]).await;
    let copilens = copilens.kill().start();
    copilens.wait_for_readyz(503).await;
    std::fs::remove_file(copilens.site.path("logs/pending")).unwrap();
    assert_eq!(copilens.wait_for_readyz(200).await, "ready\n");
    for told in &telemetry[1..] {
        send(&copilens, told).await;
    }
    copilens.wait_for_records("alice", "completions", asks.len());
    let day = copilens.wait_for_day(|day| day["usage"]["alice"]["shown"] == asks.len());
    assert_eq!((&day["usage"]["alice"]["accepted"], &day["total_completions_count"]), (&json!(2), &json!(asks.len())));
    assert_eq!(files_below(&copilens.site.path("logs/pending")), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_and_accepted_after_midnight_is_booked_on_the_day_before() {
    let Some(faketime) = FakeTime::find() else { return };
    let upstream = Upstream::start().await;
    let before = yesterday();
    let after = before + Days::new(1);
    let copilens = faketime.start_at(Site::new(&upstream), &format!("@{before} 23:59:56"));
    let (ask, telemetry) = ahead(true);
    let seen_at_once = Ask::completion();
    send(&copilens, &ask).await;
    send(&copilens, &seen_at_once).await;
    let day = |site: &Site, day: chrono::NaiveDate| {
        let path = site.path(&format!("logs/metrics/copilot-usage_{day}.json"));
        if path.exists() { json_of(&path) } else { Value::Null }
    };
    wait_until("the old day's file", || (day(&copilens.site, before)["total_completions_count"] == 1).then_some(()));
    // Midnight has come when an exchange is booked on the new day.
    while day(&copilens.site, after) == Value::Null {
        send(&copilens, &Ask::completion().with("x-request-id", &fresh_id())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    send(&copilens, &telemetry).await;
    send(&copilens, &Ask::telemetry(&events(&seen_at_once, false))).await;
    let old = wait_until("both", || {
        let old = day(&copilens.site, before);
        (old["usage"]["alice"]["shown"] == 2 && old["usage"]["alice"]["accepted"] == 1).then_some(old)
    });
    let (completions, site) = (old["total_completions_count"].as_u64().unwrap(), copilens.stop().1);
    assert!(completions >= 2, "{old}");
    let texts = || [before, after].map(|date| day(&site, date));
    assert_eq!(texts()[1]["usage"]["alice"]["shown"].as_u64().unwrap_or_default(), 0);
    let files = texts();
    site.stdout(&["rebuild"]);
    assert_eq!(texts(), files);
    let (from, to) = (before.to_string(), before.to_string());
    let report: Value =
        serde_json::from_str(&site.stdout(&["report", "--json", "--from", &from, "--to", &to])).unwrap();
    assert_eq!(report["total"]["completions"], completions);
}
