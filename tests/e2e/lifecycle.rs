//! From the first start to the last signal.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;
use rustix::process::Signal;
use serde_json::json;

use crate::asking::Ask;
use crate::support::{CHAT_HOST, Copilens, Site, Upstream, files_in, wait_until};

/// Nothing but the configuration as it is committed.
fn site_of_a_fresh_clone(upstream: &Upstream) -> Site {
    let site = Site::new(upstream);
    for file in ["copilens.toml", "allowlist.toml"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file), site.path("config").join(file))
            .unwrap();
    }
    fs::remove_file(site.path("upstream-ca.pem")).unwrap();
    site
}

/// On ports that the system chooses, for the default ones may be taken.
fn start_on_free_ports(site: Site) -> Copilens {
    Copilens::start_with(site, |command| {
        command.env("COPILENS_LISTEN", "127.0.0.1:0").env("COPILENS_ADMIN_LISTEN", "127.0.0.1:0");
    })
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

const SECRETS: [&str; 3] = ["config/seed", "config/admin-token", "certs/ca.key"];

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_what_it_needs_and_the_next_one_keeps_it() {
    let upstream = Upstream::start().await;
    let copilens = start_on_free_ports(site_of_a_fresh_clone(&upstream));
    for secret in SECRETS {
        assert_eq!(mode(&copilens.site.path(secret)), 0o600, "{secret}");
    }
    let password = copilens.site.password("octocat");
    let listening = format!("listening proxy={} admin={}", copilens.proxy, copilens.admin);
    let said = wait_until("the hints", || Some(copilens.log()).filter(|log| log.contains("/install")));
    assert!(said.lines().any(|line| line == listening), "{said}");
    assert!(said.contains("copilens env octocat") && !said.contains(&password), "{said}");
    copilens.client("octocat").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http2).await.unwrap();
    assert_eq!(copilens.admin("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(copilens.admin("/readyz").await, (200, "ready\n".to_owned()));

    let made = |site: &Site| SECRETS.map(|secret| fs::read(site.path(secret)).unwrap());
    let before = made(&copilens.site);
    let (code, site) = copilens.stop();
    assert_eq!(code, Some(0));
    let copilens = start_on_free_ports(site);
    assert_eq!(made(&copilens.site), before);
    assert_eq!(copilens.site.password("octocat"), password);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_keeps_the_settings_and_says_where_it_is() {
    let upstream = Upstream::start().await;
    let mut copilens = Site::new(&upstream).start();
    let good = fs::read_to_string(copilens.site.path("config/copilens.toml")).unwrap();
    let line = good.lines().count() + 1;
    let alice = copilens.client("alice");
    fs::write(copilens.site.path("config/copilens.toml"), format!("{good}capture.nois = \"record\"\n")).unwrap();
    let fault = copilens.wait_for_readyz(503).await;
    assert!(fault.contains(&format!("config/copilens.toml:{line}")) && fault.contains("nois"), "{fault}");
    let place = format!("config/copilens.toml:{line}");
    wait_until("the fault in the log", || copilens.log().contains(&place).then_some(()));
    let tunnel = alice.tunnel(CHAT_HOST, 443, Alpn::Http2).await.unwrap();
    assert_eq!(Ask::chat().finish(&tunnel).await.0, 200);

    copilens.reload(|site| site.change("capture.noise", "\"record\""));
    assert_eq!(copilens.wait_for_readyz(200).await, "ready\n");
    let noise = Ask::completion().with(control::EVENTS, "0");
    noise.finish(&copilens.tunnel("alice", noise.host, Alpn::Http2).await).await;
    assert_eq!(copilens.wait_for_records("alice", "completions", 1)[0]["class"], "noise");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_added_while_it_runs_is_admitted_without_a_restart() {
    let upstream = Upstream::start().await;
    let mut copilens = Site::new(&upstream).start();
    copilens.reload(|site| drop(site.stdout(&["users", "add", "carol"])));
    let ask = Ask::chat();
    assert_eq!(ask.finish(&copilens.tunnel("carol", ask.host, Alpn::Http2).await).await.0, 200);
    copilens.wait_for_records("carol", "chat", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_answer_is_finished_and_recorded_after_sigterm() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let upstream = Upstream::with(FakeOptions { gated: true, ..FakeOptions::default() }, Alpn::Both).await;
        let mut copilens = Site::new(&upstream).start();
        // An idle tunnel is nothing to wait for.
        let _idle = copilens.tunnel("bob", CHAT_HOST, alpn).await;
        let client = copilens.client("bob");
        let mut reply = Ask::chat().send(&copilens.tunnel("alice", CHAT_HOST, alpn).await).await;
        upstream.fake.release(1);
        assert!(reply.chunk().await.unwrap().is_some());

        copilens.signal(Signal::TERM);
        wait_until("the signal's line", || copilens.log().contains("shutting down").then_some(()));
        wait_until("an end to new tunnels", || {
            let refused = std::net::TcpStream::connect(copilens.proxy).is_err();
            refused.then_some(())
        });
        assert!(client.tunnel(CHAT_HOST, 443, alpn).await.is_err());
        upstream.fake.release(1000);
        assert!(reply.bytes().await.unwrap().ends_with(b"data: [DONE]\n\n"));
        assert_eq!(copilens.exit_code(), Some(0));
        assert_eq!(copilens.wait_for_records("alice", "chat", 1)[0]["outcome"], "completed");
        assert_eq!(copilens.day_file()["total_chat_turns"], 1);
        assert!(files_in(&copilens.site.path("logs/spool")).is_empty());
        wait_until("the last line of the log", || copilens.log().contains("\"finished\":true").then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let upstream = Upstream::start().await;
    let mut copilens = Site::new(&upstream).set("shutdown_grace", "\"1h\"").start();
    let tunnel = copilens.tunnel("alice", CHAT_HOST, Alpn::Http1).await;
    let mut reply = Ask::chat().with(control::STALL, "1").send(&tunnel).await;
    reply.chunk().await.unwrap();
    copilens.signal(Signal::TERM);
    wait_until("the signal's line", || copilens.log().contains("shutting down").then_some(()));
    copilens.signal(Signal::TERM);
    assert_eq!(copilens.exit_code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_longer_than_the_grace_is_cut_off() {
    let upstream = Upstream::start().await;
    let mut copilens = Site::new(&upstream).set("shutdown_grace", "\"1s\"").start();
    let tunnel = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
    let mut reply = Ask::chat().with(control::STALL, "2").send(&tunnel).await;
    reply.chunk().await.unwrap();
    copilens.signal(Signal::TERM);
    assert_eq!(copilens.exit_code(), Some(0));
    assert!(reply.bytes().await.is_err());
    wait_until("the last line of the log", || copilens.log().contains("\"finished\":false").then_some(()));
    let record = &copilens.wait_for_records("alice", "chat", 1)[0];
    assert_eq!((&record["outcome"], &record["class"]), (&"canceled".into(), &"turn".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_continues_the_day() {
    let upstream = Upstream::start().await;
    let mut site = Site::new(&upstream);
    for starts in 1..=3 {
        let copilens = site.start();
        let ask = Ask::completion();
        ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
        let day = copilens.wait_for_day(|day| day["total_completions_count"] == starts);
        assert_eq!(day["usage"]["alice"]["completions"], json!({"vscode-1.96.2": {"python": starts}}));
        site = copilens.stop().1;
    }
}

/// The nice value of a thread: the 19th field of its stat file (proc_pid_stat(5)).
#[cfg(target_os = "linux")]
fn nice_of(task: &Path) -> i32 {
    let stat = fs::read_to_string(task.join("stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    after_name.split(' ').nth(16).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_recorder_stands_back_for_the_traffic() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let tasks = format!("/proc/{}/task", copilens.pid());
    // A thread gives itself its name and its priority.
    let of = |name: &str| {
        let named =
            |task: &std::path::PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name);
        files_in(Path::new(&tasks)).into_iter().find(named).map(|task| nice_of(&task))
    };
    let process = of("copilens").unwrap();
    let recorder = wait_until("the recorder's priority", || of("recorder").filter(|nice| *nice > process));
    let writer = wait_until("the spool's thread", || of("spool-write"));
    assert_eq!((recorder - process, writer), (10, process));
}
