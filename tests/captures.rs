//! What the parsers make of requests of real clients, where a folder of such captures lies beside the repository. They are no
//! part of it, so elsewhere there is nothing to check here; the unit tests have the same shapes with invented values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

use copilens::copilot::observation::{Fate, Observation};
use copilens::copilot::unrecognised::Unrecognised;
use copilens::copilot::{account, telemetry};
use serde_json::Value;

fn folder() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1);
    above.map(|folder| folder.join("shared/data/captures")).find(|folder| folder.is_dir())
}

/// A capture's request and answer; none without captures.
fn capture(name: &str) -> Option<Value> {
    let text = fs::read(folder()?.join(name)).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// What became of which suggestion, and by which request: id, fate, lines, characters, language.
fn fates(capture: &Value) -> Vec<String> {
    let reported = telemetry(capture["request"]["body"].to_string().as_bytes());
    assert_eq!(reported.unrecognised, []);
    let told = reported.observations.iter().map(|observation| {
        let Observation::Suggestion(report) = observation else { panic!("{observation:?}") };
        let fate = match report.fate {
            Fate::Shown => "shown",
            Fate::Accepted { partially: true } => "partly",
            Fate::Accepted { partially: false } => "fully",
            other => panic!("{other:?}"),
        };
        let request = report.request_id.as_deref().unwrap();
        assert_eq!(report.editor_version.as_deref(), Some("vscode/1.119.0"));
        assert_eq!(report.model.as_deref(), Some("gpt-41-copilot"));
        assert_eq!(report.language.as_deref(), Some("python"));
        assert!(report.time.is_some());
        let [lines, characters] = [report.lines, report.characters].map(Option::unwrap);
        format!("{fate} {} {} {lines}/{characters}", &report.suggestion_id[..8], &request[..8])
    });
    told.collect()
}

#[test]
fn ghost_text_shown_and_accepted() {
    let Some(full) = capture("ls_telemetry_standard_shown_accepted_full.json") else { return };
    assert_eq!(fates(&full), ["shown 2153097c 038d166e 1/12", "fully 2153097c 038d166e 1/12"]);
    let completion = capture("ls_h1_completion.json").unwrap();
    assert!(completion["request"]["headers"].to_string().contains("038d166e"), "the X-Request-Id of the completion");
}

#[test]
fn ghost_text_accepted_in_part_and_its_copy_for_microsoft() {
    let Some(part) = capture("ls_telemetry_partial_accept.json") else { return };
    let expected = ["shown 5c51c722 84e93c32 1/12", "partly 5c51c722 84e93c32 1/6"];
    assert_eq!(fates(&part), expected);
    let copy = capture("ls_telemetry_msft_v2track.json").unwrap();
    assert_eq!(fates(&copy), expected);
}

#[test]
fn the_command_lines_session_is_cut_off_in_its_capture() {
    let Some(session) = capture("cli_telemetry_ndjson.json") else { return };
    let reported = telemetry(format!("{}\n", session["request"]["body"][0]).as_bytes());
    assert_eq!(reported.observations, []);
    let places: Vec<_> = reported.unrecognised.into_iter().map(|unrecognised| unrecognised.place).collect();
    assert_eq!(places, ["telemetry_cli.telemetry"]);
}

#[test]
fn the_account() {
    for name in ["ls_h1_user.json", "cli_user.json", "ls_h1_token.json"] {
        let Some(answer) = capture(name) else { return };
        let body = answer["response"]["body"].to_string();
        let path = answer["request"]["url"].as_str().unwrap().strip_prefix("https://api.github.com").unwrap();
        let seen = account(path, body.as_bytes()).unwrap();
        assert_eq!(seen.account.plan.as_deref(), Some("copilot_for_business_seat_quota"), "{name}");
        assert_eq!(seen.account.enhanced_telemetry, Some(true), "{name}");
        assert!(seen.tracking_id.is_some_and(|id| id.starts_with("faketid")), "{name}");
        if path.ends_with("/user") {
            assert_eq!(seen.account.login.as_deref(), Some("fake-user"));
            assert_eq!(seen.account.organizations, ["fake-org"]);
            assert_eq!(seen.account.quotas.len(), 3);
        }
    }
}

#[test]
fn samples_of_all_of_them_tell_nothing() {
    let Some(folder) = folder() else { return };
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sample = Unrecognised::of("capture", &fs::read(&path).unwrap()).sample;
        for text in ["fake", "Fake", "gho_", "192.0.2", "githubcopilot.com", "octocat", "def ", "127.0.0.1"] {
            assert!(!sample.contains(text), "{text} in {}\n{sample}", path.display());
        }
    }
}
