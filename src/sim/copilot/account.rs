//! Everything around the models: token, user, model lists, telemetry.

use serde_json::{Value, json};

use super::answer::{Answer, Question};
use super::encoding::decode_request;
use super::seen::SeenRequest;
use crate::sim::rng::{Seeded, fingerprint};

const SKU: &str = "copilot_for_business_seat_quota";
/// The organisation's name in a token is a number.
const ORGANIZATION: &str = "0123456789abcdef0123456789abcdef";

/// The tracking id in the credentials, where they are a token of Copilot's; else a made-up one, the same for the same
/// credentials.
fn tracking_id(request: &SeenRequest) -> String {
    let credentials =
        request.header("authorization").and_then(|value| value.split_once(' ')).map_or("", |parts| parts.1);
    let told = credentials.strip_prefix("tid=").and_then(|rest| rest.split(';').next());
    told.map_or_else(|| Seeded::new(fingerprint(credentials.as_bytes())).hex(32), str::to_owned)
}

fn endpoints() -> Value {
    json!({"api": "https://api.business.githubcopilot.com",
           "origin-tracker": "https://origin-tracker.business.githubcopilot.com",
           "proxy": "https://proxy.business.githubcopilot.com",
           "telemetry": "https://telemetry.business.githubcopilot.com"})
}

/// `GET /copilot_internal/v2/token`: a token that opens nothing.
pub(super) fn token(question: &mut Question<'_>) -> Answer {
    let tid = tracking_id(question.request);
    let expires = chrono::Utc::now().timestamp() + 1800;
    // Clients read what they may do from these marks: agents, MCP, previews (next-edit suggestions), longer prompts.
    let marks = "chat=1;cit=1;malfil=1;editor_preview_features=1;agent_mode=1;mcp=1;sn=1;ssc=1;8kp=1;rt=1";
    let token = format!(
        "tid={tid};ol={ORGANIZATION};exp={expires};sku={SKU};proxy-ep=proxy.business.githubcopilot.com;st=dotcom;{marks};ip=192.0.2.7;asn=AS64500:{}",
        question.rng.hex(64)
    );
    Answer::json(
        200,
        &json!({"token": token, "expires_at": expires, "refresh_in": 1500, "sku": SKU, "tracking_id": tid,
                "chat_enabled": true, "chat_jetbrains_enabled": true, "individual": false, "telemetry": "enabled",
                "public_suggestions": "enabled", "code_quote_enabled": true, "annotations_enabled": true,
                "agent_mode_auto_approval": true, "prompt_8k": true, "endpoints": endpoints(),
                "organization_list": [ORGANIZATION], "nes_enabled": true}),
    )
}

/// A made-up login and its number, the same for the same credentials.
fn identity(request: &SeenRequest) -> (String, u64) {
    let tid = tracking_id(request);
    let short = tid.get(..8).unwrap_or(&tid);
    (format!("sim-{short}"), u64::from_str_radix(short, 16).unwrap_or(1))
}

/// `GET /user`, where scopes are a field of the head.
pub(super) fn login(question: &mut Question<'_>) -> Answer {
    let (login, id) = identity(question.request);
    let mut answer = Answer::json(200, &json!({"login": login, "id": id, "type": "User", "name": "A. Developer"}));
    answer.headers.push(("x-oauth-scopes", "copilot, read:user".to_owned()));
    answer
}

/// `GET /copilot_internal/user`.
pub(super) fn user(question: &mut Question<'_>) -> Answer {
    let ((login, id), tid) = (identity(question.request), tracking_id(question.request));
    let quota = |name: &str, entitlement: u64, remaining: u64, percent: f64| {
        json!({"entitlement": entitlement, "remaining": remaining, "percent_remaining": percent, "overage_count": 0,
               "overage_permitted": true, "unlimited": entitlement == 0, "quota_id": name})
    };
    Answer::json(
        200,
        &json!({"login": login, "id": id, "access_type_sku": SKU, "analytics_tracking_id": tid,
                "assigned_date": "2026-01-01T00:00:00Z", "chat_enabled": true, "cli_enabled": true,
                "is_mcp_enabled": true, "copilot_plan": "business", "organization_login_list": ["example"],
                "organization_list": [{"login": "example", "name": "Example"}], "endpoints": endpoints(),
                "quota_reset_date": "2027-01-01", "restricted_telemetry": true,
                "quota_snapshots": {"chat": quota("chat", 0, 0, 100.0),
                                    "completions": quota("completions", 0, 0, 100.0),
                                    "premium_interactions": quota("premium_interactions", 300, 262, 87.5)}}),
    )
}

/// `GET /models`: the chat models, or on the completions host those for next-edit suggestions.
pub(super) fn models(request: &SeenRequest) -> Answer {
    let host = request.header("host").or_else(|| request.uri.split("://").nth(1)).unwrap_or_default();
    if host.starts_with("proxy.") || host.starts_with("copilot-proxy.") {
        let suggestions = json!({"serviceType": "NESChat", "name": "copilot-nes-oct", "provider": "simulated",
                                 "capabilities": {"promptStrategy": "xtab275"}});
        return Answer::json(200, &json!({"models": [suggestions]}));
    }
    let data = json!([
        model("gpt-4.1", "Azure OpenAI", &["/chat/completions"]),
        model("gpt-4o-mini", "Azure OpenAI", &["/chat/completions"]),
        model("claude-haiku-4.5", "Anthropic", &["/chat/completions"]),
        model("gpt-5-mini", "OpenAI", &["/responses"]),
        model("gpt-5.1-codex", "OpenAI", &["/responses", "ws:/responses"]),
        model("claude-sonnet-4.5", "Anthropic", &["/v1/messages"]),
    ]);
    Answer::json(200, &json!({"object": "list", "data": data}))
}

/// A model with all that the language server and the CLI insist on.
fn model(id: &str, vendor: &str, endpoints: &[&str]) -> Value {
    let limits =
        json!({"max_context_window_tokens": 128_000, "max_prompt_tokens": 128_000, "max_output_tokens": 16_384});
    let supports = json!({"streaming": true, "tool_calls": true, "parallel_tool_calls": true});
    let default = id == "gpt-4.1";
    json!({"id": id, "name": id, "vendor": vendor, "object": "model", "version": super::chat::dated(id),
           "model_picker_enabled": true, "preview": false, "supported_endpoints": endpoints,
           "is_chat_default": default, "is_chat_fallback": default,
           "policy": {"state": "enabled", "terms": "None."}, "billing": {"is_premium": !default, "multiplier": 1},
           "capabilities": {"type": "chat", "object": "model_capabilities", "family": id, "tokenizer": "o200k_base",
                            "limits": limits, "supports": supports}})
}

/// `GET /telemetry`: which experiments the account takes part in. None.
pub(super) fn experiments() -> Answer {
    Answer::json(
        200,
        &json!({"Features": [], "Flights": {}, "Configs": [{"Id": "vscode", "Parameters": {}}],
                "ParameterGroups": [], "FlightingVersion": 1, "ImpressionId": "simulated",
                "AssignmentContext": "simulated:1;"}),
    )
}

/// `POST /telemetry`, and `/v2/track` for the copy that goes to Microsoft: takes everything and counts it. A JSON array of envelopes, or one envelope a line.
pub(super) fn telemetry(request: &SeenRequest) -> Answer {
    let body = decode_request(request.header("content-encoding"), &request.body);
    let count = match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Array(events)) => events.len(),
        _ => body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count(),
    };
    Answer::json(200, &json!({"itemsReceived": count, "itemsAccepted": count, "appId": null, "errors": []}))
}
