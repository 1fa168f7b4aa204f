//! The one place where secrets leave an exchange, before anything below the proxy (spool, records, logs) sees it.
//!
//! Headers and the URL are redacted whole; a body is searched for what has the shape of a secret, and masked in place.
//! The proxy runs [`body`] on bodies without a content coding; the recorder runs it again on what it has decoded.

use http::HeaderMap;

mod body;
mod url;

pub use body::{body, body_without_blanks, text};
pub use url::url;

/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";

/// A message's header fields fit for keeping: names in lower case, order kept, values as UTF-8 (lossy).
///
/// Cookies and `Proxy-*` fields are dropped. `Authorization` keeps its scheme and, of a Copilot token, the harmless
/// fields `exp` and `sku`. Fields that carry keys or tokens by their name keep the name alone; URLs in `Location` and
/// `Referer` go through [`url()`], and every other value through [`body()`].
#[must_use]
pub fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !is_dropped(name.as_str()))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_owned(), header_value(name.as_str(), &value))
        })
        .collect()
}

fn is_dropped(name: &str) -> bool {
    matches!(name, "cookie" | "set-cookie" | "cookie2" | "set-cookie2") || name.starts_with("proxy-")
}

fn header_value(name: &str, value: &str) -> String {
    match name {
        "authorization" => authorization(value),
        "location" | "content-location" | "referer" => url(value),
        _ if names_a_secret(name) => REDACTED.to_owned(),
        _ => masked(value),
    }
}

fn names_a_secret(name: &str) -> bool {
    ["token", "api-key", "apikey", "secret", "password", "authorization", "signature"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// `Bearer tid=..;exp=1735;sku=yearly;..:sig` becomes `Bearer [redacted];exp=1735;sku=yearly`. What has no scheme is
/// taken for a secret as a whole.
fn authorization(value: &str) -> String {
    let Some((scheme, credentials)) = value.trim().split_once(' ') else { return REDACTED.to_owned() };
    let mut shown = format!("{scheme} {REDACTED}");
    if scheme.eq_ignore_ascii_case("bearer") {
        for field in credentials.split(';').filter(|field| is_harmless(field)) {
            shown.push(';');
            shown.push_str(field);
        }
    }
    shown
}

/// Whether a field of a Copilot token says when it ends or which plan it is of, and no more than that.
fn is_harmless(field: &str) -> bool {
    let Some((key, value)) = field.split_once('=') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    matches!(key, "exp" | "sku") && value.len() <= 64 && value.bytes().all(plain)
}

fn masked(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    body(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const COPILOT_TOKEN: &str =
        "tid=canary01;ol=canary02;exp=1735400000;sku=yearly_sub;proxy-ep=p.example;chat=1:canary03";

    fn shown(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers(&map)
    }

    fn one(name: &str, value: &str) -> String {
        shown(&[(name, value)]).pop().unwrap().1
    }

    #[test]
    fn a_copilot_token_keeps_its_end_and_its_plan() {
        let value = one("Authorization", &format!("Bearer {COPILOT_TOKEN}"));
        assert_eq!(value, "Bearer [redacted];exp=1735400000;sku=yearly_sub");
    }

    #[test]
    fn any_other_credential_keeps_its_scheme() {
        assert_eq!(one("authorization", "Bearer gho_canary0123456789abcdef"), "Bearer [redacted]");
        assert_eq!(one("authorization", "Basic Y2FuYXJ5;exp=1"), "Basic [redacted]");
        assert_eq!(one("authorization", "token canary"), "token [redacted]");
        assert_eq!(one("authorization", "canary"), "[redacted]");
    }

    #[test]
    fn a_harmless_field_cannot_smuggle_a_signature() {
        assert_eq!(one("authorization", "Bearer tid=a;exp=1:canary;sku=x:canary"), "Bearer [redacted]");
    }

    #[test]
    fn cookies_and_proxy_fields_are_dropped_and_the_order_is_kept() {
        let kept = shown(&[
            ("X-B", "1"),
            ("Cookie", "canary"),
            ("Proxy-Authorization", "Basic canary"),
            ("Proxy-Connection", "keep-alive"),
            ("X-A", "2"),
            ("Set-Cookie", "canary"),
            ("X-B", "3"),
        ]);
        let names: Vec<_> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(names, ["x-b=1", "x-b=3", "x-a=2"]);
    }

    #[test]
    fn fields_named_for_secrets_lose_their_value() {
        for name in
            ["x-api-key", "x-github-token", "x-amz-security-token", "api-key", "x-client-secret", "x-auth-token"]
        {
            assert_eq!(one(name, "canary"), REDACTED, "{name}");
        }
        assert_eq!(one("x-interaction-id", "i-7"), "i-7");
    }

    #[test]
    fn tokens_in_other_values_are_masked() {
        assert!(!one("x-note", "see gho_canary0123456789abcdef").contains("canary"));
        assert_eq!(
            one("location", "https://u:canary@h.example/?code=canary&n=1"),
            "https://h.example/?code=[redacted]&n=1"
        );
    }
}
