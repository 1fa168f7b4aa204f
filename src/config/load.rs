//! Loads what a command or the running proxy needs: settings, allowlist and seed, with the faults of all at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::allowlist::Allowlist;
use super::fault::{Error, Fault};
use super::reader::Environment;
use super::settings::{Auth, Settings};
use crate::identity::secret_file::{Problem, SecretError};
use crate::identity::{Content, Directory, Scheme, Seed, User};

/// Where settings are read where the command line names no file.
pub const DEFAULT_PATH: &str = "config/copilens.toml";

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub struct Sources {
    path: PathBuf,
    /// A file that was asked for by name must be there.
    explicit: bool,
    environment: Environment,
}

/// A configuration without faults, ready for use.
#[derive(Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Who may pass.
    pub directory: Directory,
    /// What passwords and account keys derive from.
    pub seed: Seed,
}

impl Loaded {
    /// What is kept of this user's exchanges: what the allowlist says of the user or the user's teams, else
    /// `capture.content`.
    #[must_use]
    pub fn content_of(&self, user: &str) -> Content {
        let own = self.directory.get(user).and_then(|user| user.account().content);
        own.unwrap_or(self.settings.capture.content)
    }

    /// Whether some users' texts are kept otherwise than `capture.content` says.
    #[must_use]
    pub fn content_differs(&self) -> bool {
        let other =
            |user: &Arc<User>| user.account().content.is_some_and(|content| content != self.settings.capture.content);
        self.directory.users().any(other)
    }
}

#[cfg(test)]
impl Default for Loaded {
    /// The default settings with nobody on the allowlist, for tests.
    fn default() -> Self {
        let seed = Seed::generate().unwrap();
        Self { settings: Settings::default(), directory: Directory::new([], &seed), seed }
    }
}

impl Sources {
    /// The file named on the command line, or [`DEFAULT_PATH`]; and variables that override its keys.
    #[must_use]
    pub fn new(named: Option<PathBuf>, environment: Environment) -> Self {
        Self { explicit: named.is_some(), path: named.unwrap_or_else(|| DEFAULT_PATH.into()), environment }
    }

    /// The settings alone.
    ///
    /// # Errors
    /// Every fault of them; a file that is named but missing.
    pub fn settings(&self) -> Result<Settings, Error> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.explicit => {
                return Err(Error::of_file(&self.path, "no such file; name an existing one with --config"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(&self.path, error)),
        };
        Settings::parse(&self.path, &text, &self.environment)
    }

    /// Settings, directory and seed.
    ///
    /// # Errors
    /// Every fault of the three files, a missing seed among them.
    pub fn load(&self) -> Result<Loaded, Error> {
        self.load_with(Seed::load)
    }

    /// As [`Sources::load`], and makes the seed where there is none: for a start.
    ///
    /// # Errors
    /// As [`Sources::load`]; that the seed cannot be made.
    pub fn load_or_create_seed(&self) -> Result<Loaded, Error> {
        // A seed is made only for a configuration that is otherwise good.
        self.check()?;
        self.load_with(Seed::load_or_create)
    }

    /// Every fault of the three files, without making any: a seed that the first start will make may be missing.
    ///
    /// # Errors
    /// Those faults.
    pub fn check(&self) -> Result<Settings, Error> {
        let loaded = self.load_with(|path, scheme| match Seed::load(path, scheme) {
            Err(SecretError { problem: Problem::Missing, .. }) => {
                Seed::generate().map_err(|e| Problem::Io(e).with(path))
            }
            result => result,
        })?;
        Ok(loaded.settings)
    }

    fn load_with(&self, load_seed: impl FnOnce(&Path, Scheme) -> Result<Seed, SecretError>) -> Result<Loaded, Error> {
        let mut faults = Vec::new();
        let settings = collect(self.settings(), &mut faults)?;
        // The allowlist that faulty settings would name is unknown; the default one is likely it.
        let auth = settings.as_ref().map(|settings| settings.auth.clone()).unwrap_or_default();
        let is_known = settings.is_some() || auth.allowlist.exists();
        let allowlist = is_known.then(|| collect(load_allowlist(&auth), &mut faults)).transpose()?.flatten();
        let Some(settings) = settings else { return Err(Error::Faults(faults)) };
        let seed = load_seed(&auth.seed_file, auth.scheme).map_err(Error::from);
        match (allowlist, collect(seed, &mut faults)?) {
            (Some(allowlist), Some(seed)) => {
                Ok(Loaded { directory: Directory::new(allowlist.accounts, &seed), settings, seed })
            }
            _ => Err(Error::Faults(faults)),
        }
    }

