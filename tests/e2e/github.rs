//! GitHub's paths on the admin listener: who may ask, what is there, and links that lead to a file for an hour.

use std::fs;
use std::io::Read;

use chrono::{Days, NaiveDate, Utc};
use copilens::sim::tls::Alpn;
use http::Method;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName};
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::reading::{Answer, get, send};
use crate::support::{Copilens, Site, Upstream};
use crate::tokens::token;

/// Two users in two teams, one without, one who may not pass.
const USERS: &str = "[[user]]\nname = \"alice\"\nteams = [\"Core Team\", \"web\"]\ngithub_login = \"alice-gh\"\n\
                     [[user]]\nname = \"bob\"\nteams = [\"Core Team\"]\n[[user]]\nname = \"carol\"\n\
                     [[user]]\nname = \"dave\"\ndisabled = true\n";

/// A running copilens, and a token of scope `metrics`.
struct Office {
    copilens: Copilens,
    bearer: String,
    _upstream: Upstream,
}

impl Office {
    async fn open() -> Self {
        Self::open_with(|site| site).await
    }

    async fn open_with(change: impl FnOnce(Site) -> Site) -> Self {
        let upstream = Upstream::start().await;
        let site = Site::new(&upstream);
        fs::write(site.path("config/allowlist.toml"), USERS).unwrap();
        let copilens = change(site).start();
        let bearer = format!("Bearer {}", token(&copilens.site, "tool", "metrics"));
        Self { copilens, bearer, _upstream: upstream }
    }

    async fn get(&self, path: &str) -> Answer {
        get(&self.copilens, path, &[(AUTHORIZATION, &self.bearer)]).await
    }

