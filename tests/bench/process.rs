//! The processes that are compared.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use copilens::sim::client::{Credentials, direct_plain};
use copilens::sim::tls::roots_from_pem;
use http::Request;
use rustls::RootCertStore;
use tempfile::TempDir;

use crate::load::{CHAT_HOST, COMPLETIONS_HOST, Load, Shape};

/// How long the recorder may take to catch up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Files of [`Origin::files_a_second`].
const PROBES: u32 = 5000;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> (Running, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Running(child), line.trim().to_owned())
}

fn this_program(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("BENCH_ROLE", role);
    command
}

fn roots(file: &Path) -> RootCertStore {
    roots_from_pem(&fs::read_to_string(file).unwrap()).unwrap()
}

/// CPU time of a process so far, of all its threads.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// A process' resident set, in KiB.
fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    line.unwrap().trim().parse().unwrap()
}

/// Where requests go in the end, and where files do.
#[derive(Debug, Clone)]
pub struct Origin {
    pub address: SocketAddr,
    /// Of everything that this run writes. Nothing is removed before the end of the run: on an ext4 without a journal,
    /// removing many files makes new ones ten times as expensive for five minutes (`recently_deleted` in fs/ext4/ialloc.c).
    pub folder: PathBuf,
}

impl Origin {
    fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn home(&self) -> PathBuf {
        tempfile::tempdir_in(&self.folder).unwrap().keep()
    }

    /// How many files a second can be made here by one thread that does nothing else.
    pub fn files_a_second(&self) -> f64 {
        let (folder, begun) = (self.home(), Instant::now());
        for number in 0..PROBES {
            fs::write(folder.join(number.to_string()), [b' '; 4096]).unwrap();
        }
        f64::from(PROBES) / begun.elapsed().as_secs_f64()
    }
}

pub struct Upstream {
    pub origin: Origin,
    _process: Running,
    _folder: TempDir,
}

impl Upstream {
    pub fn start() -> Self {
        let folder = tempfile::tempdir_in(disk()).unwrap();
        let ca = folder.path().join("ca.pem");
        let (process, line) = start(this_program("upstream").env("BENCH_CA", &ca));
        let origin = Origin { address: line.parse().unwrap(), folder: folder.path().to_owned() };
        Self { origin, _process: process, _folder: folder }
    }
}

/// The folder whose file system is used.
pub fn disk() -> PathBuf {
    std::env::var_os("BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR").into()).into()
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Direct,
    Pass,
    Copilens,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Pass, Self::Copilens];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Pass => "pass-through",
            Self::Copilens => "copilens",
        }
    }
}

/// One of the compared, as long as it runs.
pub struct Target {
    pub kind: Kind,
    pub load: Load,
    pass: Option<Pass>,
    pub copilens: Option<Copilens>,
}

impl Target {
    pub fn start(kind: Kind, origin: &Origin) -> Self {
        match kind {
            Kind::Direct => {
                Self { kind, load: Load::direct(origin.address, roots(&origin.ca())), pass: None, copilens: None }
            }
            Kind::Pass => {
                let pass = Pass::start(origin);
                let load = Load::through(pass.address, roots(&pass.home.join("certs/ca.pem")), Credentials::Absent);
                Self { kind, load, pass: Some(pass), copilens: None }
            }
            Kind::Copilens => Self::of(Copilens::start(origin), "alice"),
        }
    }

    /// A copilens, used by one of its users.
    pub fn of(copilens: Copilens, user: &str) -> Self {
        Self { kind: Kind::Copilens, load: copilens.load(user), pass: None, copilens: Some(copilens) }
    }

    fn pid(&self) -> Option<u32> {
        let process = self.pass.as_ref().map(|pass| &pass.process);
        process.or(self.copilens.as_ref().map(|copilens| &copilens.process)).map(|running| running.0.id())
    }

    /// CPU time so far; none where nothing is in between.
    pub fn cpu(&self) -> Duration {
        self.pid().map(cpu).unwrap_or_default()
    }

    /// Its resident set, in KiB.
    pub fn resident(&self) -> f64 {
        resident(self.pid().unwrap())
    }

