//! Panics in the middle of an exchange, real ones: the proxy as a library, with parts that the composition root gives it
//! and that panic here.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use copilens::certs::{CaFiles, LeafAuthority};
use copilens::config::{Environment, Live, Settings, Sources};
use copilens::metrics::{Metrics, count_panics};
use copilens::proxy::{self, OwnListeners, Parts, Proxy};
use copilens::recorder::Intake;
use copilens::sim::client::{Connection, Credentials, ProxyClient};
use copilens::sim::tls::{Alpn, roots_from_pem};
use copilens::spool::{self, Spool};
use http::Request;
use prometheus_client::registry::Registry;

use crate::support::{COMPLETIONS_HOST, PATIENCE, Site, Upstream};
use crate::watching::assert_serves;

/// Whoever asks for its certificate meets a panic; so does whoever asks for the install page.
const PANICKING_HOST: &str = "panic.githubcopilot.com";

fn absolute(site: Site) -> Site {
    let keys = [
        ("log_dir", "logs"),
        ("certs.dir", "certs"),
        ("auth.allowlist", "config/allowlist.toml"),
        ("auth.seed_file", "config/seed"),
        ("upstream.extra_ca", "upstream-ca.pem"),
    ];
    keys.into_iter().fold(site, |site, (key, path)| {
        let path = format!("{:?}", site.path(path));
        site.set(key, &path)
    })
}

fn panicking_authority(settings: &Settings) -> LeafAuthority {
    let ca = CaFiles::open_or_create(&settings.certs.dir).unwrap();
    LeafAuthority::new(ca, Arc::new(|host| if host == PANICKING_HOST { panic!("by the test") } else { true })).unwrap()
}

fn parts(site: &Site, listen: SocketAddr, metrics: &Arc<Metrics>) -> Parts {
    let environment = std::iter::empty::<(String, String)>().collect::<Environment>();
    let loaded = Sources::new(Some(site.path("config/copilens.toml")), environment).load_or_create_seed().unwrap();
    let settings = loaded.settings.clone();
    let live = Arc::new(Live::new(loaded));
    let leafs = Arc::new(panicking_authority(&settings));
    let spool = Arc::new(Spool::open(&settings.log_dir.join("spool"), spool::Options::default()).unwrap());
    Parts {
        intake: Arc::new(Intake::new(spool, Arc::clone(&live))),
        live,
        leafs,
        onboarding: Router::new().route(
            "/",
            get(async || {
                if true {
                    panic!("by the test")
                }
            }),
        ),
        own: OwnListeners::new(vec![listen]),
        upstream_tls: proxy::client_config(settings.upstream.extra_ca.as_deref(), &[]).unwrap(),
        metrics: Arc::clone(metrics),
    }
}

async fn meet_panics(alice: &ProxyClient) {
    assert!(alice.tunnel(PANICKING_HOST, 443, Alpn::Http2).await.is_err(), "a panic in a tunnel");
    let page = alice.plain().await.unwrap();
    let request = Request::get("http://mitm.it/").body(Bytes::new()).unwrap();
    assert!(page.send(request).await.is_err(), "a panic in the answer to a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_panic_ends_its_own_exchange_and_is_counted() {
    let upstream = Upstream::start().await;
    let site = absolute(Site::new(&upstream));
    let metrics = Arc::new(Metrics::register(&mut Registry::default()));
    count_panics(Arc::clone(&metrics));
    let listener = proxy::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listen = listener.local_addr().unwrap();
    let proxy = Proxy::new(parts(&site, listen, &metrics));
    let serving = tokio::spawn(proxy.serve(listener).unwrap());
    let roots = roots_from_pem(&std::fs::read_to_string(site.path("certs/ca.pem")).unwrap()).unwrap();
    let client = |user: &str| ProxyClient::new(listen, Credentials::basic(user, &site.password(user)), roots.clone());
    let bob = client("bob");
    let under_way: Vec<Connection> = vec![
        bob.tunnel(COMPLETIONS_HOST, 443, Alpn::Http1).await.unwrap(),
        bob.tunnel(COMPLETIONS_HOST, 443, Alpn::Http2).await.unwrap(),
    ];
    for _ in 0..10 {
        meet_panics(&client("alice")).await;
    }
    assert_eq!(metrics.panics.get(), 20);
    for tunnel in &under_way {
        assert_serves(tunnel).await;
    }
    assert_serves(&client("alice").tunnel(COMPLETIONS_HOST, 443, Alpn::Http2).await.unwrap()).await;
    assert!(proxy.drain(PATIENCE).await, "a panic leaves a task behind");
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
}
