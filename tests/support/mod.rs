//! What every end-to-end test stands on: the real binary in a folder of its own, a fake Copilot as its upstream, and
//! clients that go through it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test binary uses its own part, and a test fails by panicking"
)]

pub mod postgres;
pub mod usage;
pub mod wire;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use copilens::sim::client::{Connection, Credentials, ProxyClient};
use copilens::sim::copilot::{FakeCopilot, FakeOptions};
use copilens::sim::tls::{Alpn, TestAuthority, roots_from_pem};
use http::Request;
use serde_json::Value;
use tempfile::TempDir;

/// Hosts that tests ask for; all of them lead to the fake.
pub const CHAT_HOST: &str = "api.enterprise.githubcopilot.com";
pub const COMPLETIONS_HOST: &str = "proxy.enterprise.githubcopilot.com";
pub const TELEMETRY_HOST: &str = "copilot-telemetry.githubusercontent.com";
pub const ACCOUNT_HOST: &str = "api.github.com";
pub const HOSTS: [&str; 9] = [
    CHAT_HOST,
    COMPLETIONS_HOST,
    TELEMETRY_HOST,
    ACCOUNT_HOST,
    "copilot-proxy.githubusercontent.com",
    "copilot-api.octo.ghe.com",
    "copilot-proxy.octo.ghe.com",
    "copilot-telemetry-service.octo.ghe.com",
    "api.octo.ghe.com",
];

/// A bound for waiting, never a measure: an event that does not come within it will not come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An upstream with certificates that the proxy under test trusts.
pub struct Upstream {
    pub authority: TestAuthority,
    pub fake: FakeCopilot,
}

impl Upstream {
    pub async fn start() -> Self {
        Self::with(FakeOptions::default(), Alpn::Both).await
    }

    pub async fn with(options: FakeOptions, alpn: Alpn) -> Self {
        Self::named(&HOSTS, options, alpn).await
    }

    /// With certificates for the hosts that simulated editors call.
    pub async fn for_editors(options: FakeOptions, alpn: Alpn) -> Self {
        Self::named(&copilens::sim::ide::HOSTS, options, alpn).await
    }

    async fn named(hosts: &[&str], options: FakeOptions, alpn: Alpn) -> Self {
        let authority = TestAuthority::new().unwrap();
        let tls = Some(authority.server(hosts, alpn).unwrap());
        let fake = FakeCopilot::start(FakeOptions { tls, ..options }).await.unwrap();
        Self { authority, fake }
    }
}

/// A folder as an admin would have it, before the start.
pub struct Site {
    folder: TempDir,
    settings: String,
}

impl Site {
    /// With users `alice` and `bob`, ports chosen by the system, and all of [`HOSTS`] leading to `upstream`.
    pub fn new(upstream: &Upstream) -> Self {
        Self::to(upstream.fake.address(), &upstream.authority)
    }

    /// As [`Site::new`], for the hosts that simulated editors call.
    pub fn for_editors(upstream: &Upstream) -> Self {
        Self::leading(&copilens::sim::ide::HOSTS, upstream.fake.address(), &upstream.authority)
    }

    pub fn to(upstream: SocketAddr, authority: &TestAuthority) -> Self {
        Self::leading(&HOSTS, upstream, authority)
    }

    fn leading(hosts: &[&str], upstream: SocketAddr, authority: &TestAuthority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::write(folder.path().join("upstream-ca.pem"), authority.pem()).unwrap();
        let site = Self { folder, settings: String::new() };
        site.write_users(&["alice", "bob"]);
        let resolve: Vec<_> = hosts.iter().map(|host| format!("\"{host}\" = \"{upstream}\"")).collect();
        site.set("listen", "\"127.0.0.1:0\"")
            .set("admin_listen", "\"127.0.0.1:0\"")
            .set("upstream.extra_ca", "\"upstream-ca.pem\"")
            .set("upstream.resolve", &format!("{{ {} }}", resolve.join(", ")))
    }

    /// Sets a key, given with its section and as TOML.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.change(key, value);
        self
    }

    /// As [`Site::set`], for a site in use.
    pub fn change(&mut self, key: &str, value: &str) {
        let kept: Vec<&str> = self.settings.lines().filter(|line| !line.starts_with(&format!("{key} = "))).collect();
        self.settings = kept.join("\n");
        self.settings.push_str(&format!("\n{key} = {value}\n"));
        fs::write(self.path("config/copilens.toml"), &self.settings).unwrap();
    }

    pub fn write_users(&self, names: &[&str]) {
        let users: String = names.iter().map(|name| format!("[[user]]\nname = \"{name}\"\n")).collect();
        fs::write(self.path("config/allowlist.toml"), users).unwrap();
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// A command of the binary under test, in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_copilens"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("RUST_LOG");
        command
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    pub fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn password(&self, name: &str) -> String {
        self.stdout(&["users", "password", name]).trim().to_owned()
    }

    pub fn start(self) -> Copilens {
        Copilens::start(self)
    }
}

