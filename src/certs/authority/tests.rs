//! Handshakes with a real client that trusts the CA, and what the certificates say.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

fn authority(allowed: impl Fn(&str) -> bool + Send + Sync + 'static) -> (LeafAuthority, CertificateDer<'static>) {
    let dir = tempfile::tempdir().unwrap();
    let ca = CaFiles::open_or_create(dir.path()).unwrap();
    let root = ca.certificate().der().clone();
    (LeafAuthority::new(ca, Arc::new(allowed)).unwrap(), root)
}

fn client(root: &CertificateDer<'static>, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// What the client saw of one handshake.
struct Seen {
    kind: HandshakeKind,
    alpn: Option<Vec<u8>>,
    leaf: CertificateDer<'static>,
}

async fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>, host: &str) -> std::io::Result<Seen> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (near, far) = tokio::io::duplex(16 * 1024);
    let serve = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.write_all(b"!").await?;
        stream.shutdown().await
    };
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connect = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.read_exact(&mut [0]).await?;
        let (_, session) = stream.get_ref();
        Ok(Seen {
            kind: session.handshake_kind().unwrap(),
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            leaf: session.peer_certificates().unwrap()[0].clone(),
        })
    };
    tokio::join!(connect, serve).0
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_accepts_names_and_addresses_in_both_tls_versions() {
    let (authority, root) = authority(|_| true);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for host in ["api.githubcopilot.com", "192.0.2.7", "2001:db8::7"] {
            let server = authority.server_config(host).await.unwrap();
            let seen = handshake(server, client(&root, &[version]), host).await.unwrap();
            assert_eq!(seen.alpn.unwrap(), b"h2");
        }
    }
}

#[tokio::test]
async fn a_client_accepts_no_other_name_and_no_other_ca() {
    let (authority, root) = authority(|_| true);
    let server = authority.server_config("api.githubcopilot.com").await.unwrap();
    let config = client(&root, rustls::ALL_VERSIONS);
    assert!(handshake(Arc::clone(&server), config, "api.github.com").await.is_err());
    let (_, stranger) = self::authority(|_| true);
    let config = client(&stranger, rustls::ALL_VERSIONS);
    assert!(handshake(server, config, "api.githubcopilot.com").await.is_err());
}

#[tokio::test]
async fn sessions_resume_even_after_the_certificate_was_renewed() {
    let (authority, root) = authority(|_| true);
    let client = client(&root, rustls::ALL_VERSIONS);
    let host = "api.githubcopilot.com";
    let first = handshake(authority.server_config(host).await.unwrap(), Arc::clone(&client), host).await.unwrap();
    authority.cache.invalidate(host).await;
    let second = handshake(authority.server_config(host).await.unwrap(), client, host).await.unwrap();
    assert_eq!((first.kind, second.kind), (HandshakeKind::Full, HandshakeKind::Resumed));
}

#[tokio::test]
async fn leaves_are_short_lived_server_certificates_with_a_key_of_their_own() {
    let (authority, root) = authority(|_| true);
    let name = server_name("api.githubcopilot.com").unwrap();
    let (one, two) = (authority.mint(&name).unwrap(), authority.mint(&name).unwrap());
    let (ca, leaf) = (parse(&root).unwrap(), parse(&one).unwrap());
    leaf.verify_signature(Some(ca.public_key())).unwrap();
    assert_ne!(leaf.public_key().subject_public_key.data, ca.public_key().subject_public_key.data);
    assert_ne!(leaf.raw_serial(), parse(&two).unwrap().raw_serial());
    let (begin, end) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    assert_eq!(end - begin, 30 * 24 * 60 * 60);
    let age = chrono::Utc::now().timestamp() - begin;
    assert!((86_400..86_500).contains(&age));
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any && usage.other.is_empty());
    assert!(!leaf.is_ca());
}

#[tokio::test]
async fn leaves_name_their_host_and_link_to_the_ca() {
    let (authority, root) = authority(|_| true);
    let leaf = authority.mint(&server_name("[2001:DB8::7]").unwrap()).unwrap();
    let long = format!("{}.githubcopilot.com", "a".repeat(60));
    let long = authority.mint(&server_name(&long).unwrap()).unwrap();
    assert_eq!(parse(&long).unwrap().subject().to_string(), "CN=copilens");
    let text = extensions(&leaf);
    let key_id = extensions(&root).into_iter().find_map(|line| line.strip_prefix("SKI ").map(str::to_owned)).unwrap();
    assert!(text.contains(&format!("AKI {key_id}")), "{text:?}");
    assert!(text.iter().any(|line| line.starts_with("SKI ")));
    assert!(text.contains(&"SAN IPAddress(20010db8000000000000000000000007)".to_owned()), "{text:?}");
}

