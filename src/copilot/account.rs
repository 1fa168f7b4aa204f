//! Whose account a client uses: from GitHub's answers about it, and from the token that goes with each request. No token is
//! ever kept.

use std::fmt;

use serde_json::Value;

use super::observation::{Account, Quota};

/// Longest name that is taken, in bytes: GitHub's logins have 39 characters, its plans fewer than 64.
const LONGEST_NAME: usize = 64;
/// Longest tracking id, in bytes; those seen have 32.
const LONGEST_ID: usize = 128;
/// Most organisations and most allowances that are taken.
const MOST: usize = 100;

/// What an answer tells of the account.
#[derive(Clone, PartialEq)]
pub struct AccountSeen {
    /// What may be kept; its key is not set.
    pub account: Account,
    /// The account's tracking id, of which an HMAC makes [`Account::key`]. It is not to be kept, nor shown.
    pub tracking_id: Option<String>,
}

impl fmt::Debug for AccountSeen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_tracking_id = self.tracking_id.is_some();
        formatter
            .debug_struct("AccountSeen")
            .field("account", &self.account)
            .field("has_tracking_id", &has_tracking_id)
            .finish()
    }
}

/// Reads the body (content coding undone) of GitHub's answer to a request for `path`: `/user`, `/copilot_internal/user` or
/// `/copilot_internal/v2/token`. None for other paths, and where it tells nothing.
///
/// Seen: language server 1.539.0 and CLI 1.0.102 (both of Copilot's), GitHub's REST reference (`/user`).
#[must_use]
pub fn account(path: &str, body: &[u8]) -> Option<AccountSeen> {
    let read = match path.split('?').next()? {
        "/user" | "/copilot_internal/user" => user,
        "/copilot_internal/v2/token" => token,
        _ => return None,
    };
    let seen = read(&serde_json::from_slice(body).ok()?);
    (seen.account != Account::default() || seen.tracking_id.is_some()).then_some(seen)
}

/// The tracking id in an `Authorization` value with a Copilot token: `Bearer tid=..;exp=..;sku=..;..:signature`. None for
/// other tokens, such as GitHub's own, which the CLI sends.
#[must_use]
pub fn tracking_id(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    field(token.trim(), "tid").filter(|id| is_id(id))
}

/// A field of a Copilot token. Its last one has the signature behind a colon.
fn field<'a>(token: &'a str, name: &str) -> Option<&'a str> {
    let value = token.split(';').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))?;
    value.split(':').next()
}

fn user(answer: &Value) -> AccountSeen {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let account = Account {
        key: None,
        login: text("login").and_then(login),
        github_id: answer.get("id").and_then(Value::as_u64),
        plan: text("access_type_sku").or_else(|| text("copilot_plan")).and_then(word),
        organizations: organizations(answer),
        enhanced_telemetry: answer.get("restricted_telemetry").and_then(Value::as_bool),
        quotas: quotas(answer),
    };
    let tracking_id = text("analytics_tracking_id").filter(|id| is_id(id)).map(str::to_owned);
    AccountSeen { account, tracking_id }
}

/// The answer's organisations are hashes, and so are not taken.
fn token(answer: &Value) -> AccountSeen {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let token = text("token").unwrap_or_default();
    let account = Account {
        plan: text("sku").or_else(|| field(token, "sku")).and_then(word),
        // VS Code's copilotToken.ts: what is not `rt=1` sends no enhanced telemetry.
        enhanced_telemetry: field(token, "tid").map(|_| field(token, "rt") == Some("1")),
        ..Account::default()
    };
    let tracking_id = field(token, "tid").or_else(|| text("tracking_id")).filter(|id| is_id(id)).map(str::to_owned);
    AccountSeen { account, tracking_id }
}

/// `organization_login_list`, else the logins in `organization_list`.
fn organizations(answer: &Value) -> Vec<String> {
    let list = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten().take(MOST);
    let logins: Vec<_> = list("organization_login_list").filter_map(Value::as_str).filter_map(login).collect();
    if !logins.is_empty() {
        return logins;
    }
    list("organization_list").filter_map(|organization| login(organization.get("login")?.as_str()?)).collect()
}

