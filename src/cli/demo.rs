//! `demo`: the real proxy between simulated developers and a fake Copilot, for a while; then what became of it.
//!
//! Everything is real but the people and the service: listeners, TLS, passwords, spool, store and files. It all happens on
//! the loopback interface and in a new folder. The working directory and the environment's settings are left alone.

mod counts;
mod progress;
mod stage;
mod team;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use chrono::Utc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::counts::Counts;
use self::progress::Progress;
use self::stage::Stage;
use super::report::{self, ReportArgs};
use super::run::{INTERRUPTED, Signals, runtime};
use super::{Failure, IO, logging};
use crate::app::App;
use crate::config::Settings;
use crate::sim::copilot::{FakeCopilot, FakeOptions};
use crate::sim::ide::{Tally, Workday};
use crate::sim::tls::{Alpn, COPILOT_NAMES, TestAuthority, roots_from_pem};
use crate::store;

/// Only what somebody should mend; `RUST_LOG` shows more.
const LOG: &str = "warn,hudsucker=off";
/// Between the events of an answer, so that one takes as long as it looks.
const EVENT_DELAY: Duration = Duration::from_millis(12);
/// Before an answer, where a real model would think.
const HEAD_DELAY: Duration = Duration::from_millis(80);

/// How many, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Developers at work
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200))]
    users: u16,
    /// Seconds that they work
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
}

/// What is left when the developers have gone home.
struct Played {
    settings: Settings,
    sent: Tally,
    complaint: Option<String>,
}

/// Plays, and then tells. Ctrl-C ends the work early but in order.
pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    logging::start(LOG);
    let stage = Stage::new(&team::names(arguments.users.into()))?;
    let played = runtime()?.block_on(Box::pin(play(arguments, &stage)))?;
    let store = store::open::to_read(&played.settings)?;
    report::report(&*store, &ReportArgs::default(), Utc::now().date_naive(), super::terminal_width(), out)?;
    let (sent, recorded) = (Counts::sent(played.sent), Counts::recorded(&*store)?);
    writeln!(out, "\nSent:     {sent}\nRecorded: {recorded}")?;
    stage.write_where_to_look(out)?;
    verdict(&played, sent == recorded, stage.folder())
}

fn verdict(played: &Played, equal: bool, folder: &Path) -> Result<(), Failure> {
    if let Some(complaint) = &played.complaint {
        let failures = played.sent.failures;
        return Err(Failure::new(IO, format!("{failures} requests failed in the demo, the last one so: {complaint}")));
    }
    if !equal {
        let message = "what was recorded is not what was sent: a fault in copilens; please report it with";
        return Err(Failure::new(IO, format!("{message} {}", folder.display())));
    }
    Ok(())
}

async fn play(arguments: &Arguments, stage: &Stage) -> Result<Played, Failure> {
    let mut signals = Signals::new()?;
    let authority = TestAuthority::new()?;
    let fake = FakeCopilot::start(FakeOptions {
        tls: Some(authority.server(COPILOT_NAMES, Alpn::Both)?),
        head_delay: HEAD_DELAY,
        event_delay: EVENT_DELAY,
        ..FakeOptions::default()
    })
    .await?;
    let app = App::start(stage.write_config(&authority.pem(), fake.address())?).await?;
    let length = Duration::from_secs(arguments.seconds.into());
    introduce(arguments, &app, stage.folder())?;
    let progress = Arc::new(Progress::new(length));
    let home_time = CancellationToken::new();
    let team = send_to_work(&app, arguments.users.into(), &progress, &home_time)?;
    tokio::select! {
        () = progress.show() => {}
        () = signals.next() => {}
    }
    home_time.cancel();
    tokio::select! {
        played = wind_down(app, team, &progress) => Ok(played),
        () = signals.next() => std::process::exit(INTERRUPTED),
    }
}

fn introduce(arguments: &Arguments, app: &App, folder: &Path) -> io::Result<()> {
    let (users, seconds) = (arguments.users, arguments.seconds);
    let mut out = io::stderr().lock();
    writeln!(out, "{users} developers at work in VS Code and JetBrains IDEs, for {seconds} s.")?;
    writeln!(out, "The proxy at {} is the real one, their Copilot is a fake.", app.proxy_address())?;
    writeln!(out, "Everything is written to {}\n", folder.display())
}

fn send_to_work(
    app: &App,
    users: usize,
    progress: &Arc<Progress>,
    home_time: &CancellationToken,
) -> anyhow::Result<JoinSet<Workday>> {
    let settings = app.settings();
    let ca = std::fs::read_to_string(settings.certs.dir.join(crate::certs::CERTIFICATE_FILE))?;
    let roots = roots_from_pem(&ca)?;
    let mut team = JoinSet::new();
    for name in team::names(users) {
        let password = super::users::password_of(settings, &name)?;
        let place = progress.add_developer();
        let mut day = team::workday(place, name, password.reveal(), app.proxy_address(), roots.clone());
        let (progress, until) = (Arc::clone(progress), home_time.clone().cancelled_owned());
        team.spawn(async move {
            let name = day.developer().person().name.clone();
            day.work_watched(until, |deed, tally| progress.tell(place, &name, deed, tally)).await;
            day
        });
    }
    Ok(team)
}

/// Running actions end, then the proxy, so that all is recorded when this returns.
async fn wind_down(app: App, team: JoinSet<Workday>, progress: &Progress) -> Played {
    let days = team.join_all().await;
    let mut sent = Tally::default();
    days.iter().for_each(|day| sent += day.tally());
    progress.finish(sent);
    let mut complaint = days.iter().find_map(Workday::last_error).map(ToString::to_string);
    drop(days);
    let settings = app.settings().clone();
    if !app.stop().await {
        complaint.get_or_insert_with(|| anyhow!("the proxy did not end in order").to_string());
    }
    Played { settings, sent, complaint }
}
