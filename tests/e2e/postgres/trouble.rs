//! A server that stops, comes back, takes no changes or makes everybody wait.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_at_the_start_and_in_mid_traffic_costs_nothing() {
    let Some(mut server) = Server::start() else { return };
    let database = server.database();
    server.stop();
    let upstream = Upstream::start().await;
    let mut proxy = Proxy::start(site(&upstream, &server.url_for("postgres", "hunter2", &database))).await;
    proxy.ask_times(3).await;
    let text = proxy.wait_for_trouble(&[&format!("PostgreSQL database {database} on 127.0.0.1:"), "store.url"]).await;
    assert!(!text.contains("hunter2"), "{text}");
    proxy = proxy.killed().await;
    proxy.ask_times(2).await;
    server.resume();
    proxy.recovers().await;

    server.stop();
    proxy.ask_times(3).await;
    proxy.wait_for_trouble(&["cannot be reached", "start the server"]).await;
    server.resume();
    proxy.recovers().await;
    // Down for as short a time that nobody but the store's connections sees it.
    server.stop();
    server.resume();
    proxy.ask_times(1).await;
    proxy.recovers().await;
    assert_eq!(stored(&server, &database), proxy.sent);
    assert!(!proxy.copilens.log().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_database_that_takes_no_changes() {
    let Some(server) = Server::shared() else { return };
    let database = server.database();
    let upstream = Upstream::start().await;
    let mut proxy = Proxy::start(site(&upstream, &server.url(&database))).await;
    proxy.ask_times(2).await;
    proxy.recovers().await;
    let end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    server.run(&database, &format!("ALTER DATABASE {database} SET default_transaction_read_only = on; {end_all}"));
    proxy.ask_times(3).await;
    proxy.wait_for_trouble(&["is read-only", "default_transaction_read_only"]).await;
    server.run("postgres", &format!("ALTER DATABASE {database} RESET default_transaction_read_only"));
    proxy.recovers().await;
    assert_eq!(stored(server, &database), proxy.sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_server_that_makes_them_wait() {
    let Some(server) = Server::shared() else { return };
    let database = server.database();
    let upstream = Upstream::start().await;
    let mut proxy = Proxy::start(site(&upstream, &server.url(&database))).await;
    proxy.ask_times(2).await;
    proxy.recovers().await;
    let held = server.hold(&database, "LOCK TABLE usage_event IN EXCLUSIVE MODE");
    let begun = Instant::now();
    proxy.ask_times(3).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "clients do not wait for the store's locks");
    proxy.wait_for_trouble(&["did not answer in time", "lock timeout"]).await;
    drop(held);
    proxy.recovers().await;
    assert_eq!(stored(server, &database), proxy.sent);
}

/// As a hung server, a stopped virtual machine or a load balancer without servers does: it accepts and never says a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_and_never_answers_holds_up_nobody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let url = format!("postgres://mona:hunter2@127.0.0.1:{port}/usage?connect_timeout=1");
    let upstream = Upstream::start().await;
    let mut proxy = Proxy::start(site(&upstream, &url).set("shutdown_grace", "\"1s\"")).await;
    proxy.ask_times(3).await;
    let silent = format!("127.0.0.1:{port} takes connections but does not answer");
    let mut said = proxy.wait_for_trouble(&["cannot be reached", &silent]).await;
    for command in [["check"].as_slice(), &["report"], &["export", "--format", "csv"]] {
        let output = proxy.copilens.site.output(command);
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && told.contains(&silent), "{command:?}: {told}");
        said.push_str(&told);
    }
    said.push_str(&proxy.copilens.log());
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(proxy.copilens.stop().0, Some(0));
}

/// A connection that is open already: nothing but the server knows that it hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_in_mid_traffic_does_not_keep_the_proxy_from_its_end() {
    let Some(server) = Server::start() else { return };
    let database = server.database();
    let upstream = Upstream::start().await;
    let url = format!("{}?connect_timeout=1", server.url(&database));
    let mut proxy = Proxy::start(site(&upstream, &url).set("shutdown_grace", "\"1s\"")).await;
    proxy.ask_times(2).await;
    proxy.recovers().await;
    let frozen = server.freeze();
    let begun = Instant::now();
    proxy.ask_times(3).await;
    let report = proxy.copilens.site.output(&["report"]);
    let told = String::from_utf8(report.stderr).unwrap();
    assert!(!report.status.success() && told.contains("does not answer"), "{told}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    drop(frozen);
    proxy.recovers().await;

    let frozen = server.freeze();
    proxy.ask_times(3).await;
    let Proxy { copilens, client, sent } = proxy;
    drop(client);
    let begun = Instant::now();
    let (code, site) = copilens.stop();
    assert!(code == Some(0) && begun.elapsed() < PATIENCE, "{code:?} after {:?}", begun.elapsed());
    drop(frozen);
    Proxy::of(site.start(), sent).await.recovers().await;
    assert_eq!(stored(&server, &database), sent);
}

/// Time and again, in the middle of what two proxies write. The server commits asynchronously where it is not told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_traffic_loses_nothing_and_doubles_nothing() {
    let Some(mut server) = Server::start() else { return };
    let database = server.database();
    let upstream = Upstream::start().await;
    let mut first = Proxy::start(site(&upstream, &server.url(&database))).await;
    let mut second = Proxy::start(site(&upstream, &server.url(&database))).await;
    for round in 1..=4 {
        let crash = tokio::task::spawn_blocking(move || {
            std::thread::sleep(std::time::Duration::from_millis(round * 40));
            server.crash();
            server
        });
        while !crash.is_finished() {
            tokio::join!(first.ask_times(3), second.ask_times(2));
        }
        server = crash.await.unwrap();
    }
    let sent = first.sent + second.sent;
    wait_until(&format!("{sent} rows"), || (stored(&server, &database) >= sent).then_some(()));
    for proxy in [&first, &second] {
        proxy.copilens.wait_for_readyz(200).await;
        proxy.copilens.wait_for_records("alice", "completions", proxy.sent);
        assert_eq!(reported(&proxy.copilens.site), sent);
    }
    for Proxy { copilens, client, .. } in [first, second] {
        drop(client);
        let (code, site) = copilens.stop();
        assert_eq!((code, completions(&site)), (Some(0), sent as u64), "the fleet's day file");
    }
    assert_eq!(stored(&server, &database), sent);
}
