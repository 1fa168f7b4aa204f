//! Addresses that are never dialled, however they are spelled and whatever name leads to them.

use std::net::UdpSocket;

use bytes::Bytes;
use copilens::sim::raw::RawOrigin;
use copilens::sim::tls::Alpn;
use http::Request;

use super::{FORBIDDEN, assert_forbidden, connect, get, watched_site};
use crate::support::{CHAT_HOST, Copilens, Site, outer_address};

/// Spellings of addresses that are never dialled.
const FORBIDDEN_HOSTS: [&str; 52] = [
    // This machine.
    "127.0.0.1",
    "127.0.0.1.",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0X7F000001",
    "2130706433",
    "017700000001",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001::80ff:fffe]",
    "0.0.0.0",
    "0",
    "0x0",
    "[::]",
    // Private networks.
    "10.0.0.1",
    "10.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "3232235777",
    "[fd00::1]",
    "[fc00::1]",
    "[::ffff:10.0.0.1]",
    "100.64.0.1",
    "100.127.255.254",
    // Link-local and metadata.
    "169.254.0.1",
    "169.254.169.254",
    "2852039166",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "168.63.129.16",
    // Neither here nor there.
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
];

/// With the watched origin's port on the list, so that whatever leads to this machine would reach it.
async fn site_of_one_port() -> (RawOrigin, Site, u16) {
    let (origin, site) = watched_site(&[CHAT_HOST]).await;
    let port = origin.address().port();
    (origin, site.set("intercept.ports", &format!("[443, {port}]")), port)
}

async fn assert_all_forbidden(copilens: &Copilens, hosts: &[&str], port: u16) {
    let alice = copilens.credentials("alice");
    for host in hosts {
        assert_forbidden(&connect(copilens, &alice, &format!("{host}:{port}")).await, host);
        assert_forbidden(&get(copilens, &alice, &format!("http://{host}:{port}/")).await, host);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_forbidden_address_is_dialled() {
    let (origin, site, port) = site_of_one_port().await;
    let copilens = site.start();
    assert_all_forbidden(&copilens, &FORBIDDEN_HOSTS, port).await;
    assert_eq!(origin.received().len(), 0, "nothing was dialled");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_forbidden_address_is_asked_of_a_parent_proxy() {
    let (origin, site, port) = site_of_one_port().await;
    let copilens = site.set("upstream.parent_proxy", &format!("\"http://{}\"", origin.address())).start();
    // Names are the parent's to resolve.
    let addresses: Vec<_> = FORBIDDEN_HOSTS
        .into_iter()
        .filter(|host| !host.eq_ignore_ascii_case("localhost") && *host != "localhost.")
        .collect();
    assert_all_forbidden(&copilens, &addresses, port).await;
    assert_eq!(origin.received().len(), 0, "the parent was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intercepted_name_that_leads_to_a_forbidden_address_is_not_dialled() {
    let (origin, site, port) = site_of_one_port().await;
    let copilens = site.set("intercept.hosts", "[\"localhost\", \"127.0.0.1\"]").start();
    let client = copilens.client("alice");
    for (host, alpn) in [("localhost", Alpn::Http1), ("localhost", Alpn::Http2), ("127.0.0.1", Alpn::Http1)] {
        let tunnel = client.tunnel(host, port, alpn).await.unwrap();
        let mut reply = tunnel.send(Request::get("/").body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), 403);
        assert_eq!(reply.bytes().await.unwrap(), FORBIDDEN);
    }
    assert_eq!(origin.received().len(), 0, "nothing was dialled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxys_own_ports_are_never_dialled_even_where_no_network_is_denied() {
    let (_origin, site) = watched_site(&[CHAT_HOST]).await;
    let site = site.set("listen", "\"0.0.0.0:0\"").set("intercept.deny_networks", "[]");
    let mut copilens = site.start();
    let ports = [copilens.proxy.port(), copilens.admin.port()];
    copilens.reload(|site| site.change("intercept.ports", &format!("[443, {}, {}]", ports[0], ports[1])));
    let outer = outer_address().map(|address| address.to_string());
    let mut hosts = vec![
        "127.0.0.1",
        "127.1",
        "2130706433",
        "localhost",
        "0.0.0.0",
        "0",
        "127.0.0.2",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ];
    hosts.extend(outer.as_deref());
    if UdpSocket::bind("[::1]:0").is_ok() {
        hosts.extend(["[::1]", "[::]"]);
    }
    for port in ports {
        assert_all_forbidden(&copilens, &hosts, port).await;
    }
}
