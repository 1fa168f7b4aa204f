//! Clients made for api.github.com, pointed at the admin listener: they find seats page by page, reports behind links, and
//! refusals as GitHub's.

use std::process::Command;

use chrono::Utc;
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::job::{Running, command};
use crate::programs::{installed, node_script, python_script};
use crate::scenario::skip;
use crate::support::{COMPLETIONS_HOST, Copilens, Site, Upstream, completion};

/// A running copilens with a day's work of one user, and a token.
struct Office {
    copilens: Copilens,
    token: String,
    day: String,
    _upstream: Upstream,
}

impl Office {
    async fn open() -> Self {
        let upstream = Upstream::start().await;
        let site = Site::new(&upstream).set("organization", "\"Octo-Org\"");
        site.write_users(&["alice", "bob", "carol"]);
        let copilens = site.start();
        let tunnel = copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http1).await;
        tunnel.send(completion("def add(x, y):\n    ")).await.unwrap().bytes().await.unwrap();
        copilens.wait_for_day(|day| day["total_completions_count"] == 1);
        let token = copilens.site.stdout(&["tokens", "add", "tool", "--scope", "metrics"]).trim().to_owned();
        Self { copilens, token, day: Utc::now().date_naive().to_string(), _upstream: upstream }
    }

    /// Where a client of a GitHub Enterprise Server looks, or one of GitHub itself.
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.copilens.admin)
    }

    /// What a program finds; `None` where it is not installed.
    fn found_by(&self, name: &str, program: Result<Command, String>, base: &str) -> Option<Value> {
        let mut program = program.map_err(|missing| skip(name, &missing)).ok()?;
        program.env("BASE_URL", self.url(base)).env("TOKEN", &self.token).env("ORGANIZATION", "octo-org");
        program.env("DAY", &self.day);
        let outcome = Running::start(program).outcome();
        assert_eq!(outcome.code, Some(0), "{}", outcome.complaints);
        Some(serde_json::from_slice(&outcome.body).unwrap())
    }

    fn expected(&self) -> Value {
        json!({
            "seats": ["alice", "bob", "carol"], "users": ["alice"], "days": [self.day], "elsewhere": 404, "refused": 401,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn octokit_reads_reports_and_seats() {
    let office = Office::open().await;
    for base in ["", "/api/v3"] {
        let program = node_script("@octokit/core", "with_octokit.cjs");
        let Some(found) = office.found_by("octokit", program, base) else { return };
        assert_eq!(found, office.expected(), "{base}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pygithub_reads_reports_and_seats() {
    let office = Office::open().await;
    for base in ["", "/api/v3"] {
        let Some(found) = office.found_by("PyGithub", python_script("with_pygithub.py"), base) else { return };
        assert_eq!(found, office.expected(), "{base}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_with_a_token_for_password_saves_a_report() {
    let office = Office::open().await;
    let Ok(curl) = installed("curl").map_err(|missing| skip("curl", &missing)) else { return };
    let run = |arguments: &[&str]| {
        let mut curl = command(&curl);
        curl.args(["--silent", "--show-error", "--fail"]).args(arguments).current_dir(office.copilens.site.path(""));
        Running::start(curl).outcome()
    };
    let login = format!("tool:{}", office.token);
    let path = format!("/orgs/octo-org/copilot/metrics/reports/users-1-day?day={}", office.day);
    let document = run(&["--user", &login, &office.url(&path)]);
    let document: Value = serde_json::from_slice(&document.body).unwrap();
    let link = document["download_links"][0].as_str().unwrap();
    let saved = run(&["--compressed", "--remote-name", "--remote-header-name", link]);
    assert_eq!(saved.code, Some(0), "{saved:?}");
    let file = office.copilens.site.path(&format!("users-1-day_{}.ndjson", office.day));
    let record: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!((&record["user_login"], &record["day"]), (&"alice".into(), &Value::from(&*office.day)));
    let wrong = run(&["--user", "tool:cpl_wrong", &office.url(&path)]);
    assert_eq!(wrong.code, Some(22), "{wrong:?}");
}
