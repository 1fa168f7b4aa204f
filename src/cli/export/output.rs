//! Where an export goes: to standard output, into a device or pipe, or into a file that appears whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tempfile::NamedTempFile;
use tokio::runtime::{self, Runtime};

#[cfg(unix)]
use crate::cli::run::outlive_file_limits;
use crate::cli::run::{INTERRUPTED, Signals};
use crate::cli::{Failure, IO, USAGE};
use crate::reports::Scope;

/// Between two looks at the clock on a terminal.
const TICK: Duration = Duration::from_millis(100);
/// What is handed to the system at once.
const BUFFER: usize = 1 << 16;

/// An export in the making.
pub(super) struct Output {
    out: BufWriter<Sink>,
    /// Hidden where standard error is no terminal, or where the export itself goes to one.
    bar: ProgressBar,
}

enum Sink {
    Standard(Stdout),
    /// What is no regular file, such as a pipe or a device, cannot be replaced by one.
    Open(File),
    /// Beside `target`, whose place it takes in the end.
    New {
        file: NamedTempFile,
        target: PathBuf,
    },
}

impl Output {
    /// Opens `path`, or standard output where there is none or it is `-`. What is no text does not go to a terminal.
    pub(super) fn open(path: Option<&Path>, is_text: bool) -> Result<Self, Failure> {
        let sink = match named(path) {
            Some(path) => Sink::at(path).map_err(|error| failure(Some(path), &error))?,
            None => Sink::Standard(io::stdout()),
        };
        let to_terminal = sink.is_terminal();
        if to_terminal && !is_text {
            let wrong = "this format is no text, and no terminal can show it: name a file with -o FILE, or pipe it on";
            return Err(Failure::new(USAGE, wrong));
        }
        let watched = io::stderr().is_terminal() && !to_terminal;
        let bar = if watched { new_bar() } else { ProgressBar::hidden() };
        Ok(Self { out: BufWriter::with_capacity(BUFFER, sink), bar })
    }

    /// Writes what is left, puts the file into its place, and says on a terminal what is in it.
    pub(super) fn finish(self, records: Option<u64>, scope: &Scope) -> io::Result<()> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        if !self.bar.is_hidden() {
            self.bar.finish_and_clear();
            let records = records.map(|records| format!("{} records, ", HumanCount(records))).unwrap_or_default();
            // Nobody is there to be told that standard error is closed.
            let _ = writeln!(io::stderr(), "{records}UTC days {} to {}", scope.from, scope.to);
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bar.inc(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Sink {
    fn at(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if !metadata.is_file() => return OpenOptions::new().write(true).open(path).map(Self::Open),
            _ => {}
        }
        // A link stays a link: what it leads to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let interruption = Interruption::listen()?;
        // tempfile gives mode 0600: an export names people.
        let file = tempfile::Builder::new().prefix(".copilens-export-").tempfile_in(folder)?;
        interruption.removes(file.path().to_owned())?;
        Ok(Self::New { file, target })
    }

    fn is_terminal(&self) -> bool {
        match self {
            Self::Standard(out) => out.is_terminal(),
            Self::Open(file) => file.is_terminal(),
            Self::New { .. } => false,
        }
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        if let Self::New { file, target } = self {
            file.as_file().sync_all()?;
            file.persist(target)?;
        }
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::Open(file) => file.write(bytes),
            Self::New { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::Open(file) => file.flush(),
            Self::New { file, .. } => file.flush(),
        }
    }
}

/// The failure that names what could not be written.
pub(super) fn failure(path: Option<&Path>, error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": free some disk space",
        io::ErrorKind::IsADirectory => ": name a file in it",
        io::ErrorKind::NotFound => ": make the folder first",
        _ => "",
    };
    let name = named(path).map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    Failure::new(IO, format!("{name}: {error}{remedy}"))
}

fn named(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| *path != Path::new("-"))
}

/// Ctrl-C or SIGTERM, which must leave no half file.
struct Interruption {
    runtime: Runtime,
    signals: Signals,
}

impl Interruption {
    /// From here on the signals do not end the process.
    fn listen() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let signals = Signals::new()?;
        // A write beyond the limit on file sizes is to fail, too; what listens need not be kept (tokio::signal::unix::Signal).
        #[cfg(unix)]
        let _ = outlive_file_limits()?;
        drop(context);
        Ok(Self { runtime, signals })
    }

    /// The first of them removes the file and ends the process. Once the file has got its name there is none at `path`.
    fn removes(mut self, path: PathBuf) -> io::Result<()> {
        let wait = move || {
            self.runtime.block_on(self.signals.next());
            let _ = fs::remove_file(path);
            std::process::exit(INTERRUPTED);
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{elapsed:>4} {spinner} {bytes} {bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
}
