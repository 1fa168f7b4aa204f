//! The composition root: what `copilens run` is made of, in the order in which it is started and stopped.
//!
//! Everything that can be wrong with files and settings is found before a port is bound.

mod admin_listener;
mod draining;
mod log_folder;
mod sweeping;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::Utc;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use draining::{DrainError, drain};
pub use log_folder::LogFolder;

use crate::admin::{self, Access, AdminState, AdminToken, Desk, Onboarding};
use crate::certs::{CaCertificate, CaError, CaFiles, LeafAuthority, LeafError};
use crate::config::{self, Content, Live, Loaded, Settings, Tokens};
use crate::identity::secret_file::{Problem, SecretError};
use crate::metrics::{self, Metrics};
use crate::proxy::{self, OwnListeners, Proxy, RootsError};
use crate::recorder::{FileError, Intake, RecordFiles, Recorder, RunningRecorder};
use crate::reports::{ReportSource, UsagePage};
use crate::spool::{self, Spool, SpoolError, SpoolMetrics};
use crate::store::{self, StoreError, UsageStore};

/// How often it is made sure that the log folder is still this instance's.
const HOLD_EVERY: Duration = Duration::from_secs(1);
/// How often `[records]` and the CA's end are looked after.
const SWEEP_EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// What the recorder has at least to bring its work to an end. What it does not get done waits in the spool.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why copilens did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is faulty.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Another instance holds the log folder.
    #[error("another copilens (process {pid}) uses {}; stop it, or give this one another `log_dir`", .log_dir.display())]
    Locked {
        /// The folder.
        log_dir: PathBuf,
        /// The other's process id, as its lock file tells.
        pid: String,
    },
    /// A file or folder cannot be used.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address} (`{key}`): {source}")]
    Bind {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The CA's files.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The CA cannot sign.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The admin token's file.
    #[error(transparent)]
    Token(#[from] SecretError),
    /// Whom to trust upstream.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record folders.
    #[error(transparent)]
    Files(#[from] FileError),
}

impl StartError {
    /// The process's exit code (sysexits.h): 75 for a locked folder, 78 for configuration, 74 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(error) => error.exit_code(),
            Self::Locked { .. } => 75,
            Self::Ca(error) => error.exit_code(),
            Self::Roots(_) | Self::Token(SecretError { problem: Problem::Refused(_), .. }) => 78,
            _ => 74,
        }
    }
}

/// A running copilens.
pub struct App {
    settings: Settings,
    proxy: Proxy,
    proxy_address: SocketAddr,
    admin_address: SocketAddr,
    proxy_task: JoinHandle<()>,
    stop_admin: CancellationToken,
    reload: JoinHandle<()>,
    spool: Arc<Spool>,
    recorder: Arc<std::sync::Mutex<RunningRecorder>>,
    metrics: Arc<Metrics>,
    made_ca: bool,
    _folder: Arc<LogFolder>,
}

impl App {
    /// Starts everything. When it returns, both listeners accept.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(sources: config::Sources) -> Result<Self, StartError> {
        let loaded = sources.load_or_create_seed()?;
        let settings = loaded.settings.clone();
        let folder = Arc::new(LogFolder::lock(&settings.log_dir)?);
        let path = settings.log_dir.clone();
        config::write_user_auth(&loaded).map_err(|source| StartError::Io { path, source })?;
        let token = AdminToken::read_or_create(&settings.admin.token_file)?;
        let access = Access::new(token, Arc::new(Tokens::beside(&settings.admin.token_file)));
        let ca = CaFiles::open_or_create(&settings.certs.dir)?;
        let (made_ca, certificate) = (ca.created(), ca.certificate().clone());
        let upstream_tls = proxy::client_config(settings.upstream.extra_ca.as_deref(), certificate.der())?;
        let live = Arc::new(Live::new(loaded));
        let leafs = Arc::new(leaf_authority(ca, &live)?);

        let files = RecordFiles::open(&settings.log_dir)?;
        let (mut registry, metrics) = new_metrics(&live);
        let store = store::open::to_write(&settings)?;
        let (spool, recorder) = start_recorder(&live, &store, files.clone(), Arc::clone(&metrics))?;
        let source = Arc::new(ReportSource::new(Arc::clone(&live), store));
        let usage = usage_metrics(Arc::clone(&source), &metrics);
        let desk = Desk::new(source).map_err(|source| StartError::Io { path: settings.log_dir.clone(), source })?;
        registry.register_collector(Box::new(SpoolMetrics(Arc::clone(&spool))));
        let recorder = Arc::new(std::sync::Mutex::new(recorder));
        let (proxy_listener, proxy_address) = bind("listen", settings.listen)?;
        let (admin_listener, admin_address) = bind("admin_listen", settings.admin_listen)?;

