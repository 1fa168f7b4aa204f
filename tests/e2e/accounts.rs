//! Whose GitHub account a user's client uses, from what passes; tokens and tracking ids are kept nowhere.

use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::support::{Copilens, Site, Upstream, files_below, wait_until};

const FIRST: &str = "Bearer tid=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa01;exp=1893456000;sku=business_seat;chat=1:5f5e";
const SECOND: &str = "Bearer tid=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb02;exp=1893456000;sku=business_seat;chat=1:5f5e";
const GITHUB: &str = "Bearer gho_canary0123456789canary0123456789cana";

async fn send(copilens: &Copilens, user: &str, ask: Ask) -> Value {
    let (status, body) = ask.finish(&copilens.tunnel(user, ask.host, Alpn::Http1).await).await;
    assert_eq!(status, 200);
    serde_json::from_slice(&body).unwrap_or_default()
}

fn report(site: &Site) -> Value {
    serde_json::from_str(&site.stdout(&["report", "--json"])).unwrap()
}

fn of_user<'a>(report: &'a Value, user: &str) -> &'a Value {
    report["users"].as_array().unwrap().iter().find(|line| line["user"] == user).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_look_shared_are_named_and_no_token_is_kept() {
    let upstream = Upstream::start().await;
    let copilens = Copilens::start_with(Site::new(&upstream), |command| {
        command.env("RUST_LOG", "trace");
    });
    let chat = |token: &str| Ask::chat().with("authorization", token);
    for (user, token) in [("alice", FIRST), ("alice", SECOND), ("bob", FIRST)] {
        send(&copilens, user, chat(token)).await;
    }
    // The token's answer tells the tracking id that later requests carry.
    let user = send(&copilens, "bob", Ask::account("/copilot_internal/user").with("authorization", GITHUB)).await;
    let token = send(&copilens, "bob", Ask::account("/copilot_internal/v2/token").with("authorization", GITHUB)).await;
    let login = user["login"].as_str().unwrap();
    let site = &copilens.site;
    let report = wait_until("what the store has of the account", || {
        let report = report(site);
        let knows = of_user(&report, "bob")["accounts"].as_array().is_some_and(|accounts| accounts.len() == 2);
        knows.then_some(report)
    });
    let (alice, bob) = (of_user(&report, "alice"), of_user(&report, "bob"));
    let key = |account: &Value| account["account"].as_str().unwrap().to_owned();
    let shared = key(&alice["accounts"].as_array().unwrap()[0]).max(key(&alice["accounts"][1]));
    assert!(shared.len() > 20, "{shared}");
    let named = bob["accounts"].as_array().unwrap().iter().find(|account| account["login"] == login).unwrap();
    assert_eq!((&named["organizations"], &named["plan"]), (&json!(["example"]), &user["access_type_sku"]));
    let sharing = report.to_string();
    assert!(
        sharing.contains("accounts_with_several_users") && sharing.contains("users_with_several_accounts"),
        "{report}"
    );
    let table = copilens.site.stdout(&["report"]);
    assert!(table.contains("GitHub blocks accounts that are shared") && table.contains("alice, bob"), "{table}");

    let secrets = [
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa01",
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb02",
        "gho_canary",
        user["analytics_tracking_id"].as_str().unwrap(),
        token["token"].as_str().unwrap(),
    ];
    let log = copilens.log();
    let (_, site) = copilens.stop();
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
        for file in files_below(&site.path("logs")) {
            let found = memchr::memmem::find(&std::fs::read(&file).unwrap(), secret.as_bytes());
            assert_eq!(found, None, "{secret} is in {}", file.display());
        }
    }
}
