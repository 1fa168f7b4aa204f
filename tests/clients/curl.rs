//! What people do by hand with curl: fetch the CA through the proxy, then trust it; and wait to be asked for a password.

use std::process::Command;

use crate::job::{Job, Outcome, Running, command};
use crate::programs::{curl_with_user, installed};
use crate::scenario::{is_skipped, start};
use crate::support::{CHAT_HOST, Copilens, Upstream};

fn curl(arguments: &[&str]) -> Outcome {
    let mut curl: Command = command(&installed("curl").unwrap());
    curl.args(["--silent", "--show-error"]).args(arguments);
    Running::start(curl).outcome()
}

fn curl_is_missing(copilens: &Copilens) -> bool {
    is_skipped("curl", curl_with_user, &Job::completion(copilens, "alice", "1.1"))
}

fn login(copilens: &Copilens) -> String {
    format!("alice:{}", copilens.site.password("alice"))
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_trusts_the_proxy_with_the_ca_that_it_fetched_through_it() {
    let upstream = Upstream::start().await;
    let copilens = start(&upstream);
    if curl_is_missing(&copilens) {
        return;
    }
    let (proxy, login) = (copilens.proxy.to_string(), login(&copilens));
    let ping = format!("https://{CHAT_HOST}/_ping");
    let distrusted = curl(&["--proxy", &proxy, "--proxy-user", &login, &ping]);
    assert_eq!(distrusted.code, Some(60), "{distrusted:?}");

    let fetched = copilens.site.path("fetched.pem").display().to_string();
    let page = curl(&["--proxy", &proxy, "--fail", "--output", &fetched, "http://mitm.it/ca.pem"]);
    assert_eq!(page.code, Some(0), "{page:?}");
    let trusted = curl(&["--proxy", &proxy, "--proxy-user", &login, "--cacert", &fetched, &ping]);
    assert_eq!((trusted.code, &*trusted.body), (Some(0), &b"OK"[..]), "{trusted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_answers_the_challenge_on_the_connection_that_brought_it() {
    let upstream = Upstream::start().await;
    let copilens = start(&upstream);
    if curl_is_missing(&copilens) {
        return;
    }
    let ca = copilens.site.path("certs/ca.pem").display().to_string();
    let outcome = curl(&[
        "--verbose",
        "--proxy-anyauth",
        "--proxy-user",
        &login(&copilens),
        "--proxy",
        &copilens.proxy.to_string(),
        "--cacert",
        &ca,
        "--write-out",
        " %{num_connects}",
        &format!("https://{CHAT_HOST}/_ping"),
    ]);
    assert!(outcome.complaints.contains("< HTTP/1.1 407"), "it was asked: {outcome:?}");
    assert_eq!(String::from_utf8_lossy(&outcome.body), "OK 1", "{outcome:?}");
}