        let health = health(&live, &folder, &spool, &recorder, certificate.clone());
        register_condition(&mut registry, &health, certificate.not_after().timestamp());
        let onboarding = Arc::new(ArcSwap::from_pointee(onboarding(&live.current(), certificate, proxy_address)));
        let (page, metrics_page, desk) = (Arc::clone(&onboarding), Arc::new(registry), Arc::new(desk));
        let pages = AdminState { onboarding: page, health, metrics: metrics_page, usage, access, desk };
        let proxy = Proxy::new(proxy::Parts {
            live: Arc::clone(&live),
            leafs,
            intake: Arc::new(Intake::new(Arc::clone(&spool), Arc::clone(&live))),
            onboarding: admin::onboarding_router(Arc::clone(&onboarding)),
            own: OwnListeners::new(vec![proxy_address, admin_address]),
            upstream_tls,
            metrics: Arc::clone(&metrics),
        });
        let unusable = |source| StartError::Bind { key: "listen", address: proxy_address, source };
        let proxy_task = tokio::spawn(proxy.serve(proxy_listener).map_err(unusable)?);
        let stop_admin = serve_admin(admin_listener, admin_address, pages)?;
        let reload = tokio::spawn(reload(live, sources, onboarding, files, Arc::clone(&folder), Arc::clone(&metrics)));
        Ok(Self {
            settings,
            proxy,
            proxy_address,
            admin_address,
            proxy_task,
            stop_admin,
            reload,
            spool,
            recorder,
            metrics,
            made_ca,
            _folder: folder,
        })
    }

    /// Where IDEs connect.
    #[must_use]
    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy_address
    }

    /// Where the admin pages are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The settings it was started with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether this start made the CA, so that somebody should be told of it.
    #[must_use]
    pub fn made_ca(&self) -> bool {
        self.made_ca
    }

    /// Ends in order: no new tunnels, running answers within `shutdown_grace`, then spool, recorder and day files.
    /// False where answers were cut off.
    pub async fn stop(self) -> bool {
        let begun = Instant::now();
        self.reload.abort();
        let finished = self.proxy.drain(self.settings.shutdown_grace).await;
        let rest = self.settings.shutdown_grace.saturating_sub(begun.elapsed()).max(Duration::from_secs(1));
        let accepted = tokio::time::timeout(rest, self.proxy_task).await.is_ok();
        self.stop_admin.cancel();
        let spool = Arc::clone(&self.spool);
        let closing = tokio::task::spawn_blocking(move || {
            spool.close();
            self.recorder.lock().unwrap_or_else(std::sync::PoisonError::into_inner).stop();
            spool.clear_up();
        });
        let rest = self.settings.shutdown_grace.saturating_sub(begun.elapsed()).max(LAST_WORDS);
        if tokio::time::timeout(rest, closing).await.is_err() {
            tracing::warn!("the recorder waits for the disk or the store; the next start records what is in the spool");
        }
        let left = self.spool.status();
        tracing::info!(
            finished = finished && accepted,
            late = self.metrics.late.get(),
            unrecorded = left.unrecorded,
            waiting = left.entries_unsettled,
            "copilens has stopped"
        );
        finished && accepted
    }
}

/// What copilens counts about itself, and where `/metrics` reads it.
fn new_metrics(live: &Arc<Live>) -> (Registry, Arc<Metrics>) {
    let mut registry = Registry::with_prefix(metrics::PREFIX);
    let metrics = Arc::new(Metrics::register(&mut registry));
    metrics::register_runtime(&mut registry);
    metrics::count_panics(Arc::clone(&metrics));
    register_reload(&mut registry, Arc::clone(live));
    (registry, metrics)
}

/// The name's second half is the one that Prometheus and Alertmanager give theirs.
fn register_reload(registry: &mut Registry, live: Arc<Live>) {
    let help = "Whether the configuration files as they are now are in use: 1, or 0 where they have a fault";
    metrics::register_scraped(registry, "config_last_reload_successful", help, move || {
        i64::from(live.reload_fault().is_none())
    });
}

/// What `/readyz` tells, for alerts.
fn register_condition(registry: &mut Registry, health: &admin::Health, ca_ends: i64) {
    let health = Arc::clone(health);
    metrics::register_scraped(registry, "ready", "Whether /readyz has no problem to tell of: 1, or 0", move || {
        i64::from(health().problems.is_empty())
    });
    let help = "When the CA's certificate ends, in seconds since 1970";
    metrics::register_scraped(registry, "ca_expiry_timestamp_seconds", help, move || ca_ends);
}

/// What `/metrics/usage` tells. Its names have several prefixes.
fn usage_metrics(source: Arc<ReportSource>, metrics: &Metrics) -> admin::UsageMetrics {
    let page = Arc::new(UsagePage::new(source));
    let mut registry = Registry::default();
    metrics::register_usage(&mut registry, Arc::clone(&metrics.usage));
    registry.register_collector(Box::new(Arc::clone(&page)));
    admin::UsageMetrics { registry: Arc::new(registry), page }
}

fn leaf_authority(ca: CaFiles, live: &Arc<Live>) -> Result<LeafAuthority, LeafError> {
    let live = Arc::clone(live);
    LeafAuthority::new(
        ca,
        Arc::new(move |host| live.current().settings.intercept.hosts.iter().any(|pattern| pattern.matches(host))),
    )
}