    /// Waits until all that was answered is recorded, where anything is.
    pub async fn settle(&self) {
        if let Some(copilens) = &self.copilens {
            copilens.wait_until_recorded().await;
        }
    }

    /// Waits until the process has stopped to take CPU time.
    pub async fn wait_until_idle(&self) {
        let mut before = None;
        while before != Some(self.cpu()) {
            before = Some(self.cpu());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

struct Pass {
    home: PathBuf,
    address: SocketAddr,
    process: Running,
}

impl Pass {
    fn start(origin: &Origin) -> Self {
        let home = origin.home();
        let mut command = this_program("pass");
        command.env("BENCH_CA", origin.ca()).env("BENCH_UPSTREAM", origin.address.to_string());
        let (process, line) = start(command.env("BENCH_CERTS", home.join("certs")));
        Self { home, address: line.parse().unwrap(), process }
    }
}

pub struct Copilens {
    home: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
    process: Running,
}

impl Drop for Copilens {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.join("log")).unwrap_or_default();
            let faults: Vec<_> = log.lines().filter(|line| !line.contains("\"INFO\"")).take(20).collect();
            println!("{}", faults.join("\n"));
        }
    }
}

impl Copilens {
    /// An empty one with one user, alice.
    pub fn start(origin: &Origin) -> Self {
        Self::start_in(origin.home(), origin, ["alice"].into_iter())
    }

    pub fn start_in(home: PathBuf, origin: &Origin, users: impl Iterator<Item: AsRef<str>>) -> Self {
        fs::create_dir_all(home.join("config")).unwrap();
        let settings = format!(
            "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n[upstream]\nextra_ca = '{}'\nresolve = {{ \"{COMPLETIONS_HOST}\" = \"{address}\", \"{CHAT_HOST}\" = \"{address}\" }}\n",
            origin.ca().display(),
            address = origin.address,
        );
        fs::write(home.join("config/copilens.toml"), settings).unwrap();
        let users: String = users.map(|name| format!("[[user]]\nname = \"{}\"\n", name.as_ref())).collect();
        fs::write(home.join("config/allowlist.toml"), users).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_copilens"));
        let log = fs::File::create(home.join("log")).unwrap();
        let (process, line) = start(command.arg("run").current_dir(&home).stderr(log));
        let address = |name| line.split_whitespace().find_map(|part| part.strip_prefix(name)).unwrap().parse().unwrap();
        Self { address: address("proxy="), admin: address("admin="), home, process }
    }

    fn load(&self, user: &str) -> Load {
        let mut command = Command::new(env!("CARGO_BIN_EXE_copilens"));
        let output = command.args(["users", "password", user]).current_dir(&self.home).output().unwrap();
        let password = String::from_utf8(output.stdout).unwrap();
        let credentials = Credentials::basic(user, password.trim());
        Load::through(self.address, roots(&self.home.join("certs/ca.pem")), credentials)
    }

    /// Until nothing waits in the spool.
    async fn wait_until_recorded(&self) {
        let begun = Instant::now();
        while self.metric("copilens_spool_entries").await != 0.0 {
            assert!(begun.elapsed() < PATIENCE, "the recorder does not catch up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The value of a series on `/metrics`.
    pub async fn metric(&self, series: &str) -> f64 {
        let token = fs::read_to_string(self.home.join("config/admin-token")).unwrap();
        let admin = direct_plain(self.admin, "localhost").await.unwrap();
        let request = Request::get("/metrics").header("authorization", format!("Bearer {}", token.trim()));
        let page = admin.send(request.body(Bytes::new()).unwrap()).await.unwrap().bytes().await.unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        let mut lines = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        lines.next().unwrap().parse().unwrap()
    }

    /// Descriptors that are open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.0.id())).unwrap().count()
    }

    /// Record files of a user. A proxy that forgets exchanges would be fast.
    pub fn records(&self, user: &str, shape: Shape) -> usize {
        let folder = self.home.join("logs/usage").join(user).join(shape.kind);
        fs::read_dir(folder).map_or(0, Iterator::count)
    }
}
