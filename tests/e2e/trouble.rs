//! Trouble with disks, folders and the store while copilens runs. Whatever it is: clients get their answers (or 503, where
//! that is set), what is not recorded is counted, `/readyz` names the thing and the remedy, and once the trouble is over all
//! works and all numbers agree without a hand.

mod disks;
mod folders;
mod limit;
mod links;
mod retention;
mod store;

use std::fs;
use std::path::Path;
use std::process::Command;

use copilens::sim::client::{Connection, direct_plain};
use copilens::sim::tls::Alpn;
use http::Request;
use serde_json::Value;

use crate::asking::Ask;
use crate::support::{COMPLETIONS_HOST, Copilens, Site, Upstream, files_in, json, wait_until};

/// What to do with exchanges that cannot be recorded (`capture.on_failure`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Pass,
    Refuse,
}

impl Policy {
    fn set(self, site: Site) -> Site {
        site.set("capture.on_failure", if self == Self::Pass { "\"pass\"" } else { "\"refuse\"" })
    }
}

/// A running copilens with one client, which keeps count.
struct Trial {
    copilens: Copilens,
    upstream: Upstream,
    client: Connection,
    /// Exchanges that the client saw finish.
    sent: usize,
}

impl Trial {
    /// Housekeeping often, so that little is waited for; room for answers that a busy machine acknowledges late.
    fn site(upstream: &Upstream) -> Site {
        Site::new(upstream).set("capture.sync_interval", "\"50ms\"").set("capture.commit_timeout_ms", "60000")
    }

    /// With segments of 250 kB: the one that is open stays so until it is full, where the recorder cannot finish what is in it.
    fn with_small_segments(site: Site) -> Site {
        site.set("capture.max_body", "\"20KB\"").set("capture.spool_limit", "\"1MB\"")
    }

    async fn start(adjust: impl FnOnce(Site) -> Site) -> Self {
        let upstream = Upstream::start().await;
        let copilens = adjust(Self::site(&upstream)).start();
        Self::of(upstream, copilens).await
    }

    async fn of(upstream: Upstream, copilens: Copilens) -> Self {
        let client = copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http1).await;
        Self { copilens, upstream, client, sent: 0 }
    }

    /// The same folder under a new process.
    async fn restart(self, end: impl FnOnce(Copilens) -> Site, between: impl FnOnce(&Site)) -> Self {
        let site = end(self.copilens);
        between(&site);
        let copilens = site.start();
        let client = copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http1).await;
        Self { copilens, client, ..self }
    }

    fn path(&self, relative: &str) -> std::path::PathBuf {
        self.copilens.site.path(relative)
    }

    /// One completion; gives the answer's status, which is 200 or 503.
    async fn ask(&mut self) -> u16 {
        self.ask_with("def area(width, height):\n    ").await
    }

    async fn ask_with(&mut self, prompt: &str) -> u16 {
        let (status, body) = Ask::completion().prompt(prompt).finish(&self.client).await;
        match status.as_u16() {
            200 => {
                assert!(body.ends_with(b"data: [DONE]\n\n"));
                self.sent += 1;
            }
            status => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!((status, &body["error"]["code"]), (503, &"not_recording".into()));
            }
        }
        status.as_u16()
    }

    async fn ask_times(&mut self, count: usize) {
        for _ in 0..count {
            assert_eq!(self.ask().await, 200);
        }
    }

    /// While nothing can be recorded: what clients see, and that it is counted.
    async fn ask_in_trouble(&mut self, policy: Policy) {
        let (lost, seen) = (self.unrecorded().await, self.upstream.fake.seen().request_count);
        let expected = if policy == Policy::Pass { 200 } else { 503 };
        for _ in 0..3 {
            assert_eq!(self.ask().await, expected);
        }
        let (more_lost, more_seen) = if policy == Policy::Pass { (3, 3) } else { (0, 0) };
        assert_eq!(self.unrecorded().await, lost + more_lost);
        assert_eq!(self.upstream.fake.seen().request_count, seen + more_seen);
    }

    /// Asks until an exchange is lost, or refused: what is open already may have room for some.
    async fn ask_until_lost(&mut self) {
        for _ in 0..200 {
            if self.ask().await != 200 || self.unrecorded().await > 0 {
                return;
            }
        }
        panic!("200 exchanges were recorded in spite of the trouble");
    }

    async fn metric(&self, series: &str) -> u64 {
        let token = fs::read_to_string(self.path("config/admin-token")).unwrap();
        let connection = direct_plain(self.copilens.admin, "localhost").await.unwrap();
        let request = Request::get("/metrics").header("authorization", format!("Bearer {}", token.trim()));
        let mut reply = connection.send(request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
        let text = String::from_utf8(reply.bytes().await.unwrap().to_vec()).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }

    async fn unrecorded(&self) -> u64 {
        self.metric("copilens_unrecorded_exchanges_total").await
    }

    /// Waits until `/readyz` tells of all these.
    async fn wait_for_trouble(&self, words: &[&str]) -> String {
        let begun = std::time::Instant::now();
        loop {
            let (status, text) = self.copilens.admin("/readyz").await;
            if status == 503 && words.iter().all(|word| text.contains(word)) {
                return text;
            }
            assert!(begun.elapsed() < crate::support::PATIENCE, "/readyz does not tell of {words:?}: {status} {text}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// After the trouble: ready, the next exchange recorded, and of those before all but what was counted as lost.
    async fn recovers(&mut self) {
        assert_eq!(self.copilens.wait_for_readyz(200).await, "ready\n");
        assert_eq!(self.ask().await, 200);
        let lost = self.unrecorded().await + self.metric("copilens_spool_unreadable_total").await;
        self.has_recorded(self.sent - usize::try_from(lost).unwrap());
        assert_eq!(self.metric("copilens_late_exchanges_total").await, 0);
        assert_eq!(self.metric("copilens_panics_total").await, 0);
        assert_eq!(self.copilens.wait_for_readyz(200).await, "ready\n");
    }

    /// Record files, day files and reports agree.
    fn has_recorded(&self, count: usize) {
        self.copilens.wait_for_records("alice", "completions", count);
        wait_until(&format!("day files with {count}"), || (self.counted() == count as u64).then_some(()));
        let report: Value = serde_json::from_str(&self.copilens.site.stdout(&["report", "--json"])).unwrap();
        assert_eq!(report["total"]["completions"], count);
    }

    /// The sum of all day files: a test may run across midnight.
    fn counted(&self) -> u64 {
        let days = files_in(&self.path("logs/metrics"));
        days.iter().map(|day| json(day)["total_completions_count"].as_u64().unwrap()).sum()
    }
}

/// Runs a program of the system; false where it is missing or fails, as without the right to do so.
fn system(program: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(program).args(arguments).arg(path).output().is_ok_and(|output| output.status.success())
}

fn skipped(why: &str) {
    println!("skipped: {why}");
}