/// A running `copilens run`. Killed when dropped.
pub struct Copilens {
    pub site: Site,
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Copilens {
    pub fn start(site: Site) -> Self {
        Self::start_with(site, |_| {})
    }

    pub fn start_with(site: Site, adjust: impl FnOnce(&mut Command)) -> Self {
        let mut command = site.command(&["run"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        adjust(&mut command);
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        keep(child.stderr.take().unwrap(), Arc::clone(&log));
        let line = first_line(child.stdout.take().unwrap(), Arc::clone(&log));
        let address = |name: &str| {
            let part = line.split_whitespace().find_map(|part| part.strip_prefix(name));
            part.unwrap_or_else(|| panic!("{line:?}; log: {}", log.lock().unwrap())).parse().unwrap()
        };
        let (proxy, admin) = (address("proxy="), address("admin="));
        Self { site, proxy, admin, child, log }
    }

    /// All that it wrote, to standard output and standard error.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Changes files of the configuration and waits until the changes are in force.
    pub fn reload(&mut self, change: impl FnOnce(&mut Site)) {
        let reloads = |log: String| log.matches("configuration reloaded").count();
        let before = reloads(self.log());
        change(&mut self.site);
        wait_until("the reload", || (reloads(self.log()) > before).then_some(()));
    }

    /// The CA that clients must trust.
    pub fn roots(&self) -> rustls::RootCertStore {
        roots_from_pem(&fs::read_to_string(self.site.path("certs/ca.pem")).unwrap()).unwrap()
    }

    pub fn credentials(&self, name: &str) -> Credentials {
        Credentials::basic(name, &self.site.password(name))
    }

    pub fn client(&self, name: &str) -> ProxyClient {
        self.client_with(self.credentials(name))
    }

    pub fn client_with(&self, credentials: Credentials) -> ProxyClient {
        ProxyClient::new(self.proxy, credentials, self.roots())
    }

    pub async fn tunnel(&self, name: &str, host: &str, alpn: Alpn) -> Connection {
        self.client(name).tunnel(host, 443, alpn).await.unwrap()
    }

    /// What the admin listener answers to a GET.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let connection = copilens::sim::client::direct_plain(self.admin, "localhost").await.unwrap();
        let mut reply = connection.send(Request::get(path).body(Bytes::new()).unwrap()).await.unwrap();
        (reply.status().as_u16(), String::from_utf8(reply.bytes().await.unwrap().to_vec()).unwrap())
    }

    /// Waits until `/readyz` answers so, and gives its text.
    pub async fn wait_for_readyz(&self, status: u16) -> String {
        let begun = Instant::now();
        loop {
            match self.admin("/readyz").await {
                (found, text) if found == status => return text,
                (_, text) => assert!(begun.elapsed() < PATIENCE, "/readyz is not {status}: {text}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Record files of a user and kind, by name.
    pub fn records(&self, user: &str, kind: &str) -> Vec<Value> {
        files_in(&self.site.path(&format!("logs/usage/{user}/{kind}"))).iter().map(|path| json(path)).collect()
    }

    /// Waits until the user has this many records of the kind, which must not be exceeded.
    pub fn wait_for_records(&self, user: &str, kind: &str, count: usize) -> Vec<Value> {
        wait_until(&format!("{count} {kind} of {user}"), || {
            let records = self.records(user, kind);
            assert!(records.len() <= count, "{} {kind} of {user} instead of {count}", records.len());
            (records.len() == count).then_some(records)
        })
    }

    /// The day file of the present UTC day.
    pub fn day_file(&self) -> Value {
        let day = chrono::Utc::now().date_naive();
        let path = self.site.path(&format!("logs/metrics/copilot-usage_{day}.json"));
        if path.exists() { json(&path) } else { Value::Null }
    }

    /// Waits for a day file of which `ready` holds.
    pub fn wait_for_day(&self, ready: impl Fn(&Value) -> bool) -> Value {
        wait_until("the day file", || Some(self.day_file()).filter(|day| ready(day)))
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM, then the exit code and the folder.
    pub fn stop(mut self) -> (Option<i32>, Site) {
        self.signal(rustix::process::Signal::TERM);
        let code = wait_until("the end of copilens", || self.child.try_wait().unwrap()).code();
        (code, self.into_site())
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Site {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.into_site()
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        wait_until("the end of copilens", || self.child.try_wait().unwrap()).code()
    }

    fn into_site(mut self) -> Site {
        let empty = Site { folder: tempfile::tempdir().unwrap(), settings: String::new() };
        std::mem::replace(&mut self.site, empty)
    }
}

impl Drop for Copilens {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("log of copilens:\n{}", self.log());
        }
    }
}

fn keep(mut from: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
}

fn first_line(stdout: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let _ = stdout.read_line(&mut line);
        log.lock().unwrap().push_str(&line);
        let _ = sender.send(line);
        // Keeps the pipe open for as long as the process writes to it.
        keep(stdout, log);
    });
    receiver.recv_timeout(PATIENCE).unwrap_or_default()
}

/// A completion that is no repeat of any other, to be sent to [`COMPLETIONS_HOST`].
pub fn completion(prompt: &str) -> Request<Bytes> {
    let body = serde_json::json!({
        "prompt": prompt, "suffix": "", "max_tokens": 500, "temperature": 0, "top_p": 1, "n": 1,
        "stop": ["\n\n"], "stream": true, "extra": {"language": "python", "prompt_tokens": 7}
    });
    Request::post("/v1/engines/gpt-41-copilot/completions")
        .header("host", COMPLETIONS_HOST)
        .header("editor-version", "vscode/1.96.2")
        .header("x-request-id", uuid::Uuid::now_v7().to_string())
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .unwrap()
}

/// An address of this machine that is not loopback, where it has a way to other networks.
pub fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Asks the routing table alone; nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Looks until there is something, for files that another process writes and that have no event.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// All files of a folder and of those in it.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    files_in(folder).into_iter().flat_map(below).collect()
}

pub fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text}", path.display()))
}
