//! `copilens env`: what to put into a user's editor, ready to paste.
//!
//! The settings are those of GitHub's page on Copilot's network settings
//! (<https://docs.github.com/copilot/how-tos/configure-personal-settings/configure-network-settings>): the proxy's URL
//! begins with `http://`, credentials are Basic, and TLS checks stay on.

use std::io::{self, Write};

use clap::ValueEnum;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::users::password_of;
use crate::config::{HostPort, Settings};
use crate::identity::Password;

/// Whose settings to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// Visual Studio Code.
    Vscode,
    /// The JetBrains IDEs.
    Jetbrains,
    /// A POSIX shell and what it starts.
    Shell,
    /// Copilot CLI.
    Cli,
}

/// All but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Shows the settings of one client, or of all. They hold the user's password.
///
/// # Errors
/// When there is no such user, no seed to derive the password from, or no address to show.
pub(crate) fn print(
    settings: &Settings,
    name: &str,
    client: Option<Client>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let password = password_of(settings, name)?;
    let machine = gethostname::gethostname();
    let (endpoint, remark) = proxy_address(settings, &machine.to_string_lossy())?;
    let access = Access { name: name.to_owned(), password, endpoint, remark };
    let clients = client.map_or_else(|| Client::value_variants().to_vec(), |client| vec![client]);
    for (index, client) in clients.into_iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        access.write(client, out)?;
    }
    Ok(())
}

/// What a client needs to know.
struct Access {
    name: String,
    password: Password,
    endpoint: HostPort,
    remark: Option<&'static str>,
}

impl Access {
    fn write(&self, client: Client, out: &mut dyn Write) -> io::Result<()> {
        match client {
            Client::Vscode => self.write_vscode(out),
            Client::Jetbrains => self.write_jetbrains(out),
            Client::Shell => self.write_shell("Shell", out),
            Client::Cli => self.write_shell("Copilot CLI (start it from this shell)", out),
        }
    }

    /// The lines of `settings.json`, with comments as VS Code allows them.
    fn write_vscode(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_head(
            "//",
            "VS Code: F1 > Preferences: Open User Settings (JSON); with Remote, WSL or a container, there",
            out,
        )?;
        writeln!(out, "\"http.proxy\": \"{}\",", self.url())?;
        writeln!(out, "\"http.proxySupport\": \"override\",")?;
        writeln!(out, "\"http.proxyStrictSSL\": true,")?;
        writeln!(out, "\"http.systemCertificates\": true,")?;
        writeln!(out, "// Then install the CA (the page http://mitm.it/ tells how) and restart VS Code.")
    }

    fn write_jetbrains(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_head("#", "JetBrains: Settings > Appearance & Behavior > System Settings > HTTP Proxy", out)?;
        writeln!(out, "1. Manual proxy configuration: HTTP")?;
        writeln!(out, "   Host name:   {}", self.endpoint.host)?;
        writeln!(out, "   Port number: {}", self.endpoint.port)?;
        writeln!(out, "2. Proxy authentication")?;
        writeln!(out, "   Login:       {}", self.name)?;
        writeln!(out, "   Password:    {}", self.password.reveal())?;
        writeln!(out, "3. Install the CA (the page http://mitm.it/ tells how), or add it under")?;
        writeln!(out, "   Settings > Tools > Server Certificates > Accepted certificates")?;
        writeln!(out, "4. Restart the IDE.")
    }

    /// Valid shell: all but the exports is comment.
    fn write_shell(&self, title: &str, out: &mut dyn Write) -> io::Result<()> {
        self.write_head("#", title, out)?;
        writeln!(
            out,
            "# Once: curl --proxy http://{} --output ~/copilens-ca.pem http://mitm.it/ca.pem",
            self.endpoint
        )?;
        writeln!(out, "export HTTPS_PROXY='{}'", self.url())?;
        writeln!(out, "export HTTP_PROXY=\"$HTTPS_PROXY\"")?;
        writeln!(out, "export NO_PROXY='localhost,127.0.0.1,::1'")?;
        writeln!(out, "export NODE_EXTRA_CA_CERTS=\"$HOME/copilens-ca.pem\"")
    }

    fn write_head(&self, comment: &str, title: &str, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{comment} {title}")?;
        self.remark.iter().try_for_each(|remark| writeln!(out, "{comment} {remark}"))
    }

    /// `http://NAME:PASSWORD@HOST:PORT`
    fn url(&self) -> String {
        let encoded = |text| utf8_percent_encode(text, ENCODED);
        format!("http://{}:{}@{}", encoded(&self.name), encoded(self.password.reveal()), self.endpoint)
    }
}

