//! Edits the allowlist as a careful person would: one entry changes, all else stays as it was, comments included, and the
//! file is replaced in one step.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use toml_edit::{ArrayOfTables, DocumentMut, Table, value};

use super::allowlist::Allowlist;
use super::fault::{Error, nearest};
use crate::identity::{Account, UserName};

/// Why an edit was not made. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Nobody of this name is on the list.
    #[error("{}: no user \"{name}\"{}", path.display(), hint(near.as_deref()))]
    Unknown {
        /// The allowlist.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// A name on the list that may be meant.
        near: Option<String>,
    },
    /// The name is taken, be it in another case.
    #[error("{}: user \"{taken}\" is already there", path.display())]
    Exists {
        /// The allowlist.
        path: PathBuf,
        /// The name as the list spells it.
        taken: UserName,
    },
    /// The list has faults already, or cannot be read or written.
    #[error(transparent)]
    File(#[from] Error),
}

impl EditError {
    /// The process's exit code (sysexits.h): 64 for a wrong name, else that of the file's error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown { .. } | Self::Exists { .. } => 64,
            Self::File(error) => error.exit_code(),
        }
    }
}

fn hint(near: Option<&str>) -> String {
    near.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

impl Allowlist {
    /// The account of this name, or an error that names a similar one.
    ///
    /// # Errors
    /// [`EditError::Unknown`].
    pub fn find(&self, path: &Path, name: &str) -> Result<&Account, EditError> {
        let names = self.accounts.iter().map(|account| account.name.as_str());
        self.get(name).ok_or_else(|| EditError::Unknown {
            path: path.to_owned(),
            name: name.to_owned(),
            near: nearest(name, names).map(str::to_owned),
        })
    }
}

/// Adds a user at the end; makes the file, and its folders, where there is none.
///
/// # Errors
/// When the name is taken, or the file has faults or cannot be read or written.
pub fn add(path: &Path, name: &UserName) -> Result<(), EditError> {
    let mut text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        result => result.map_err(|error| Error::io(path, error))?,
    };
    let allowlist = Allowlist::parse(path, &text)?;
    if let Some(taken) = allowlist.accounts.into_iter().find(|account| account.name.folded() == name.folded()) {
        return Err(EditError::Exists { path: path.to_owned(), taken: taken.name });
    }
    if !text.is_empty() {
        text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
    }
    text.push_str(&format!("[[user]]\nname = \"{name}\"\n"));
    replace(path, &text)
}

/// Removes a user, with the comment right above the entry.
///
/// # Errors
/// When there is no such user, or the file has faults or cannot be read or written.
pub fn remove(path: &Path, name: &str) -> Result<(), EditError> {
    edit(path, name, |document, index| {
        let Some(users) = users(document) else { return };
        let comments = users.get(index).map(|user| comments_to_keep(prefix(user), index == 0)).unwrap_or_default();
        users.remove(index);
        match users.get_mut(index) {
            Some(next) => {
                let text = joined(&comments, prefix(next));
                next.decor_mut().set_prefix(text);
            }
            None => {
                let text = joined(&comments, document.trailing().as_str().unwrap_or_default());
                document.set_trailing(text);
            }
        }
    })
}

/// With one blank line between.
fn joined(comments: &str, below: &str) -> String {
    match comments.trim_end() {
        "" => below.to_owned(),
        comments => format!("{comments}\n\n{}", below.trim_start_matches(['\r', '\n'])),
    }
}

/// Raises a user's `password_generation`, which replaces the password.
///
/// # Errors
/// When there is no such user, or the file has faults or cannot be read or written.
pub fn rotate(path: &Path, name: &str) -> Result<(), EditError> {
    edit(path, name, |document, index| {
        let Some(user) = users(document).and_then(|users| users.get_mut(index)) else { return };
        let generation = user.get("password_generation").and_then(toml_edit::Item::as_integer).unwrap_or(1);
        let mut next = value(generation + 1);
        if let (Some(old), Some(new)) =
            (user.get("password_generation").and_then(toml_edit::Item::as_value), next.as_value_mut())
        {
            *new.decor_mut() = old.decor().clone();
        }
        user.insert("password_generation", next);
    })
}

/// Lets `change` work on the entry of a user, given by its index.
fn edit(path: &Path, name: &str, change: impl FnOnce(&mut DocumentMut, usize)) -> Result<(), EditError> {
    let allowlist = Allowlist::load(path)?;
    allowlist.find(path, name)?;
    let text = fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    let mut document: DocumentMut = text.parse().map_err(|error| Error::of_file(path, format!("{error}")))?;
    let found = users(&mut document).and_then(|users| {
        users.iter().position(|user| user.get("name").and_then(toml_edit::Item::as_str) == Some(name))
    });
    let Some(index) = found else {
        return Err(Error::of_file(path, "begin each entry with [[user]]; other forms cannot be edited").into());
    };
    change(&mut document, index);
    replace(path, &document.to_string())
}

fn users(document: &mut DocumentMut) -> Option<&mut ArrayOfTables> {
    document.get_mut("user").and_then(toml_edit::Item::as_array_of_tables_mut)
}

fn prefix(table: &Table) -> &str {
    table.decor().prefix().and_then(toml_edit::RawString::as_str).unwrap_or_default()
}

