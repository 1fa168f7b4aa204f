//! The forms in which systems want the CA certificate. Made from the certificate alone, so that no form can carry the key.

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::certificate::CaCertificate;
use super::der::{CONTEXT_0, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, value};

/// A form of the CA certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// Text (RFC 7468): Linux, macOS, Node, Python, Java, curl.
    Pem,
    /// X.509 DER, `.cer`: a double-click on Windows.
    Der,
    /// PKCS#7 `.p7b` (RFC 2315, certificates only): Windows' import wizard and group policies.
    P7b,
    /// Apple configuration profile (payload `com.apple.security.root`): macOS and iOS device management.
    Mobileconfig,
}

impl Bundle {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Pem, Self::Der, Self::P7b, Self::Mobileconfig];

    /// The form's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pem => "pem",
            Self::Der => "der",
            Self::P7b => "p7b",
            Self::Mobileconfig => "mobileconfig",
        }
    }

    /// The ending under which systems know the form.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Der => "cer",
            other => other.name(),
        }
    }

    /// The media type under which systems know the form.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Pem => "application/x-pem-file",
            Self::Der => "application/x-x509-ca-cert",
            Self::P7b => "application/x-pkcs7-certificates",
            Self::Mobileconfig => "application/x-apple-aspen-config",
        }
    }

    /// The certificate in this form.
    pub fn encode(self, certificate: &CaCertificate) -> Vec<u8> {
        match self {
            Self::Pem => pem(certificate.der()).into_bytes(),
            Self::Der => certificate.der().to_vec(),
            Self::P7b => p7b(certificate.der()),
            Self::Mobileconfig => mobileconfig(certificate).into_bytes(),
        }
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", wrapped_base64(der))
}

/// Base64 in lines of 64 characters (RFC 7468, section 2).
fn wrapped_base64(bytes: &[u8]) -> String {
    let lines: Vec<String> = bytes.chunks(48).map(|chunk| STANDARD.encode(chunk)).collect();
    lines.join("\n")
}

/// `1.2.840.113549.1.7.1`: data.
const OID_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// `1.2.840.113549.1.7.2`: signedData.
const OID_SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// A SignedData without content and signers (RFC 2315, section 9.1), which is how certificates travel in PKCS#7.
fn p7b(certificate: &[u8]) -> Vec<u8> {
    let no_content = value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[OID_DATA])]);
    let version = value(INTEGER, &[&[1]]);
    let empty_set = value(SET, &[]);
    let certificates = value(CONTEXT_0, &[certificate]);
    let signed_data = value(SEQUENCE, &[&version, &empty_set, &no_content, &certificates, &empty_set]);
    value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[OID_SIGNED_DATA]), &value(CONTEXT_0, &[&signed_data])])
}

/// Keys as in Apple's "Configuration Profile Reference", section "Certificate payload".
#[derive(Template)]
#[template(
    ext = "xml",
    source = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadType</key><string>Configuration</string>
  <key>PayloadVersion</key><integer>1</integer>
  <key>PayloadIdentifier</key><string>copilens.profile.{{ profile }}</string>
  <key>PayloadUUID</key><string>{{ profile }}</string>
  <key>PayloadDisplayName</key><string>{{ name }}</string>
  <key>PayloadDescription</key><string>Lets this device trust the copilens proxy of your organization.</string>
  <key>PayloadRemovalDisallowed</key><false/>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadType</key><string>com.apple.security.root</string>
      <key>PayloadVersion</key><integer>1</integer>
      <key>PayloadIdentifier</key><string>copilens.root.{{ root }}</string>
      <key>PayloadUUID</key><string>{{ root }}</string>
      <key>PayloadDisplayName</key><string>{{ name }}</string>
      <key>PayloadCertificateFileName</key><string>copilens-ca.cer</string>
      <key>PayloadContent</key>
      <data>
{{ certificate }}
      </data>
    </dict>
  </array>
</dict>
</plist>
"#
)]
struct Profile<'a> {
    name: &'a str,
    profile: String,
    root: String,
    certificate: String,
}

fn mobileconfig(certificate: &CaCertificate) -> String {
    let [profile, root] = profile_ids(certificate.sha256());
    let profile =
        Profile { name: certificate.common_name(), profile, root, certificate: wrapped_base64(certificate.der()) };
    profile.to_string()
}

/// UUIDs that stay the same for one certificate, so that installing the profile again replaces it.
fn profile_ids(sha256: &[u8; 32]) -> [String; 2] {
    let fingerprint = sha256.as_chunks::<16>().0;
    let id = |half: usize| {
        let bytes = fingerprint.get(half).copied().unwrap_or_default();
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    };
    [id(0), id(1)].map(|uuid: Uuid| uuid.to_string().to_uppercase())
}

#[cfg(test)]
mod tests;
