//! Everything around the models: token, user, model lists, telemetry.

use serde_json::{Value, json};

use super::answer::{Answer, Question};
use super::encoding::decode_request;
use super::seen::SeenRequest;
use crate::sim::rng::{Seeded, fingerprint};

const SKU: &str = "copilot_for_business_seat_quota";

/// A made-up tracking id, the same for the same credentials.
fn tracking_id(request: &SeenRequest) -> String {
    let account = request.header("authorization").unwrap_or("nobody");
    Seeded::new(fingerprint(account.as_bytes())).hex(32)
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
    let token = format!(
        "tid={tid};exp={expires};sku={SKU};proxy-ep=proxy.business.githubcopilot.com;st=dotcom;chat=1;rt=1:{}",
        question.rng.hex(64)
    );
    Answer::json(
        200,
        &json!({"token": token, "expires_at": expires, "refresh_in": 1500, "sku": SKU, "tracking_id": tid,
                "chat_enabled": true, "chat_jetbrains_enabled": true, "individual": false, "telemetry": "enabled",
                "public_suggestions": "enabled", "code_quote_enabled": true, "annotations_enabled": true,
                "endpoints": endpoints(), "organization_list": [], "nes_enabled": true}),
    )
}

/// `GET /copilot_internal/user`.
pub(super) fn user(question: &mut Question<'_>) -> Answer {
    let tid = tracking_id(question.request);
    let premium = json!({"entitlement": 300, "remaining": 262, "percent_remaining": 87.5, "overage_count": 0,
                         "overage_permitted": true, "unlimited": false, "quota_id": "premium_interactions"});
    Answer::json(
        200,
        &json!({"login": format!("sim-{}", tid.get(..8).unwrap_or(&tid)), "access_type_sku": SKU,
                "analytics_tracking_id": tid, "assigned_date": "2026-01-01T00:00:00Z", "chat_enabled": true,
                "copilot_plan": "business", "organization_login_list": ["example"], "endpoints": endpoints(),
                "quota_reset_date": "2027-01-01", "quota_snapshots": {"premium_interactions": premium}}),
    )
}

/// `GET /models`: the chat models, or on the completions host those for next-edit suggestions.
pub(super) fn models(request: &SeenRequest) -> Answer {
    let host = request.header("host").or_else(|| request.uri.split("://").nth(1)).unwrap_or_default();
    if host.starts_with("proxy.") || host.starts_with("copilot-proxy.") {
        let suggestions = json!({"serviceType": "NESChat", "name": "copilot-nes-oct", "provider": "simulated",
                                 "capabilities": {"promptStrategy": "standard"}});
        return Answer::json(200, &json!({"models": [suggestions]}));
    }
    let model = |id: &str, vendor: &str, endpoint: &str| {
        json!({"id": id, "name": id, "vendor": vendor, "object": "model", "version": super::chat::dated(id),
               "model_picker_enabled": true, "preview": false, "supported_endpoints": [endpoint],
               "capabilities": {"type": "chat", "family": id, "limits": {"max_prompt_tokens": 128_000},
                                "supports": {"streaming": true, "tool_calls": true}}})
    };
    let data = json!([
        model("gpt-4.1", "Azure OpenAI", "/chat/completions"),
        model("gpt-4o-mini", "Azure OpenAI", "/chat/completions"),
        model("gpt-5.1-codex", "OpenAI", "/responses"),
        model("claude-sonnet-4.5", "Anthropic", "/v1/messages"),
    ]);
    Answer::json(200, &json!({"object": "list", "data": data}))
}

/// `POST /telemetry`: takes everything and counts it. A JSON array of envelopes, or one envelope a line.
pub(super) fn telemetry(request: &SeenRequest) -> Answer {
    let body = decode_request(request.header("content-encoding"), &request.body);
    let count = match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Array(events)) => events.len(),
        _ => body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count(),
    };
    Answer::json(200, &json!({"itemsReceived": count, "itemsAccepted": count, "appId": null, "errors": []}))
}