fn extensions(der: &CertificateDer<'_>) -> Vec<String> {
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = |extension: &ParsedExtension<'_>| match extension {
        ParsedExtension::AuthorityKeyIdentifier(id) => format!("AKI {}", hex(id.key_identifier.as_ref().unwrap().0)),
        ParsedExtension::SubjectKeyIdentifier(id) => format!("SKI {}", hex(id.0)),
        ParsedExtension::SubjectAlternativeName(names) => match &names.general_names[..] {
            [GeneralName::IPAddress(bytes)] => format!("SAN IPAddress({})", hex(bytes)),
            other => format!("SAN {other:?}"),
        },
        other => format!("{other:?}"),
    };
    parse(der).unwrap().extensions().iter().map(|extension| line(extension.parsed_extension())).collect()
}

#[tokio::test]
async fn a_leaf_never_outlives_the_ca() {
    let (mut authority, _) = authority(|_| true);
    let name = server_name("api.githubcopilot.com").unwrap();
    authority.ca_end = SystemTime::now() + Duration::from_secs(3600);
    let leaf = authority.mint(&name).unwrap();
    let end = chrono::DateTime::<chrono::Utc>::from(authority.ca_end).timestamp();
    assert_eq!(parse(&leaf).unwrap().validity().not_after.timestamp(), end);
    authority.ca_end = SystemTime::now() - Duration::from_secs(1);
    assert!(matches!(authority.mint(&name), Err(LeafError::CaExpired)));
}

#[tokio::test]
async fn calls_at_once_share_one_signing() {
    let (authority, _) = authority(|_| true);
    let authority = Arc::new(authority);
    let calls: Vec<_> = (0..64)
        .map(|n| {
            let authority = Arc::clone(&authority);
            let host = if n % 2 == 0 { "api.githubcopilot.com" } else { "API.GitHubCopilot.com." };
            tokio::spawn(async move { authority.server_config(host).await.unwrap() })
        })
        .collect();
    let mut configs = Vec::new();
    for call in calls {
        configs.push(call.await.unwrap());
    }
    assert!(configs.iter().all(|config| Arc::ptr_eq(config, &configs[0])));
}

#[tokio::test]
async fn only_allowed_hosts_get_a_certificate_and_a_change_holds_at_once() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let open = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&open);
    let (authority, _) = authority(move |host| host == "api.github.com" && gate.load(Ordering::Relaxed));
    assert!(authority.server_config("api.github.com").await.is_ok());
    assert!(
        matches!(authority.server_config("example.com").await, Err(LeafError::NotAllowed(host)) if host == "example.com")
    );
    assert!(matches!(authority.server_config("not a name").await, Err(LeafError::BadName(_))));
    open.store(false, Ordering::Relaxed);
    assert!(authority.server_config("api.github.com").await.is_err());
}

#[tokio::test]
async fn through_hudsuckers_contract_a_refused_host_ends_the_handshake() {
    let (authority, root) = authority(|host| host == "::1");
    let good = authority.gen_server_config(&Authority::from_static("[::1]:443")).await;
    handshake(good, client(&root, rustls::ALL_VERSIONS), "::1").await.map(drop).unwrap();
    let refused = authority.gen_server_config(&Authority::from_static("example.com:443")).await;
    assert!(handshake(refused, client(&root, rustls::ALL_VERSIONS), "example.com").await.is_err());
}

#[tokio::test]
async fn a_ca_whose_name_cannot_be_repeated_is_found_at_the_start() {
    let key = KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let name = rcgen::DnType::CustomDnType(vec![2, 5, 4, 3]);
    params.distinguished_name.push(name, "second common name");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    super::super::key_file::write_new(&dir.path().join("ca.key"), &key.serialize_pem(), true).unwrap();
    let ca = CaFiles::open_or_create(dir.path()).unwrap();
    assert!(matches!(LeafAuthority::new(ca, Arc::new(|_: &str| true)), Err(LeafError::UnusualCaName)));
}

#[tokio::test]
async fn the_seen_leaf_is_the_one_of_the_process() {
    let (authority, root) = authority(|_| true);
    let host = "api.github.com";
    let seen = handshake(authority.server_config(host).await.unwrap(), client(&root, rustls::ALL_VERSIONS), host);
    let leaf = seen.await.unwrap().leaf;
    assert_eq!(*parse(&leaf).unwrap().public_key().subject_public_key.data, *authority.leaf_key.public_key_raw());
}
