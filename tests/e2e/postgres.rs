//! Proxies on a PostgreSQL server: several on one database, and a server that is down, read-only or slow. Whatever it is: clients get
//! their answers, the spool holds, and once it is over all is counted, once, without a hand.

mod check;
mod fleet;
mod trouble;

use std::time::Instant;

use copilens::sim::client::Connection;
use copilens::sim::tls::Alpn;
use serde_json::Value;

use crate::asking::Ask;
use crate::support::postgres::Server;
use crate::support::{COMPLETIONS_HOST, Copilens, PATIENCE, Site, Upstream, files_in, json, wait_until};

/// A site whose store is at `url`. No exchange of it is counted as late, however busy the machine is.
fn site(upstream: &Upstream, url: &str) -> Site {
    Site::new(upstream).set("capture.commit_timeout_ms", "60000").set("store.url", &format!("\"{url}\""))
}

/// A running proxy with one client of alice, which keeps count.
struct Proxy {
    copilens: Copilens,
    client: Connection,
    sent: usize,
}

impl Proxy {
    async fn start(site: Site) -> Self {
        Self::of(site.start(), 0).await
    }

    async fn of(copilens: Copilens, sent: usize) -> Self {
        let client = copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http1).await;
        Self { copilens, client, sent }
    }

    async fn killed(self) -> Self {
        Self::of(self.copilens.kill().start(), self.sent).await
    }

    /// Completions, one after the other, each of which the client sees to finish.
    async fn ask_times(&mut self, times: usize) {
        for _ in 0..times {
            let (status, body) = Ask::completion().finish(&self.client).await;
            assert!(status == 200 && body.ends_with(b"data: [DONE]\n\n"), "{status}");
            self.sent += 1;
        }
    }

    /// Waits until `/readyz` tells of all these.
    async fn wait_for_trouble(&self, words: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let (status, text) = self.copilens.admin("/readyz").await;
            if status == 503 && words.iter().all(|word| text.contains(word)) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "/readyz does not tell of {words:?}: {status} {text}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// After the trouble: ready, and all that was sent is recorded and counted.
    async fn recovers(&self) {
        assert_eq!(self.copilens.wait_for_readyz(200).await, "ready\n");
        self.copilens.wait_for_records("alice", "completions", self.sent);
        wait_until(&format!("day files with {}", self.sent), || {
            (completions(&self.copilens.site) == self.sent as u64).then_some(())
        });
        assert_eq!(reported(&self.copilens.site), self.sent);
    }
}

/// The sum of all day files: a test may run across midnight.
fn completions(site: &Site) -> u64 {
    let days = files_in(&site.path("logs/metrics"));
    days.iter().map(|day| json(day)["total_completions_count"].as_u64().unwrap()).sum()
}

/// Completions that `report` tells of.
fn reported(site: &Site) -> usize {
    let report: Value = serde_json::from_str(&site.stdout(&["report", "--json"])).unwrap();
    usize::try_from(report["total"]["completions"].as_u64().unwrap()).unwrap()
}

/// Rows of `usage_event`.
fn stored(server: &Server, database: &str) -> usize {
    server.count(database, "SELECT COUNT(*) FROM usage_event")
}
