//! `kill -9` at any moment: what a client saw finish is recorded once and counted once.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use copilens::sim::client::{Connection, Reply};
use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::{Ask, fresh_id};
use crate::support::{CHAT_HOST, Copilens, Site, Upstream, files_in, json, wait_until};

/// Kills in one run of the test.
const ROUNDS: usize = 8;
/// Answers that clients have seen finish when the kill comes.
const FINISHED_A_ROUND: usize = 30;

/// All JSON files below.
fn json_files(folder: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for path in files_in(folder) {
        if path.is_dir() {
            found.extend(json_files(&path));
        } else {
            found.push(json(&path));
        }
    }
    found
}

/// Parses every visible file again and again, whatever else happens.
fn watch_for_torn_files(logs: &Path) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (logs, stopped) = (logs.to_owned(), Arc::clone(&stop));
    let reader = std::thread::spawn(move || {
        let mut read = 0;
        while !stopped.load(Ordering::Relaxed) {
            read += json_files(&logs.join("usage")).len() + json_files(&logs.join("metrics")).len();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        read
    });
    (stop, reader)
}

/// What clients have seen finish.
#[derive(Default)]
struct Finished {
    canaries: Mutex<Vec<String>>,
    count: AtomicUsize,
}

/// Sends one exchange after the other until the connection breaks.
async fn keep_asking(connection: Connection, make: impl Fn() -> Ask, finished: Arc<Finished>) {
    loop {
        let canary = format!("canary-{}", fresh_id());
        let Ok(mut reply) = connection.send(make().prompt(&canary).request()).await else { return };
        assert_eq!(reply.status(), 200);
        let plain = reply.header("content-encoding").is_none();
        let mut body = Vec::new();
        loop {
            match reply.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => return,
            }
            // A client that has the last event has its answer, whether or not the connection is still there to end it.
            if plain && body.ends_with(b"data: [DONE]\n\n") {
                break;
            }
        }
        finished.canaries.lock().unwrap().push(canary);
        finished.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Six connections' load until so many answers are finished, then SIGKILL.
async fn work_and_kill(copilens: Copilens, finished: &Arc<Finished>) -> Site {
    let kinds: [(fn() -> Ask, Alpn); 6] = [
        (Ask::completion, Alpn::Http1),
        (Ask::completion, Alpn::Http2),
        (Ask::chat, Alpn::Http2),
        (|| Ask::chat().whole(), Alpn::Http1),
        (|| Ask::completion().whole(), Alpn::Http2),
        (|| Ask::completion().with(control::ENCODING, "gzip"), Alpn::Http1),
    ];
    let mut clients = Vec::new();
    for (number, (make, alpn)) in kinds.into_iter().enumerate() {
        let user = ["alice", "bob"][number % 2];
        let connection = copilens.tunnel(user, make().host, alpn).await;
        clients.push(tokio::spawn(keep_asking(connection, make, Arc::clone(finished))));
    }
    let enough = finished.count.load(Ordering::Relaxed) + FINISHED_A_ROUND;
    while finished.count.load(Ordering::Relaxed) < enough {
        tokio::task::yield_now().await;
    }
    let site = copilens.kill();
    for client in clients {
        client.await.unwrap();
    }
    site
}

/// How often each canary is in a record.
fn recorded(site: &Site) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for record in json_files(&site.path("logs/usage")) {
        let content = &record["request"]["content"];
        let prompt = content["prompt"].as_str().or(content["messages"][0]["content"].as_str()).unwrap();
        *found.entry(prompt.to_owned()).or_default() += 1;
    }
    found
}

fn turns(site: &Site) -> (usize, usize) {
    let records = json_files(&site.path("logs/usage"));
    let of = |kind: &str| records.iter().filter(|record| record["kind"] == kind && record["class"] == "turn").count();
    (of("completions"), of("chat"))
}

