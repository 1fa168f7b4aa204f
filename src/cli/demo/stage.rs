//! The demo's folder: a configuration that names nothing outside it, and what a run leaves there.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Environment, Sources};
use crate::sim::ide::HOSTS;

/// A folder of its own for each demo, for its owner alone. It stays.
#[derive(Debug)]
pub(super) struct Stage {
    folder: PathBuf,
}

impl Stage {
    /// Makes the folder, and the allowlist of these users in it.
    pub(super) fn new(users: &[String]) -> io::Result<Self> {
        let folder = new_folder()?;
        fs::create_dir(folder.join("config"))?;
        let users: Vec<_> = users.iter().map(|name| format!("[[user]]\nname = \"{name}\"\n")).collect();
        fs::write(folder.join("config/allowlist.toml"), users.join("\n"))?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the settings, by which all of Copilot's hosts lead to `fake`, trusted by the CA certificate `pem`.
    pub(super) fn write_config(&self, pem: &str, fake: SocketAddr) -> io::Result<Sources> {
        fs::write(self.folder.join("upstream-ca.pem"), pem)?;
        let path = self.config();
        fs::write(&path, self.settings(fake))?;
        Ok(Sources::new(Some(path), Environment::default()))
    }

    fn config(&self) -> PathBuf {
        self.folder.join("config/copilens.toml")
    }

    /// Whole paths, so that the file can be used from anywhere.
    fn settings(&self, fake: SocketAddr) -> String {
        let at = |name: &str| toml::Value::from(self.folder.join(name).to_string_lossy().into_owned()).to_string();
        let resolve: Vec<_> = HOSTS.iter().map(|host| format!("\"{host}\" = \"{fake}\"\n")).collect();
        format!(
            "# Made by `copilens demo`. Its Copilot is gone, but `copilens --config FILE report` still works.\n\
             listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\nlog_dir = {}\n\
             \n[auth]\nallowlist = {}\nseed_file = {}\n\
             \n[admin]\ntoken_file = {}\n\
             \n[certs]\ndir = {}\n\
             \n[upstream]\nextra_ca = {}\n\
             \n[upstream.resolve]\n{}",
            at("logs"),
            at("config/allowlist.toml"),
            at("config/seed"),
            at("config/admin-token"),
            at("certs"),
            at("upstream-ca.pem"),
            resolve.concat(),
        )
    }

    /// What was written, and what to do next.
    pub(super) fn write_where_to_look(&self, out: &mut dyn Write) -> io::Result<()> {
        let logs = self.folder.join("logs");
        let found = [
            ("a completion", newest_record(&logs, "completions")),
            ("a chat", newest_record(&logs, "chat")),
            ("the day", newest(&logs.join("metrics"))),
        ];
        writeln!(out, "\nWritten to {}:", logs.display())?;
        for (what, path) in found.iter().filter_map(|(what, path)| Some((what, path.as_ref()?))) {
            writeln!(out, "  {what:<12}  {}", path.strip_prefix(&logs).unwrap_or(path).display())?;
        }
        writeln!(out, "\nThe table once more:          copilens --config {} report", self.config().display())?;
        writeln!(out, "The same with your own team:  copilens run")
    }
}

fn new_folder() -> io::Result<PathBuf> {
    let mut folder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        folder.permissions(fs::Permissions::from_mode(0o700));
    }
    Ok(folder.prefix("copilens-demo-").tempdir()?.keep())
}

/// Of all users' records of a kind the one that sorts last, which is the newest.
fn newest_record(logs: &Path, kind: &str) -> Option<PathBuf> {
    let users = fs::read_dir(logs.join("usage")).ok()?;
    users
        .filter_map(|user| newest(&user.ok()?.path().join(kind)))
        .max_by_key(|path| path.file_name().map(ToOwned::to_owned))
}

fn newest(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).max()
}
