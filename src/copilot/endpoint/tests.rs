//! Real hosts and paths, with invented names, and what each is worth.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::copilot::sample;
use crate::exchange::ResponseHead;

const MODELS: &str = "api.business.githubcopilot.com";
const GHOST: &str = "proxy.business.githubcopilot.com";
const ACCOUNTS: &str = "api.github.com";

fn post(host: &str, path: &str) -> Option<Capture> {
    capture(&Method::POST, host, path)
}

fn get(host: &str, path: &str) -> Option<Capture> {
    capture(&Method::GET, host, path)
}

#[test]
fn every_endpoint_is_captured() {
    for (path, endpoint) in [
        ("/v1/engines/demo-engine/completions", Endpoint::Completions),
        ("/chat/completions", Endpoint::Chat),
        ("/responses", Endpoint::Responses),
        ("/v1/messages", Endpoint::Messages),
        ("/agents/demo-extension", Endpoint::Agents),
        ("/agents/github/code-review", Endpoint::Agents),
        ("/agents/swe", Endpoint::Agents),
    ] {
        for host in [MODELS, GHOST, "copilot-api.octo.ghe.com", "anything.example:8443"] {
            for query in ["", "?", "?a=/b"] {
                assert_eq!(
                    post(host, &format!("{path}{query}")),
                    Some(Capture::Exchange(endpoint)),
                    "{host}{path}{query}"
                );
            }
        }
        assert_eq!(get("h.example", path), None);
    }
}

#[test]
fn what_only_looks_like_an_endpoint_is_unknown() {
    for path in [
        "/v1/engines//completions",
        "/v1/engines/a/b/completions",
        "/v1/engines/completions",
        "/chat/completions/",
        "/CHAT/completions",
        "/x/chat/completions",
        "/?/chat/completions",
        "/v1/messages/count_tokens",
        "/agents",
        "/agents//",
        "/telemetry/x",
        "",
    ] {
        assert_eq!(post(MODELS, path), Some(Capture::Unknown), "{path}");
        assert_eq!(post("h.example", path), None, "{path}");
    }
    assert_eq!(get(MODELS, "/chat/completions"), Some(Capture::Unknown));
}

#[test]
fn an_upgrade_is_captured_where_it_leads_to_responses() {
    assert!(capture_websocket("/responses?x"));
    assert!(!capture_websocket("/responses/x") && !capture_websocket("/"));
    assert_eq!(get(MODELS, "/responses"), Some(Capture::Unknown));
}

#[test]
fn a_head_tells_its_endpoint() {
    let mut head = sample::chat(&[], "", "").head;
    assert_eq!(Endpoint::of(&head), Some(Endpoint::Chat));
    "https://api.business.githubcopilot.com/responses".clone_into(&mut head.url);
    assert_eq!(Endpoint::of(&head), Some(Endpoint::Responses));
    "GET".clone_into(&mut head.method);
    assert_eq!(Endpoint::of(&head), None);
    head.response = Some(ResponseHead { status: 101, headers: vec![] });
    assert_eq!(Endpoint::of(&head), Some(Endpoint::ResponsesWebSocket));
}

#[test]
fn telemetry_is_what_is_posted_to_its_path() {
    for host in [
        "telemetry.business.githubcopilot.com",
        "copilot-telemetry.githubusercontent.com",
        "copilot-telemetry-service.octo.ghe.com",
    ] {
        assert_eq!(post(host, "/telemetry"), Some(Capture::Telemetry), "{host}");
        assert_eq!(get(host, "/telemetry"), None, "the configuration of experiments");
        assert_eq!(get(host, "/_ping"), None);
    }
    assert_eq!(post("dc.services.visualstudio.com", "/v2/track"), Some(Capture::Telemetry));
}

