//! `import`: a legacy add-on's folder into ours.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::report::is_obeyed;
use crate::app::LogFolder;
use crate::cli::{Failure, IO, USAGE, rebuild};
use crate::config::{Allowlist, Sources};
use crate::identity::{Account, UserName};
use crate::recorder::{Import, ImportError, Imported, LeftOut, RecordFiles};

/// What to import.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The add-on's `logs` or `auditlogs` folder, or the folder that holds them
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, sources: &Sources, out: &mut dyn Write) -> Result<(), Failure> {
    let settings = sources.settings()?;
    let allowlist = allowlist(&settings.auth.allowlist)?;
    // Before anything is made or locked: a name that is mistyped is met often.
    std::fs::read_dir(&arguments.dir)
        .map_err(|error| Failure::new(IO, format!("cannot read {}: {error}", arguments.dir.display())))?;
    let _folder = LogFolder::lock(&settings.log_dir)?;
    let files = RecordFiles::open(&settings.log_dir)?;
    let store = rebuild::open(&settings, out)?;
    let content_of =
        |user: &str| alike(&allowlist, user).and_then(|account| account.content).unwrap_or(settings.capture.content);
    let decode_limit = settings.capture.decode_limit();
    let import = Import { files: &files, store: &*store, decode_limit, content_of: &content_of };
    let bar = progress_bar();
    let result = import.run(&arguments.dir, &mut |imported| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{} files, {} exchanges", imported.files, imported.records + imported.counts));
            bar.tick();
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let imported = result.map_err(|error| match error {
        ImportError::Own(_) => Failure::new(USAGE, error.to_string()),
        error => error.into(),
    })?;
    Ok(tell(&imported, &allowlist, out)?)
}

/// An allowlist that is not made yet is empty: to import may be the first thing that is done.
fn allowlist(path: &std::path::Path) -> Result<Allowlist, Failure> {
    match path.try_exists() {
        Ok(false) => Ok(Allowlist::default()),
        _ => Ok(Allowlist::load(path)?),
    }
}

fn progress_bar() -> Option<ProgressBar> {
    let bar = io::stderr().is_terminal().then(ProgressBar::new_spinner)?;
    bar.set_style(
        ProgressStyle::with_template("{elapsed:>4} {spinner} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    Some(bar)
}

fn tell(imported: &Imported, allowlist: &Allowlist, out: &mut dyn Write) -> io::Result<()> {
    let Imported { records, known, counts, days, users, .. } = imported;
    match (days.first(), days.last()) {
        (Some(first), Some(last)) => {
            writeln!(
                out,
                "{records} records of {} users imported, {known} were here already: {first} to {last}",
                users.len()
            )?;
            if *counts > 0 {
                writeln!(out, "{counts} exchanges without a record counted from day files")?;
            }
        }
        _ => writeln!(out, "nothing of the add-on's in {} files", imported.files)?,
    }
    if imported.ours > 0 {
        writeln!(out, "{} records of copilens' own passed over", imported.ours)?;
    }
    for (day, beyond) in imported.beyond.iter().take(LeftOut::SHOWN) {
        writeln!(out, "{day}: the records tell of {beyond} exchanges beyond the day file; they count")?;
    }
    if let Some(more) = imported.beyond.len().checked_sub(LeftOut::SHOWN).filter(|more| *more > 0) {
        writeln!(out, "likewise on {more} other days")?;
    }
    tell_left_out(&imported.left_out, out)?;
    tell_names(imported, allowlist, out)
}

fn tell_left_out(left_out: &LeftOut, out: &mut dyn Write) -> io::Result<()> {
    for (path, reason) in &left_out.first {
        writeln!(out, "left out: {}: {reason}", shown(&path.display().to_string()))?;
    }
    match left_out.count - left_out.first.len() as u64 {
        0 => Ok(()),
        more => writeln!(out, "left out: {more} more"),
    }
}

/// Whom the allowlist has under this name, however it is spelled: what is kept of a person's texts does not depend on that.
fn alike<'a>(allowlist: &'a Allowlist, name: &str) -> Option<&'a Account> {
    allowlist.accounts.iter().find(|account| account.name.as_str().eq_ignore_ascii_case(name))
}

/// Whom the allowlist does not have, or spells in another way.
fn tell_names(imported: &Imported, allowlist: &Allowlist, out: &mut dyn Write) -> io::Result<()> {
    let spelled = |name: &str| alike(allowlist, name).map(|account| &account.name);
    for name in imported.users.union(&imported.names) {
        if let Some(known) = spelled(name).filter(|known| known.as_str() != name) {
            writeln!(
                out,
                "{}: the allowlist has {known}; what was imported is booked as the add-on spelled it",
                shown(name)
            )?;
        }
    }
    for name in imported.names.iter().filter(|name| spelled(name).is_none()) {
        match name.parse::<UserName>() {
            Ok(name) => writeln!(out, "not on the allowlist: {name}; to let in: copilens users add {name}")?,
            Err(error) => writeln!(out, "not on the allowlist: {}: {error}; choose another name", shown(name))?,
        }
    }
    Ok(())
}

/// A text of somebody else's that a terminal does not obey.
fn shown(text: &str) -> String {
    text.chars().map(|char| if is_obeyed(char) { '?' } else { char }).collect()
}