/// `quota_snapshots`: what is left of each allowance.
fn quotas(answer: &Value) -> Vec<Quota> {
    let resets_at = ["quota_reset_date_utc", "quota_reset_date"].iter().find_map(|name| date(answer.get(name)?));
    let snapshots = answer.get("quota_snapshots").and_then(Value::as_object).into_iter().flatten().take(MOST);
    snapshots.filter_map(|(name, snapshot)| quota(name, snapshot, resets_at.clone())).collect()
}

fn quota(name: &str, snapshot: &Value, resets_at: Option<String>) -> Option<Quota> {
    let snapshot = snapshot.as_object()?;
    let number = |name: &str| snapshot.get(name).and_then(Value::as_f64);
    let flag = |name: &str| snapshot.get(name).and_then(Value::as_bool);
    Some(Quota {
        name: word(name)?,
        entitlement: if flag("unlimited") == Some(true) { Some(-1.0) } else { number("entitlement") },
        percent_remaining: number("percent_remaining"),
        overage: number("overage_count"),
        overage_permitted: flag("overage_permitted"),
        resets_at,
    })
}

/// A login: letters, digits and `-`, `_` in those of managed users, and brackets in those of bots.
fn login(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_[]".contains(&byte);
    is_name(text, plain).then(|| text.to_owned())
}

/// The name of a plan or an allowance.
pub(super) fn word(text: &str) -> Option<String> {
    is_name(text, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)).then(|| text.to_owned())
}

/// A day or a time in ISO 8601.
fn date(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    is_name(text, |byte| byte.is_ascii_digit() || b"-+:.TZ".contains(&byte)).then(|| text.to_owned())
}

