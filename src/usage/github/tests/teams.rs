//! Team metrics as GitHub says to make them: join users-1-day and user-teams-1-day by user and day, group by team.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

/// Number, login, acceptances and lines added.
const PEOPLE: [(u64, &str, u64, u64); 3] = [(7001, "ada", 21, 130), (7002, "grace", 4, 18), (7003, "linus", 9, 50)];

fn usage(acceptances: u64, lines_added: u64) -> UserDay {
    let counts = Counts { acceptances, lines_added, generations: 2 * acceptances, ..Counts::default() };
    let cells = BTreeMap::from([(cell(["vscode", "code_completion", "go", "gpt-41-copilot"]), counts)]);
    UserDay { telemetry: true, cells, ..UserDay::default() }
}

/// Team by team: members with a record, acceptances, lines added.
fn join(users: &[Value], members: &[Value]) -> BTreeMap<(u64, String), (usize, u64, u64)> {
    let mut teams: BTreeMap<(u64, String), Vec<&Value>> = BTreeMap::new();
    for member in members {
        let key = (member["team_id"].as_u64().unwrap(), member["slug"].as_str().unwrap().to_owned());
        let same = |user: &&Value| (&user["user_id"], &user["day"]) == (&member["user_id"], &member["day"]);
        teams.entry(key).or_default().extend(users.iter().filter(same));
    }
    let sum = |users: &[&Value], name: &str| users.iter().map(|user| user[name].as_u64().unwrap()).sum();
    let of_team = |users: Vec<&Value>| {
        let ids: BTreeSet<_> = users.iter().map(|user| user["user_id"].as_u64()).collect();
        (ids.len(), sum(&users, "code_acceptance_activity_count"), sum(&users, "loc_added_sum"))
    };
    teams.into_iter().map(|(key, users)| (key, of_team(users))).collect()
}

#[test]
fn the_documented_join_gives_team_metrics() {
    let days = PEOPLE.map(|(_, _, acceptances, lines)| usage(acceptances, lines));
    let identities = PEOPLE.map(|(id, login, ..)| Identity { login, id: Some(id) });
    // Linus did nothing that day, and is in a team of one.
    let users: Vec<_> =
        (0..2).map(|n| value(&user(identities[n], (None, day()), &days[n], phase(None, 0), Gaps::Zero))).collect();
    let members = [(0, (1, "web")), (0, (2, "data")), (1, (1, "web")), (2, (3, "kernel"))];
    let members = members.map(|(n, team): (usize, _)| value(&TeamMember::new(identities[n], day(), team)));
    let expected = [((1, "web"), (2, 25, 148)), ((2, "data"), (1, 21, 130)), ((3, "kernel"), (0, 0, 0))];
    let expected = expected.map(|((id, slug), metrics)| ((id, slug.to_owned()), metrics));
    assert_eq!(join(&users, &members), BTreeMap::from(expected));
}

#[test]
fn a_member_without_a_number_is_named_by_login() {
    let member = TeamMember::new(Identity { login: "ada", id: None }, day(), (5, "core"));
    insta::assert_snapshot!(value(&member), @r#"{"user_login":"ada","day":"2026-03-12","team_id":5,"slug":"core"}"#);
}
