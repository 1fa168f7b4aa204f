//! Seats and the subscription.

use serde_json::json;

use super::super::seat::last_activity_editor;
use super::*;

fn holder<'a>(client: Option<&'a Client>) -> Holder<'a> {
    let plan = Some("copilot_for_business_seat_quota");
    Holder { identity: identity(), plan, team: Some((2_147_483_650, "Core Tools", "core-tools")), client }
}

#[test]
fn a_seat_in_githubs_shape() {
    let client = client("vscode-1.119.0", "1.119.0", Some("copilot-chat/0.47.2"), 5);
    insta::assert_json_snapshot!(value(&seat("example", holder(Some(&client)), Gaps::Zero)));
}

#[test]
fn what_is_not_known_of_a_seat() {
    let stranger = Holder { identity: Identity { login: "ada", id: None }, plan: None, team: None, client: None };
    let seat = value(&seat("example", stranger, Gaps::Omit));
    assert_eq!((&seat["last_activity_at"], &seat["last_activity_editor"]), (&json!(null), &json!(null)));
    assert_eq!((seat.get("created_at"), seat.get("assigning_team")), (None, None));
    assert_eq!((seat["assignee"].get("id"), seat["assignee"].get("node_id")), (None, None));
    assert_eq!((&seat["plan_type"], &seat["assignee"]["login"]), (&json!("unknown"), &json!("ada")));
    let zero = value(&super::seat("example", stranger, Gaps::Zero));
    assert_eq!((&zero["assignee"]["id"], &zero["assignee"]["node_id"]), (&json!(0), &json!("")));
    assert_eq!((&zero["created_at"], zero.get("assigning_team")), (&json!("1970-01-01T00:00:00Z"), None));
}

#[test]
fn plans_have_githubs_names() {
    for (told, name) in [
        (Some("copilot_for_business_seat_quota"), "business"),
        (Some("business"), "business"),
        (Some("copilot_enterprise_seat"), "enterprise"),
        (Some("free_limited_copilot"), "unknown"),
        (None, "unknown"),
    ] {
        assert_eq!(value(&seat("example", Holder { plan: told, ..holder(None) }, Gaps::Zero))["plan_type"], name);
    }
}

#[test]
fn the_last_editor_as_github_writes_it() {
    let editor = |client: Client| last_activity_editor(&client);
    let of = |editor: &str, version: &str, plugin| client(editor, version, plugin, 0);
    let told = [
        (of("vscode-1.96.2", "1.96.2", Some("copilot-chat/0.31.1")), "vscode/1.96.2/copilot-chat/0.31.1"),
        (of("JetBrains-PC-243.22562.220", "243.22562.220", None), "JetBrains-PC/243.22562.220"),
        (of("vscode-1.120.0-insider", "1.120.0-insider", None), "vscode/1.120.0-insider"),
        (of("Zed", "", None), "Zed"),
        (of("-", "-", Some("")), "-/"),
        (of("odd-1.0", "2.0", Some("p/1")), "odd-1.0/p/1"),
    ];
    for (client, expected) in told {
        assert_eq!(editor(client).as_deref(), Some(expected));
    }
    assert_eq!(editor(Client { editor: None, ..of("", "1", None) }), None);
}

#[test]
fn the_subscription_counts_its_active_seats() {
    let shown = value(&billing(5, 3, Some("copilot_enterprise_seat"), Gaps::Zero));
    insta::assert_json_snapshot!(shown);
    let omitted = value(&billing(5, 3, None, Gaps::Omit));
    assert_eq!(omitted["seat_breakdown"], json!({"total": 5, "active_this_cycle": 3, "inactive_this_cycle": 2}));
    assert_eq!(omitted.get("plan_type"), None);
}