    /// The only link of a link document.
    async fn link(&self, path: &str) -> String {
        let document = self.get(path).await;
        assert_eq!(document.status, 200, "{}", document.text());
        let links = document.json()["download_links"].clone();
        assert_eq!(links.as_array().unwrap().len(), 1);
        links[0].as_str().unwrap().to_owned()
    }
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// Any day has it, so it is there without traffic.
fn teams(day: NaiveDate) -> String {
    format!("/orgs/example/copilot/metrics/reports/user-teams-1-day?day={day}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_a_link_document_and_then_its_file_which_needs_no_token() {
    let office = Office::open().await;
    let day = today();
    for path in
        [teams(day), format!("/api/v3{}", teams(day)), teams(day).replace("orgs/example", "enterprises/Example")]
    {
        let document = office.get(&path).await;
        assert_eq!(document.header("content-type"), "application/json; charset=utf-8");
        let keys: Vec<_> = document.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["download_links", "report_day"]);
        assert_eq!(document.json()["report_day"], day.to_string());
        let link = office.link(&path).await;
        assert!(link.starts_with(&format!("http://{}/download/", office.copilens.admin)), "{link}");
        let file = get(&office.copilens, &link, &[]).await;
        assert_eq!((file.status, file.header("content-type")), (200, "application/x-ndjson"));
        let name = format!("attachment; filename=\"user-teams-1-day_{day}.ndjson\"");
        assert_eq!(file.header("content-disposition"), name);
        let members: Vec<_> =
            file.lines().iter().map(|line| (line["user_login"].clone(), line["slug"].clone())).collect();
        let expected = [("alice-gh", "core-team"), ("alice-gh", "web"), ("bob", "core-team")];
        for (login, slug) in expected {
            assert!(members.contains(&(login.into(), slug.into())), "{login} {slug} in {members:?}");
        }
        assert!(file.lines().iter().all(|line| line["day"] == day.to_string()));
        let head = send(&office.copilens, Method::HEAD, &link, &[]).await;
        assert_eq!((head.status, head.body.len(), head.header("content-disposition")), (200, 0, &*name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_accepts_gzip_gets_it() {
    let office = Office::open().await;
    let link = office.link(&teams(today())).await;
    let plain = get(&office.copilens, &link, &[(ACCEPT_ENCODING, "br, gzip;q=0")]).await;
    assert_eq!((plain.status, plain.header("content-encoding"), plain.header("vary")), (200, "", "accept-encoding"));
    let coded = get(&office.copilens, &link, &[(ACCEPT_ENCODING, "gzip, deflate")]).await;
    assert_eq!((coded.status, coded.header("content-encoding")), (200, "gzip"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&coded.body[..]).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_changed_leads_nowhere() {
    let office = Office::open().await;
    let link = office.link(&teams(today())).await;
    let end = link.split("expires=").nth(1).unwrap().split('&').next().unwrap();
    let later = (end.parse::<i64>().unwrap() + 1).to_string();
    let (before, signature) = link.split_once("&signature=").unwrap();
    let swapped: String = signature.chars().rev().collect();
    let yesterday = today() - Days::new(1);
    for changed in [
        link.replace("user-teams-1-day", "users-1-day"),
        link.replace(&today().to_string(), &yesterday.to_string()),
        link.replace(end, &later),
        before.to_owned(),
        format!("{before}&signature="),
        format!("{before}&signature={swapped}"),
        link.replace("user-teams-1-day_", "%2e%2e%2fconfig%2fseed_"),
        link.replace("/download/", "/download/../download/x"),
    ] {
        let answer = get(&office.copilens, &changed, &[]).await;
        assert!([403, 404].contains(&answer.status), "{changed}: {}", answer.status);
        assert!(answer.json()["message"].is_string());
        let with_token = office.get(changed.strip_prefix(&format!("http://{}", office.copilens.admin)).unwrap()).await;
        assert_eq!(with_token.status, answer.status, "a token makes no difference");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_holds_for_an_hour_at_any_proxy_with_the_seed() {
    let Some(faketime) = crate::clock::FakeTime::find() else { return };
    let office = Office::open().await;
    let link = office.link(&teams(today())).await;
    let path = link.strip_prefix(&format!("http://{}", office.copilens.admin)).unwrap();
    let (_, mut site) = office.copilens.stop();
    for (clock, status) in [("+50m", 200), ("+70m", 403)] {
        let copilens = faketime.start_at(site, clock);
        let answer = get(&copilens, path, &[]).await;
        assert_eq!(answer.status, status, "{clock}: {}", answer.text());
        site = copilens.stop().1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_as_github_tells_it() {
    let office = Office::open().await;
    let reports = "/orgs/example/copilot/metrics/reports";
    for path in [
        "/orgs/other/copilot/metrics".to_owned(),
        "/enterprises/other/copilot/metrics".to_owned(),
        "/orgs/example/team/none/copilot/metrics".to_owned(),
        "/orgs/ex%ffample/copilot/billing".to_owned(),
        "/orgs/example".to_owned(),
        "/orgs/example/copilot/metrics/".to_owned(),
        "/api/v3/user".to_owned(),
        "/api/v4/orgs/example/copilot/billing".replace("v4", "v3/x"),
        format!("{reports}/nothing-1-day?day={}", today()),
        format!("{reports}/enterprise-1-day?day={}", today()),
        format!("{reports}/organization-28-day?day={}", today()),
        format!("{reports}/users-1-day/latest"),
        format!("{reports}/enterprise-28-day/latest"),
        "/enterprises/example/copilot/metrics/reports/organization-28-day/latest".to_owned(),
    ] {
        let answer = office.get(&path).await;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["message"], &body["status"]),
            (404, &"Not Found".into(), &"404".into()),
            "{path}"
        );
        assert!(body["documentation_url"].as_str().unwrap().starts_with("https://docs.github.com/"), "{body}");
    }
    let tomorrow = today() + Days::new(1);
    for (day, word) in [
        ("", "supplied"),
        ("?day=", "YYYY-MM-DD"),
        ("?day=2026-02-30", "YYYY-MM-DD"),
        ("?day=x&day=2026-01-01", "YYYY-MM-DD"),
        (&format!("?day={tomorrow}"), "future"),
    ] {
        for report in ["organization-1-day", "users-1-day", "user-teams-1-day", "repos-1-day"] {
            let answer = office.get(&format!("{reports}/{report}{day}")).await;
            assert_eq!(answer.status, 422, "{report} {day}");
            assert!(answer.json()["message"].as_str().unwrap().contains(word), "{}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_a_report_has_no_content() {
    let office = Office::open().await;
    for path in [
        "/orgs/example/copilot/metrics/reports/organization-1-day?day=2020-01-01",
        "/orgs/example/copilot/metrics/reports/users-1-day?day=2020-01-01",
        "/orgs/example/copilot/metrics/reports/repos-1-day?day=2020-01-01",
        "/orgs/example/copilot/metrics/reports/organization-28-day/latest",
        "/orgs/example/copilot/metrics/reports/users-28-day/latest",
        "/enterprises/example/copilot/metrics/reports/enterprise-1-day?day=2020-01-01",
        "/enterprises/example/copilot/metrics/reports/enterprise-28-day/latest",
    ] {
        let answer = office.get(path).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
    }
    for path in [
        "/orgs/example/copilot/metrics",
        "/orgs/example/team/core-team/copilot/metrics?since=2020-01-01T00:00:00Z&until=2020-02-01T00:00:00Z",
    ] {
        let answer = office.get(path).await;
        assert_eq!((answer.status, answer.json()), (200, json!([])), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_in_every_report_of_its_day() {
    let office = Office::open().await;
    for (user, ask) in
        [("alice", Ask::completion()), ("alice", Ask::completion()), ("alice", Ask::chat()), ("bob", Ask::chat())]
    {
        ask.finish(&office.copilens.tunnel(user, ask.host, Alpn::Http2).await).await;
    }
    let whole = |day: &Value| day["total_completions_count"] == 2 && day["total_chat_turns"] == 2;
    office.copilens.wait_for_day(whole);
    let (today, yesterday) = (today(), today() - Days::new(1));
    let file = async |path: String| {
        let link = office.link(&path).await;
        get(&office.copilens, &link, &[]).await.lines()
    };
    let reports = "/orgs/example/copilot/metrics/reports";
    let users = file(format!("{reports}/users-1-day?day={today}")).await;
    let told: Vec<_> =
        users.iter().map(|user| (&user["user_login"], &user["user_initiated_interaction_count"])).collect();
    assert_eq!(told, [(&"alice-gh".into(), &1.into()), (&"bob".into(), &1.into())]);
    let of_all = file(format!("{reports}/organization-1-day?day={today}")).await;
    assert_eq!((of_all.len(), &of_all[0]["daily_active_users"]), (1, &2.into()));
    assert_eq!(of_all[0]["user_initiated_interaction_count"], 2);
    for (team, active) in [("core-team", 2), ("Web", 1)] {
        let path = format!("/orgs/example/team/{team}/copilot/metrics?since={today}&until={today}");
        let days = office.get(&path).await.json();
        assert_eq!((&days[0]["date"], &days[0]["total_active_users"]), (&today.to_string().into(), &active.into()));
    }
    let whole_days = office.get("/orgs/example/copilot/metrics").await.json();
    assert_eq!(whole_days, json!([]), "today is not over");
    assert_eq!(office.get(&format!("{reports}/users-28-day/latest")).await.status, 204, "it ends with {yesterday}");
    let seats = office.get("/orgs/example/copilot/billing/seats").await.json();
    let seen: Vec<_> =
        seats["seats"].as_array().unwrap().iter().map(|seat| seat["last_activity_at"].is_string()).collect();
    assert_eq!(seen, [true, true, false]);
}

/// The reports of 28 days, a day after the work.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_ends_with_the_last_whole_day() {
    let Some(faketime) = crate::clock::FakeTime::find() else { return };
    let office = Office::open().await;
    let ask = Ask::chat();
    ask.finish(&office.copilens.tunnel("alice", ask.host, Alpn::Http2).await).await;
    office.copilens.wait_for_day(|day| day["total_chat_turns"] == 1);
    let (day, (_, site)) = (today(), office.copilens.stop());
    let office = Office { copilens: faketime.start_at(site, "+24h"), ..office };
    for (family, report, rows) in [
        ("orgs", "users-28-day", 1),
        ("orgs", "organization-28-day", 1),
        ("enterprises", "users-28-day", 1),
        ("enterprises", "enterprise-28-day", 1),
    ] {
        let path = format!("/{family}/example/copilot/metrics/reports/{report}/latest");
        let document = office.get(&path).await.json();
        let span = [&document["report_start_day"], &document["report_end_day"]];
        assert_eq!(span, [&(day - Days::new(27)).to_string(), &day.to_string()]);
        let link = office.link(&path).await;
        let file = get(&office.copilens, &link, &[]).await;
        assert_eq!((file.status, file.lines().len()), (200, rows), "{path}");
    }
    let days = office.get("/enterprises/example/copilot/metrics").await.json();
    assert_eq!((days.as_array().unwrap().len(), &days[0]["date"]), (1, &day.to_string().into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_the_allowlist_page_by_page() {
    let office = Office::open_with(|site| site.set("organization", "\"Octo-Org\"")).await;
    let mut next = Some("/orgs/octo-org/copilot/billing/seats?per_page=2".to_owned());
    let mut logins = Vec::new();
    while let Some(path) = next {
        let page = office.get(&path).await;
        assert_eq!((page.status, &page.json()["total_seats"]), (200, &3.into()), "{}", page.text());
        for seat in page.json()["seats"].as_array().unwrap() {
            logins.push(seat["assignee"]["login"].as_str().unwrap().to_owned());
        }
        let link = |relation: &str| {
            let links = page.header("link").split(", ");
            let found = links.filter_map(|link| link.strip_prefix('<')?.split_once(">; rel="));
            found.filter(|(_, rel)| rel.trim_matches('"') == relation).map(|(url, _)| url.to_owned()).next()
        };
        assert_eq!(link("last").is_some(), link("next").is_some());
        let own = format!("http://{}", office.copilens.admin);
        next = link("next").map(|url| url.strip_prefix(&own).unwrap_or_else(|| panic!("{url}")).to_owned());
    }
    assert_eq!(logins, ["alice-gh", "bob", "carol"]);
    let whole = office.get("/orgs/OCTO-ORG/copilot/billing/seats").await;
    assert!(whole.header("link").is_empty());
    assert_eq!(whole.json()["seats"].as_array().unwrap().len(), 3);
    let billing = office.get("/orgs/octo-org/copilot/billing").await.json();
    assert_eq!(billing["seat_breakdown"]["total"], 3, "{billing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_name_the_host_that_the_client_named_and_no_other() {
    let office = Office::open().await;
    let host = HeaderName::from_static("host");
    let ask = async |named: &str, more: &[(HeaderName, &str)]| {
        let headers = [&[(AUTHORIZATION, &*office.bearer), (host.clone(), named)], more].concat();
        get(&office.copilens, &teams(today()), &headers).await
    };
    let forwarded = [
        (HeaderName::from_static("x-forwarded-host"), "evil.example"),
        (HeaderName::from_static("x-forwarded-proto"), "https"),
        (HeaderName::from_static("forwarded"), "host=evil.example"),
    ];
    let answer = ask("Copilens.example.com:8081", &forwarded).await;
    let link = answer.json()["download_links"][0].as_str().unwrap().to_owned();
    assert!(link.starts_with("http://copilens.example.com:8081/download/"), "{link}");
    for hostile in ["a\"><script>", "user@evil.example", "x y", "a/b", ""] {
        let answer = ask(hostile, &[]).await;
        assert_eq!(answer.status, 400, "{hostile}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_it_is_reached_through_the_proxy() {
    let office = Office::open().await;
    let plain = office.copilens.client("alice").plain().await.unwrap();
    for host in ["mitm.it", "copilens.local"] {
        let link = office.link(&teams(today())).await;
        let path = link.strip_prefix(&format!("http://{}", office.copilens.admin)).unwrap();
        for path in [path, "/orgs/example/copilot/billing"] {
            let request = http::Request::get(format!("http://{host}{path}")).header(AUTHORIZATION, &office.bearer);
            let mut reply = plain.send(request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
            assert_eq!(reply.status().as_u16(), 404, "{host}{path}");
            assert!(!String::from_utf8_lossy(&reply.bytes().await.unwrap()).contains("alice"));
        }
    }
}

/// A value of each kind that a client may not expect to come back as JSON.
#[tokio::test(flavor = "multi_thread")]
async fn no_path_and_no_parameter_makes_it_fail() {
    let office = Office::open().await;
    let long = "x".repeat(8_000);
    let odd = [
        "%00",
        "%ff%fe",
        "..",
        "%2e%2e%2f",
        "'\"<>",
        "{org}",
        "*",
        "%F0%9F%98%80",
        "-1",
        "99999999999999999999",
        &long,
    ];
    for word in odd {
        let word = word.replace(['"', '<', '>', '{', '}'], "%22");
        for path in [
            format!("/orgs/{word}/copilot/metrics"),
            format!("/orgs/example/team/{word}/copilot/metrics"),
            format!("/orgs/example/copilot/metrics/reports/{word}"),
            format!("/orgs/example/copilot/metrics/reports/users-1-day?day={word}"),
            format!("/orgs/example/copilot/metrics?since={word}&until={word}&page={word}&per_page={word}"),
            format!("/orgs/example/copilot/billing/seats?page={word}&per_page={word}&{word}"),
            format!("/download/{word}?expires={word}&signature={word}"),
            format!("/download/{word}?{word}"),
        ] {
            let answer = office.get(&path).await;
            assert!((200..500).contains(&answer.status), "{path}: {}", answer.status);
            if !answer.body.is_empty() {
                let _: Value = answer.json();
            }
        }
    }
    assert!(!office.copilens.log().contains("panicked"), "{}", office.copilens.log());
    assert_eq!(office.get("/orgs/example/copilot/billing").await.status, 200);
}
