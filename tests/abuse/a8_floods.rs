//! Floods of wrong credentials, and client-sent text in the log.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use copilens::sim::client::Credentials;
use copilens::sim::tls::{Alpn, TestAuthority};
use tokio::net::TcpSocket;

use crate::support::wire::{self, Wire};
use crate::support::{COMPLETIONS_HOST, Copilens, Site, Upstream, completion, wait_until};
use crate::watching::{MIB, peak_memory, wait_for_sum};

const CONNECTIONS: usize = 20;
/// Wrong CONNECTs on each connection.
const EACH: usize = 250;
/// Kept apart by `admission` at a time.
const ADDRESSES_TOLD: usize = 1024;

/// User and system time of the process so far, in hundredths of a second (proc(5), fields 14 and 15 of `stat`).
fn cpu_time(copilens: &Copilens) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", copilens.pid())).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn site() -> Site {
    Site::to(([127, 0, 0, 1], 1).into(), &TestAuthority::new().unwrap())
}

fn lines_about_credentials(copilens: &Copilens) -> usize {
    copilens.log().matches("wrong proxy credentials").count()
}

/// The work for a wrong password is one hash of what was sent; nothing is derived, and nothing is remembered of it.
#[tokio::test(flavor = "multi_thread")]
async fn a8_thousands_of_wrong_passwords_cost_little_and_leave_nothing() {
    let copilens = site().start();
    let right = copilens.credentials("bob");
    let target = format!("{COMPLETIONS_HOST}:443");
    assert_eq!(Wire::to(copilens.proxy).await.connect(&target, &right).await.status, 200);
    let (memory, cpu) = (peak_memory(&copilens), cpu_time(&copilens));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CONNECTIONS {
        let (proxy, target) = (copilens.proxy, target.clone());
        clients.spawn(async move {
            let mut wire = Wire::to(proxy).await;
            for number in 0..EACH {
                let name = if number % 2 == 0 { "alice".to_owned() } else { format!("mallory-{client}-{number}") };
                let wrong = Credentials::basic(&name, &"x".repeat(number * 32));
                assert_eq!(wire.connect(&target, &wrong).await.status, 407);
            }
        });
    }
    clients.join_all().await;
    let count = CONNECTIONS * EACH;
    let (grown, spent) = (peak_memory(&copilens) - memory, (cpu_time(&copilens) - cpu) * 10);
    // Past cargo's capture, which hides what a passing test prints.
    let _ = writeln!(std::io::stderr(), "{count} wrong CONNECTs: {spent} ms of CPU, {} KiB", grown / 1024);
    assert!(grown < 8 * MIB, "{} MiB", grown / MIB);
    assert!(spent < 5 * count as u64, "{spent} ms");
    assert!(lines_about_credentials(&copilens) <= 3, "one line and one that sums up each 10 s");
    wait_for_sum(&copilens, "copilens_unauthenticated_requests_total", count as f64).await;
    assert_eq!(Wire::to(copilens.proxy).await.connect(&target, &right).await.status, 200);
}

