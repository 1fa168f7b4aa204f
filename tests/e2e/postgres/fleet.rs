//! Several proxies on one database, with one allowlist and one seed.

use std::fs;

use serde_json::json as json_value;

use super::*;

/// Proxies on a database of their own.
async fn start(upstream: &Upstream, server: &Server, count: usize) -> Vec<Proxy> {
    let url = server.url(&server.database());
    let mut proxies: Vec<Proxy> = Vec::new();
    for _ in 0..count {
        let site = site(upstream, &url);
        if let Some(first) = proxies.first() {
            fs::copy(first.copilens.site.path("config/seed"), site.path("config/seed")).unwrap();
        }
        proxies.push(Proxy::start(site).await);
    }
    proxies
}

/// A completion fetched ahead, and the telemetry that it was shown and accepted.
fn ahead() -> (Ask, Ask) {
    let ask = Ask::completion().with("x-copilot-speculative", "true");
    let event = |name: &str| {
        json_value!({
            "name": "x.Event", "iKey": "7d7048df-6dd0-4048-bb23-b716c1461f8f",
            "data": {"baseType": "EventData", "baseData": {
                "name": format!("agent/ghostText.{name}"),
                "properties": {"headerRequestId": ask.request_id(), "clientCompletionId": ask.request_id(),
                               "choiceIndex": "0", "languageId": "python", "compType": "full"},
                "measurements": {"compCharLen": 10, "numLines": 1}
            }}
        })
    };
    let telemetry = Ask::telemetry(&[event("shown"), event("accepted")]);
    (ask, telemetry)
}

async fn send(proxy: &Proxy, user: &str, ask: &Ask) {
    let connection = proxy.copilens.tunnel(user, ask.host, Alpn::Http1).await;
    assert_eq!(ask.finish(&connection).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_exact_and_each_day_file_shows_the_fleet() {
    let Some(server) = Server::shared() else { return };
    let upstream = Upstream::start().await;
    let mut proxies = start(&upstream, server, 3).await;
    assert_eq!(proxies[0].copilens.site.password("alice"), proxies[2].copilens.site.password("alice"));
    // All at once, for the same users; one is killed in between.
    let each = |mut proxy: Proxy, is_killed: bool| async move {
        proxy.ask_times(5).await;
        send(&proxy, "bob", &Ask::chat()).await;
        if is_killed {
            proxy = proxy.killed().await;
        }
        proxy.ask_times(5).await;
        proxy
    };
    let mut running: Vec<_> =
        proxies.drain(..).enumerate().map(|(n, proxy)| tokio::spawn(each(proxy, n == 1))).collect();
    for proxy in running.drain(..) {
        proxies.push(proxy.await.unwrap());
    }
    // Each one shows at its end what all have brought by then: those that end last show all.
    let sites: Vec<Site> = proxies.into_iter().map(|proxy| proxy.copilens.stop().1).collect();
    let sites: Vec<Site> = sites.into_iter().map(|site| site.start().stop().1).collect();
    for site in &sites {
        assert_eq!((completions(site), reported(site)), (30, 30));
        let days: Vec<Value> = files_in(&site.path("logs/metrics")).iter().map(|day| json(day)).collect();
        let chats = |user: &str| days.iter().filter_map(|day| day["usage"][user]["chat_turns"].as_u64()).sum::<u64>();
        assert_eq!((chats("alice"), chats("bob")), (0, 3));
    }
    // What one makes anew from its records is what it brought.
    sites[1].stdout(&["rebuild"]);
    assert!(sites.iter().all(|site| (completions(site), reported(site)) == (30, 30)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_proxy_is_told_and_has_the_others_take_in_while_they_run() {
    let Some(server) = Server::shared() else { return };
    let upstream = Upstream::start().await;
    let proxies = start(&upstream, server, 2).await;
    let (ask, telemetry) = ahead();
    send(&proxies[0], "alice", &ask).await;
    send(&proxies[1], "alice", &telemetry).await;
    send(&proxies[1], "bob", &Ask::completion()).await;
    let records = proxies[0].copilens.wait_for_records("alice", "completions", 1);
    assert_eq!(records[0]["class"], "turn");
    for proxy in &proxies {
        let day = proxy.copilens.wait_for_day(|day| day["total_completions_count"] == 2);
        assert_eq!(
            (&day["usage"]["alice"]["shown"], &day["usage"]["alice"]["accepted"]),
            (&1.into(), &1.into()),
            "{day}"
        );
        assert_eq!(day["usage"]["bob"]["completions_count"], 1);
    }
}
