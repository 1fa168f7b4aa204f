//! Reads `copilens.toml` into [`Settings`]: one line a key, each with what it must satisfy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::fault::{Error, Fault};
use super::hosts::{HostPattern, OtherHosts, Resolve};
use super::networks::Networks;
use super::reader::{Document, Environment, Section};
use super::settings::{
    Admin, Auth, Capture, Certs, Intercept, Metrics, Records, Reports, Settings, Store, StoreUrl, Upstream,
};

impl Settings {
    /// Reads the text of a settings file; `path` names it in faults. Keys that are missing have their defaults, and
    /// variables of `environment` override the file.
    ///
    /// # Errors
    /// Every fault of the text and of the variables.
    pub fn parse(path: &Path, text: &str, environment: &Environment) -> Result<Self, Error> {
        Document::read(path, text, environment, read)
            .and_then(|settings| check_listeners(path, settings))
            .map_err(Error::Faults)
    }
}

fn check_listeners(path: &Path, settings: Settings) -> Result<Settings, Vec<Fault>> {
    if settings.listen != settings.admin_listen || settings.listen.port() == 0 {
        return Ok(settings);
    }
    let message = format!("listen and admin_listen are both {}; give one another port", settings.listen);
    Err(vec![Fault { place: path.display().to_string(), line: None, message }])
}

fn read(root: &mut Section<'_, '_>) -> Settings {
    let default = Settings::default();
    Settings {
        listen: root.parse("listen", default.listen, socket),
        public_address: root.optional("public_address", unless_empty).flatten(),
        admin_listen: root.parse("admin_listen", default.admin_listen, socket),
        log_dir: root.parse("log_dir", default.log_dir, file),
        shutdown_grace: root.parse("shutdown_grace", default.shutdown_grace, duration),
        organization: root.parse("organization", default.organization, organization),
        auth: root.section("auth", |auth| read_auth(auth, default.auth)),
        admin: root
            .section("admin", |admin| Admin { token_file: admin.parse("token_file", default.admin.token_file, file) }),
        certs: root.section("certs", |certs| Certs { dir: certs.parse("dir", default.certs.dir, file) }),
        intercept: root.section("intercept", |intercept| read_intercept(intercept, default.intercept)),
        upstream: root.section("upstream", |upstream| read_upstream(upstream, default.upstream)),
        capture: root.section("capture", |capture| read_capture(capture, &default.capture)),
        records: root.section("records", |records| Records {
            retention_days: records.value("retention_days", default.records.retention_days),
            retention_size: records.parse("retention_size", default.records.retention_size, size),
            compact_after_days: records.value("compact_after_days", default.records.compact_after_days),
        }),
        store: root.section("store", |store| Store { url: store.parse("url", default.store.url, store_url) }),
        reports: root
            .section("reports", |reports| Reports { unknown: reports.value("unknown", default.reports.unknown) }),
        metrics: root.section("metrics", |metrics| Metrics {
            user_labels: metrics.value("user_labels", default.metrics.user_labels),
            user_limit: metrics.value("user_limit", default.metrics.user_limit),
            compat: metrics.list("compat", Ok::<_, String>).unwrap_or(default.metrics.compat),
        }),
    }
}

fn read_auth(auth: &mut Section<'_, '_>, default: Auth) -> Auth {
    Auth {
        required: auth.value("required", default.required),
        allowlist: auth.parse("allowlist", default.allowlist, file),
        scheme: auth.value("scheme", default.scheme),
        seed_file: auth.parse("seed_file", default.seed_file, file),
        write_user_auth: auth.value("write_user_auth", default.write_user_auth),
        remember_address: auth.parse("remember_address", default.remember_address, duration),
    }
}

fn read_intercept(intercept: &mut Section<'_, '_>, default: Intercept) -> Intercept {
    let networks = intercept.list("deny_networks", |item: String| Networks::parse_item(&item));
    Intercept {
        hosts: intercept.list("hosts", from_str::<HostPattern>).unwrap_or(default.hosts),
        other_hosts: intercept.parse("other_hosts", default.other_hosts, OtherHosts::parse),
        ports: intercept.list("ports", port).unwrap_or(default.ports),
        deny_networks: networks.map_or(default.deny_networks, |items| items.concat().into()),
    }
}

fn read_upstream(upstream: &mut Section<'_, '_>, default: Upstream) -> Upstream {
    Upstream {
        parent_proxy: upstream.optional("parent_proxy", unless_empty).flatten(),
        extra_ca: upstream.optional("extra_ca", unless_empty).flatten(),
        http2: upstream.value("http2", default.http2),
        connect_timeout: upstream.parse("connect_timeout", default.connect_timeout, positive_duration),
        first_byte_timeout: upstream.parse("first_byte_timeout", default.first_byte_timeout, positive_duration),
        idle_timeout: upstream.parse("idle_timeout", default.idle_timeout, positive_duration),
        resolve: upstream.parse("resolve", default.resolve, Resolve::parse),
    }
}

