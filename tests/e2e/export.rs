//! `copilens export`: what it writes, where to, and how it ends.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use copilens::sim::tls::Alpn;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::asking::Ask;
use crate::support::usage::{chat, completion, multiply, store};
use crate::support::{Site, Upstream, wait_until};

const FORMATS: [&str; 4] = ["csv", "events", "events-csv", "parquet"];
/// Around the day of the stored events.
const DAYS: [&str; 4] = ["--from", "2026-03-01", "--to", "2026-03-31"];

/// Exit code, standard output and standard error of an export of [`DAYS`].
fn export(site: &Site, arguments: &[&str]) -> (i32, Vec<u8>, String) {
    let output = site.output(&[&["export"], &DAYS[..], arguments].concat());
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn spawn(site: &Site, arguments: &[&str]) -> Child {
    let mut command = site.command(&[&["export"], &DAYS[..], arguments].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A site whose store has two events of alice and one of bob.
async fn site() -> Site {
    let site = Site::new(&Upstream::start().await);
    store(&site, &[completion(1, "alice"), chat(2, "alice"), completion(3, "bob")]);
    site
}

/// With so many thousands more.
async fn large_site(thousands: u32) -> Site {
    let site = site().await;
    multiply(&site, thousands * 1000 / 3);
    site
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_exported_beside_run_with_what_is_known_of_today() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    for ask in [Ask::completion(), Ask::chat()] {
        ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
    }
    copilens.wait_for_day(|day| day["total_chat_turns"] == 1 && day["total_completions_count"] == 1);
    let events: Vec<Value> = copilens
        .site
        .stdout(&["export", "--format", "events"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let today = chrono::Utc::now().date_naive().to_string();
    let mut kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["chat", "completions"]);
    assert!(events.iter().all(|event| event["user"] == "alice" && event["day"] == today.as_str()), "{events:?}");
    let rows = copilens.site.stdout(&["export", "--format", "events-csv"]);
    assert_eq!(rows.lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_goes_to_standard_output_and_nothing_else_does() {
    let site = site().await;
    for format in FORMATS {
        let (code, out, said) = export(&site, &["--format", format]);
        assert_eq!((code, said.as_str()), (0, ""), "{format}");
        assert!(!out.is_empty(), "{format}");
        let dash = export(&site, &["--format", format, "-o", "-"]);
        assert_eq!((dash.0, dash.1), (0, out), "{format}");
    }
    let lines = |arguments: &[&str]| String::from_utf8(export(&site, arguments).1).unwrap().lines().count();
    assert_eq!(lines(&["--format", "events"]), 3);
    assert_eq!(lines(&["--format", "events", "--user", "bob"]), 1);
    assert_eq!(lines(&["--format", "events-csv"]), 4);
    let usage = String::from_utf8(export(&site, &["--format", "csv"]).1).unwrap();
    let of_bob = String::from_utf8(export(&site, &["--format", "csv", "--user", "bob"]).1).unwrap();
    assert_eq!((usage.lines().count(), of_bob.lines().count()), (4, 2), "{usage}");
    // Without telemetry nobody knows what was accepted.
    let completions = ",bob,,false,vscode,code_completion,python,gpt-4o-copilot,1,1,0,1,,2,,0,,,,,,";
    assert!(of_bob.ends_with(&format!("\r\n2026-03-14,bob{completions}\r\n")), "{of_bob}");
    // Today and the 27 days before.
    assert_eq!(site.stdout(&["export", "--format", "events"]), "");
    assert_eq!(site.stdout(&["export", "--format", "events", "--to", "2026-04-10"]).lines().count(), 3);
    assert_eq!(site.stdout(&["export", "--format", "events", "--to", "2026-04-11"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_for_is_64() {
    let site = site().await;
    let wrong: [&[&str]; 11] = [
        &["export"],
        &["export", "--format", "xml"],
        &["export", "--format", "csv", "--from", "yesterday"],
        &["export", "--format", "csv", "--from", "2026-03-15", "--to", "2026-03-14"],
        &["export", "--format", "users-1-day", "--from", "9999-01-01"],
        &["export", "--format", "users-28-day", "--from", "2026-03-15"],
        &["export", "--format", "csv", "--noise"],
        &["export", "--format", "users-1-day", "--user", "alice"],
        &["export", "--format", "csv", "--unknown", "omit"],
        &["export", "--format", "openmetrics", "--unknown", "omit"],
        &["export", "--format", "users-1-day", "--unknown", "null"],
    ];
    for arguments in wrong {
        let output = site.output(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn githubs_formats_are_json_and_prometheus_has_its_end_and_those_of_a_day_come_for_each() {
    let site = site().await;
    fs::write(site.path("config/allowlist.toml"), "[[user]]\nname = \"alice\"\nteams = [\"core\", \"web\"]\n").unwrap();
    let records = |arguments: &[&str]| -> Vec<Value> {
        let (code, out, said) = export(&site, arguments);
        assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of_days: &[&str] = &["--from", "2026-03-13", "--to", "2026-03-14"];
    let asked = |format| site.stdout(&[&["export", "--format", format], of_days].concat());
    for format in ["users-1-day", "organization-1-day"] {
        asked(format).lines().for_each(|line| assert!(serde_json::from_str::<Value>(line).unwrap().is_object()));
    }
    assert_eq!(asked("user-teams-1-day").lines().count(), 4);
    assert_eq!(site.stdout(&["export", "--format", "user-teams-1-day"]).lines().count(), 2);
    assert!(records(&["--format", "copilot-metrics"])[0].is_array());
    let gauges = site.stdout(&["export", "--format", "openmetrics"]);
    assert!(gauges.ends_with("# EOF\n"), "{gauges}");
    let month: Value =
        serde_json::from_str(&site.stdout(&["export", "--format", "organization-28-day", "--to", "2026-03-14"]))
            .unwrap();
    assert_eq!((&month["report_start_day"], &month["report_end_day"]), (&"2026-02-15".into(), &"2026-03-14".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_it_is_74_and_no_file_is_made() {
    let site = Site::new(&Upstream::start().await);
    let (code, _, said) = export(&site, &["--format", "csv", "-o", "usage.csv"]);
    assert_eq!(code, 74, "{said}");
    assert!(said.contains("usage.sqlite3") && said.contains("copilens run"), "{said}");
    assert!(!site.path("usage.csv").exists() && !site.path("logs").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_its_owners_alone_and_takes_the_place_of_another_or_of_what_a_link_leads_to() {
    let site = site().await;
    fs::create_dir(site.path("out")).unwrap();
    fs::write(site.path("out/old"), "old").unwrap();
    symlink(site.path("out/old"), site.path("out/link")).unwrap();
    for name in ["out/new", "out/old", "out/link"] {
        let (code, out, said) = export(&site, &["--format", "events", "-o", name]);
        assert_eq!((code, out.len(), said.as_str()), (0, 0, ""), "{name}");
        assert_eq!(fs::read_to_string(site.path(name)).unwrap().lines().count(), 3, "{name}");
        assert_eq!(fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o7777, 0o600, "{name}");
    }
    assert!(fs::symlink_metadata(site.path("out/link")).unwrap().is_symlink());
    assert_eq!(names(&site.path("out")), ["link", "new", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_written_is_74_and_named() {
    let site = site().await;
    for place in ["nowhere/x.csv", "config", "/dev/full"] {
        for format in FORMATS {
            let (code, _, said) = export(&site, &["--format", format, "-o", place]);
            assert_eq!(code, 74, "{format} {said}");
            assert!(said.starts_with(&format!("copilens: {place}: ")), "{format}: {said}");
        }
    }
    for format in FORMATS {
        let mut command = site.command(&[&["export", "--format", format], &DAYS[..]].concat());
        command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(74), "{format}: {said}");
        assert!(said.contains("standard output: No space left") && said.contains("free some"), "{format}: {said}");
    }
    // A device stays one.
    assert_eq!(export(&site, &["--format", "csv", "-o", "/dev/null"]).0, 0);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_room_is_left_for_is_as_it_was() {
    let site = large_site(10).await;
    fs::create_dir(site.path("out")).unwrap();
    fs::write(site.path("out/events"), "old").unwrap();
    for format in ["events", "events-csv", "parquet"] {
        // A limit on file sizes, in blocks of 512 bytes, which SQLite's own files stay below.
        let program = env!("CARGO_BIN_EXE_copilens");
        let script = format!("ulimit -f 256; exec {program} export {} --format {format} -o out/events", DAYS.join(" "));
        let output =
            Command::new("sh").args(["-c", &script]).current_dir(site.path("")).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(74), "{format}: {said}");
        assert!(said.starts_with("copilens: out/events: File too large"), "{format}: {said}");
        assert_eq!(names(&site.path("out")), ["events"]);
        assert_eq!(fs::read_to_string(site.path("out/events")).unwrap(), "old");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_had_enough_ends_it_quietly() {
    let site = large_site(30).await;
    for format in ["events", "events-csv", "parquet"] {
        let mut child = spawn(&site, &["--format", format]);
        let mut first = Vec::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_until(b'\n', &mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_no_half_file() {
    let site = large_site(30).await;
    fs::create_dir(site.path("out")).unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = spawn(&site, &["--format", "events", "-o", "out/events"]);
        wait_until("the file in the making", || (!names(&site.path("out")).is_empty()).then_some(()));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(names(&site.path("out")), [""; 0]);
    }
}

/// What a command wrote to the terminal that it ran on, its own standard output excepted; `None` without script(1).
fn on_terminal(site: &Site, shell: &str) -> Option<(i32, String)> {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", shell, "/dev/null"]).current_dir(site.path(""));
    let output = script.env_remove("RUST_LOG").env("TERM", "xterm").stdin(Stdio::null()).output().ok()?;
    Some((output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_progress_and_no_parquet() {
    let site = large_site(30).await;
    let export = format!("{} export {} --format", env!("CARGO_BIN_EXE_copilens"), DAYS.join(" "));
    let Some((code, said)) = on_terminal(&site, &format!("{export} events >piped")) else {
        // Past cargo's capture, which hides what a passing test prints.
        let _ = writeln!(io::stderr(), "skipped: export on a terminal: script(1) is not on this machine");
        return;
    };
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("iB/s") && said.contains("30,003 records, UTC days 2026-03-01 to 2026-03-31"), "{said}");
    assert_eq!(fs::read_to_string(site.path("piped")).unwrap().lines().count(), 30_003);
    // Nothing between the lines that a terminal shows.
    let (code, said) = on_terminal(&site, &format!("{export} events --user bob")).unwrap();
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().all(|line| line.starts_with("{\"day\":") && line.ends_with('}')), "no progress");
    let (code, said) = on_terminal(&site, &format!("{export} parquet")).unwrap();
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("-o FILE"), "{said}");
}

/// The most memory that an export took, in KiB, and the bytes it wrote.
fn peak(site: &Site, arguments: &[&str]) -> (u64, usize) {
    let mut child = spawn(site, arguments);
    let mut out = child.stdout.take().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut peak, mut bytes, mut buffer) = (0, 0, vec![0; 1 << 18]);
    loop {
        // It only rises, and can be read as long as the process is there.
        let status = fs::read_to_string(&status).unwrap_or_default();
        let told =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = told.unwrap_or(peak);
        match out.read(&mut buffer).unwrap() {
            0 => break,
            read => bytes += read,
        }
    }
    assert!(child.wait().unwrap().success());
    (peak, bytes)
}

/// Exports a site's events; each format has as many MiB as it may take.
async fn memory_is_bounded(thousands: u32, bounds: &[(&str, u64)]) {
    let site = large_site(thousands).await;
    thread::scope(|scope| {
        for (format, bound) in bounds {
            let site = &site;
            scope.spawn(move || {
                let (peak, bytes) = peak(site, &["--format", format]);
                println!("{format}: {thousands},000 events are {bytes} bytes and take {peak} KiB");
                assert!(peak < bound << 10, "{format}: {peak} KiB");
            });
        }
    });
}

/// Some 40 MB of NDJSON, and two row groups of Parquet.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_many_events() {
    memory_is_bounded(60, &[("events", 40), ("parquet", 90)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_a_million_events() {
    if std::env::var_os("LONG_TESTS").is_none() {
        // Past cargo's capture, which hides what a passing test prints.
        let _ = writeln!(io::stderr(), "skipped: export of a million events: heavy; `./tests/run --long` has it");
        return;
    }
    memory_is_bounded(1000, &[("events", 40), ("events-csv", 40), ("parquet", 90)]).await;
}
