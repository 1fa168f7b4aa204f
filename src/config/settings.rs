//! What `config/copilens.toml` holds: every key with its meaning, its unit and its default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::endpoints::{HostPort, ParentProxy};
use super::hosts::{HostPattern, OtherHosts, Resolve};
use super::networks::Networks;
use super::postgres_url::PostgresUrl;
use crate::identity::{Content, Scheme};

/// All settings. Relative paths start at the working directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Address of the listener for IDEs. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What users put into their IDE, where it is not the address they reached (`host:port`).
    pub public_address: Option<HostPort>,
    /// Address of the listener for admins. Port 0 takes a free one.
    pub admin_listen: SocketAddr,
    /// Where records, metrics, spool and store live.
    pub log_dir: PathBuf,
    /// How long running answers may take to end after SIGTERM.
    pub shutdown_grace: Duration,
    /// Name in labels and in the paths of reports.
    pub organization: String,
    /// `[auth]`
    pub auth: Auth,
    /// `[admin]`
    pub admin: Admin,
    /// `[certs]`
    pub certs: Certs,
    /// `[intercept]`
    pub intercept: Intercept,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[capture]`
    pub capture: Capture,
    /// `[records]`
    pub records: Records,
    /// `[store]`
    pub store: Store,
    /// `[reports]`
    pub reports: Reports,
    /// `[metrics]`
    pub metrics: Metrics,
}

/// Who may pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    /// False lets everybody pass and books exchanges without credentials on `anonymous`.
    pub required: bool,
    /// The allowlist's file.
    pub allowlist: PathBuf,
    /// How passwords derive from the seed.
    pub scheme: Scheme,
    /// The seed's file.
    pub seed_file: PathBuf,
    /// Whether to write the legacy add-on's `user_auth.json` (names and passwords in clear, mode 0600) into `log_dir`.
    pub write_user_auth: bool,
    /// For how long a CONNECT without credentials takes the one user seen from its address; zero: never.
    pub remember_address: Duration,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// File of the admin's token, made on first start.
    pub token_file: PathBuf,
}

/// The certificate authority.
#[derive(Debug, Clone, PartialEq)]
pub struct Certs {
    /// Folder of the CA's certificate and key.
    pub dir: PathBuf,
}

/// What is intercepted, tunnelled and refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Intercept {
    /// Hosts whose TLS is opened.
    pub hosts: Vec<HostPattern>,
    /// What becomes of all other hosts.
    pub other_hosts: OtherHosts,
    /// Ports that may be asked for, besides 80 by requests in plain HTTP.
    pub ports: Vec<u16>,
    /// Networks that are never dialled, unless `upstream.resolve` names the address.
    pub deny_networks: Networks,
}

/// The leg to GitHub.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The proxy to go through.
    pub parent_proxy: Option<ParentProxy>,
    /// PEM file of further root certificates to trust.
    pub extra_ca: Option<PathBuf>,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest wait for an answer's head.
    pub first_byte_timeout: Duration,
    /// Longest silence in an answer or a tunnel.
    pub idle_timeout: Duration,
    /// Hosts dialled at a given address.
    pub resolve: Resolve,
}

/// What becomes of traffic that cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It passes unrecorded and is counted.
    Pass,
    /// It is refused with 503.
    Refuse,
}

/// What becomes of meaningless exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Noise {
    /// Counted by reason, without a record file.
    Drop,
    /// Recorded, marked as noise.
    Record,
}

/// The copy that is taken of an exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// How much of it reaches the disk, where the allowlist says nothing of the user: see [`Loaded::content_of`].
    ///
    /// [`Loaded::content_of`]: super::Loaded::content_of
    pub content: Content,
    /// Bytes kept of one body.
    pub max_body: u64,
    /// Bytes that may wait in the spool.
    pub spool_limit: u64,
    /// How long the end of an answer waits for its copy to be in the spool (`commit_timeout_ms`, milliseconds).
    pub commit_timeout: Duration,
    /// How often the spool is flushed to the disk itself (fdatasync).
    pub sync_interval: Duration,
    /// What happens when the spool is full or the disk fails.
    pub on_failure: OnFailure,
    /// Whether facts are taken from the clients' telemetry.
    pub telemetry: bool,
    /// What becomes of meaningless exchanges.
    pub noise: Noise,
}

impl Capture {
    /// Bytes to which a body's copy is decoded: no more than is kept of one that came plain.
    #[must_use]
    pub fn decode_limit(&self) -> usize {
        usize::try_from(self.max_body).unwrap_or(usize::MAX)
    }
}

/// The record files.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// Days that a record file is kept after its arrival here; 0: for ever.
    pub retention_days: u32,
    /// Bytes of record files, compacted ones included, beyond which the oldest days of arrival go; 0: without limit.
    pub retention_size: u64,
    /// Days after its arrival here from which on a record file is compacted into its day's archive; 0: never.
    pub compact_after_days: u32,
}

/// Where usage events live.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// Which database.
    pub url: StoreUrl,
}

/// The database of usage events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file in `log_dir`.
    Sqlite,
    /// A PostgreSQL database, which several proxies can share.
    Postgres(Box<PostgresUrl>),
}

/// What reports in GitHub's format say of what is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// 0, since most readers need a number.
    Zero,
    /// Nothing.
    Omit,
}

/// Reports in GitHub's format.
#[derive(Debug, Clone, PartialEq)]
pub struct Reports {
    /// What they say of unknown counters.
    pub unknown: Unknown,
}

/// Names of further metrics to serve beside our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    /// Those of Coralogix's integration.
    Coralogix,
    /// Those of gcp-metrics-exporter.
    GcpExporter,
}

/// Prometheus metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Whether live counters are told by user, too.
    pub user_labels: bool,
    /// Users who have series of their own; the others are one.
    pub user_limit: usize,
    /// Further names to serve.
    pub compat: Vec<Compat>,
}

impl Metrics {
    /// How many users live counters name; `None` where they name nobody.
    #[must_use]
    pub fn labelled_users(&self) -> Option<usize> {
        self.user_labels.then_some(self.user_limit)
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            public_address: None,
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            log_dir: "logs".into(),
            shutdown_grace: Duration::from_secs(30),
            organization: "example".to_owned(),
            auth: Auth::default(),
            admin: Admin { token_file: "config/admin-token".into() },
            certs: Certs { dir: "certs".into() },
            intercept: Intercept::default(),
            upstream: Upstream::default(),
            capture: Capture::default(),
            records: Records { retention_days: 90, retention_size: 0, compact_after_days: 0 },
            store: Store { url: StoreUrl::Sqlite },
            reports: Reports { unknown: Unknown::Zero },
            metrics: Metrics { user_labels: false, user_limit: 1000, compat: Vec::new() },
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            required: true,
            allowlist: "config/allowlist.toml".into(),
            scheme: Scheme::HmacSha256,
            seed_file: "config/seed".into(),
            write_user_auth: false,
            remember_address: Duration::ZERO,
        }
    }
}

impl Default for Intercept {
    fn default() -> Self {
        const HOSTS: [&str; 4] = [
            "*.githubcopilot.com",
            "copilot-proxy.githubusercontent.com",
            "copilot-telemetry.githubusercontent.com",
            "api.github.com",
        ];
        Self {
            hosts: HOSTS.iter().filter_map(|host| host.parse().ok()).collect(),
            other_hosts: OtherHosts::Tunnel,
            ports: vec![443],
            deny_networks: Networks::default(),
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            parent_proxy: None,
            extra_ca: None,
            http2: true,
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(5 * 60),
            idle_timeout: Duration::from_secs(5 * 60),
            resolve: Resolve::default(),
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            content: Content::Full,
            max_body: 16 * MIB,
            spool_limit: 10 * GIB,
            commit_timeout: Duration::from_millis(250),
            sync_interval: Duration::from_secs(1),
            on_failure: OnFailure::Pass,
            telemetry: true,
            noise: Noise::Drop,
        }
    }
}

impl Settings {
    /// Puts back what takes effect at a start only, so that all of the process goes on seeing the same. Returns the names
    /// of the keys that had changed.
    pub(super) fn keep_start_values(&mut self, running: &Self) -> Vec<&'static str> {
        let changed = &mut Vec::new();
        keep("listen", &mut self.listen, &running.listen, changed);
        keep("admin_listen", &mut self.admin_listen, &running.admin_listen, changed);
        keep("log_dir", &mut self.log_dir, &running.log_dir, changed);
        keep("certs.dir", &mut self.certs, &running.certs, changed);
        keep("upstream.extra_ca", &mut self.upstream.extra_ca, &running.upstream.extra_ca, changed);
        keep("capture.spool_limit", &mut self.capture.spool_limit, &running.capture.spool_limit, changed);
        keep("capture.sync_interval", &mut self.capture.sync_interval, &running.capture.sync_interval, changed);
        keep("store.url", &mut self.store, &running.store, changed);
        std::mem::take(changed)
    }
}

fn keep<T: Clone + PartialEq>(key: &'static str, new: &mut T, running: &T, changed: &mut Vec<&'static str>) {
    if new != running {
        changed.push(key);
        new.clone_from(running);
    }
}
