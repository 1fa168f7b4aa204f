//! What is looked at from outside: whether others are served, and what the process holds.

use copilens::sim::client::Connection;

use crate::support::{Copilens, completion};

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
