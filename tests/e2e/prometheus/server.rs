//! A Prometheus of the test's own, and what it answers to PromQL.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use copilens::sim::client::direct_plain;
use http::Request;
use serde_json::Value;
use tempfile::TempDir;

use super::program;
use crate::support::PATIENCE;

/// Labels, but for the name and those of the target, and a value.
pub(super) type Series = (BTreeMap<String, String>, f64);

/// Killed when dropped.
pub(super) struct Prometheus {
    folder: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Prometheus {
    /// With the `scrape_configs` of a configuration, and blocks that are in `data` already. `None` where there is no Prometheus.
    pub(super) async fn start(scrape_configs: &str, data: Option<&Path>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("prometheus.yml"), scrape_configs).unwrap();
        let data = data.map_or_else(|| folder.path().join("data"), Path::to_owned);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let started = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--storage.tsdb.retention.time=10y")
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let Ok(child) = started else {
            println!("skipped: prometheus: not installed (Debian's package)");
            return None;
        };
        let mut server = Self { folder, address, child };
        let begun = Instant::now();
        while server.get("/-/ready").await.is_none() {
            assert!(begun.elapsed() < PATIENCE && server.child.try_wait().unwrap().is_none(), "{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(server)
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// What of its log somebody should look at.
    pub(super) fn complaints(&self) -> Vec<String> {
        let log = self.log();
        log.lines()
            .filter(|line| line.contains("level=warn") || line.contains("level=error"))
            .map(str::to_owned)
            .collect()
    }

    async fn get(&self, path: &str) -> Option<String> {
        let connection = direct_plain(self.address, "localhost").await.ok()?;
        let mut reply = connection.send(Request::get(path).body(Bytes::new()).unwrap()).await.ok()?;
        let is_good = reply.status().is_success();
        let text = String::from_utf8(reply.bytes().await.ok()?.to_vec()).unwrap();
        assert!(is_good || path.starts_with("/-/"), "{path}: {text}");
        is_good.then_some(text)
    }

    /// The answer to a query, at a second since 1970 or at present.
    pub(super) async fn query(&self, query: &str, at: Option<i64>) -> Vec<Series> {
        let query: String = url_encoded(query);
        let at = at.map_or_else(String::new, |at| format!("&time={at}"));
        let answer = self.get(&format!("/api/v1/query?query={query}{at}")).await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let result = &answer["data"]["result"];
        if answer["data"]["resultType"] == "scalar" {
            return vec![(BTreeMap::new(), number(&result[1]))];
        }
        let series = result.as_array().unwrap().iter().map(|series| {
            let labels = series["metric"].as_object().unwrap().iter();
            let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
            let labels = labels.filter(|(name, _)| !["__name__", "instance"].contains(&name.as_str()));
            (labels.collect(), number(&series["value"][1]))
        });
        series.collect()
    }

    /// The one value of a query, as soon as there is one of which `ready` holds.
    pub(super) async fn value(&self, query: &str, ready: impl Fn(f64) -> bool) -> f64 {
        let begun = Instant::now();
        loop {
            let series = self.query(query, None).await;
            if let [(_, value)] = series.as_slice()
                && ready(*value)
            {
                return *value;
            }
            assert!(begun.elapsed() < PATIENCE, "{query}: {series:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn url_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
