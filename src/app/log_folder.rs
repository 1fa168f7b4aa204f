//! The log folder belongs to one instance at a time: an advisory lock on a file in it, which the system lets go of however
//! the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StartError;
use crate::identity::secret_file::{self, FileId};

/// The file that a running instance holds locked.
const LOCK_FILE: &str = ".lock";

/// Holds a log folder for this process alone, until dropped or until the process ends in whatever way.
#[derive(Debug)]
pub struct LogFolder {
    log_dir: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    lock: File,
    fault: Option<String>,
}

impl LogFolder {
    /// Makes the folder (mode 0700) if need be, and locks it.
    ///
    /// # Errors
    /// [`StartError::Locked`] where another process has it.
    pub fn lock(log_dir: &Path) -> Result<Self, StartError> {
        let held = Mutex::new(Held { lock: lock(log_dir)?, fault: None });
        Ok(Self { log_dir: log_dir.to_owned(), held })
    }

    /// Makes and locks the folder again where it, or the lock's file, was removed: nobody else would find it locked.
    pub fn hold(&self) {
        let mut held = self.held();
        let ours = held.lock.metadata().and_then(|metadata| FileId::of(&metadata));
        if !ours.is_ok_and(|ours| ours.is_gone_from(&self.log_dir.join(LOCK_FILE))) {
            held.fault = None;
            return;
        }
        held.fault = match lock(&self.log_dir) {
            Ok(lock) => {
                tracing::warn!(log_dir = %self.log_dir.display(), "the log folder's lock was removed; it is locked again");
                held.lock = lock;
                None
            }
            Err(error) => Some(format!("the log folder is not held any more: {error}")),
        };
    }

    /// Why the folder may be somebody else's.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.held().fault.clone()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(log_dir: &Path) -> Result<File, StartError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Io { path, source }
    };
    secret_file::create_folder(log_dir).map_err(failed(log_dir))?;
    let path = log_dir.join(LOCK_FILE);
    secret_file::refuse_link(&path).map_err(failed(&path))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut lock = options.open(&path).map_err(failed(&path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = std::fs::read_to_string(&path).unwrap_or_default();
            return Err(StartError::Locked { log_dir: log_dir.to_owned(), pid: pid.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(&path)(source)),
    }
    lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed(&path))?;
    Ok(lock)
}
