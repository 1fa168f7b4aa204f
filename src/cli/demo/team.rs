//! The developers of the demo: names, editors, languages.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::RootCertStore;

use crate::sim::ide::{Developer, EditorProfile, Person, Workday};

/// First names; more developers than these get a number.
const NAMES: [&str; 16] = [
    "mona", "kenji", "amara", "lucas", "priya", "sofia", "jonas", "mei", "tariq", "ines", "pavel", "noor", "diego",
    "freya", "samir", "wren",
];
/// Mean pause between two actions: busy people, so that there is something to see.
const PACE: Duration = Duration::from_millis(900);
/// Makes demos alike.
const SEED: u64 = 2026;

/// The names of so many developers, each of them once.
pub(super) fn names(count: usize) -> Vec<String> {
    let rounds = (1..).flat_map(|round| NAMES.iter().map(move |name| (round, name)));
    let name = |(round, name): (u32, &&str)| if round == 1 { (*name).to_owned() } else { format!("{name}{round}") };
    rounds.map(name).take(count).collect()
}

/// The day of the developer at this place of the team.
pub(super) fn workday(place: usize, name: String, password: &str, proxy: SocketAddr, ca: RootCertStore) -> Workday {
    let (editor, languages): (_, &[&str]) = match place % 6 {
        0 => (EditorProfile::vscode(), &["python", "sql"]),
        1 => (EditorProfile::intellij(), &["java"]),
        2 => (EditorProfile::vscode(), &["typescript"]),
        3 => (EditorProfile::goland(), &["go"]),
        4 => (last_months_vscode(), &["rust"]),
        _ => (EditorProfile::pycharm(), &["python"]),
    };
    let languages = languages.iter().map(ToString::to_string).collect();
    let person = Person { name, password: password.to_owned(), editor, languages, telemetry: true, seed: SEED };
    Workday::new(Developer::new(person, proxy, ca), PACE)
}

fn last_months_vscode() -> EditorProfile {
    EditorProfile {
        version: "vscode/1.118.2".to_owned(),
        plugin: "copilot-chat/0.46.1".to_owned(),
        user_agent: "GitHubCopilotChat/0.46.1".to_owned(),
        ..EditorProfile::vscode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_team_has_no_two_of_a_name() {
        let mut names = names(200);
        assert_eq!((names[0].as_str(), names[16].as_str()), ("mona", "mona2"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 200);
    }
}