/// The sums of all day files: the test may run across midnight.
fn counted(site: &Site) -> (usize, usize) {
    let sum = |key: &str| {
        let days = json_files(&site.path("logs/metrics"));
        days.iter().map(|day| usize::try_from(day[key].as_u64().unwrap()).unwrap()).sum()
    };
    (sum("total_completions_count"), sum("total_chat_turns"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_saw_finish_survives_kill_9_once_each() {
    let options = FakeOptions { event_delay: std::time::Duration::from_millis(1), ..FakeOptions::default() };
    let upstream = Upstream::with(options, Alpn::Both).await;
    // A busy machine may need long for an acknowledgement; exchanges that are counted as late are excepted from the promise.
    let mut site = Site::new(&upstream).set("capture.commit_timeout_ms", "60000");
    let (stop, reader) = watch_for_torn_files(&site.path("logs"));
    let finished = Arc::new(Finished::default());
    for _ in 0..ROUNDS {
        site = work_and_kill(site.start(), &finished).await;
    }
    let (code, site) = site.start().stop();
    assert_eq!(code, Some(0));
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 100);

    let recorded = recorded(&site);
    for canary in finished.canaries.lock().unwrap().iter() {
        assert_eq!(recorded.get(canary), Some(&1), "{canary}");
    }
    assert!(recorded.values().all(|count| *count == 1), "{recorded:?}");
    assert!(recorded.len() >= ROUNDS * FINISHED_A_ROUND);
    assert_eq!(counted(&site), turns(&site));
    assert_eq!(files_in(&site.path("logs/.unfinished")), files_in(&site.path("logs/spool")));
    assert!(files_in(&site.path("logs/.unfinished")).is_empty());

    let before = counted(&site);
    site.stdout(&["rebuild"]);
    assert_eq!(counted(&site), before);
}

/// So large that it takes the disk longer than the client to have it.
fn long_prompt() -> String {
    format!("canary-{} {}", fresh_id(), "x".repeat(12 << 20))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_answer_waits_until_its_copy_is_safe() {
    let upstream = Upstream::start().await;
    let mut site = Site::new(&upstream).set("capture.commit_timeout_ms", "60000");
    let asks: [fn() -> Ask; 4] = [
        Ask::chat,
        || Ask::chat().whole(),
        || Ask::chat().with(control::ENCODING, "gzip"),
        || Ask::chat().with(control::BODY_SIZE, "0"),
    ];
    let mut finished = 0;
    for alpn in [Alpn::Http1, Alpn::Http2] {
        for ask in asks {
            let copilens = site.start();
            let connection = copilens.tunnel("alice", CHAT_HOST, alpn).await;
            let mut reply = ask().prompt(&long_prompt()).send(&connection).await;
            read_to_the_last_event(&mut reply).await;
            finished += 1;
            site = copilens.kill();
            let copilens = site.start();
            copilens.wait_for_records("alice", "chat", finished);
            site = copilens.stop().1;
        }
    }
}

/// Reads no further than a client needs to that has its answer then.
async fn read_to_the_last_event(reply: &mut Reply) {
    while let Some(chunk) = reply.chunk().await.unwrap() {
        if chunk.ends_with(b"data: [DONE]\n\n") {
            return;
        }
    }
}

/// Exit code and standard error of a command that might go on for ever.
fn end_of(mut command: Command) -> (Option<i32>, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
        wait_until("the end of the second instance", || child.try_wait().unwrap())
    }));
    let _ = child.kill();
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    (ended.unwrap_or_else(|_| panic!("it went on: {said}")).code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_names_the_first_and_a_killed_one_leaves_no_lock() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    for command in ["run", "rebuild"] {
        let (code, said) = end_of(copilens.site.command(&[command]));
        assert_eq!(code, Some(75), "{said}");
        assert!(said.contains(&format!("process {}", copilens.pid())), "{said}");
    }
    assert_eq!(copilens.admin("/livez").await.0, 200);
    let first = copilens.pid();
    let copilens = copilens.kill().start();
    assert_ne!(copilens.pid(), first);
    let (code, _) = copilens.stop();
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_recorder_had_not_done_is_done_at_the_next_start() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    std::fs::create_dir(site.path("logs")).unwrap();
    std::fs::write(site.path("logs/usage"), "in the way").unwrap();
    let copilens = site.start();
    for _ in 0..5 {
        let ask = Ask::completion();
        assert_eq!(ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await.0, 200);
    }
    let fault = copilens.wait_for_readyz(503).await;
    assert!(fault.contains("logs/usage/alice"), "{fault}");

    let copilens = copilens.kill().start();
    copilens.wait_for_readyz(503).await;
    assert_eq!(copilens.day_file(), Value::Null);
    std::fs::remove_file(copilens.site.path("logs/usage")).unwrap();
    copilens.wait_for_records("alice", "completions", 5);
    let day = copilens.wait_for_day(|day| day["total_completions_count"] == 5);
    assert_eq!(day["usage"]["alice"]["completions"], json!({"vscode-1.96.2": {"python": 5}}));
    assert_eq!(copilens.wait_for_readyz(200).await, "ready\n");
}
