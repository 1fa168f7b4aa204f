//! The pair as it is made, and every way in which a pair can be wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::certs::CertificateFault;
use crate::certs::certificate::parse;

fn new_ca() -> (tempfile::TempDir, CaFiles) {
    let dir = tempfile::tempdir().unwrap();
    let ca = CaFiles::open_or_create(dir.path()).unwrap();
    (dir, ca)
}

fn fault(dir: &Path) -> String {
    CaFiles::open_or_create(dir).err().unwrap().to_string().replace(dir.to_str().unwrap(), "DIR")
}

/// Writes a pair that another tool could have made.
fn foreign_pair(dir: &Path, change: impl FnOnce(&mut CertificateParams)) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = ca_params();
    change(&mut params);
    key_file::write_new(&dir.join(KEY_FILE), &key.serialize_pem(), true).unwrap();
    key_file::write_new(&dir.join(CERTIFICATE_FILE), &params.self_signed(&key).unwrap().pem(), false).unwrap();
}

#[test]
fn the_first_start_makes_a_pair_and_the_second_opens_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/certs");
    let first = CaFiles::open_or_create(&dir).unwrap();
    let second = CaFiles::open_or_create(&dir).unwrap();
    assert!(first.created() && !second.created());
    assert_eq!(first.certificate().fingerprint(), second.certificate().fingerprint());
    assert_eq!(second.certificate_path(), dir.join("ca.pem"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("ca.key")), 0o600);
    assert!(fs::read_to_string(dir.join("ca.key")).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn the_certificate_is_a_ca_of_its_own_name_for_ten_years() {
    let (_dir, ca) = new_ca();
    let x509 = parse(ca.certificate().der()).unwrap();
    let constraints = x509.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = x509.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.to_string(), "Key Cert Sign, CRL Sign");
    assert_eq!(
        x509.public_key().algorithm.parameters.as_ref().unwrap().as_oid().unwrap().to_id_string(),
        "1.2.840.10045.3.1.7"
    );
    assert!(ca.certificate().subject().starts_with("O=copilens, CN=copilens CA "));
    let years = (ca.certificate().not_after() - Utc::now()).num_days() / 365;
    assert_eq!(years, 10);
    x509.verify_signature(None).unwrap();
}

#[test]
fn two_cas_differ_in_name_and_serial() {
    let ((_dir1, one), (_dir2, two)) = (new_ca(), new_ca());
    assert_ne!(one.certificate().common_name(), two.certificate().common_name());
    let serial = |ca: &CaFiles| parse(ca.certificate().der()).unwrap().raw_serial().to_vec();
    assert_ne!(serial(&one), serial(&two));
    assert!(serial(&one)[0] < 0x80);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let (dir, _ca) = new_ca();
    fs::set_permissions(dir.path().join(KEY_FILE), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fault(dir.path()), "the CA key DIR/ca.key can be read by others: run `chmod 600 DIR/ca.key`");
}

#[test]
fn half_a_pair_is_never_completed_by_a_new_half() {
    let (dir, _ca) = new_ca();
    fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
    assert!(fault(dir.path()).starts_with("DIR/ca.key is missing, but DIR/ca.pem exists: put the key back, or"));
    let (dir, _ca) = new_ca();
    fs::remove_file(dir.path().join(CERTIFICATE_FILE)).unwrap();
    assert!(
        fault(dir.path()).starts_with("DIR/ca.pem is missing, but DIR/ca.key exists: put the certificate back, or")
    );
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let ((dir, _ca), (other, _)) = (new_ca(), new_ca());
    fs::copy(other.path().join(CERTIFICATE_FILE), dir.path().join(CERTIFICATE_FILE)).unwrap();
    assert!(fault(dir.path()).starts_with("DIR/ca.pem and DIR/ca.key do not belong together"));
}

#[test]
fn files_of_other_content_are_named() {
    let (dir, _ca) = new_ca();
    fs::write(dir.path().join(KEY_FILE), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    assert!(fault(dir.path()).starts_with("DIR/ca.key holds no private key"));
    fs::write(dir.path().join(CERTIFICATE_FILE), "hello").unwrap();
    assert!(fault(dir.path()).starts_with("DIR/ca.pem: holds no certificate"));
}

#[test]
fn a_pair_of_another_tool_works() {
    let dir = tempfile::tempdir().unwrap();
    foreign_pair(dir.path(), |params| params.distinguished_name.push(DnType::CommonName, "Our & Their CA"));
    let ca = CaFiles::open_or_create(dir.path()).unwrap();
    assert!(!ca.created());
    assert_eq!(ca.certificate().common_name(), "Our & Their CA");
}

#[test]
fn a_certificate_that_cannot_serve_is_refused() {
    type Change = fn(&mut CertificateParams);
    let cases: [(Change, &str); 4] = [
        (|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1), "DIR/ca.pem: expired at 2020-01-01T00:00:00Z"),
        (|params| params.not_before = rcgen::date_time_ymd(2200, 1, 1), "DIR/ca.pem: is valid only from 2200-01-01"),
        (|params| params.is_ca = IsCa::ExplicitNoCa, "DIR/ca.pem: is not a CA certificate"),
        (|params| params.key_usages = vec![KeyUsagePurpose::CrlSign], "DIR/ca.pem: is not a CA certificate"),
    ];
    for (change, begin) in cases {
        let dir = tempfile::tempdir().unwrap();
        foreign_pair(dir.path(), |params| {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            change(params);
        });
        let fault = fault(dir.path());
        assert!(fault.starts_with(begin), "{fault}");
    }
}

#[test]
fn the_fingerprint_is_the_sha256_of_the_der() {
    let (dir, ca) = new_ca();
    let fingerprint = ca.certificate().fingerprint();
    assert_eq!(fingerprint.len(), 32 * 3 - 1);
    assert_eq!(ca.certificate().fingerprint_with(""), fingerprint.replace(':', ""));
    let loaded = CaCertificate::load(&dir.path().join(CERTIFICATE_FILE)).unwrap();
    assert_eq!(loaded.fingerprint(), fingerprint);
    assert!(CaCertificate::from_der(vec![1, 2, 3].into()).is_err_and(|fault| fault == CertificateFault::Unreadable));
}
