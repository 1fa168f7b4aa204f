//! Secrets in URLs: user information and the values of query keys that look secret.

use super::{REDACTED, masked};

/// A URL fit for keeping: without user information, secret values of query and fragment replaced by `[redacted]`, and
/// anything in it that has the shape of a token masked as in a body.
#[must_use]
pub fn url(url: &str) -> String {
    let (location, parameters) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    let mut shown = without_userinfo(location);
    let query = parameters.strip_prefix('?');
    shown.extend(query.map(|_| '?'));
    // Not at `?`: a value may hold one (RFC 3986 section 3.4).
    for parameter in query.unwrap_or(parameters).split_inclusive(['#', '&']) {
        push_parameter(&mut shown, parameter);
    }
    masked(&shown)
}

/// RFC 3986 section 3.2: user information ends at the last `@` of the authority.
fn without_userinfo(location: &str) -> String {
    let parts = location.split_once("//").filter(|(scheme, _)| !scheme.contains('/'));
    let Some((scheme, rest)) = parts else { return location.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}//{host}{path}")
}

/// Appends `key=value` with the separator that ends it.
fn push_parameter(shown: &mut String, parameter: &str) {
    match parameter.split_once('=') {
        Some((key, value)) if is_secret(key) => {
            shown.push_str(key);
            shown.push('=');
            shown.push_str(REDACTED);
            shown.extend(value.chars().last().filter(|end| matches!(end, '#' | '&')));
        }
        _ => shown.push_str(parameter),
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let exact = ["key", "code", "sig", "auth", "pwd", "jwt", "assertion"];
    let inside =
        ["token", "secret", "passw", "signature", "credential", "authorization", "apikey", "api_key", "api-key"];
    exact.contains(&key.as_str()) || inside.iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_url_stays_as_it_is() {
        for plain in [
            "https://api.example.com/chat/completions",
            "https://h.example:444/a@b?x=1&y=%20#top",
            "/path?q",
            "/a//b@c",
            "",
        ] {
            assert_eq!(url(plain), plain);
        }
    }

    #[test]
    fn user_information_goes() {
        assert_eq!(url("https://me:canary@h.example/p"), "https://h.example/p");
        assert_eq!(url("https://me@canary@h.example"), "https://h.example");
        assert_eq!(url("https://me:canary@h.example?x=1"), "https://h.example?x=1");
    }

    #[test]
    fn secret_values_go_and_the_rest_stays() {
        let keys =
            ["token", "access_token", "key", "code", "sig", "Signature", "password", "secret", "client_secret", "auth"];
        for key in keys {
            let shown = url(&format!("https://h.example/p?a=1&{key}=canary=&b=2#frag"));
            assert_eq!(shown, format!("https://h.example/p?a=1&{key}=[redacted]&b=2#frag"));
        }
        assert_eq!(url("https://h.example/#access_token=canary"), "https://h.example/#access_token=[redacted]");
    }

    #[test]
    fn a_separator_inside_a_secret_value_does_not_save_its_end() {
        assert!(!url("https://h.example/?token=a?canary").contains("canary"));
    }

    #[test]
    fn a_token_in_the_path_is_masked() {
        assert!(!url("https://h.example/t/ghp_canary0123456789abcdef/x").contains("canary"));
    }
}
