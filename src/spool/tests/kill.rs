//! The promise itself: a process killed with SIGKILL keeps every exchange that it acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

/// Tells the test binary that it is the child, and which folder to use.
const CHILD: &str = "COPILENS_TEST_SPOOL_CHILD";

/// Appends until it is killed, and prints each number once it is acknowledged. Run by the test below only.
#[test]
#[ignore = "the child process of killed_after_any_number_of_acks_nothing_is_lost"]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let spool = Spool::open(Path::new(&dir), Options { segment_bytes: 100_000, ..options() }).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mut out = std::io::stderr();
    for batch in 0.. {
        let acks: Vec<_> =
            (batch * 8..batch * 8 + 8).map(|number| (number, spool.append(large(number, 3000)))).collect();
        for (number, ack) in acks {
            runtime.block_on(ack).unwrap();
            out.write_all(format!("acked {number}\n").as_bytes()).unwrap();
        }
    }
}

/// Starts the child, kills it after `acks` lines, and returns the last number that it acknowledged.
fn run_and_kill(dir: &Path, acks: usize) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["spool::tests::kill::child", "--exact", "--ignored", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let acked = |line: &str| line.strip_prefix("acked ").and_then(|number| number.parse::<usize>().ok());
    let mut last = None;
    for _ in 0..acks {
        last = acked(&lines.next().unwrap().unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let after = lines.map_while(Result::ok).filter_map(|line| acked(&line)).last();
    after.or(last).unwrap()
}

#[test]
fn killed_after_any_number_of_acks_nothing_is_lost() {
    for acks in [1, 2, 9, 30, 77, 200] {
        let dir = tempfile::tempdir().unwrap();
        let last = run_and_kill(dir.path(), acks);
        let spool = open(dir.path());
        let got = numbers(&drain(&mut spool.reader()));
        assert!(got.len() > last, "{} entries, but {last} was acknowledged", got.len());
        assert_eq!(got, (0..got.len()).collect::<Vec<_>>());
        assert_eq!(spool.status().unreadable, 0);
    }
}
