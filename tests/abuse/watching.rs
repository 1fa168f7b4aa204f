//! What is looked at from outside: whether others are served, and what the process holds.

use bytes::Bytes;
use copilens::sim::client::{Connection, direct_plain};
use http::Request;

use crate::support::{Copilens, PATIENCE, completion};

pub(crate) const MIB: usize = 1024 * 1024;

pub(crate) async fn assert_serves(tunnel: &Connection) {
    let mut reply = tunnel.send(completion("def still_here():")).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(reply.bytes().await.unwrap().ends_with(b"data: [DONE]\n\n"));
}

/// The most memory that the process has had so far, in bytes.
pub(crate) fn peak_memory(copilens: &Copilens) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", copilens.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

pub(crate) fn open_descriptors(copilens: &Copilens) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", copilens.pid())).unwrap().count()
}

/// What `/metrics` tells an admin.
pub(crate) async fn metrics(copilens: &Copilens) -> String {
    let token = std::fs::read_to_string(copilens.site.path("config/admin-token")).unwrap();
    let request = Request::get("/metrics").header("authorization", format!("Bearer {}", token.trim()));
    let connection = direct_plain(copilens.admin, "localhost").await.unwrap();
    let mut reply = connection.send(request.body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(reply.status(), 200);
    String::from_utf8(reply.bytes().await.unwrap().to_vec()).unwrap()
}

/// The sum of a metric's series.
pub(crate) fn sum(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    let of_this = samples.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'));
    of_this.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

/// Waits until the metric's series add up to this.
pub(crate) async fn wait_for_sum(copilens: &Copilens, name: &str, expected: f64) {
    let begun = std::time::Instant::now();
    loop {
        let text = metrics(copilens).await;
        if sum(&text, name) == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{name} is not {expected} in\n{text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
