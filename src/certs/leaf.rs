//! One certificate for one intercepted host: short-lived, signed by the CA, for server authentication only.

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, ServerName};

use super::ca_files::unique_serial;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clients whose clock is behind still accept a new certificate.
pub(super) const BACKDATED: Duration = DAY;
const LIFE: Duration = Duration::from_secs(30 * DAY.as_secs());
/// The longest common name that X.509 allows (`ub-common-name`, RFC 5280, appendix A.1).
const LONGEST_COMMON_NAME: usize = 64;

/// Signs a certificate for `host` and the public half of `key`, valid from a day ago for 30 days, but never beyond `latest_end`.
pub(super) fn mint(
    host: &ServerName<'_>,
    key: &KeyPair,
    issuer: &Issuer<'_, KeyPair>,
    latest_end: SystemTime,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let begin = SystemTime::now() - BACKDATED;
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&unique_serial()));
    params.not_before = begin.into();
    params.not_after = latest_end.min(begin + LIFE).into();
    params.distinguished_name = subject(&host.to_str());
    params.subject_alt_names = vec![alternative_name(host)?];
    // Says CA:FALSE and, which rcgen leaves out otherwise, the subject key identifier.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(key, issuer)?.der().clone())
}

fn subject(host: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    let common_name = if host.len() <= LONGEST_COMMON_NAME { host } else { "copilens" };
    name.push(DnType::CommonName, common_name);
    name
}

fn alternative_name(host: &ServerName<'_>) -> Result<SanType, rcgen::Error> {
    match host {
        ServerName::IpAddress(address) => Ok(SanType::IpAddress((*address).into())),
        name => Ok(SanType::DnsName(name.to_str().as_ref().try_into()?)),
    }
}
