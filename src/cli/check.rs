//! `check`: everything that a start would find wrong, at once, without binding a port or making a file.

use std::io::Write;
use std::path::Path;

use chrono::Utc;

use crate::admin::AdminToken;
use crate::certs::{CERTIFICATE_FILE, CaFiles};
use crate::cli::{CONFIG, Failure, IO};
use crate::config::{Allowlist, Error, Settings, Sources, StoreUrl, tokens};
use crate::identity::Scheme;
use crate::identity::secret_file::Problem;
use crate::proxy;
use crate::store::{self, PostgresStore, StoreError};

/// What was found; faults of files outrank faults of contents in the exit code only where there are no others.
#[derive(Default)]
struct Findings {
    faults: Vec<String>,
    only_io: bool,
    remarks: Vec<String>,
}

impl Findings {
    fn fault(&mut self, text: &dyn ToString, is_io: bool) {
        self.only_io = is_io && (self.faults.is_empty() || self.only_io);
        self.faults.push(text.to_string());
    }

    fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }
}

pub(crate) fn run(sources: &Sources, out: &mut dyn Write) -> Result<(), Failure> {
    let mut findings = Findings::default();
    match sources.check() {
        Ok(settings) => check_files(&settings, &mut findings),
        Err(error) => {
            findings.fault(&error, matches!(error, Error::Io { .. }));
            // With faulty settings the rest is where the defaults say, if at all.
            if let Ok(settings) = sources.settings() {
                check_files(&settings, &mut findings);
            }
        }
    }
    for remark in &findings.remarks {
        writeln!(out, "{remark}")?;
    }
    if findings.faults.is_empty() {
        writeln!(out, "ok")?;
        return Ok(());
    }
    Err(Failure::new(if findings.only_io { IO } else { CONFIG }, findings.faults.join("\n")))
}

fn check_files(settings: &Settings, findings: &mut Findings) {
    check_auth(settings, findings);
    check_token(&settings.admin.token_file, findings);
    check_tokens(&settings.admin.token_file, findings);
    check_ca(settings, findings);
    check_folder(&settings.log_dir, findings);
    check_store(settings, findings);
}

fn check_auth(settings: &Settings, findings: &mut Findings) {
    // Its faults are told already.
    for team in Allowlist::load(&settings.auth.allowlist).unwrap_or_default().teams_without_users() {
        let (file, name) = (settings.auth.allowlist.display(), team.name.escape_default());
        findings
            .remark(format!("warning: {file}: team \"{name}\" has no users, so what is set for it holds for nobody"));
    }
    if settings.auth.scheme == Scheme::Legacy {
        findings.remark(
            "warning: auth.scheme = \"legacy\": any user can compute everyone's password; move to \"hmac-sha256\"",
        );
    }
    if !settings.auth.required {
        findings.remark("warning: auth.required = false: everybody who reaches the proxy may use it");
    }
    if !settings.auth.remember_address.is_zero() {
        findings.remark("warning: auth.remember_address lets whoever shares an address pass as the user seen from it");
    }
}

fn check_token(file: &Path, findings: &mut Findings) {
    match AdminToken::read(file) {
        Ok(_) => {}
        Err(error) if matches!(error.problem, Problem::Missing) => {
            findings.remark(format!("{}: will be made by the first `copilens run`", file.display()));
        }
        Err(error) => findings.fault(&error, matches!(error.problem, Problem::Io(_))),
    }
}

fn check_tokens(admin_token: &Path, findings: &mut Findings) {
    match tokens::load(&tokens::path(admin_token)) {
        Ok(entries) => {
            for entry in entries.iter().filter(|entry| entry.is_expired(Utc::now())) {
                let name = &entry.name;
                findings.remark(format!(
                    "token {name} has expired; `copilens tokens remove {name}` makes room for a new one"
                ));
            }
        }
        Err(error) => findings.fault(&error, matches!(error, Error::Io { .. })),
    }
}

fn check_ca(settings: &Settings, findings: &mut Findings) {
    let folder = &settings.certs.dir;
    if !folder.join(CERTIFICATE_FILE).exists() && !folder.join(crate::certs::KEY_FILE).exists() {
        findings.remark(format!("{}: a CA will be made by the first `copilens run`", folder.display()));
        return check_roots(settings, &[], findings);
    }
    match CaFiles::open(folder) {
        Ok(ca) => {
            let certificate = ca.certificate();
            findings.remark(format!(
                "CA {}, valid until {}",
                certificate.common_name(),
                certificate.not_after().date_naive()
            ));
            if let Some(warning) = certificate.expires_soon(Utc::now()) {
                findings.remark(format!("warning: {warning}"));
            }
            check_roots(settings, certificate.der(), findings);
        }
        Err(error) => findings.fault(&error, error.exit_code() == IO),
    }
}

fn check_roots(settings: &Settings, own_ca: &[u8], findings: &mut Findings) {
    if let Err(error) = proxy::client_config(settings.upstream.extra_ca.as_deref(), own_ca) {
        findings.fault(&error, false);
    }
}

/// Whether files can be made in the folder, or in the nearest parent that there is.
fn check_folder(folder: &Path, findings: &mut Findings) {
    let Some(existing) = folder
        .ancestors()
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .find(|path| path.exists())
    else {
        return;
    };
    if let Err(error) = tempfile::tempfile_in(existing) {
        findings.fault(&format!("{}: not writable: {error} (log_dir)", existing.display()), true);
    }
}

fn check_store(settings: &Settings, findings: &mut Findings) {
    if let StoreUrl::Postgres(url) = &settings.store.url {
        return match PostgresStore::examine(url) {
            Ok(remarks) => remarks.into_iter().for_each(|remark| findings.remark(remark)),
            Err(error) => findings.fault(&error, true),
        };
    }
    match store::open::to_read(settings) {
        Ok(_) => {}
        Err(StoreError::Missing { .. } | StoreError::Older { .. }) => {}
        Err(error) => findings.fault(&error, true),
    }
}
