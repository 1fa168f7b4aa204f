//! Connections until no descriptor is left, on the edge that `ulimit -n` sets.

use std::process::{Command, Stdio};
use std::time::Duration;

use copilens::sim::tls::Alpn;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{COMPLETIONS_HOST, Copilens, Site, Upstream, wait_until};
use crate::watching::{assert_serves, open_descriptors};

const LIMIT: usize = 256;

/// Starts copilens under `ulimit` with these arguments.
fn start_limited(site: Site, limit: &str) -> Copilens {
    Copilens::start_with(site, |command| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" run")).arg(command.get_program());
        shell.current_dir(command.get_current_dir().unwrap()).env_remove("RUST_LOG");
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        *command = shell;
    })
}

/// Clients that say one byte and no more.
async fn idlers(copilens: &Copilens, count: usize) -> Vec<TcpStream> {
    let mut idlers = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(copilens.proxy).await.unwrap();
        stream.write_all(b"C").await.unwrap();
        idlers.push(stream);
    }
    idlers
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_without_descriptors_open_tunnels_go_on_and_new_ones_once_there_is_room() {
    let upstream = Upstream::start().await;
    let copilens = start_limited(Site::new(&upstream), &format!("-n {LIMIT}"));
    let bystander = copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http1).await;
    assert_serves(&bystander).await;
    copilens.wait_for_records("bob", "completions", 1);

    let idlers = idlers(&copilens, LIMIT + 50).await;
    wait_until("the last descriptor", || (open_descriptors(&copilens) >= LIMIT).then_some(()));
    assert_serves(&bystander).await;
    // A moment of what a busy accept loop would write.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(copilens.log().lines().count() < 50, "the log is flooded");

    drop(idlers);
    assert_serves(&copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await).await;
    copilens.wait_for_records("bob", "completions", 3);
    assert_eq!(copilens.wait_for_readyz(200).await.lines().count(), 1, "nothing to mend");
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_the_start_takes_all_descriptors_that_it_may_have() {
    let upstream = Upstream::start().await;
    let copilens = start_limited(Site::new(&upstream), &format!("-S -n {LIMIT}"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", copilens.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
    assert_ne!(numbers[0], LIMIT.to_string(), "the test needs a higher hard limit");
}
