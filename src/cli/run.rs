//! `run`: starts the proxy and the admin listener, and ends them when told to.

use std::io::{self, Write};

use crate::app::App;
use crate::cli::{Failure, logging};
use crate::config::Sources;

/// Ended at once by a second signal (128 + SIGINT).
pub(super) const INTERRUPTED: i32 = 130;
/// What is said where `RUST_LOG` does not choose. hudsucker reports every client that goes away as an error, and
/// tokio-graceful every step of its own; what matters of that we log ourselves.
const LOG: &str = "info,hudsucker=off,tokio_graceful=warn";

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn run(sources: Sources) -> Result<(), Failure> {
    logging::start(LOG);
    #[cfg(unix)]
    {
        take_all_descriptors();
        leave_no_core();
    }
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(sources));
    // Not waited for: a thread that asks a store that never answers.
    runtime.shutdown_background();
    ended
}

/// Raises the soft limit of open descriptors to the hard one: each tunnel takes two, and shells start with 1,024.
#[cfg(unix)]
fn take_all_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, soft = limit.current, hard = limit.maximum, "the limit of open files stays as it is");
    }
}

/// Has a write beyond the limit on file sizes fail, as on a full disk; by default the signal that comes with it ends the
/// process, and with it everybody's traffic.
#[cfg(unix)]
pub(super) fn outlive_file_limits() -> io::Result<tokio::signal::unix::Signal> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))
}

/// A core dump would hold passwords, tokens and prompts. Who wants one can raise the limit again (prlimit(1)).
#[cfg(unix)]
fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Core);
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: limit.maximum }) {
        tracing::warn!(%error, "core dumps stay possible");
    }
}

pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("copilens").build()
}

async fn serve(sources: Sources) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    #[cfg(unix)]
    let _too_large = outlive_file_limits()?;
    let app = App::start(sources).await?;
    announce(&app)?;
    signals.next().await;
    tracing::info!(grace = ?app.settings().shutdown_grace, "shutting down; a second signal ends at once");
    tokio::select! {
        finished = app.stop() => {
            if !finished {
                tracing::warn!("answers that ran longer than `shutdown_grace` were cut off");
            }
            Ok(())
        }
        () = signals.next() => std::process::exit(INTERRUPTED),
    }
}

/// The one line that scripts wait for, and what a person wants to know next.
fn announce(app: &App) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening proxy={} admin={}", app.proxy_address(), app.admin_address())?;
    out.flush()?;
    // In one piece, so that no line of the log comes between.
    io::stderr().lock().write_all(hints(app).as_bytes())
}

fn hints(app: &App) -> String {
    let settings = app.settings();
    let made_ca =
        format!("A certificate authority was made in {}: clients must trust it.\n", settings.certs.dir.display());
    format!(
        "{}Settings for a user:  copilens env octocat   (users: {})\nHow to set up an IDE: http://{}/install\n",
        if app.made_ca() { &made_ca } else { "" },
        settings.auth.allowlist.display(),
        app.admin_address()
    )
}

/// The signals that ask for the end.
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// From here on they do not end the process.
    pub(super) fn new() -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