fn read_capture(capture: &mut Section<'_, '_>, default: &Capture) -> Capture {
    let max_body = capture.parse("max_body", default.max_body, positive_size);
    let room_for_a_body = |size| {
        let bytes = positive_size(size)?;
        if bytes < max_body { Err("it must be at least max_body") } else { Ok(bytes) }
    };
    Capture {
        content: capture.value("content", default.content),
        max_body,
        spool_limit: capture.parse("spool_limit", default.spool_limit, room_for_a_body),
        commit_timeout: capture.parse("commit_timeout_ms", default.commit_timeout, milliseconds),
        sync_interval: capture.parse("sync_interval", default.sync_interval, positive_duration),
        on_failure: capture.value("on_failure", default.on_failure),
        telemetry: capture.value("telemetry", default.telemetry),
        noise: capture.value("noise", default.noise),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what Section::parse hands over")]
fn from_str<T: FromStr>(text: String) -> Result<T, T::Err> {
    text.parse()
}

/// For keys whose default is the empty string.
#[expect(clippy::needless_pass_by_value, reason = "what Section::parse hands over")]
fn unless_empty<T: FromStr>(text: String) -> Result<Option<T>, T::Err> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

#[expect(clippy::needless_pass_by_value, reason = "what Section::parse hands over")]
fn socket(text: String) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not ADDRESS:PORT, such as 0.0.0.0:8080 or [::1]:8080"))
}

fn file(path: PathBuf) -> Result<PathBuf, &'static str> {
    if path.as_os_str().is_empty() { Err("a path is needed") } else { Ok(path) }
}

#[expect(clippy::needless_pass_by_value, reason = "what Section::parse hands over")]
fn duration(text: String) -> Result<Duration, String> {
    humantime::parse_duration(&text)
        .map_err(|error| format!("\"{text}\" is no duration such as \"30s\" or \"5m\": {error}"))
}

fn positive_duration(text: String) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(duration) }
}

fn milliseconds(count: u64) -> Result<Duration, &'static str> {
    if (1..=60_000).contains(&count) {
        Ok(Duration::from_millis(count))
    } else {
        Err("1 to 60000 milliseconds are possible")
    }
}

fn size(size: ByteSize) -> Result<u64, &'static str> {
    Ok(size.as_u64())
}

fn positive_size(size: ByteSize) -> Result<u64, &'static str> {
    if size.as_u64() == 0 { Err("it must be more than 0") } else { Ok(size.as_u64()) }
}

fn port(port: u16) -> Result<u16, &'static str> {
    if port == 0 { Err("ports are 1 to 65535") } else { Ok(port) }
}

/// It stands in paths, so it is as narrow as GitHub's own names.
fn organization(name: String) -> Result<String, &'static str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if (1..=100).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(name);
    }
    Err("1 to 100 of A-Z a-z 0-9 - _ are needed")
}