fn start_recorder(
    live: &Arc<Live>,
    store: &Arc<dyn UsageStore>,
    files: RecordFiles,
    metrics: Arc<Metrics>,
) -> Result<(Arc<Spool>, RunningRecorder), StartError> {
    let settings = &live.current().settings;
    let (default, limit_bytes) = (spool::Options::default(), settings.capture.spool_limit);
    let options = spool::Options {
        limit_bytes,
        sync_interval: settings.capture.sync_interval,
        // A segment's room is free again when all of it is recorded, so several must fit under the limit.
        segment_bytes: default.segment_bytes.min(limit_bytes / 4),
        results: Some(settings.log_dir.clone()),
    };
    let spool = Arc::new(Spool::open(&files.spool_dir(), options)?);
    let recorder = Recorder::new(Arc::clone(&spool), Arc::clone(store), files, Arc::clone(live), metrics).start();
    let recorder = recorder.map_err(|source| StartError::Io { path: settings.log_dir.clone(), source })?;
    Ok((spool, recorder))
}

/// What the install page tells.
fn onboarding(loaded: &Loaded, ca: CaCertificate, listen: SocketAddr) -> Onboarding {
    let settings = &loaded.settings;
    Onboarding {
        ca,
        listen,
        public_address: settings.public_address.as_ref().map(Into::into),
        intercept_hosts: settings.intercept.hosts.iter().map(ToString::to_string).collect(),
        prompts_kept: settings.capture.content == Content::Full,
        prompts_differ: loaded.content_differs(),
        telemetry_read: settings.capture.telemetry,
        retention_days: settings.records.retention_days,
    }
}

/// Follows the configuration files, and keeps what is made of them in step.
async fn reload(
    live: Arc<Live>,
    sources: config::Sources,
    page: Arc<ArcSwap<Onboarding>>,
    files: RecordFiles,
    folder: Arc<LogFolder>,
    metrics: Arc<Metrics>,
) {
    let mut changes = live.subscribe();
    let follow = async {
        while changes.changed().await.is_ok() {
            let (loaded, before) = (live.current(), page.load_full());
            page.store(Arc::new(onboarding(&loaded, before.ca.clone(), before.listen)));
            if let Err(error) = config::write_user_auth(&loaded) {
                tracing::error!(%error, "user_auth.json (`auth.write_user_auth`) could not be written");
            }
        }
    };
    let ca = page.load().ca.clone();
    tokio::join!(
        live.watch(sources),
        follow,
        sweeping::sweep_often(&live, &files, &metrics),
        keep_hold(folder),
        warn_of_expiry(&ca)
    );
}

/// Sees to it that the log folder stays this instance's, also where it was removed.
async fn keep_hold(folder: Arc<LogFolder>) {
    let mut ticks = tokio::time::interval(HOLD_EVERY);
    loop {
        ticks.tick().await;
        let folder = Arc::clone(&folder);
        if let Err(error) = tokio::task::spawn_blocking(move || folder.hold()).await {
            tracing::error!(%error, "the log folder's lock could not be looked after");
        }
    }
}

/// Tells the log of the CA's coming end, now and every few hours.
async fn warn_of_expiry(ca: &CaCertificate) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        if let Some(warning) = ca.expired(Utc::now()).or_else(|| ca.expires_soon(Utc::now())) {
            tracing::warn!("{warning}");
        }
    }
}

/// What `/readyz` reports: everything that an operator should mend, and what is to come.
fn health(
    live: &Arc<Live>,
    folder: &Arc<LogFolder>,
    spool: &Arc<Spool>,
    recorder: &Arc<std::sync::Mutex<RunningRecorder>>,
    ca: CaCertificate,
) -> admin::Health {
    let (live, folder, spool, recorder) =
        (Arc::clone(live), Arc::clone(folder), Arc::clone(spool), Arc::clone(recorder));
    Arc::new(move || {
        let status = spool.status();
        let recorder = recorder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let full = spool.is_full().then(|| "the spool is full: exchanges are not recorded".to_owned());
        let lost = (full.is_some() || status.last_error.is_some()) && status.unrecorded > 0;
        let lost = lost.then(|| format!("{} exchanges were not recorded since the start", status.unrecorded));
        let (expired, expires_soon) = (ca.expired(Utc::now()), ca.expires_soon(Utc::now()));
        let problems = [live.reload_fault(), folder.fault(), recorder.fault(), status.last_error, full, lost, expired];
        admin::Condition {
            problems: problems.into_iter().flatten().collect(),
            notes: expires_soon.into_iter().collect(),
        }
    })
}

/// The listener, and its address with the port that port 0 became.
fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = proxy::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (local, listener) = bound.map_err(|source| StartError::Bind { key, address, source })?;
    Ok((listener, local))
}

fn serve_admin(listener: TcpListener, address: SocketAddr, pages: AdminState) -> Result<CancellationToken, StartError> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|source| StartError::Bind {
        key: "admin_listen",
        address,
        source,
    })?;
    let stop = CancellationToken::new();
    let limits = admin_listener::Limits::default();
    tokio::spawn(admin_listener::serve(listener, admin::router(pages), limits, stop.clone()));
    Ok(stop)
}
