//! The exporter's gauges, right where the original lets the last model win.

use super::*;
use crate::usage::Counts;

fn cell(ide: &str, feature: &str, language: &str, model: &str) -> Cell {
    let [ide, feature, language, model] = [ide, feature, language, model].map(str::to_owned);
    Cell { ide, feature, language, model }
}

fn accepted(language: &str, model: &str, acceptances: u64) -> (Cell, Counts) {
    let counts =
        Counts { generations: 10, acceptances, lines_suggested: 20, lines_added: acceptances, ..Counts::default() };
    (cell("vscode", "code_completion", language, model), counts)
}

fn prompted(model: &str, interactions: u64, copied: u64) -> (Cell, Counts) {
    let counts = Counts { interactions, copied, inserted: 1, ..Counts::default() };
    (cell("vscode", "chat_panel_ask_mode", "unknown", model), counts)
}

fn told(telemetry: bool) -> String {
    let ada =
        Cells::from([accepted("go", "a", 1), accepted("go", "b", 2), prompted("a", 45, 13), prompted("b", 10, 3)]);
    let grace = Cells::from([accepted("go", "b", 3), accepted("python", "b", 0)]);
    let mut day =
        OrganizationDay { users: 3, users_with_telemetry: 2 * u64::from(telemetry), ..OrganizationDay::default() };
    let mut engaged = Engaged::default();
    for user in [&ada, &grace] {
        engaged.add(user);
        user.iter().for_each(|(cell, counts)| day.cells.entry(cell.clone()).or_default().add(counts));
    }
    let (mut sheet, mut text) = (Sheet::default(), Vec::new());
    gauges(&mut sheet, "octo", &day, &day.cells, &engaged);
    sheet.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn all_ten_gauges_are_sums_over_models() {
    let text = told(true);
    let code = r#"{org="octo",stream="copilot_ide_code_completions",editor="vscode",language="go"}"#;
    let chat = r#"{org="octo",stream="copilot_ide_chat",editor="vscode"}"#;
    for line in [
        format!("total_code_suggestions{code} 30"),
        format!("total_code_acceptances{code} 6"),
        format!("total_code_lines_suggested{code} 60"),
        format!("total_code_lines_accepted{code} 6"),
        format!("total_chats{chat} 55"),
        format!("total_chat_copy_events{chat} 16"),
        format!("total_chat_insertion_events{chat} 2"),
        format!("is_custom_model{chat} 0"),
        r#"total_active_users{org="octo"} 3"#.to_owned(),
        r#"total_engaged_users{org="octo"} 2"#.to_owned(),
        format!("total_engaged_users{code} 2"),
        format!("total_engaged_users{chat} 1"),
        r#"total_engaged_users{org="octo",stream="copilot_ide_code_completions",language="go"} 2"#.to_owned(),
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
    assert_eq!(text.matches("# TYPE ").count(), 10);
}

#[test]
fn what_telemetry_alone_tells_is_absent_without_it() {
    let text = told(false);
    for name in ["total_code_acceptances", "total_code_lines_accepted", "total_chat_copy_events"] {
        assert!(!text.contains(name), "{text}");
    }
    assert!(!text.contains("total_engaged_users{org=\"octo\",stream=\"copilot_ide_code_completions\"}"), "{text}");
    assert!(text.contains("total_chats{") && text.contains("total_code_suggestions{"), "{text}");
}