#[expect(clippy::needless_pass_by_value, reason = "what Section::parse hands over")]
fn store_url(url: String) -> Result<StoreUrl, &'static str> {
    match url.as_str() {
        "sqlite" => Ok(StoreUrl::Sqlite),
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            url.parse().map(|url| StoreUrl::Postgres(Box::new(url)))
        }
        _ => Err("\"sqlite\" or postgres://USER:PASSWORD@HOST:PORT/DATABASE is needed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("copilens.toml"), text, &Environment::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_gives_the_defaults() {
        assert_eq!(parse(""), Ok(Settings::default()));
        assert_eq!(Settings::default().intercept.hosts.len(), 4);
    }

    /// The committed file shows every key at its default.
    #[test]
    fn the_committed_file_uncommented_gives_the_defaults() {
        let text = include_str!("../../config/copilens.toml");
        assert_eq!(parse(text), Ok(Settings::default()));
        let is_key = |line: &str| {
            line.split(" = ")
                .next()
                .is_some_and(|key| key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
        };
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|line| is_key(line)).unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        assert_eq!(parse(&uncommented), Ok(Settings::default()));
        let keys = uncommented.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
        assert_eq!(keys, 6 + 6 + 1 + 1 + 4 + 7 + 8 + 3 + 1 + 1 + 3, "a key is missing from config/copilens.toml");
    }

    #[test]
    fn values_are_read() {
        let settings = parse(
            r#"
            listen = "[::]:3128"
            public_address = "proxy.example.com:3128"
            [auth]
            required = false
            scheme = "legacy"
            remember_address = "10m"
            [intercept]
            hosts = ["*.example.com"]
            other_hosts = ["pypi.org"]
            ports = [80, 443]
            deny_networks = ["loopback", "8.8.8.0/24"]
            [upstream]
            parent_proxy = "http://u:hunter2@parent.example:3128"
            extra_ca = "roots.pem"
            resolve = { "api.example.com" = "127.0.0.1:9443" }
            [capture]
            content = "metadata"
            max_body = 1000
            spool_limit = "1.5GiB"
            commit_timeout_ms = 100
            [metrics]
            user_limit = 20
            compat = ["coralogix", "gcp-exporter"]
            "#,
        )
        .unwrap();
        assert_eq!(settings.public_address.as_ref().unwrap().to_string(), "proxy.example.com:3128");
        assert_eq!(settings.auth.remember_address, Duration::from_secs(600));
        assert!(settings.intercept.other_hosts.admits("pypi.org") && !settings.intercept.other_hosts.admits("a.test"));
        assert!(settings.intercept.deny_networks.contains("8.8.8.8".parse().unwrap()));
        assert!(!settings.intercept.deny_networks.contains("10.0.0.1".parse().unwrap()));
        assert_eq!(settings.upstream.resolve.get("api.example.com").unwrap().port(), 9443);
        assert_eq!((settings.capture.max_body, settings.capture.spool_limit), (1000, 3 << 29));
        assert_eq!((settings.metrics.compat.len(), settings.metrics.user_limit), (2, 20));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn every_fault_at_once() {
        let text = r#"
listen = "8080"
public_address = "http://proxy"
shutdown_grace = 30
organization = "../x"
[auth]
required = "yes"
scheme = "md5"
alowlist = "x"
[intercept]
hosts = ["*.ok.example", "https://no.example", "*"]
other_hosts = "allow"
ports = [443, 0]
deny_networks = ["loopback", "localnet"]
[upstream]
parent_proxy = "https://u:hunter2@p:1"
connect_timeout = "0s"
resolve = { "a.example" = "localhost" }
[capture]
content = "some"
max_body = "0"
spool_limit = "1MiB"
commit_timeout_ms = -1
sync_interval = "soon"
on_failure = "ignore"
[store]
url = "postgres://u:hunter2@db:x/x"
[metrix]
"#;
        insta::assert_snapshot!(parse(text).unwrap_err(), @r#"
        copilens.toml:2: listen: "8080" is not ADDRESS:PORT, such as 0.0.0.0:8080 or [::1]:8080
        copilens.toml:3: public_address: HOST:PORT is needed, such as proxy.example.com:8080 or [::1]:8080
        copilens.toml:4: shutdown_grace: invalid type: integer `30`, expected a string
        copilens.toml:5: organization: 1 to 100 of A-Z a-z 0-9 - _ are needed
        copilens.toml:7: required: invalid type: string "yes", expected a boolean
        copilens.toml:8: scheme: unknown variant `md5`, expected `hmac-sha256` or `legacy`
        copilens.toml:9: unknown key "alowlist" in [auth]; did you mean "allowlist"?
        copilens.toml:11: hosts: "*" is no host pattern: write a host name alone, such as api.example.com (no scheme, port or path; * only as a leading "*.")
        copilens.toml:11: hosts: "https://no.example" is no host pattern: write a host name alone, such as api.example.com (no scheme, port or path; * only as a leading "*.")
        copilens.toml:12: other_hosts: "tunnel", "deny" or a list of hosts is needed
        copilens.toml:13: ports: ports are 1 to 65535
        copilens.toml:14: deny_networks: "localnet" is neither a network such as 10.0.0.0/8 nor one of unspecified, loopback, private, link-local, cgnat, nat64, 6to4, teredo, metadata, multicast, broadcast, reserved, documentation, benchmarking
        copilens.toml:16: parent_proxy: http://HOST:PORT or http://USER:PASSWORD@HOST:PORT is needed (https:// is not supported; percent-encode @ : / # in user and password)
        copilens.toml:17: connect_timeout: it must be more than 0
        copilens.toml:18: resolve: "a.example": "localhost" is not ADDRESS:PORT, such as 127.0.0.1:9443 or [::1]:9443
        copilens.toml:20: content: unknown variant `some`, expected `full` or `metadata`
        copilens.toml:21: max_body: it must be more than 0
        copilens.toml:22: spool_limit: it must be at least max_body
        copilens.toml:23: commit_timeout_ms: invalid value: integer `-1`, expected u64
        copilens.toml:24: sync_interval: "soon" is no duration such as "30s" or "5m": expected number at 0
        copilens.toml:25: on_failure: unknown variant `ignore`, expected `pass` or `refuse`
        copilens.toml:27: url: postgres://USER:PASSWORD@HOST:PORT/DATABASE is needed, with ?sslmode=disable, prefer or require behind it if need be (percent-encode @ : / # ? % in user and password)
        copilens.toml:28: unknown section "metrix"; did you mean "metrics"?
        "#);
    }

    #[test]
    fn the_environment_overrides_by_section_and_key() {
        let variables = [("COPILENS_LISTEN", "127.0.0.1:0"), ("COPILENS_AUTH__REQUIRED", "false")];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let settings = Settings::parse(Path::new("x"), "listen = \"0.0.0.0:1\"", &environment).unwrap();
        assert_eq!((settings.listen.to_string().as_str(), settings.auth.required), ("127.0.0.1:0", false));
    }

    #[test]
    fn two_listeners_need_two_ports() {
        let error = parse("listen = '127.0.0.1:8081'").unwrap_err();
        assert!(error.contains("both 127.0.0.1:8081"), "{error}");
    }
}
