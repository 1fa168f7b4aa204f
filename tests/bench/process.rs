//! The processes that are compared.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use copilens::sim::client::Credentials;
use copilens::sim::tls::roots_from_pem;
use rustls::RootCertStore;
use tempfile::TempDir;

use crate::load::{CHAT_HOST, COMPLETIONS_HOST, Shape};

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

fn roots(file: PathBuf) -> RootCertStore {
    roots_from_pem(&fs::read_to_string(file).unwrap()).unwrap()
}

/// CPU time of a process so far, of all its threads.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

pub struct Upstream {
    folder: TempDir,
    pub address: SocketAddr,
    _process: Running,
}

impl Upstream {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let (process, line) = start(this_program("upstream").env("BENCH_CA", &ca));
        Self { folder, address: line.parse().unwrap(), _process: process }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn roots(&self) -> RootCertStore {
        roots(self.ca())
    }
}

pub struct Pass {
    folder: TempDir,
    pub address: SocketAddr,
    process: Running,
}

impl Pass {
    pub fn start(upstream: &Upstream) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = this_program("pass");
        command.env("BENCH_CA", upstream.ca()).env("BENCH_UPSTREAM", upstream.address.to_string());
        let (process, line) = start(command.env("BENCH_CERTS", folder.path().join("certs")));
        Self { folder, address: line.parse().unwrap(), process }
    }

    pub fn roots(&self) -> RootCertStore {
        roots(self.folder.path().join("certs/ca.pem"))
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

pub struct Copilens {
    folder: TempDir,
    pub address: SocketAddr,
    process: Running,
}

impl Drop for Copilens {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            println!(
                "{}",
                log.lines().filter(|line| !line.contains("\"INFO\"")).take(20).collect::<Vec<_>>().join("\n")
            );
        }
    }
}

impl Copilens {
    pub fn start(upstream: &Upstream) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        let settings = format!(
            "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n[upstream]\nextra_ca = '{}'\nresolve = {{ \"{COMPLETIONS_HOST}\" = \"{address}\", \"{CHAT_HOST}\" = \"{address}\" }}\n",
            upstream.ca().display(),
            address = upstream.address,
        );
        fs::write(folder.path().join("config/copilens.toml"), settings).unwrap();
        fs::write(folder.path().join("config/allowlist.toml"), "[[user]]\nname = \"alice\"\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_copilens"));
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let (process, line) = start(command.arg("run").current_dir(folder.path()).stderr(log));
        let address = line.split_whitespace().find_map(|part| part.strip_prefix("proxy=")).unwrap().parse().unwrap();
        Self { folder, address, process }
    }

    pub fn roots(&self) -> RootCertStore {
        roots(self.folder.path().join("certs/ca.pem"))
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub fn credentials(&self) -> Credentials {
        let mut command = Command::new(env!("CARGO_BIN_EXE_copilens"));
        let output = command.args(["users", "password", "alice"]).current_dir(self.folder.path()).output().unwrap();
        Credentials::basic("alice", String::from_utf8(output.stdout).unwrap().trim())
    }

    /// The recorder has caught up when it has stopped to take CPU time.
    pub fn wait_until_recorded(&self) {
        let begun = Instant::now();
        let mut before = cpu(self.pid());
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = cpu(self.pid());
            if now - before <= Duration::from_millis(10) || begun.elapsed() > Duration::from_secs(60) {
                return;
            }
            before = now;
        }
    }

    /// A proxy that forgets exchanges would be fast.
    pub fn assert_recorded(&self, shape: Shape) {
        self.wait_until_recorded();
        let kind = if shape.host == CHAT_HOST { "chat" } else { "completions" };
        let records = fs::read_dir(self.folder.path().join("logs/usage/alice").join(kind)).unwrap().count();
        assert_eq!(records, shape.tunnels * (shape.requests + shape.requests / 10) + 300);
    }
}
