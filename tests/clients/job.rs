//! What a client is to send, how it is told so, and what came of it.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens};

/// A bound for waiting, never a measure: browsers and Java start slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Settings of the machine that would lead a client elsewhere.
const AMBIENT: [&str; 16] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "NODE_OPTIONS",
    "PYTHONPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
];

/// One POST through the proxy. Programs get it in their environment, answer with the body on standard output, piece by
/// piece, and end with `HTTP/VERSION STATUS` on standard error.
pub(crate) struct Job {
    pub(crate) proxy: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) ca: PathBuf,
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
    /// `1.1` or `2`, inside the tunnel.
    pub(crate) version: &'static str,
    /// A folder for what the client leaves behind.
    pub(crate) home: PathBuf,
}

impl Job {
    /// Ghost text in a Python file.
    pub(crate) fn completion(copilens: &Copilens, user: &str, version: &'static str) -> Self {
        let body = json!({
            "prompt": "def add(x, y):\n    ", "suffix": "", "max_tokens": 500, "temperature": 0, "top_p": 1, "n": 1,
            "stop": ["\n\n"], "stream": true, "extra": {"language": "python", "prompt_tokens": 7}
        });
        let path = "/v1/engines/gpt-41-copilot/completions";
        Self::new(copilens, user, version, COMPLETIONS_HOST, path, body)
    }

    /// A question in the chat panel.
    pub(crate) fn chat(copilens: &Copilens, user: &str, version: &'static str) -> Self {
        let messages = json!([{"role": "user", "content": "How can I avoid the clone here?"}]);
        let body = json!({"model": "gpt-4.1", "stream": true, "messages": messages});
        Self::new(copilens, user, version, CHAT_HOST, "/chat/completions", body)
    }

    fn new(
        copilens: &Copilens,
        user: &str,
        version: &'static str,
        host: &'static str,
        path: &'static str,
        body: Value,
    ) -> Self {
        let headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("Editor-Version", "vscode/1.96.2".to_owned()),
            ("X-Request-Id", uuid::Uuid::now_v7().to_string()),
            ("X-Sim-Events", "4".to_owned()),
        ];
        let (proxy, password) = (copilens.proxy, copilens.site.password(user));
        let (ca, home) = (copilens.site.path("certs/ca.pem"), copilens.site.path(&format!("home-{user}")));
        std::fs::create_dir_all(&home).unwrap();
        Self { proxy, user: user.to_owned(), password, ca, host, path, headers, body, version, home }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}{}", self.host, self.path)
    }

    pub(crate) fn proxy_url(&self) -> String {
        format!("http://{}:{}@{}", self.user, self.password, self.proxy)
    }

    /// Tells a program what to do.
    pub(crate) fn tell(&self, command: &mut Command) {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        command
            .env("PROXY_URL", self.proxy_url())
            .env("PROXY_HOST", self.proxy.ip().to_string())
            .env("PROXY_PORT", self.proxy.port().to_string())
            .env("PROXY_USER", &self.user)
            .env("PROXY_PASSWORD", &self.password)
            .env("CA_FILE", &self.ca)
            .env("URL", self.url())
            .env("HEADERS", headers.join("\n"))
            .env("BODY", self.body.to_string())
            .env("HTTP_VERSION", self.version)
            .env("HOME", &self.home);
    }
}

/// A command that knows nothing of the machine's own proxies and authorities.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    AMBIENT.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

/// A client at work. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    pieces: Receiver<Vec<u8>>,
    body: Vec<u8>,
    complaints: Option<JoinHandle<String>>,
}

/// What came of a job.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) body: Vec<u8>,
    pub(crate) complaints: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, pieces) = channel();
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            let mut piece = [0; 16 * 1024];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                let _ = sender.send(piece[..length].to_vec());
            }
        });
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, pieces, body: Vec::new(), complaints: Some(complaints) }
    }

    /// Waits until the client has handed back exactly so many whole events.
    pub(crate) fn wait_for_events(&mut self, count: usize) {
        while self.events() < count {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.body.extend(piece),
                Err(RecvTimeoutError::Timeout) => panic!("waited in vain for event {count}"),
                Err(RecvTimeoutError::Disconnected) => panic!("no event {count}: {:?}", self.outcome()),
            }
        }
        assert_eq!(self.events(), count, "{}", String::from_utf8_lossy(&self.body));
    }

    fn events(&self) -> usize {
        self.body.windows(2).filter(|pair| pair == b"\n\n").count()
    }

    /// Waits for the end of the client.
    pub(crate) fn outcome(&mut self) -> Outcome {
        loop {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.body.extend(piece),
                Err(RecvTimeoutError::Timeout) => panic!("the client does not end"),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let code = self.child.wait().unwrap().code();
        let complaints = self.complaints.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
        Outcome { code, body: std::mem::take(&mut self.body), complaints }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
