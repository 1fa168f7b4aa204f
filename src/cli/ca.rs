//! `copilens ca`: shows the CA's certificate, or writes it in the form that a system wants. Never touches the key's content.

use std::io::Write;
use std::path::Path;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::certs::{Bundle, CERTIFICATE_FILE, CaCertificate, CaFiles};

/// What to do with the certificate.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(crate) enum CaCommand {
    /// Print name, fingerprint, expiry, file, and whether this machine trusts the certificate
    Show,
    /// Write the certificate to standard output
    Export {
        /// pem: Linux, tools; der: Windows (.cer); p7b: Windows group policy; mobileconfig: Apple device management
        #[arg(long, value_enum)]
        format: Bundle,
    },
}

impl ValueEnum for Bundle {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl CaCommand {
    /// Runs the command for the CA in `dir` (setting `certs.dir`), which is made, as at the first start, if there is none.
    ///
    /// # Errors
    /// The CA cannot be read or made, or `out` cannot be written.
    pub(crate) fn run(self, dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
        let certificate = certificate(dir)?;
        match self {
            Self::Show => out.write_all(description(&certificate, dir, trusted_here(&certificate)).as_bytes())?,
            Self::Export { format } => out.write_all(&format.encode(&certificate))?,
        }
        Ok(out.flush()?)
    }
}

/// Reads an existing certificate without its key, so that users who may not read the key can use these commands.
fn certificate(dir: &Path) -> anyhow::Result<CaCertificate> {
    let path = dir.join(CERTIFICATE_FILE);
    if path.exists() {
        return Ok(CaCertificate::load(&path)?);
    }
    Ok(CaFiles::open_or_create(dir)?.certificate().clone())
}

fn trusted_here(certificate: &CaCertificate) -> bool {
    rustls_native_certs::load_native_certs().certs.contains(certificate.der())
}

fn description(certificate: &CaCertificate, dir: &Path, trusted: bool) -> String {
    let trust = if trusted { "yes" } else { "no (each client has to trust it: see /install)" };
    format!(
        "Subject:                 {}\n\
         SHA-256 fingerprint:     {}\n\
         Expires:                 {}\n\
         File:                    {}\n\
         Trusted by this machine: {trust}\n",
        certificate.subject(),
        certificate.fingerprint(),
        certificate.not_after().format("%Y-%m-%d %H:%M:%S UTC"),
        dir.join(CERTIFICATE_FILE).display(),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: CaCommand,
    }

    fn run(arguments: &[&str], dir: &Path) -> anyhow::Result<Vec<u8>> {
        let line = Line::try_parse_from(["ca"].iter().chain(arguments))?;
        let mut out = Vec::new();
        line.command.run(dir, &mut out)?;
        Ok(out)
    }

    #[test]
    fn show_makes_the_ca_once_and_describes_it() {
        let dir = tempfile::tempdir().unwrap();
        let text = String::from_utf8(run(&["show"], dir.path()).unwrap()).unwrap();
        assert_eq!(text.as_bytes(), run(&["show"], dir.path()).unwrap());
        let ca = CaFiles::open(dir.path()).unwrap().certificate().clone();
        let text = text
            .replace(ca.common_name(), "[name]")
            .replace(&ca.fingerprint(), "[fingerprint]")
            .replace(&ca.not_after().format("%Y-%m-%d %H:%M:%S").to_string(), "[expiry]")
            .replace(dir.path().to_str().unwrap(), "DIR");
        insta::assert_snapshot!(text, @"
        Subject:                 O=copilens, CN=[name]
        SHA-256 fingerprint:     [fingerprint]
        Expires:                 [expiry] UTC
        File:                    DIR/ca.pem
        Trusted by this machine: no (each client has to trust it: see /install)
        ");
    }

    #[test]
    fn a_trusted_certificate_is_called_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let ca = CaFiles::open_or_create(dir.path()).unwrap();
        assert!(description(ca.certificate(), dir.path(), true).ends_with("Trusted by this machine: yes\n"));
    }

    #[test]
    fn export_writes_each_form_even_without_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let ca = CaFiles::open_or_create(dir.path()).unwrap();
        std::fs::remove_file(dir.path().join("ca.key")).unwrap();
        for bundle in Bundle::ALL {
            let written = run(&["export", "--format", bundle.name()], dir.path()).unwrap();
            assert_eq!(written, bundle.encode(ca.certificate()));
        }
        assert!(run(&["export", "--format", "pkcs12"], dir.path()).unwrap_err().to_string().contains("mobileconfig"));
    }

    #[test]
    fn a_bad_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), "nothing").unwrap();
        let error = run(&["show"], dir.path()).unwrap_err().to_string();
        assert!(error.contains("ca.pem: holds no certificate"), "{error}");
    }
}
