//! The editors that simulated developers use, and what each tells the service of itself.

use crate::sim::tls::Alpn;

/// An editor with its Copilot plug-in. All fields may be changed, to stand for other versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditorProfile {
    /// `Editor-Version`.
    pub version: String,
    /// `Editor-Plugin-Version`.
    pub plugin: String,
    /// Version of Copilot's language server, where the plug-in embeds it.
    pub language_server: Option<String>,
    /// `Copilot-Integration-Id` of chat requests.
    pub integration: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// `X-GitHub-Api-Version`.
    pub api_version: String,
    /// The HTTP versions it offers.
    pub alpn: Alpn,
}

impl EditorProfile {
    /// VS Code with Copilot Chat, which has a stack of its own and takes HTTP/2.
    #[must_use]
    pub fn vscode() -> Self {
        Self {
            version: "vscode/1.119.0".to_owned(),
            plugin: "copilot-chat/0.47.0".to_owned(),
            language_server: None,
            integration: "vscode-chat".to_owned(),
            user_agent: "GitHubCopilotChat/0.47.0".to_owned(),
            api_version: "2026-01-09".to_owned(),
            alpn: Alpn::Both,
        }
    }

    /// PyCharm over HTTP/1.1.
    #[must_use]
    pub fn pycharm() -> Self {
        Self::jetbrains("PC", "261.22158.290")
    }

    /// IntelliJ IDEA over HTTP/2.
    #[must_use]
    pub fn intellij() -> Self {
        Self { alpn: Alpn::Both, ..Self::jetbrains("IU", "261.22158.277") }
    }

    /// GoLand over HTTP/1.1.
    #[must_use]
    pub fn goland() -> Self {
        Self::jetbrains("GO", "261.22158.291")
    }

    fn jetbrains(product: &str, build: &str) -> Self {
        Self {
            version: format!("JetBrains-{product}/{build}"),
            plugin: "copilot-intellij/1.5.60-243".to_owned(),
            language_server: Some("1.539.0".to_owned()),
            integration: "jetbrains-chat".to_owned(),
            user_agent: "GithubCopilot/1.539.0".to_owned(),
            api_version: "2026-01-09".to_owned(),
            alpn: Alpn::Http1,
        }
    }
}
