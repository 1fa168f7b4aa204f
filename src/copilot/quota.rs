//! What is left of an account's allowances, as GitHub tells with every answer.
//!
//! `x-quota-snapshot-premium_interactions: ent=300&ov=0.0&ovPerm=true&rem=99.0&rst=2026-12-01T00%3A00%3A00Z`; source:
//! vscode-copilot-chat (`chatQuotaServiceImpl.ts`), where `rem` is per cent and `ent=-1` unlimited.

use percent_encoding::percent_decode_str;

use super::account;
use super::observation::Quota;

const PREFIX: &str = "x-quota-snapshot-";

/// The quotas among an answer's header fields, whose names are in lower case.
pub(super) fn of_headers(headers: &[(String, String)]) -> Vec<Quota> {
    headers.iter().filter_map(|(name, value)| quota(name.strip_prefix(PREFIX)?, value)).collect()
}

/// None where the value says nothing that is known.
fn quota(name: &str, value: &str) -> Option<Quota> {
    let field = |key: &str| {
        let mut fields = value.split('&').filter_map(|field| field.trim().split_once('='));
        let (_, value) = fields.find(|(name, _)| *name == key)?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let number = |key| field(key)?.parse().ok().filter(|number: &f64| number.is_finite());
    let quota = Quota {
        // Part of a key in the store, so it is bounded like those that bodies tell.
        name: account::word(name)?,
        entitlement: number("ent"),
        percent_remaining: number("rem"),
        overage: number("ov"),
        overage_permitted: field("ovPerm").and_then(|value| value.parse().ok()),
        resets_at: field("rst").filter(|value| !value.is_empty()),
    };
    (quota.entitlement.is_some() || quota.percent_remaining.is_some()).then_some(quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> Vec<Quota> {
        of_headers(&fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn a_header_tells_a_quota() {
        let quotas = of(&[
            ("content-type", "application/json"),
            (
                "x-quota-snapshot-premium_interactions",
                "ent=500&ov=0.5&ovPerm=false&rem=87.5&rst=2026-12-01T00%3A00%3A00Z",
            ),
            ("x-quota-snapshot-chat", "rem=100&ent=-1&new=1"),
        ]);
        let premium = Quota {
            name: "premium_interactions".into(),
            entitlement: Some(500.0),
            percent_remaining: Some(87.5),
            overage: Some(0.5),
            overage_permitted: Some(false),
            resets_at: Some("2026-12-01T00:00:00Z".into()),
        };
        let chat = Quota {
            name: "chat".into(),
            entitlement: Some(-1.0),
            percent_remaining: Some(100.0),
            overage: None,
            overage_permitted: None,
            resets_at: None,
        };
        assert_eq!(quotas, [premium, chat]);
    }

    #[test]
    fn what_says_nothing_is_no_quota() {
        for value in ["", "&&=", "ent", "ent=many", "rem=NaN&ent=inf", "ov=1", "%FF=%FF&rst=%FF"] {
            assert_eq!(of(&[("x-quota-snapshot-chat", value)]), [], "{value}");
        }
        for name in [String::new(), "a".repeat(65), "no name".to_owned()] {
            assert_eq!(of(&[(&format!("x-quota-snapshot-{name}"), "rem=1&ent=1")]), [], "{name}");
        }
    }
}