async fn connect_from(source: Ipv4Addr, proxy: SocketAddr) -> Wire<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    Wire::over(socket.connect(proxy).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_failures_from_ever_more_addresses_do_not_fill_memory_or_the_log() {
    let copilens = site().start();
    let wrong = wire::connect("a.example.com:443", &Credentials::basic("alice", "wrong"));
    let before = peak_memory(&copilens);
    for number in 0..2 * ADDRESSES_TOLD {
        let (high, low) = (u8::try_from(1 + number / 250).unwrap(), u8::try_from(1 + number % 250).unwrap());
        let answer = connect_from(Ipv4Addr::new(127, 9, high, low), copilens.proxy).await.ask(&wrong).await;
        assert_eq!(answer.status, 407);
    }
    // A summing line for none of them: each failed once.
    let told = lines_about_credentials(&copilens);
    assert!((1..=ADDRESSES_TOLD).contains(&told), "{told} lines");
    assert!(peak_memory(&copilens) - before < 8 * MIB);
    let right = copilens.credentials("alice");
    let mut wire = connect_from(Ipv4Addr::new(127, 9, 1, 1), copilens.proxy).await;
    assert_eq!(wire.connect(&format!("{COMPLETIONS_HOST}:443"), &right).await.status, 200, "nobody is locked out");
}

/// What a terminal would obey or a reader of lines take for another line: C0, DEL and C1, raw where HTTP lets it pass.
async fn send_hostile_text(copilens: &Copilens) {
    let connect = |name: &str| wire::connect("a.example.com:443", &Credentials::basic(name, "x"));
    for name in ["\u{1b}[2J\u{1b}]0;owned\u{7}", "a\r\n{\"level\":\"ERROR\"}", "\u{9b}31m", "\u{202e}ecila", "a\0b"] {
        assert_eq!(Wire::to(copilens.proxy).await.ask(connect(name)).await.status, 407);
    }
    let authorization = copilens.credentials("alice").header().unwrap();
    for host in ["a\u{1b}[31m.example.com:443", "a\u{9b}31m.example.com:443", "a%1b%5b2J.example.com:443"] {
        let request = format!("CONNECT {host} HTTP/1.1\r\nProxy-Authorization: {authorization}\r\n\r\n");
        assert_eq!(Wire::to(copilens.proxy).await.ask(request).await.status, 400);
    }
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let mut request = completion("\u{1b}[2J");
        for (name, value) in
            [("editor-version", "vscode/\u{9b}31m\u{85}"), ("user-agent", "x\u{9b}2J"), ("x-\u{7c}", "\t")]
        {
            request.headers_mut().insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let body =
            r#"{"prompt": "x", "stream": true, "model": "\u001b[2J\u009b31m", "extra": {"language": "\u001b[2J\n"}}"#;
        *request.body_mut() = bytes::Bytes::from(body);
        let tunnel = copilens.tunnel("alice", COMPLETIONS_HOST, alpn).await;
        tunnel.send(request).await.unwrap().bytes().await.unwrap();
    }
    copilens.wait_for_records("alice", "completions", 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_no_client_sent_text_breaks_a_line_of_the_log_or_speaks_to_a_terminal() {
    let upstream = Upstream::start().await;
    let copilens = Copilens::start_with(Site::new(&upstream), |command| {
        command.env("RUST_LOG", "trace");
    });
    send_hostile_text(&copilens).await;
    let log =
        wait_until("the last line", || Some(copilens.log()).filter(|log| log.matches("\"exchange\"").count() == 2));
    let (last, _) = log.rsplit_once('\n').unwrap();
    assert!(last.contains("\"TRACE\""));
    for line in last.lines().skip_while(|line| !line.starts_with('{')) {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

/// Starts copilens with its standard error on a terminal, which comes out at ours.
fn start_on_a_terminal(site: Site) -> Copilens {
    Copilens::start_with(site, |command| {
        let mut shell = Command::new("sh");
        let script = "exec script -qfec \"exec '$0' run 2>&1 1>&3\" /dev/null 3>&1 1>&2";
        shell.arg("-c").arg(script).arg(command.get_program());
        shell.current_dir(command.get_current_dir().unwrap()).env("RUST_LOG", "trace").env("NO_COLOR", "1");
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        *command = shell;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_log_on_a_terminal_says_nothing_that_the_terminal_obeys() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: script: not installed (part of util-linux)");
        return;
    }
    let upstream = Upstream::start().await;
    let copilens = start_on_a_terminal(Site::new(&upstream));
    send_hostile_text(&copilens).await;
    let log = wait_until("the log", || Some(copilens.log()).filter(|log| log.matches(" exchange ").count() == 2));
    assert!(log.contains("TRACE") && !log.contains("{\"timestamp\""), "{log}");
    let obeyed: Vec<_> =
        log.lines().filter(|line| line.trim_end().chars().any(|c| c.is_control() && c != '\t')).collect();
    assert!(obeyed.is_empty(), "{obeyed:?}");
}
