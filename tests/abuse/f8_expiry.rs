//! The CA's end: told in time, and no certificate lasts longer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use copilens::sim::client::ClientError;
use copilens::sim::tls::Alpn;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Site, Upstream, wait_until};
use crate::watching::assert_serves;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A site whose CA ends in this time.
fn site_with_ca(upstream: &Upstream, left: Duration) -> Site {
    let site = Site::new(upstream);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "A CA near its end");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = (SystemTime::now() - 100 * DAY).into();
    params.not_after = (SystemTime::now() + left).into();
    fs::create_dir(site.path("certs")).unwrap();
    fs::write(site.path("certs/ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(site.path("certs/ca.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(site.path("certs/ca.key"), fs::Permissions::from_mode(0o600)).unwrap();
    site
}

fn end_of(certificate: &[u8]) -> i64 {
    X509Certificate::from_der(certificate).unwrap().1.validity().not_after.timestamp()
}

#[tokio::test(flavor = "multi_thread")]
async fn f8_the_cas_end_is_told_in_its_last_30_days_and_no_leaf_outlives_it() {
    const TOLD: &str = "the CA certificate expires at ";
    let upstream = Upstream::start().await;
    let site = site_with_ca(&upstream, 31 * DAY);
    assert!(!site.stdout(&["check"]).contains(TOLD));
    assert_eq!(site.start().wait_for_readyz(200).await, "ready\n");

    let site = site_with_ca(&upstream, 10 * DAY);
    let checked = site.stdout(&["check"]);
    assert!(checked.contains(&format!("warning: {TOLD}")) && checked.contains("in 9 days"), "{checked}");
    let copilens = site.start();
    let ready = copilens.wait_for_readyz(200).await;
    assert!(ready.starts_with(&format!("ready\nnote: {TOLD}")), "{ready}");
    wait_until("the warning in the log", || copilens.log().contains(TOLD).then_some(()));

    let stream = copilens.client("alice").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
    let leaf = end_of(&stream.get_ref().1.peer_certificates().unwrap()[0]);
    let pem = fs::read(copilens.site.path("certs/ca.pem")).unwrap();
    assert_eq!(leaf, end_of(&x509_parser::pem::parse_x509_pem(&pem).unwrap().1.contents));
}

#[tokio::test(flavor = "multi_thread")]
async fn f8_after_the_cas_end_nothing_is_signed_and_readyz_says_why() {
    let upstream = Upstream::start().await;
    let copilens = site_with_ca(&upstream, Duration::from_secs(4)).start();
    assert_serves(&copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http1).await).await;
    let alice = copilens.client("alice");
    let problem = copilens.wait_for_readyz(503).await;
    assert!(problem.starts_with("the CA certificate expired at "), "{problem}");
    let refused = alice.tunnel(CHAT_HOST, 443, Alpn::Http1).await;
    assert!(matches!(refused, Err(ClientError::Handshake { .. })), "{refused:?}");
    let (code, site) = copilens.stop();
    assert_eq!((code, site.output(&["run"]).status.code()), (Some(0), Some(78)));
}
