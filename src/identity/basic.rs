//! HTTP Basic credentials (RFC 7617), as `Proxy-Authorization` carries them.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Password;

/// Longest field value that is looked at, in bytes. Names have 64 and passwords 24 characters, so this is ample.
const MAX_LEN: usize = 1024;

/// Clients exist that leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password as a client sent them; neither is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user-id, which never holds a colon.
    pub name: String,
    /// The password.
    pub password: Password,
}

/// Why a header field value holds no credentials. No message repeats the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Another scheme, or none.
    #[error("the authentication scheme is not Basic")]
    Scheme,
    /// Longer than anything that could be right.
    #[error("the credentials are longer than {MAX_LEN} bytes")]
    TooLong,
    /// Not base64 (RFC 4648 section 4).
    #[error("the credentials are not base64")]
    Base64,
    /// Not UTF-8, which our challenge asks for.
    #[error("the credentials are not UTF-8")]
    Utf8,
    /// No colon between name and password.
    #[error("the credentials have no colon")]
    NoColon,
    /// RFC 7617 section 2 forbids control characters.
    #[error("the credentials contain control characters")]
    Control,
}

impl Credentials {
    /// Reads a field value such as `Basic b2N0b2NhdDpzZWNyZXQ=`: scheme in any case, padding optional, the first colon
    /// divides name from password.
    ///
    /// # Errors
    /// When it is anything else; see [`CredentialsError`].
    pub fn parse(header_value: &[u8]) -> Result<Self, CredentialsError> {
        if header_value.len() > MAX_LEN {
            return Err(CredentialsError::TooLong);
        }
        let encoded = strip_scheme(header_value.trim_ascii()).ok_or(CredentialsError::Scheme)?;
        let decoded = BASE64.decode(encoded).map_err(|_| CredentialsError::Base64)?;
        let text = String::from_utf8(decoded).map_err(|_| CredentialsError::Utf8)?;
        if text.chars().any(char::is_control) {
            return Err(CredentialsError::Control);
        }
        let (name, password) = text.split_once(':').ok_or(CredentialsError::NoColon)?;
        Ok(Self { name: name.to_owned(), password: Password::new(password) })
    }

    /// The field value for these credentials: `Basic` and the base64 of `name:password`.
    #[must_use]
    pub fn to_header_value(&self) -> String {
        format!("Basic {}", BASE64.encode(format!("{}:{}", self.name, self.password.reveal())))
    }
}

fn strip_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Basic".len())?;
    let is_basic = scheme.eq_ignore_ascii_case(b"Basic") && rest.first() == Some(&b' ');
    is_basic.then(|| rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(value: &str) -> Result<(String, String), CredentialsError> {
        let credentials = Credentials::parse(value.as_bytes())?;
        Ok((credentials.name, credentials.password.reveal().to_owned()))
    }

    fn pair(name: &str, password: &str) -> Result<(String, String), CredentialsError> {
        Ok((name.to_owned(), password.to_owned()))
    }

    #[test]
    fn rfc_7617_examples() {
        assert_eq!(parsed("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(parsed("Basic dGVzdDoxMjPCow=="), pair("test", "123£"));
    }

    #[test]
    fn forms_that_clients_send() {
        assert_eq!(parsed("bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ"), pair("Aladdin", "open sesame"));
        assert_eq!(parsed(" Basic YTpiOmM= "), pair("a", "b:c"));
        assert_eq!(parsed("Basic Og=="), pair("", ""));
    }

    #[test]
    fn refusals_name_the_cause() {
        let long = format!("Basic {}", "A".repeat(MAX_LEN));
        let cases = [
            ("", CredentialsError::Scheme),
            ("Basic", CredentialsError::Scheme),
            ("BasicYTpi", CredentialsError::Scheme),
            ("Bearer YTpi", CredentialsError::Scheme),
            ("Basic a:b", CredentialsError::Base64),
            ("Basic YTpi YTpi", CredentialsError::Base64),
            ("Basic /zpi", CredentialsError::Utf8),
            ("Basic YWI=", CredentialsError::NoColon),
            ("Basic YTpiCg==", CredentialsError::Control),
            (&long, CredentialsError::TooLong),
        ];
        for (value, expected) in cases {
            assert_eq!(parsed(value), Err(expected), "{value:?}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let shown = format!("{:?}", Credentials::parse(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap());
        assert_eq!(shown, r#"Credentials { name: "Aladdin", password: *** }"#);
    }

    proptest! {
        #[test]
        fn never_panics(value in proptest::collection::vec(any::<u8>(), 0..200), basic in any::<bool>()) {
            let value = if basic { [b"Basic ", value.as_slice()].concat() } else { value };
            let _ = Credentials::parse(&value);
        }

        #[test]
        fn round_trip(name in "[^:\\pC]{0,40}", password in "[^\\pC]{0,40}") {
            let sent = Credentials { name: name.clone(), password: Password::new(&password) };
            prop_assert_eq!(parsed(&sent.to_header_value()), pair(&name, &password));
        }
    }
}
