//! Which editor a client is, from its `Editor-Version` header: `vscode/1.96.2`, `JetBrains-IC/2026.1`, `copilot/1.0.102`.

use serde::{Deserialize, Serialize};

/// GitHub's `ide` names (Copilot usage metrics reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ide {
    /// Visual Studio Code.
    Vscode,
    /// Visual Studio.
    VisualStudio,
    /// Every JetBrains IDE.
    Intellij,
    /// Eclipse.
    Eclipse,
    /// Xcode.
    Xcode,
    /// Neovim.
    Neovim,
    /// Vim.
    Vim,
    /// Emacs.
    Emacs,
    /// Zed.
    Zed,
    /// An editor without a name of GitHub's.
    Others,
}

/// Beginnings of `Editor-Version` in lower case; the first that fits decides.
///
/// VS Code's forks and its insiders' edition name `vscode` first. Visual Studio sends `VS/17.12.0` (2022) and
/// `VS/VisualStudio.18.Preview/18.8.11904.113` (third-party knowledge), every JetBrains IDE `JetBrains-` and its two letters.
const PRODUCTS: &[(&str, Ide)] = &[
    ("vscode", Ide::Vscode),
    ("visualstudio", Ide::VisualStudio),
    ("vs/", Ide::VisualStudio),
    ("jetbrains", Ide::Intellij),
    ("intellij", Ide::Intellij),
    ("eclipse", Ide::Eclipse),
    ("xcode", Ide::Xcode),
    ("neovim", Ide::Neovim),
    ("nvim", Ide::Neovim),
    ("vim", Ide::Vim),
    ("emacs", Ide::Emacs),
    ("zed", Ide::Zed),
];

impl Ide {
    /// GitHub's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vscode => "vscode",
            Self::VisualStudio => "visualstudio",
            Self::Intellij => "intellij",
            Self::Eclipse => "eclipse",
            Self::Xcode => "xcode",
            Self::Neovim => "neovim",
            Self::Vim => "vim",
            Self::Emacs => "emacs",
            Self::Zed => "zed",
            Self::Others => "others",
        }
    }

    /// The editor of a key of the daily file, in which `-` stands for `/`: `vscode-1.96.2`.
    #[must_use]
    pub fn of_label(label: &str) -> Option<Self> {
        Self::of(&label.replacen('-', "/", 1)).filter(|_| label != "-")
    }

    /// The editor of an `Editor-Version` value; none for the command line, which GitHub counts beside the editors.
    #[must_use]
    pub fn of(editor_version: &str) -> Option<Self> {
        if is_cli(editor_version) {
            return None;
        }
        let editor_version = editor_version.to_ascii_lowercase();
        let known = PRODUCTS.iter().find(|(start, _)| editor_version.starts_with(start));
        Some(known.map_or(Self::Others, |(_, ide)| *ide))
    }
}

/// Whether an `Editor-Version` is the Copilot CLI's.
pub(super) fn is_cli(editor_version: &str) -> bool {
    editor_version.starts_with("copilot/")
}

/// Longest key of the daily file, in bytes: what is longer is no editor, and is cut.
const LONGEST: usize = 100;

/// The key of the daily file: `vscode/1.96.2` becomes `vscode-1.96.2`.
#[must_use]
pub fn label(editor_version: &str) -> String {
    let end = editor_version.floor_char_boundary(LONGEST);
    editor_version.get(..end).unwrap_or_default().replace('/', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_have_github_names() {
        let editors = [
            ("vscode/1.96.2", "vscode"),
            ("vscode-insiders/1.120.0", "vscode"),
            ("VSCode/1.96.2", "vscode"),
            ("VisualStudio/17.12", "visualstudio"),
            ("VS/17.12.35527", "visualstudio"),
            ("VS/VisualStudio.18.Preview/18.8.11904.113", "visualstudio"),
            ("JetBrains-RD/2026.1", "intellij"),
            ("JetBrains-PC/243.22562.220", "intellij"),
            ("JetBrains-IC/2026.1", "intellij"),
            ("Eclipse/4.33", "eclipse"),
            ("Xcode/16.2", "xcode"),
            ("Neovim/0.10.2", "neovim"),
            ("vim/9.1", "vim"),
            ("Vim/9.1.0", "vim"),
            ("Emacs/30.1", "emacs"),
            ("Zed/1.0", "zed"),
            ("Helix/25.1", "others"),
            ("SSMS/22.0", "others"),
            ("/1.0", "others"),
        ];
        for (version, name) in editors {
            let ide = Ide::of(version).unwrap();
            assert_eq!(ide.as_str(), name, "{version}");
            assert_eq!(serde_json::to_value(ide).unwrap(), name);
        }
    }

    #[test]
    fn the_command_line_is_no_editor() {
        assert_eq!(Ide::of("copilot/1.0.102"), None);
    }

    #[test]
    fn the_label_tells_the_editor() {
        for version in
            ["vscode/1.96.2", "VS/17.12.35527", "JetBrains-PC/243.22562.220", "copilot/1.0.102", "Helix/25.1"]
        {
            assert_eq!(Ide::of_label(&label(version)), Ide::of(version), "{version}");
        }
        assert_eq!(Ide::of_label("-"), None);
    }

    #[test]
    fn the_label_has_no_slash() {
        assert_eq!(label("JetBrains-PC/243.22562.220"), "JetBrains-PC-243.22562.220");
        assert_eq!(label("a/b/c"), "a-b-c");
    }
}
