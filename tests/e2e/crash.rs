//! What is kept when the process ends in the middle of its work, and who may use the log folder then.

use std::io::{BufRead, BufReader};
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};

use copilens::sim::client::Reply;
use copilens::sim::copilot::control;
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::{Ask, fresh_id};
use crate::support::{CHAT_HOST, Site, Upstream, wait_until};

/// So large that it takes the disk longer than the client to have it.
fn long_prompt() -> String {
    format!("canary-{} {}", fresh_id(), "x".repeat(4 << 20))
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

/// The first line of a start, which is empty where it ended instead, and how it ended.
fn first_words(mut child: Child) -> (String, Child) {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (line, child)
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_of_several_first_starts_at_once_one_runs_and_the_others_end_with_75() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    let start = || site.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let starts: Vec<_> = (0..4).map(|_| start()).collect();
    let starting: Vec<_> = starts.into_iter().map(|child| std::thread::spawn(|| first_words(child))).collect();
    let (mut running, mut ended) = (Vec::new(), Vec::new());
    for starting in starting {
        let (line, mut child) = starting.join().unwrap();
        if line.starts_with("listening") {
            running.push(child);
        } else {
            ended.push(child.wait().unwrap().code());
        }
    }
    let alive: Vec<_> = running.iter_mut().map(|child| child.try_wait().unwrap().is_none()).collect();
    for child in &mut running {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!((alive, ended), (vec![true], vec![Some(75); 3]));
    assert_eq!(site.start().stop().0, Some(0));
}
