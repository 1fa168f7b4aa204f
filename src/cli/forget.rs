//! `forget`: takes a person out of all that copilens keeps; the totals stay.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::Path;

use crate::app::{DrainError, LogFolder, drain};
use crate::cli::{Failure, USAGE};
use crate::config::Sources;
use crate::identity::UserName;
use crate::recorder::{Forgotten, RecordFiles, forget};
use crate::store;

/// Whom to forget.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The user
    name: String,
    /// Do not ask first, on a terminal: it cannot be undone
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(arguments: &Arguments, sources: &Sources, out: &mut dyn Write) -> Result<(), Failure> {
    let user: UserName = arguments.name.parse()?;
    let loaded = sources.load()?;
    if !arguments.yes && io::stdin().is_terminal() && !is_confirmed(&user)? {
        return Err(Failure::new(USAGE, "nothing was removed"));
    }
    let settings = loaded.settings.clone();
    let folder = LogFolder::lock(&settings.log_dir)?;
    let is_listed = loaded.directory.get(user.as_str()).is_some();
    let store = store::open::to_write(&settings)?;
    drain(loaded, &store, &folder).map_err(|error| match error {
        DrainError::Start(error) => Failure::from(error),
        waiting => waiting.into(),
    })?;
    let files = RecordFiles::open(&settings.log_dir)?;
    let forgotten = forget(&files, &*store, &user)?;
    tell(&user, &forgotten, out)?;
    if store.is_shared() {
        writeln!(
            out,
            "Other proxies of this database keep records and day files of their own: run `copilens forget {user}` on each."
        )?;
    }
    tell_of_damaged_stores(&settings.log_dir, out)?;
    if is_listed {
        writeln!(
            out,
            "{user} is still on the allowlist: what comes is recorded again. `copilens users remove {user}` ends that."
        )?;
    }
    Ok(())
}

/// Asks the person at the terminal.
fn is_confirmed(user: &UserName) -> io::Result<bool> {
    let mut terminal = io::stderr();
    write!(
        terminal,
        "All records of {user} go for good, and the counts are booked on a pseudonym. Type {user} to go on: "
    )?;
    terminal.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == user.as_str())
}

fn tell(user: &UserName, forgotten: &Forgotten, out: &mut dyn Write) -> io::Result<()> {
    if *forgotten == Forgotten::default() {
        return writeln!(out, "There is nothing of {user}.");
    }
    let Forgotten { records, pending, set_aside, days } = forgotten;
    writeln!(out, "Removed: {records} record files and archives, {pending} records that waited to be seen.")?;
    if *set_aside > 0 {
        writeln!(out, "Removed: {set_aside} unreadable spool segments, whosever exchanges were in them.")?;
    }
    writeln!(out, "Counted on without the name: {} days.", days.len())
}

/// A damaged store that was set aside holds names, though no texts.
fn tell_of_damaged_stores(log_dir: &Path, out: &mut dyn Write) -> io::Result<()> {
    let aside = format!("{}.corrupt-", store::FILE_NAME);
    for entry in log_dir.read_dir()?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&aside) {
            writeln!(out, "{} still names users: remove it when it is of no more use.", entry.path().display())?;
        }
    }
    Ok(())
}