fn is_name(text: &str, plain: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(plain)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const USER: &str = "/copilot_internal/user";
    const TOKEN: &str = "/copilot_internal/v2/token";

    fn seen(path: &str, answer: &Value) -> Option<AccountSeen> {
        account(path, answer.to_string().as_bytes())
    }

    fn user_answer() -> Value {
        json!({
            "login": "octo-cat", "access_type_sku": "copilot_for_business_seat_quota", "copilot_plan": "business",
            "analytics_tracking_id": "0123456789abcdef0123456789abcdef", "chat_enabled": true,
            "organization_login_list": ["octo-org"], "organization_list": [{"login": "octo-org", "name": "Octo Org"}],
            "endpoints": {"api": "https://api.business.example"}, "quota_reset_date": "2026-12-01",
            "quota_snapshots": {
                "chat": {"entitlement": 0, "percent_remaining": 100.0, "overage_count": 0, "overage_permitted": true,
                    "unlimited": true, "quota_id": "chat"},
                "premium_interactions": {"entitlement": 300, "remaining": 297, "percent_remaining": 99.0,
                    "overage_count": 2, "overage_permitted": false, "unlimited": false},
            },
            "restricted_telemetry": true,
        })
    }

    #[test]
    fn copilots_user_tells_plan_organisations_and_quotas() {
        let quota = |name: &str, entitlement, percent, overage, permitted| Quota {
            name: name.into(),
            entitlement: Some(entitlement),
            percent_remaining: Some(percent),
            overage: Some(overage),
            overage_permitted: Some(permitted),
            resets_at: Some("2026-12-01".into()),
        };
        let expected = AccountSeen {
            account: Account {
                key: None,
                login: Some("octo-cat".into()),
                github_id: None,
                plan: Some("copilot_for_business_seat_quota".into()),
                organizations: vec!["octo-org".into()],
                enhanced_telemetry: Some(true),
                quotas: vec![
                    quota("chat", -1.0, 100.0, 0.0, true),
                    quota("premium_interactions", 300.0, 99.0, 2.0, false),
                ],
            },
            tracking_id: Some("0123456789abcdef0123456789abcdef".into()),
        };
        assert_eq!(seen(USER, &user_answer()), Some(expected.clone()));
        assert_eq!(seen("/copilot_internal/user?a=/b", &user_answer()), Some(expected.clone()));

        let mut older = user_answer();
        older
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !["organization_login_list", "access_type_sku"].contains(&&**key));
        let older = seen(USER, &older).unwrap().account;
        assert_eq!((older.plan.as_deref(), older.organizations), (Some("business"), expected.account.organizations));
    }

    #[test]
    fn githubs_user_tells_login_and_number() {
        let answer = json!({"login": "octo-cat", "id": 583_231, "name": "The Octocat", "plan": {"name": "pro"}});
        let account = Account { login: Some("octo-cat".into()), github_id: Some(583_231), ..Account::default() };
        assert_eq!(seen("/user", &answer), Some(AccountSeen { account, tracking_id: None }));
    }

    #[test]
    fn a_token_tells_its_plan_and_tracking_id() {
        let answer = |token: &str| {
            json!({"token": token, "organization_list": ["0123456789abcdef"], "individual": false,
            "telemetry": "enabled"})
        };
        let token = "tid=t-01;ol=a;exp=1795190047;sku=yearly;rt=1;ip=192.0.2.7;asn=AS64500:0123456789abcdef";
        let account = Account { plan: Some("yearly".into()), enhanced_telemetry: Some(true), ..Account::default() };
        assert_eq!(seen(TOKEN, &answer(token)), Some(AccountSeen { account, tracking_id: Some("t-01".into()) }));

        let plain = seen(TOKEN, &answer("exp=1;tid=t-02:0123")).unwrap();
        assert_eq!((plain.account.enhanced_telemetry, plain.account.plan), (Some(false), None));
        assert_eq!(plain.tracking_id.as_deref(), Some("t-02"));

        let named = seen(TOKEN, &json!({"sku": "free", "tracking_id": "t-03"})).unwrap();
        assert_eq!((named.account.plan.as_deref(), named.account.enhanced_telemetry), (Some("free"), None));
        assert_eq!(named.tracking_id.as_deref(), Some("t-03"));
    }

    #[test]
    fn other_answers_tell_nothing() {
        for answer in [json!({"message": "Bad credentials"}), json!([]), json!({"token": 7}), json!({"login": "a b"})] {
            for path in [USER, TOKEN, "/user"] {
                assert_eq!(seen(path, &answer), None, "{answer} at {path}");
            }
        }
        for path in ["/users", "/copilot_internal/v2/tokens", "", "/x/user", "/copilot_internal/managed_settings"] {
            assert_eq!(seen(path, &user_answer()), None, "{path}");
        }
        assert_eq!(account(USER, b"<html>"), None);
    }

    #[test]
    fn the_tracking_id_of_a_header() {
        assert_eq!(tracking_id("Bearer tid=t-01;exp=17;sku=x:sig"), Some("t-01"));
        assert_eq!(tracking_id("bearer  exp=17;tid=t-01:sig "), Some("t-01"));
        let long = format!("Bearer tid={};exp=1", "x".repeat(129));
        for other in ["Bearer gho_x", "Bearer xtid=1;exp=2", "Bearer tid=;exp=1", "Basic tid=1;", "tid=1;", "", &long] {
            assert_eq!(tracking_id(other), None, "{other}");
        }
    }

    #[test]
    fn neither_token_nor_tracking_id_is_shown() {
        let token = json!({"token": "tid=canary-tid;exp=1;rt=1:canary-signature", "tracking_id": "canary-tid"});
        let shown = format!("{:?}", seen(TOKEN, &token).unwrap());
        assert!(!shown.contains("canary") && shown.contains("has_tracking_id: true"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_field_may_be_anything(key in 0_usize..11, odd in prop::sample::select(vec![
            json!(null), json!(-1), json!(1.5), json!(true), json!("x y"), json!([1, null, {"login": 3}]), json!({"a": 1}),
        ])) {
            let mut answer = user_answer();
            *answer.as_object_mut().unwrap().values_mut().nth(key).unwrap() = odd;
            prop_assert!(seen(USER, &answer).is_some());
            let _ = seen(TOKEN, &answer);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..100), text in ".{0,60}") {
            prop_assert_eq!(account(TOKEN, &bytes), None);
            let _ = tracking_id(&text);
        }
    }
}