#[test]
fn accounts_are_told_by_githubs_api() {
    for host in [ACCOUNTS, "API.GitHub.com:443", "api.octo.ghe.com"] {
        for path in ["/user", "/copilot_internal/user", "/copilot_internal/v2/token", "/user?x=1"] {
            assert_eq!(get(host, path), Some(Capture::Account), "{host}{path}");
            assert_eq!(post(host, path), None, "{host}{path}");
        }
        for path in ["/users", "/user/repos", "/copilot_internal/managed_settings", "/repos/o/r"] {
            assert_eq!(get(host, path), None, "{host}{path}");
        }
    }
    assert_eq!(get("api..ghe.com.evil.example", "/user"), None);
}

#[test]
fn anything_else_on_a_model_host_is_unknown_unless_it_passes_on_purpose() {
    let hosts = [
        "api.githubcopilot.com",
        MODELS,
        GHOST,
        "proxy.githubcopilot.com",
        "API.Enterprise.GitHubCopilot.com:443",
        "copilot-proxy.githubusercontent.com",
        "copilot-api.octo.ghe.com",
        "copilot-proxy.octo.ghe.com",
    ];
    for host in hosts {
        assert_eq!(post(host, "/v2/chat"), Some(Capture::Unknown), "{host}");
        for path in [
            "/models",
            "/models/a",
            "/models?x",
            "/agents",
            "/agents/swe/internal/memory/v0/enabled",
            "/mcp",
            "/skills",
            "/_ping",
            "/telemetry",
        ] {
            assert_eq!(get(host, path), None, "{host}{path}");
        }
        for path in [
            "/models/session",
            "/models/session/intent",
            "/mcp",
            "/mcp/readonly",
            "/embeddings",
            "/agents/swe/internal/x",
            "/copilot_internal/v2/token",
        ] {
            assert_eq!(post(host, path), None, "{host}{path}");
        }
    }
    for host in [
        "telemetry.business.githubcopilot.com",
        "origin-tracker.githubcopilot.com",
        "evilgithubcopilot.com",
        "api.evilgithubcopilot.com",
        "api.github.com",
        "ghe.com",
        "",
    ] {
        assert_eq!(post(host, "/v2/chat"), None, "{host}");
    }
    assert_eq!(post(MODELS, "/modelsx"), Some(Capture::Unknown));
}

#[test]
fn a_shape_keeps_words_and_no_ids() {
    for (path, shape) in [
        ("/v1/messages/count_tokens?beta=true", "/v1/messages/count_tokens"),
        ("/conversations/7d7048df-6dd0-4048-bb23-b716c1461f8f", "/conversations/*"),
        ("/a/12345/deadbeefdeadbeef/x/y", "/a/*/*/*"),
        ("/CodeReviewAgent", "/CodeReviewAgent"),
        ("//a//", "/a"),
        ("/caf\u{e9}/a b/%20", "/*/*/*"),
        ("/v1/v123", "/v1/*"),
        ("/averyveryverylongword", "/*"),
        ("/", "/"),
        ("", "/"),
    ] {
        assert_eq!(path_shape(path), shape, "{path}");
    }
}

#[test]
fn random_ids_give_few_shapes() {
    let mut state = 1_u64;
    let shapes: BTreeSet<_> = (0..10_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (hex, digits) = (format!("{state:016x}"), state >> 44);
            path_shape(&format!("/threads/{hex}/items/{digits}/{}", "x/".repeat((state >> 60) as usize)))
        })
        .collect();
    assert_eq!(shapes, BTreeSet::from(["/threads/*/items/*".to_owned()]));
}

#[test]
fn a_url_gives_its_host_and_its_path() {
    assert_eq!(host_and_path("https://h.example:8443/a/b?c=/d#e"), Some(("h.example:8443", "/a/b")));
    assert_eq!(host_and_path("https://h.example"), Some(("h.example", "")));
    assert_eq!(host_and_path("nonsense"), None);
}

proptest! {
    #[test]
    fn any_path_has_a_short_and_plain_shape(path in "(/|[a-z]{1,30}|\\PC{0,9}|[0-9]{1,5}){0,12}", host in "[a-z.:é]{0,40}") {
        let shape = path_shape(&path);
        prop_assert!(shape.len() <= 64 && shape.starts_with('/'));
        prop_assert!(shape.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte)));
        let _ = capture(&Method::POST, &host, &path);
    }
}
