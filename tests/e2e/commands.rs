//! The commands beside `run`, and their exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::support::{Copilens, Site, Upstream, files_in, json};

/// Exit code, standard output and standard error.
fn run(site: &Site, arguments: &[&str]) -> (i32, String, String) {
    let output = site.output(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Some work of two users, counted in the day's file.
async fn working_copilens(upstream: &Upstream) -> Copilens {
    let copilens = Site::new(upstream).start();
    for ask in
        [Ask::completion(), Ask::completion().in_jetbrains(), Ask::chat(), Ask::chat().with("x-initiator", "agent")]
    {
        ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
    }
    let ask = Ask::chat();
    ask.finish(&copilens.tunnel("bob", ask.host, Alpn::Http1).await).await;
    // The step has no count of its own in the file, so the tokens tell that it is there.
    let records = [copilens.wait_for_records("alice", "chat", 2), copilens.wait_for_records("alice", "completions", 2)];
    let input: u64 = records.concat().iter().map(|record| record["tokens"]["input"].as_u64().unwrap()).sum();
    copilens.wait_for_day(|day| day["total_chat_turns"] == 2 && day["usage"]["alice"]["tokens"]["input"] == input);
    copilens
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_a_good_site_good_and_touches_nothing() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    let (code, said, _) = run(&site, &["check"]);
    assert_eq!((code, said.lines().last()), (0, Some("ok")), "{said}");
    assert_eq!(files_in(&site.path("config")).len(), 2);
    assert_eq!(files_in(&site.path("")).len(), 2, "neither logs nor certs were made");
    let (_, site) = site.start().stop();
    assert_eq!(run(&site, &["check"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_run_tell_all_faults_at_once_with_their_lines() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    fs::write(site.path("config/copilens.toml"), "listen = \"x\"\n[capture]\ncontent = \"some\"\nmax_body = \"-1\"\n")
        .unwrap();
    fs::write(
        site.path("config/allowlist.toml"),
        "[[user]]\nname = \"../x\"\n[[user]]\nname = \"a\"\n[[user]]\nname = \"A\"\n",
    )
    .unwrap();
    for command in ["check", "run"] {
        let (code, _, said) = run(&site, &[command]);
        assert_eq!(code, 78, "{said}");
        for place in ["copilens.toml:1", "copilens.toml:3", "copilens.toml:4", "allowlist.toml:2", "allowlist.toml:5"] {
            assert!(said.contains(place), "{command}: no {place} in {said}");
        }
    }
    assert!(!site.path("logs").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_64_and_help_is_none() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    for arguments in [["fly"].as_slice(), &["run", "--fast"], &["users", "add"], &["users", "add", "../x"], &[]] {
        let (code, _, said) = run(&site, arguments);
        assert_eq!(code, 64, "{arguments:?}: {said}");
    }
    assert_eq!(run(&site, &["--help"]).0, 0);
    assert_eq!(run(&site, &["--version"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_folder_that_cannot_be_had_is_74_and_named() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream).set("log_dir", "\"upstream-ca.pem/logs\"");
    for command in ["check", "run", "rebuild"] {
        let (code, _, said) = run(&site, &[command]);
        assert_eq!(code, 74, "{command}: {said}");
        assert!(said.contains("upstream-ca.pem"), "{command}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_read_is_78() {
    let upstream = Upstream::start().await;
    let (_, mut site) = Site::new(&upstream).start().stop();
    for secret in ["certs/ca.key", "config/seed", "config/admin-token"] {
        let path = site.path(secret);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        for command in ["check", "run"] {
            let (code, _, said) = run(&site, &[command]);
            assert_eq!(code, 78, "{command}: {said}");
            assert!(said.contains(secret), "{said}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    site = site.start().stop().1;
    drop(site);
}

#[tokio::test(flavor = "multi_thread")]
async fn report_has_the_numbers_of_the_days_file() {
    let upstream = Upstream::start().await;
    let copilens = working_copilens(&upstream).await;
    let day = copilens.day_file();
    let report: Value = serde_json::from_str(&copilens.site.stdout(&["report", "--json"])).unwrap();
    assert_eq!((&report["total"]["completions"], &report["total"]["chat_turns"]), (&json!(2), &json!(2)));
    let alice = report["users"].as_array().unwrap().iter().find(|line| line["user"] == "alice").unwrap();
    assert_eq!(alice["steps"], 1);
    assert_eq!(alice["tokens"], day["usage"]["alice"]["tokens"]);
    assert_eq!(alice["lines_suggested"], day["usage"]["alice"]["lines_suggested"]);
    let table = copilens.site.stdout(&["report", "--user", "bob"]);
    let has_row = |user: &str| table.lines().any(|line| line.starts_with(&format!("│ {user} ")));
    assert!(has_row("bob") && !has_row("alice"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_gives_the_numbers_of_the_live_day_as_often_as_one_likes() {
    let upstream = Upstream::start().await;
    let (_, site) = working_copilens(&upstream).await.stop();
    let file = files_in(&site.path("logs/metrics")).remove(0);
    let live = fs::read_to_string(&file).unwrap();
    let report = site.stdout(&["report"]);
    for _ in 0..2 {
        site.stdout(&["rebuild"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), live);
    }
    // Without the store and the day's file, and with every record twice: an exchange counts once, by its id.
    for name in ["logs/usage.sqlite3", "logs/usage.sqlite3-wal", "logs/usage.sqlite3-shm"] {
        let _ = fs::remove_file(site.path(name));
    }
    fs::remove_file(&file).unwrap();
    for path in files_in(&site.path("logs/usage/alice/chat")) {
        fs::copy(&path, path.with_extension("copy.json")).unwrap();
    }
    site.stdout(&["rebuild"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), live);
    assert_eq!(site.stdout(&["report"]), report);
    let copilens = site.start();
    copilens.wait_for_readyz(200).await;
    assert_eq!(json(&file), serde_json::from_str::<Value>(&live).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_leaves_out_what_is_no_record_and_says_so() {
    let upstream = Upstream::start().await;
    let (_, site) = working_copilens(&upstream).await.stop();
    let file = files_in(&site.path("logs/metrics")).remove(0);
    let live = fs::read_to_string(&file).unwrap();
    let today = chrono::Utc::now().date_naive();
    let stray = site.path(&format!("logs/usage/alice/chat/{today}T00-00-00.000000_x.json"));
    fs::write(&stray, "{\"half\": ").unwrap();
    let said = site.stdout(&["rebuild"]);
    assert!(said.contains(stray.file_name().unwrap().to_str().unwrap()), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_named_by_check_and_rebuild_mends_it() {
    let upstream = Upstream::start().await;
    let (_, site) = working_copilens(&upstream).await.stop();
    let file = files_in(&site.path("logs/metrics")).remove(0);
    let live = fs::read_to_string(&file).unwrap();
    fs::write(site.path("logs/usage.sqlite3"), "no database at all").unwrap();
    let (code, _, said) = run(&site, &["check"]);
    assert_eq!(code, 74, "{said}");
    assert!(said.contains("usage.sqlite3") && said.contains("rebuild"), "{said}");
    site.stdout(&["rebuild"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), live);
    assert_eq!(site.start().stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn env_gives_settings_that_work() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("public_address", "\"proxy.example:8080\"").start();
    let password = copilens.site.password("alice");
    let all = copilens.site.stdout(&["env", "alice"]);
    assert!(all.contains(&format!("http://alice:{password}@proxy.example:8080")), "{all}");
    for client in ["vscode", "jetbrains", "shell", "cli"] {
        let said = copilens.site.stdout(&["env", "alice", "--for", client]);
        assert!(said.contains("proxy.example"), "{client}: {said}");
    }
    let (code, _, said) = run(&copilens.site, &["env", "nobody"]);
    assert!(code != 0 && said.contains("nobody"), "{code}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ca_exports_the_certificate_alone() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let key = fs::read_to_string(copilens.site.path("certs/ca.key")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for format in ["pem", "der", "p7b", "mobileconfig"] {
        let exported = copilens.site.output(&["ca", "export", "--format", format]).stdout;
        assert!(exported.len() > 300, "{format}");
        let text = String::from_utf8_lossy(&exported);
        assert!(!text.contains("PRIVATE KEY") && !text.contains(secret), "{format}");
    }
    let pem = copilens.site.stdout(&["ca", "export", "--format", "pem"]);
    assert_eq!(pem, fs::read_to_string(copilens.site.path("certs/ca.pem")).unwrap());
}
