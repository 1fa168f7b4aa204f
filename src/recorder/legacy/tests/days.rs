//! Day files of the add-on's, alone and beside records.

use super::*;

/// What the add-on's older versions would have written of [`completion`]s and [`chat`]s, and of others that are gone.
pub(super) fn older_day() -> Value {
    json!({
        "day": "2025-03-14", "total_chat_turns": 3, "total_completions_count": 9,
        "usage": {
            "ada": {
                "chat_turns": 1, "completions_count": 9, "chat": {"vscode-1.90.0": 1},
                "completions": {"vscode-1.90.0": {"python": 4, "go": 2}, "-": {"unknown": 3}}
            },
            "grace": {"chat_turns": 2, "completions_count": 0, "chat": {"JetBrains-IC-251.1": 2}, "completions": {}}
        }
    })
}

fn newer_day() -> Value {
    json!({
        "day": "2025-03-14", "total_chat_turns": 7, "total_completions_count": 5, "total_extension_count": 0,
        "usage": {"ada": {
            "chat_turns": 7,
            "chat": {
                "agent": {"chat_turns": 4, "editor_version": {"vscode-1.90.0": {"count": 4, "models": {"demo-a": 1, "demo-b": 3}}}},
                "nes": {"chat_turns": 3, "editor_version": {"vscode-1.90.0": {"count": 3, "models": {"copilot-nes-v": 3}}}}
            },
            "completions_count": 5,
            "completions": {"vscode-1.90.0": {"count": 5, "models": {
                "demo-engine": {"count": 4, "languages": {"python": 3, "unknown": 1}},
                "copilot-codex": {"count": 1, "languages": {"go": 1}}
            }}},
            "extension_count": 0, "extension": {}
        }}
    })
}

/// The keys that the add-on's older versions wrote.
fn legacy_keys(mut day: Value) -> Value {
    for user in day["usage"].as_object_mut().unwrap().values_mut() {
        let legacy = ["chat_turns", "completions_count", "chat", "completions"];
        user.as_object_mut().unwrap().retain(|key, _| legacy.contains(&key.as_str()));
    }
    day
}

#[test]
fn a_day_without_records_has_the_numbers_of_its_older_file() {
    let site = Site::new();
    site.write("logs/metrics/copilot-usage_2025-03-14.json", older_day().to_string());
    assert_eq!(site.import().counts, 12);
    assert_eq!(legacy_keys(site.day("2025-03-14")), older_day());
}

#[test]
fn a_day_has_the_numbers_of_its_newer_file() {
    let site = Site::new();
    site.write("auditlogs/metrics/copilot-usage_2025-03-14.json", newer_day().to_string());
    for number in 0..2 {
        site.write_record("auditlogs/usage/ada", "completions", &completion(number));
    }
    assert_eq!(site.import().counts, 10);
    let day = site.day("2025-03-14");
    assert_eq!((&day["total_chat_turns"], &day["total_completions_count"]), (&json!(7), &json!(5)));
    let ada = &day["usage"]["ada"];
    assert_eq!(ada["chat"], json!({"vscode-1.90.0": 7}));
    assert_eq!(ada["completions"], json!({"vscode-1.90.0": {"go": 1, "python": 3, "unknown": 1}}));
    assert_eq!(ada["actions"], json!({"agent": 4, "completions": 2, "nes": 3}));
    assert_eq!(
        ada["models"],
        json!({"copilot-codex": 1, "copilot-nes-v": 3, "demo-a": 1, "demo-b": 3, "demo-engine": 4})
    );
    assert_eq!(ada["features"], json!({"chat_panel_agent_mode": 4, "code_completion": 5, "others": 3}));
}

#[test]
fn records_and_day_file_together_give_the_day_files_numbers() {
    let site = Site::new();
    site.write("logs/metrics/copilot-usage_2025-03-14.json", older_day().to_string());
    for number in 0..3 {
        site.write_record("logs/usage/ada", "completions", &completion(number));
    }
    let mut capitals = completion(4);
    let headers = capitals["request"]["headers"].as_object_mut().unwrap();
    let version = headers.remove("editor-version").unwrap();
    headers.insert("Editor-Version".to_owned(), version);
    capitals["request"]["content"]["extra"] = json!({});
    site.write_record("logs/usage/ada", "completions", &capitals);
    site.write_record("logs/usage/ada", "chat", &chat(5));
    assert_eq!((site.import().records, legacy_keys(site.day("2025-03-14"))), (5, older_day()));
    // Records that come later stand for what was made up.
    site.write_record("logs/usage/ada", "completions", &completion(6));
    assert_eq!((site.import().records, legacy_keys(site.day("2025-03-14"))), (1, older_day()));
    let noise = site.store().noise_counts(NaiveDate::MIN, NaiveDate::MAX, None).unwrap();
    assert!(noise.is_empty() || noise == BTreeMap::from([(IMPORTED_COUNT.to_owned(), 1)]), "{noise:?}");
    // A day file of which there is an earlier state adds nothing but what is new.
    let mut grown = older_day();
    grown["usage"]["grace"]["chat"]["JetBrains-IC-251.1"] = json!(5);
    grown["usage"]["grace"]["chat_turns"] = json!(5);
    grown["total_chat_turns"] = json!(6);
    site.write("logs/metrics/copilot-usage_2025-03-14.json", grown.to_string());
    assert_eq!((site.import().counts, legacy_keys(site.day("2025-03-14"))), (3, grown.clone()));
    site.write("logs/metrics/copilot-usage_2025-03-14.json", older_day().to_string());
    assert_eq!((site.import().counts, legacy_keys(site.day("2025-03-14"))), (0, grown));
}

#[test]
fn a_rebuild_keeps_what_only_a_day_file_told() {
    let site = Site::new();
    site.write("logs/metrics/copilot-usage_2025-03-14.json", older_day().to_string());
    site.write_record("logs/usage/ada", "completions", &completion(1));
    site.import();
    let events = site.events();
    let files = RecordFiles::open(site.to.path()).unwrap();
    let rebuilt = crate::recorder::rebuild(&files, &site.store(), None, None).unwrap();
    assert_eq!((rebuilt.records, rebuilt.unreadable.len()), (1, 0));
    assert_eq!((site.events(), legacy_keys(site.day("2025-03-14"))), (events, older_day()));
}

#[test]
fn where_records_tell_more_they_count_and_it_is_said() {
    let site = Site::new();
    let mut day = older_day();
    day["usage"]["ada"]["completions"]["vscode-1.90.0"]["python"] = json!(1);
    site.write("logs/metrics/copilot-usage_2025-03-14.json", day.to_string());
    for number in 0..3 {
        site.write_record("logs/usage/ada", "completions", &completion(number));
    }
    let imported = site.import();
    assert_eq!(imported.beyond, BTreeMap::from([("2025-03-14".parse().unwrap(), 2)]));
    assert_eq!(site.day("2025-03-14")["usage"]["ada"]["completions"]["vscode-1.90.0"]["python"], 3);
}

#[test]
fn a_days_files_of_two_folders_add_up_and_copies_do_not() {
    let site = Site::new();
    for folder in ["logs", "backup/logs"] {
        site.write(&format!("{folder}/metrics/copilot-usage_2025-03-14.json"), older_day().to_string());
    }
    site.write("auditlogs/metrics/copilot-usage_2025-03-14.json", newer_day().to_string());
    site.import();
    let day = site.day("2025-03-14");
    assert_eq!((&day["total_chat_turns"], &day["total_completions_count"]), (&json!(10), &json!(14)));
}
