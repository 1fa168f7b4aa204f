//! `copilens tokens` beside a running `copilens run`: a token opens what its scope covers, from and until the very next request.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use http::HeaderMap;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::Value;

use crate::reading::{Answer, get};
use crate::support::{Copilens, Site, Upstream};

/// A new token of the running site.
pub(crate) fn token(site: &Site, name: &str, scope: &str) -> String {
    site.stdout(&["tokens", "add", name, "--scope", scope]).trim().to_owned()
}

async fn with(copilens: &Copilens, path: &str, authorization: &str) -> Answer {
    get(copilens, path, &[(AUTHORIZATION, authorization)]).await
}

async fn start() -> Copilens {
    Site::new(&Upstream::start().await).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_at_once_and_until_it_is_removed() {
    let copilens = start().await;
    for round in 0..3 {
        let token = token(&copilens.site, "prometheus", "metrics");
        for path in ["/metrics", "/orgs/example/copilot/billing"] {
            assert_eq!(with(&copilens, path, &format!("Bearer {token}")).await.status, 200, "{round} {path}");
        }
        copilens.site.stdout(&["tokens", "remove", "prometheus"]);
        for path in ["/metrics", "/orgs/example/copilot/billing"] {
            assert_eq!(with(&copilens, path, &format!("Bearer {token}")).await.status, 401, "{round} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn add_prints_the_token_alone_and_keeps_it_nowhere() {
    let copilens = start().await;
    let output = copilens.site.output(&["tokens", "add", "ci", "--scope", "viewer", "--expires", "7"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let token = said.strip_suffix('\n').unwrap();
    assert!(output.status.success() && token.starts_with("cpl_") && token.len() == 47, "{said}");
    assert_eq!(with(&copilens, "/metrics", &format!("Bearer {token}")).await.status, 200);
    let file = copilens.site.path("config/tokens.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let listed: Value = serde_json::from_str(&copilens.site.stdout(&["tokens", "list", "--json"])).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["scope"]), (&"ci".into(), &"viewer".into()));
    let secret = &token[4..];
    for text in [fs::read_to_string(&file).unwrap(), listed.to_string(), copilens.site.stdout(&["tokens", "list"])] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!copilens.log().contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_of_tokens_are_64() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    site.stdout(&["tokens", "add", "ci", "--scope", "viewer"]);
    for wrong in [
        ["add", "x"].as_slice(),
        &["add", "x", "--scope", "all"],
        &["add", "../x", "--scope", "viewer"],
        &["add", "CI", "--scope", "viewer"],
        &["add", "x", "--scope", "viewer", "--expires", "0"],
        &["remove", "nobody"],
    ] {
        let output = site.output(&[&["tokens"], wrong].concat());
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn github_s_forms_of_sending_a_token_are_understood_and_others_refused() {
    let copilens = start().await;
    let token = token(&copilens.site, "octokit", "metrics");
    let basic = |user: &str, password: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
    };
    for form in [format!("Bearer {token}"), format!("token {token}"), basic("octocat", &token), basic("", &token)] {
        assert_eq!(with(&copilens, "/orgs/example/copilot/billing", &form).await.status, 200, "{form}");
    }
    let wrong = [
        token.clone(),
        format!("Bearer {token}x"),
        format!("Bearer {}", &token[1..]),
        basic(&token, ""),
        basic("octocat", "wrong"),
        "Bearer".to_owned(),
        format!("Digest {token}"),
    ];
    for form in &wrong {
        let refused = with(&copilens, "/orgs/example/copilot/billing", form).await;
        assert_refused(&refused, form);
        assert_eq!(with(&copilens, "/metrics", form).await.status, 401, "{form}");
    }
    assert_refused(&get(&copilens, "/orgs/example/copilot/billing", &[]).await, "nothing");
    let bearer = format!("Bearer {token}");
    let twice = get(&copilens, "/metrics", &[(AUTHORIZATION, &bearer), (AUTHORIZATION, &bearer)]).await;
    assert_eq!(twice.status, 401);
}

/// As GitHub does.
fn assert_refused(answer: &Answer, what: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["status"]), (401, &"401".into()), "{what}");
    assert!(body["message"].is_string() && body["documentation_url"].is_string(), "{body}");
    assert_eq!(answer.headers[WWW_AUTHENTICATE], r#"Bearer realm="copilens""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_file_closes_the_door_for_its_tokens_and_check_says_why() {
    let copilens = start().await;
    let bearer = format!("Bearer {}", token(&copilens.site, "prometheus", "metrics"));
    let admin = fs::read_to_string(copilens.site.path("config/admin-token")).unwrap();
    let admin = format!("Bearer {}", admin.trim());
    let file = copilens.site.path("config/tokens.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("\"metrics\"", "\"most\"")).unwrap();
    assert_eq!(with(&copilens, "/metrics", &bearer).await.status, 401);
    assert_eq!(with(&copilens, "/metrics", &admin).await.status, 200);
    assert!(copilens.log().contains("tokens.toml:5: scope: a scope is one of"), "{}", copilens.log());
    let check = copilens.site.output(&["check"]);
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(check.status.code() == Some(78) && said.contains("config/tokens.toml:5: scope"), "{said}");
    fs::write(&file, &good).unwrap();
    assert_eq!(with(&copilens, "/metrics", &bearer).await.status, 200);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(with(&copilens, "/metrics", &bearer).await.status, 401);
    assert!(String::from_utf8(copilens.site.output(&["check"]).stderr).unwrap().contains("chmod 600"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_opens_nothing() {
    let upstream = Upstream::start().await;
    let Some(faketime) = crate::clock::FakeTime::find() else { return };
    let site = Site::new(&upstream);
    let day = token(&site, "day", "metrics");
    let output = site.output(&["tokens", "add", "week", "--scope", "metrics", "--expires", "7"]);
    let week = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let copilens = faketime.start_at(site, "+6d");
    assert_eq!(with(&copilens, "/metrics", &format!("Bearer {week}")).await.status, 200);
    let (_, site) = copilens.stop();
    let copilens = faketime.start_at(site, "+8d");
    assert_eq!(with(&copilens, "/metrics", &format!("Bearer {week}")).await.status, 401);
    assert_eq!(with(&copilens, "/metrics", &format!("Bearer {day}")).await.status, 200, "without an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_nothing_of_the_proxy() {
    let copilens = start().await;
    let token = token(&copilens.site, "all", "admin");
    let as_user = copilens::sim::client::Credentials::basic("alice", &token);
    let refused = copilens.client_with(as_user).connect(&format!("{}:443", crate::support::CHAT_HOST)).await;
    assert!(refused.is_err());
    let open: HeaderMap = get(&copilens, "/livez", &[]).await.headers;
    assert!(!open.contains_key(WWW_AUTHENTICATE));
}
