//! Whom the upstream leg believes.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair, SigningKey};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{ask, assert_fails};
use crate::support::{CHAT_HOST, Copilens, Site};

const ANSWER: &str = "HTTP/1.1 204 No Content\r\n\r\n";

async fn origin(tls: Arc<ServerConfig>) -> RawOrigin {
    RawOrigin::start(Some(tls), vec![vec![Step::read_head(), Step::write(ANSWER), Step::Hold]]).await.unwrap()
}

fn server(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// A certificate for [`CHAT_HOST`], valid until a year begins.
fn signed(issuer: &Issuer<'_, impl SigningKey>, until: i32) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![CHAT_HOST.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    server(vec![params.signed_by(&key, issuer).unwrap().der().clone()], &key)
}

fn new_authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Copilens before this server, trusting the certificates of `extra_ca`.
async fn before(tls: Arc<ServerConfig>, extra_ca: &str) -> (RawOrigin, Copilens) {
    let origin = origin(tls).await;
    let site = Site::to(origin.address(), &TestAuthority::new().unwrap());
    fs::write(site.path("upstream-ca.pem"), extra_ca).unwrap();
    (origin, site.start())
}

async fn assert_refused(tls: Arc<ServerConfig>, extra_ca: &str, cause: &str) {
    let (origin, copilens) = before(tls, extra_ca).await;
    assert_fails(&copilens, 502, "bad_gateway", cause).await;
    assert!(origin.received().iter().all(Bytes::is_empty), "something was sent to a server that nobody vouches for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_trusted_authority_is_accepted_until_it_expires() {
    let authority = new_authority();
    let (_origin, copilens) = before(signed(&authority, 2100), &authority.pem()).await;
    assert_eq!(ask(&copilens).await.unwrap().status(), 204);
    assert_refused(signed(&authority, 2020), &authority.pem(), "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() {
    let authority = TestAuthority::new().unwrap();
    let tls = authority.server(&["api.example.com"], Alpn::Http1).unwrap();
    assert_refused(tls, &authority.pem(), "not valid for name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_or_a_stranger_signed_is_refused() {
    let (authority, stranger) = (new_authority(), new_authority());
    assert_refused(signed(&stranger, 2100), &authority.pem(), "invalid peer certificate").await;
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![CHAT_HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
    assert_refused(server(vec![own.der().clone()], &key), &authority.pem(), "invalid peer certificate").await;
}

/// Whoever has the key of copilens's own CA could else stand in for GitHub towards copilens as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_our_own_authority_is_refused_even_where_an_admin_lists_it() {
    let first = Site::to(([127, 0, 0, 1], 1).into(), &TestAuthority::new().unwrap()).start();
    let read = |file: &str| fs::read_to_string(first.site.path(file)).unwrap();
    let (own, key) = (read("certs/ca.pem"), KeyPair::from_pem(&read("certs/ca.key")).unwrap());
    let origin = origin(signed(&Issuer::from_ca_cert_pem(&own, key).unwrap(), 2100)).await;
    let site = first.kill().set("upstream.resolve", &format!("{{ \"{CHAT_HOST}\" = \"{}\" }}", origin.address()));
    fs::write(site.path("upstream-ca.pem"), own + &new_authority().pem()).unwrap();
    let copilens = site.start();
    assert_fails(&copilens, 502, "bad_gateway", "UnknownIssuer").await;
    assert!(origin.received().iter().all(Bytes::is_empty));
}