/// What stands above an entry, less the comment right above it, which is the entry's own. Above the first entry, a
/// comment without a blank line below is the file's.
fn comments_to_keep(prefix: &str, is_first: bool) -> String {
    let lines: Vec<&str> = prefix.split_inclusive('\n').collect();
    let own = lines.iter().rev().take_while(|line| !line.trim().is_empty()).count();
    let own = if is_first && own == lines.len() { 0 } else { own };
    lines.iter().take(lines.len() - own).copied().collect()
}

/// Replaces the file in one step, its mode and (where allowed) its owner kept, after a last check of the text.
fn replace(path: &Path, text: &str) -> Result<(), EditError> {
    Allowlist::parse(path, text)?;
    write_atomically(path, text).map_err(|error| Error::io(path, error).into())
}

fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    // A link stays a link: what it leads to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = temporary_file(folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = fs::metadata(&target) {
        take_over(file.path(), &metadata)?;
    }
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

/// With the mode that the process's umask gives: an allowlist is no secret, and the proxy may run as another user.
#[cfg(unix)]
fn temporary_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder)
}

#[cfg(not(unix))]
fn temporary_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::NamedTempFile::new_in(folder)
}

#[cfg(unix)]
fn take_over(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    // Only root may give files away; for all others the owner is the same anyway, or the file becomes theirs.
    let _ = std::os::unix::fs::chown(path, Some(metadata.uid()), Some(metadata.gid()));
    fs::set_permissions(path, metadata.permissions())
}

#[cfg(not(unix))]
fn take_over(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    fs::set_permissions(path, metadata.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Who may pass.\n# Ask the team.\n\n# The first.\n[[user]]\nname = \"octocat\" # a cat\nteams = [\n  \
                        \"core\", # the core\n]\n\n# --- web ---\n\n# On leave until May.\n[[user]]\nname = \"mona\"\n\
                        password_generation = 3 # lost a laptop\n\n[[user]]\nname = \"hubot\"\n# the end\n";

    struct File(tempfile::TempDir);

    impl File {
        fn with(text: &str) -> Self {
            let file = Self(tempfile::tempdir().unwrap());
            fs::write(file.path(), text).unwrap();
            file
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("allowlist.toml")
        }

        fn text(&self) -> String {
            fs::read_to_string(self.path()).unwrap()
        }
    }

    #[test]
    fn adding_appends_and_changes_nothing_else() {
        let file = File::with(TEXT);
        add(&file.path(), &"mona-lisa".parse().unwrap()).unwrap();
        assert_eq!(file.text(), format!("{TEXT}\n[[user]]\nname = \"mona-lisa\"\n"));
        let error = add(&file.path(), &"MONA".parse().unwrap()).unwrap_err().to_string();
        assert!(error.ends_with("user \"mona\" is already there"), "{error}");
    }

    #[test]
    fn adding_makes_file_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config/allowlist.toml");
        add(&path, &"mona".parse().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[[user]]\nname = \"mona\"\n");
    }

    #[test]
    fn removing_takes_the_entry_and_its_own_comment() {
        let file = File::with(TEXT);
        remove(&file.path(), "mona").unwrap();
        insta::assert_snapshot!(file.text(), @r#"
        # Who may pass.
        # Ask the team.

        # The first.
        [[user]]
        name = "octocat" # a cat
        teams = [
          "core", # the core
        ]

        # --- web ---

        [[user]]
        name = "hubot"
        # the end
        "#);
        remove(&file.path(), "octocat").unwrap();
        remove(&file.path(), "hubot").unwrap();
        insta::assert_snapshot!(file.text(), @r"
        # Who may pass.
        # Ask the team.

        # --- web ---

        # the end
        ");
    }

    #[test]
    fn a_first_comment_without_blank_line_is_the_files() {
        let file = File::with("# All users.\n[[user]]\nname = 'a'\n[[user]]\nname = 'b'\n");
        remove(&file.path(), "a").unwrap();
        assert_eq!(file.text(), "# All users.\n\n[[user]]\nname = 'b'\n");
    }

    #[test]
    fn rotating_raises_the_generation() {
        let file = File::with(TEXT);
        rotate(&file.path(), "mona").unwrap();
        assert_eq!(file.text(), TEXT.replace("= 3 # lost", "= 4 # lost"));
        rotate(&file.path(), "octocat").unwrap();
        assert!(file.text().contains("# the core\n]\npassword_generation = 2\n"), "{}", file.text());
        assert!(Allowlist::load(&file.path()).is_ok());
    }

    #[test]
    fn what_cannot_be_edited_is_left_alone() {
        let file = File::with(TEXT);
        let error = rotate(&file.path(), "Mona").unwrap_err().to_string();
        assert!(error.ends_with("no user \"Mona\"; did you mean \"mona\"?"), "{error}");
        assert!(matches!(remove(&file.path(), "nobody"), Err(EditError::Unknown { near: None, .. })));
        let missing = remove(&file.0.path().join("other.toml"), "a").unwrap_err().to_string();
        assert!(missing.contains("`copilens users add NAME`"), "{missing}");
        assert_eq!(file.text(), TEXT);
        for text in ["user = [{ name = 'a' }]\n", "[[user]]\nname = 'a'\nnick = 'b'\n"] {
            let file = File::with(text);
            assert!(rotate(&file.path(), "a").is_err() && add(&file.path(), &"b".parse().unwrap()).is_err());
            assert_eq!(file.text(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn mode_and_link_are_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = File::with(TEXT);
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let link = file.0.path().join("link.toml");
        std::os::unix::fs::symlink(file.path(), &link).unwrap();
        add(&link, &"new".parse().unwrap()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && file.text().contains("\"new\""));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
