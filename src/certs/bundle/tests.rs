//! Each form is read back by its own rules, OpenSSL's where it is on the machine, and searched for the key.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::certs::CaFiles;

fn new_ca() -> (CaCertificate, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let ca = CaFiles::open_or_create(dir.path()).unwrap();
    (ca.certificate().clone(), ca.into_key().serialize_der())
}

/// What `openssl` prints, or `None` where it is not installed.
fn openssl(arguments: &[&str], input: &[u8]) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn pem_and_der_are_the_certificate() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let (ca, _) = new_ca();
    assert_eq!(CertificateDer::from_pem_slice(&Bundle::Pem.encode(&ca)).unwrap(), *ca.der());
    assert_eq!(Bundle::Der.encode(&ca), ca.der().to_vec());
    if let Some(text) = openssl(&["x509", "-noout", "-fingerprint", "-sha256"], &Bundle::Pem.encode(&ca)) {
        assert_eq!(text.trim().split_once('=').unwrap().1, ca.fingerprint());
    }
}

#[test]
fn p7b_is_a_pkcs7_container_that_openssl_reads() {
    let (ca, _) = new_ca();
    let p7b = Bundle::P7b.encode(&ca);
    assert!(p7b.windows(ca.der().len()).any(|part| part == &ca.der()[..]));
    if let Some(text) = openssl(&["pkcs7", "-inform", "DER", "-print_certs"], &p7b) {
        assert!(text.contains(ca.common_name()), "{text}");
        assert!(text.contains(std::str::from_utf8(&Bundle::Pem.encode(&ca)).unwrap()), "{text}");
    }
}

#[test]
fn mobileconfig_carries_the_certificate_and_stays_the_same() {
    let (ca, _) = new_ca();
    let text = String::from_utf8(Bundle::Mobileconfig.encode(&ca)).unwrap();
    assert_eq!(text.as_bytes(), Bundle::Mobileconfig.encode(&ca));
    let data = text.split_once("<data>").unwrap().1.split_once("</data>").unwrap().0;
    let data: String = data.split_whitespace().collect();
    assert_eq!(STANDARD.decode(data).unwrap(), ca.der().to_vec());
    let ids = profile_ids(ca.sha256());
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| text.contains(&format!("<key>PayloadUUID</key><string>{id}</string>"))));
}

#[test]
fn mobileconfig_escapes_a_foreign_name() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "R&D </string>");
    let ca = CaCertificate::from_der(params.self_signed(&key).unwrap().der().clone()).unwrap();
    let text = String::from_utf8(Bundle::Mobileconfig.encode(&ca)).unwrap();
    assert!(text.contains("<string>R&#38;D &#60;/string&#62;</string>"), "{text}");
}

#[test]
fn no_form_carries_the_key() {
    let (ca, key) = new_ca();
    let secret = private_scalar(&key);
    for bundle in Bundle::ALL {
        let bytes = bundle.encode(&ca);
        let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        assert!(
            !contains(b"PRIVATE KEY") && !contains(&secret) && !contains(STANDARD.encode(&key).as_bytes()),
            "{bundle:?}"
        );
        let text = String::from_utf8_lossy(&bytes);
        let packed = text.split_whitespace().collect::<String>();
        let searched = packed.as_bytes();
        assert!(!(0..3).any(|shift| {
            let part = STANDARD.encode(&secret[shift..shift + 27]);
            searched.windows(part.len()).any(|window| window == part.as_bytes())
        }));
    }
}

/// The 32 bytes of the P-256 private key: the OCTET STRING of the ECPrivateKey (RFC 5915) within PKCS#8.
fn private_scalar(pkcs8: &[u8]) -> Vec<u8> {
    let start = pkcs8.windows(5).position(|part| part == [0x02, 0x01, 0x01, 0x04, 0x20]).unwrap() + 5;
    pkcs8[start..start + 32].to_vec()
}
