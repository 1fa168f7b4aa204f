//! Editing the configuration while every connection is busy.

use std::fs;
use std::sync::Arc;

use copilens::sim::client::{ClientError, ProxyClient};
use copilens::sim::tls::Alpn;

use crate::asking::Ask;
use crate::load::{Load, Seen, assert_balanced, busy_upstream, is_long, patient_site};
use crate::metrics::{scrape, value};
use crate::support::{CHAT_HOST, Copilens};

/// Rounds of edits; `./tests/run --long` has the second number.
const ROUNDS: (usize, usize) = (1, 8);

async fn status(client: &ProxyClient) -> u16 {
    match client.connect(&format!("{CHAT_HOST}:443")).await {
        Ok(_) => 200,
        Err(ClientError::Refused { answer, .. }) => answer.status,
        Err(error) => panic!("{error}"),
    }
}

async fn wait_for_fault(copilens: &Copilens, file: &str) {
    let fault = copilens.wait_for_readyz(503).await;
    assert!(fault.contains(file), "{fault}");
    assert_eq!(value(&scrape(copilens).await, "copilens_config_last_reload_successful"), 0.0);
}

async fn wait_for_the_cure(copilens: &Copilens) {
    copilens.wait_for_readyz(200).await;
    assert_eq!(value(&scrape(copilens).await, "copilens_config_last_reload_successful"), 1.0);
}

/// A user comes, each file breaks in turn, and the user goes.
async fn edit(copilens: &mut Copilens, round: usize) {
    copilens.reload(|site| {
        site.write_users(&["alice", "bob", "carol"]);
        site.change("capture.max_body", &format!("\"{}MiB\"", 8 + round));
    });
    wait_for_the_cure(copilens).await;
    let carol = copilens.client("carol");
    let tunnel = carol.tunnel(CHAT_HOST, 443, Alpn::Http2).await.unwrap();
    assert_eq!(Ask::chat().prompt(&format!("round {round}")).finish(&tunnel).await.0, 200);

    let settings = copilens.site.path("config/copilens.toml");
    let good = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{good}capture.max_body = [\n")).unwrap();
    wait_for_fault(copilens, "copilens.toml").await;
    assert_eq!(status(&carol).await, 200, "what was loaded before the fault stays");

    copilens.reload(|site| {
        fs::write(&settings, &good).unwrap();
        site.write_users(&["alice", "bob"]);
    });
    wait_for_the_cure(copilens).await;
    assert_eq!(status(&carol).await, 407);
    assert_eq!(Ask::chat().finish(&tunnel).await.0, 403);

    fs::write(copilens.site.path("config/allowlist.toml"), "[[user]]\nname = \"../alice\"\n").unwrap();
    wait_for_fault(copilens, "allowlist.toml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_no_request_fails_while_good_and_bad_edits_take_turns() {
    let upstream = busy_upstream().await;
    let mut copilens = patient_site(&upstream).start();
    let seen = Arc::new(Seen::default());
    let load = Load::start(&copilens, &seen);
    let rounds = if is_long() { ROUNDS.1 } else { ROUNDS.0 };
    for round in 0..rounds {
        let before = seen.finished();
        edit(&mut copilens, round).await;
        seen.wait_for(before + 60).await;
    }
    load.end().await;
    assert_eq!((seen.cut(), seen.unanswered()), (0, vec![]), "of {} answers", seen.finished());
    let (code, site) = copilens.stop();
    assert_eq!(code, Some(0));
    site.write_users(&["alice", "bob"]);
    assert_eq!(assert_balanced(&site, &seen), seen.finished() + rounds);
    println!("{rounds} rounds of edits, {} answers", seen.finished());
}
