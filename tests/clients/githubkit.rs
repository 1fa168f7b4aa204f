//! A program made for api.github.com, pointed at copilens: its models are GitHub's own description of its API.

use std::fs;
use std::process::Stdio;

use chrono::Utc;
use copilens::sim::copilot::FakeOptions;
use copilens::sim::ide::{Developer, EditorProfile, Person};
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::programs::githubkit;
use crate::scenario::skip;
use crate::support::{Copilens, Site, Upstream};

/// Carol has a seat, and has never been seen.
const USERS: &str = "[[user]]\nname = \"alice\"\nteams = [\"Core Team\", \"web\"]\n\
                     [[user]]\nname = \"bob\"\nteams = [\"web\"]\n[[user]]\nname = \"carol\"\n";

fn developer(copilens: &Copilens, name: &str, editor: EditorProfile, telemetry: bool) -> Developer {
    let person = Person {
        name: name.to_owned(),
        password: copilens.site.password(name),
        editor,
        languages: vec!["python".to_owned()],
        telemetry,
        seed: 7,
    };
    Developer::new(person, copilens.proxy, copilens.roots())
}

/// Alice, whose editor tells, accepts one of two completions and has an agent work; Bob, whose editor does not, does the same.
async fn work(copilens: &Copilens) {
    let people = [("alice", EditorProfile::vscode(), true), ("bob", EditorProfile::pycharm(), false)];
    for (name, editor, telemetry) in people {
        let developer = developer(copilens, name, editor, telemetry);
        developer.sign_in().await.unwrap();
        for round in 0..2 {
            let suggestion = developer.complete().await.unwrap();
            developer.show(&suggestion);
            if round == 0 {
                developer.accept(&suggestion);
            }
        }
        developer.ask().await.unwrap();
        developer.agent_turn(2).await.unwrap();
        developer.send_telemetry().await.unwrap();
    }
}

/// What githubkit makes of all that it asks for, or why it cannot be asked.
fn asked(copilens: &Copilens, day: &str) -> Result<Value, String> {
    let mut python = githubkit()?;
    let token = copilens.site.stdout(&["tokens", "add", "githubkit", "--scope", "metrics"]);
    python.env("TOKEN", token.trim()).env("DAY", day).env("BASE_URL", format!("http://{}/", copilens.admin));
    let output = python.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

fn engaged(place: &Value) -> &Value {
    &place["total_engaged_users"]
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_what_githubs_description_promises() {
    let upstream = Upstream::for_editors(FakeOptions::default(), Alpn::Both).await;
    let site = Site::for_editors(&upstream);
    fs::write(site.path("config/allowlist.toml"), USERS).unwrap();
    let copilens = site.start();
    work(&copilens).await;
    let day = Utc::now().date_naive();
    copilens.wait_for_day(|day| {
        let usage = &day["usage"];
        usage["alice"]["accepted"] == 1 && usage["bob"]["chat_turns"] == 2 && usage["bob"]["completions_count"] == 2
    });
    let found = match asked(&copilens, &day.to_string()) {
        Ok(found) => found,
        Err(missing) => return skip("githubkit", &missing),
    };
    // At midnight the day would be another's.
    if Utc::now().date_naive() == day {
        assert_metrics(&found);
        assert_seats(&found);
        assert_reports(&found, &day.to_string());
    }
}

fn assert_metrics(found: &Value) {
    let day = found["metrics"].as_array().unwrap().last().unwrap();
    assert_eq!((&day["total_active_users"], engaged(day)), (&json!(2), &json!(2)));
    let completions = &day["copilot_ide_code_completions"];
    assert_eq!((engaged(completions), engaged(&day["copilot_ide_chat"])), (&json!(1), &json!(2)));
    let editors: Vec<_> = completions["editors"].as_array().unwrap().iter().map(|editor| &editor["name"]).collect();
    assert_eq!(editors, ["intellij", "vscode"]);
    let line = &completions["editors"][1]["models"][0]["languages"][0];
    assert_eq!((&line["name"], &line["total_code_suggestions"]), (&json!("python"), &json!(2)));
    assert_eq!(line["total_code_acceptances"], 1);
    let team = found["team"].as_array().unwrap().last().unwrap();
    assert_eq!((&team["total_active_users"], engaged(&team["copilot_ide_chat"])), (&json!(1), &json!(1)));
}

fn assert_seats(found: &Value) {
    let breakdown = &found["billing"]["seat_breakdown"];
    assert_eq!([&breakdown["total"], &breakdown["active_this_cycle"]], [3, 2]);
    assert_eq!(found["billing"]["plan_type"], "business");
    let seats = found["seats"]["seats"].as_array().unwrap();
    assert_eq!((&found["seats"]["total_seats"], seats.len()), (&json!(3), 3));
    let [alice, _, carol] = [0, 1, 2].map(|seat| &seats[seat]);
    assert!(alice["last_activity_editor"].as_str().unwrap().starts_with("vscode/"), "{alice}");
    assert!(alice["assignee"]["id"].as_u64().unwrap() > 0, "{alice}");
    assert_eq!(alice["assigning_team"]["slug"], "core-team");
    assert_eq!((&carol["assignee"]["login"], &carol["assignee"]["id"]), (&json!("carol"), &json!(0)));
    assert_eq!((&carol["last_activity_at"], carol.get("assigning_team")), (&Value::Null, None));
}

fn assert_reports(found: &Value, day: &str) {
    let records = |name: &str| found[name]["records"].as_array().unwrap();
    assert_eq!(found["users"]["document"], json!({"report_day": day}));
    let (users, organization) = (records("users"), &records("organization")[0]);
    assert_eq!((users.len(), &organization["daily_active_users"]), (2, &json!(2)));
    for counter in ["user_initiated_interaction_count", "code_generation_activity_count", "loc_added_sum"] {
        let sum: u64 = users.iter().map(|user| user[counter].as_u64().unwrap()).sum();
        assert_eq!(organization[counter].as_u64().unwrap(), sum, "{counter}");
    }
    assert_eq!((&users[0]["code_acceptance_activity_count"], &users[0]["used_agent"]), (&json!(1), &json!(true)));
    assert_eq!((&users[1]["code_acceptance_activity_count"], &users[1]["used_chat"]), (&json!(0), &json!(true)));
    assert_eq!((users[0]["user_id"].as_u64(), records("teams").len()), (records("teams")[0]["user_id"].as_u64(), 3));
}
