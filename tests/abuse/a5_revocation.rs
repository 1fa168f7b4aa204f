//! Whoever loses access is cut off where no request follows that could be refused: in bytes that are carried unseen.

use std::fs;

use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::wire::Wire;
use crate::support::{CHAT_HOST, Copilens, PATIENCE, Site};

/// Not intercepted.
const OTHER_HOST: &str = "pages.example.com";
const USERS: [&str; 4] = ["ann", "ben", "cleo", "dan"];
/// Ann is removed, Ben is disabled, Cleo has a new password, Dan is as before.
const ONE_LEFT: &str = "[[user]]\nname = \"ben\"\ndisabled = true\n[[user]]\nname = \"cleo\"\npassword_generation = 2\n\
                        [[user]]\nname = \"dan\"\n";
const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: api.enterprise.githubcopilot.com\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Copilens before a server that sends back a byte for the one it gets, once TLS or a WebSocket has begun or not.
async fn start(tls: bool, script: Vec<Step>) -> (RawOrigin, Copilens) {
    let authority = TestAuthority::new().unwrap();
    let tls = tls.then(|| authority.server(&[CHAT_HOST], Alpn::Http1).unwrap());
    let origin = RawOrigin::start(tls, vec![script]).await.unwrap();
    let resolve = format!("{{ \"{OTHER_HOST}\" = \"{0}\", \"{CHAT_HOST}\" = \"{0}\" }}", origin.address());
    let site = Site::to(origin.address(), &authority).set("upstream.resolve", &resolve);
    site.write_users(&USERS);
    (origin, site.start())
}

fn echo() -> Vec<Step> {
    vec![Step::Read(1), Step::write("b"), Step::Read(1), Step::write("d"), Step::Hold]
}

async fn assert_alive<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, answer: u8) {
    stream.write_all(b"a").await.unwrap();
    let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap();
    assert_eq!(byte, answer);
}

/// Removes, disables and rotates; those three streams end at once, and the fourth goes on.
async fn assert_only_dan_stays<S: AsyncRead + AsyncWrite + Unpin>(copilens: &mut Copilens, mut streams: Vec<S>) {
    for stream in &mut streams {
        assert_alive(stream, b'b').await;
    }
    copilens.reload(|site| fs::write(site.path("config/allowlist.toml"), ONE_LEFT).unwrap());
    let mut dan = streams.pop().unwrap();
    for stream in streams {
        assert!(Wire::over(stream).rest().await.is_empty());
    }
    assert_alive(&mut dan, b'd').await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_tunnels_of_users_who_lose_access_are_cut_and_others_go_on() {
    let (_origin, mut copilens) = start(false, echo()).await;
    let mut streams = Vec::new();
    for user in USERS {
        streams.push(copilens.client(user).connect(&format!("{OTHER_HOST}:443")).await.unwrap());
    }
    assert_only_dan_stays(&mut copilens, streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_websockets_of_users_who_lose_access_are_cut_and_others_go_on() {
    let script = [vec![Step::read_head(), Step::write(SWITCH)], echo()].concat();
    let (_origin, mut copilens) = start(true, script).await;
    let mut streams = Vec::new();
    for user in USERS {
        let stream = copilens.client(user).tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
        let mut wire = Wire::over(stream);
        assert_eq!(wire.ask(UPGRADE).await.status, 101);
        streams.push(wire.into_stream());
    }
    assert_only_dan_stays(&mut copilens, streams).await;
}