    /// The settings file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where everybody may pass, no list is needed.
fn load_allowlist(auth: &Auth) -> Result<Allowlist, Error> {
    if auth.required || auth.allowlist.exists() { Allowlist::load(&auth.allowlist) } else { Ok(Allowlist::default()) }
}

/// Takes faults aside, so that the search for more goes on; other errors end it.
fn collect<T>(result: Result<T, Error>, faults: &mut Vec<Fault>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Faults(more)) => {
            faults.extend(more);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl From<SecretError> for Error {
    fn from(error: SecretError) -> Self {
        const REMEDY: &str =
            "no such file; `copilens run` makes it (or restore it from a backup to keep all passwords)";
        match error.problem {
            Problem::Missing => Self::of_file(&error.path, REMEDY),
            Problem::Refused(message) => Self::of_file(&error.path, message),
            Problem::Io(source) => Self::io(&error.path, source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, text).unwrap();
            path
        }

        fn sources(&self, more: &str) -> Sources {
            let at = |name: &str| self.0.path().join(name).display().to_string();
            let text = format!("[auth]\nallowlist = '{}'\nseed_file = '{}'\n{more}", at("users.toml"), at("seed"));
            Sources::new(Some(self.write("copilens.toml", &text)), Environment::default())
        }

        fn faults(&self, more: &str) -> String {
            let error = self.sources(more).check().unwrap_err();
            error.to_string().replace(&format!("{}/", self.0.path().display()), "")
        }
    }

    #[test]
    fn a_first_start_makes_the_seed_and_later_ones_keep_it() {
        let folder = Folder::new();
        folder.write("users.toml", "[[user]]\nname = 'mona'\n");
        let sources = folder.sources("");
        sources.check().unwrap();
        assert!(sources.load().unwrap_err().to_string().contains("`copilens run` makes it"));
        let first = sources.load_or_create_seed().unwrap();
        let again = sources.load().unwrap();
        assert!(again.directory.still_admits(first.directory.get("mona").unwrap()));
    }

    #[test]
    fn no_seed_is_made_for_a_faulty_configuration() {
        let folder = Folder::new();
        let error = folder.sources("").load_or_create_seed().unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("`copilens users add NAME`") && !folder.0.path().join("seed").exists());
    }

    #[test]
    fn faults_of_all_files_come_at_once() {
        let folder = Folder::new();
        folder.write("users.toml", "[[user]]\nname = 'a b'\n");
        folder.write("seed", "x");
        let faults = folder.faults("");
        assert!(faults.starts_with("users.toml:2: name: \"a b\"") && faults.contains("\nseed: "), "{faults}");
        let faults = folder.faults("x = 1");
        assert!(faults.starts_with("copilens.toml:4: unknown key \"x\" in [auth]"), "{faults}");
    }

    #[test]
    fn a_missing_file_is_a_fault_only_where_it_was_named() {
        let folder = Folder::new();
        let path = folder.0.path().join("other.toml");
        let error = Sources::new(Some(path.clone()), Environment::default()).settings().unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().contains("other.toml: no such file")), (78, true));
        let by_default = Sources { path, explicit: false, environment: Environment::default() };
        assert_eq!(by_default.settings().unwrap(), Settings::default());
    }

    #[test]
    fn what_cannot_be_read_is_an_io_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = Sources::new(Some(folder.path().to_owned()), Environment::default()).settings().unwrap_err();
        assert_eq!(error.exit_code(), 74);
    }

    #[test]
    fn without_required_credentials_no_allowlist_is_needed() {
        let folder = Folder::new();
        assert!(folder.sources("required = false").load_or_create_seed().unwrap().directory.users().len() == 0);
    }
}