/// What users reach the proxy at, as far as the configuration knows, and what to mind about it.
fn proxy_address(settings: &Settings, machine: &str) -> anyhow::Result<(HostPort, Option<&'static str>)> {
    if let Some(public) = &settings.public_address {
        return Ok((public.clone(), None));
    }
    let (address, port) = (settings.listen.ip(), settings.listen.port());
    anyhow::ensure!(port != 0, "listen has port 0, so users' port is unknown; set public_address in the configuration");
    if address.is_loopback() {
        let remark = "The proxy listens on this machine alone; change listen to serve others.";
        return Ok((HostPort { host: address.to_string(), port }, Some(remark)));
    }
    if !address.is_unspecified() {
        return Ok((HostPort { host: address.to_string(), port }, None));
    }
    match format!("{machine}:{port}").parse() {
        Ok(named) => {
            Ok((named, Some("The host is this machine's name; set public_address if users reach it by another.")))
        }
        Err(_) => {
            let remark = "The host is right on this machine alone; set public_address to what users reach.";
            Ok((HostPort { host: "127.0.0.1".to_owned(), port }, Some(remark)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(client: Client) -> String {
        let access = Access {
            name: "mona@example.com".to_owned(),
            password: Password::new("p4ss/word"),
            endpoint: "proxy.example.com:8080".parse().unwrap(),
            remark: None,
        };
        let mut out = Vec::new();
        access.write(client, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn vscode() {
        insta::assert_snapshot!(shown(Client::Vscode), @r#"
        // VS Code: F1 > Preferences: Open User Settings (JSON); with Remote, WSL or a container, there
        "http.proxy": "http://mona%40example.com:p4ss%2Fword@proxy.example.com:8080",
        "http.proxySupport": "override",
        "http.proxyStrictSSL": true,
        "http.systemCertificates": true,
        // Then install the CA (the page http://mitm.it/ tells how) and restart VS Code.
        "#);
    }

    #[test]
    fn jetbrains() {
        insta::assert_snapshot!(shown(Client::Jetbrains), @r"
        # JetBrains: Settings > Appearance & Behavior > System Settings > HTTP Proxy
        1. Manual proxy configuration: HTTP
           Host name:   proxy.example.com
           Port number: 8080
        2. Proxy authentication
           Login:       mona@example.com
           Password:    p4ss/word
        3. Install the CA (the page http://mitm.it/ tells how), or add it under
           Settings > Tools > Server Certificates > Accepted certificates
        4. Restart the IDE.
        ");
    }

    #[test]
    fn shell() {
        insta::assert_snapshot!(shown(Client::Shell), @r##"
        # Shell
        # Once: curl --proxy http://proxy.example.com:8080 --output ~/copilens-ca.pem http://mitm.it/ca.pem
        export HTTPS_PROXY='http://mona%40example.com:p4ss%2Fword@proxy.example.com:8080'
        export HTTP_PROXY="$HTTPS_PROXY"
        export NO_PROXY='localhost,127.0.0.1,::1'
        export NODE_EXTRA_CA_CERTS="$HOME/copilens-ca.pem"
        "##);
        assert!(shown(Client::Cli).starts_with("# Copilot CLI"));
    }

    #[test]
    fn the_address_that_users_reach() {
        let address = |listen: &str, public: Option<&str>, machine: &str| {
            let public_address = public.map(|public| public.parse().unwrap());
            let settings = Settings { listen: listen.parse().unwrap(), public_address, ..Settings::default() };
            proxy_address(&settings, machine).map(|(endpoint, remark)| (endpoint.to_string(), remark.is_some()))
        };
        let is = |shown: &str, remarked: bool| (shown.to_owned(), remarked);
        assert_eq!(address("0.0.0.0:0", Some("p.example:1"), "m").unwrap(), is("p.example:1", false));
        assert_eq!(address("192.0.2.1:8080", None, "m").unwrap(), is("192.0.2.1:8080", false));
        assert_eq!(address("0.0.0.0:8080", None, "build-7").unwrap(), is("build-7:8080", true));
        assert_eq!(address("[::]:8080", None, "not a name").unwrap(), is("127.0.0.1:8080", true));
        assert_eq!(address("[::1]:8080", None, "m").unwrap(), is("[::1]:8080", true));
        assert!(address("0.0.0.0:0", None, "m").unwrap_err().to_string().contains("public_address"));
    }

    #[test]
    fn all_clients_are_shown_with_the_users_password() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.auth.allowlist = folder.path().join("allowlist.toml");
        settings.auth.seed_file = folder.path().join("seed");
        super::super::users::add(&settings, "mona", &mut Vec::new()).unwrap();
        let mut out = Vec::new();
        print(&settings, "mona", None, &mut out).unwrap();
        let password = password_of(&settings, "mona").unwrap();
        assert_eq!(String::from_utf8(out).unwrap().matches(password.reveal()).count(), 4);
        assert!(print(&settings, "octocat", None, &mut Vec::new()).is_err());
    }
}
