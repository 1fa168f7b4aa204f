//! The CA certificate in each form, and a PAC file that sends only Copilot's hosts through the proxy.

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::routing::get;

use super::address::ProxyAddress;
use super::onboarding::Site;
use crate::certs::Bundle;

pub(super) fn routes() -> Router<Site> {
    let pac = Router::new().route("/proxy.pac", get(proxy_pac));
    Bundle::ALL.into_iter().fold(pac, |router, bundle| {
        let path = format!("/ca.{}", bundle.extension());
        router.route(&path, get(move |State(site): State<Site>| async move { certificate(&site, bundle) }))
    })
}

fn certificate(site: &Site, bundle: Bundle) -> impl IntoResponse + use<> {
    let headers = [
        (CONTENT_TYPE, bundle.content_type().to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"copilens-ca.{}\"", bundle.extension())),
    ];
    (headers, bundle.encode(&site.onboarding.load().ca))
}

async fn proxy_pac(State(site): State<Site>, request: Parts) -> impl IntoResponse {
    let script = pac(&site.onboarding.load().intercept_hosts, &site.proxy_address(&request));
    ([(CONTENT_TYPE, "application/x-ns-proxy-autoconfig")], script)
}

/// A proxy auto-configuration script: a JavaScript function that browsers and editors call for each URL.
fn pac(hosts: &[String], proxy: &ProxyAddress) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let conditions: Vec<String> = hosts.iter().map(|host| format!("shExpMatch(host, {})", quoted(host))).collect();
    let through = if conditions.is_empty() { "false".to_owned() } else { conditions.join("\n      || ") };
    format!(
        "function FindProxyForURL(url, host) {{\n  if ({through}) {{\n    return {};\n  }}\n  return \"DIRECT\";\n}}\n",
        quoted(&format!("PROXY {proxy}"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;

    #[test]
    fn only_intercepted_hosts_go_through_the_proxy() {
        let hosts = ["*.githubcopilot.com".to_owned(), "api.github.com".to_owned()];
        insta::assert_snapshot!(pac(&hosts, &"proxy.example.com:8080".parse::<HostPort>().as_ref().unwrap().into()), @r#"
        function FindProxyForURL(url, host) {
          if (shExpMatch(host, "*.githubcopilot.com")
              || shExpMatch(host, "api.github.com")) {
            return "PROXY proxy.example.com:8080";
          }
          return "DIRECT";
        }
        "#);
    }

    #[test]
    fn no_hosts_and_odd_hosts_still_make_a_script() {
        let proxy = "[2001:db8::1]:8080".parse::<HostPort>().as_ref().unwrap().into();
        assert!(pac(&[], &proxy).contains("if (false) {\n    return \"PROXY [2001:db8::1]:8080\""));
        assert!(pac(&["a\"+x".to_owned()], &proxy).contains(r#"shExpMatch(host, "a\"+x")"#));
    }
}
