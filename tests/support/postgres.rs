//! A real PostgreSQL for tests: Debian's, on a port of its own, with nothing kept longer than the test process lives.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test binary uses its own part, and a test fails by panicking"
)]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

/// A bound for waiting, never a measure.
const PATIENCE: Duration = Duration::from_secs(30);

/// The role that needs a password, and that password.
pub const GUARDED: (&str, &str) = ("guarded", "hunter2");

/// Where Debian's packages have the programs, the newest version first.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    versions.into_iter().rev().map(|version| version.join("bin")).find(|bin| bin.join("initdb").exists())
}

/// A running server, or one that was stopped to be started again. Its files are removed with it.
pub struct Server {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    /// Stops the server when its standard input ends, as it does with this process.
    keeper: Option<Child>,
}

impl Server {
    /// `None` where PostgreSQL is not installed, which is said.
    pub fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            println!("skipped: PostgreSQL is not installed (Debian's package postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap().keep();
        if let Some(user) = unprivileged() {
            chown(&folder, Some(user), Some(user)).unwrap();
        }
        let made = command(&bin.join("initdb"), &folder)
            .args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let rules = format!("host all {} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n", GUARDED.0);
        fs::write(folder.join("data/pg_hba.conf"), rules).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { bin, folder, port, keeper: None };
        server.resume();
        let (role, password) = GUARDED;
        server.run("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"));
        Some(server)
    }

    /// The one that all tests of this process share.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Starts it again after [`Server::stop`].
    pub fn resume(&mut self) {
        const KEEP: &str = r#"
            trap '' INT TERM
            folder=$1; shift
            "$@" >"$folder/log" 2>&1 </dev/null & server=$!
            read -r word
            kill -INT $server; wait $server
            [ "$word" = keep ] || rm -rf "$folder"
        "#;
        let port = self.port.to_string();
        let mut keeper = command(Path::new("/bin/sh"), &self.folder);
        keeper.args(["-c", KEEP, "keeper"]).arg(&self.folder).arg(self.bin.join("postgres"));
        keeper.arg("-D").arg(self.folder.join("data")).args(["-p", &port, "-h", "127.0.0.1"]);
        for setting in [
            "unix_socket_directories=",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "shared_buffers=32MB",
            "max_connections=200",
            "max_locks_per_transaction=256",
        ] {
            keeper.args(["-c", setting]);
        }
        self.keeper = Some(keeper.stdin(Stdio::piped()).process_group(0).spawn().unwrap());
        let begun = Instant::now();
        let url = self.url("postgres");
        while aside(|| postgres::Client::connect(&url, postgres::NoTls).is_err()) {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it and all its connections; its files stay.
    pub fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.stdin.take().unwrap().write_all(b"keep\n").unwrap();
            keeper.wait().unwrap();
        }
    }

    /// Has it neither do nor say anything until the result is dropped; connections stay, and new ones are accepted.
    pub fn freeze(&self) -> Frozen {
        let processes = self.held_processes();
        signal(&processes, rustix::process::Signal::STOP);
        Frozen(processes)
    }

    /// Ends all of it with no time to write anything (SIGKILL), and starts it again.
    pub fn crash(&mut self) {
        let processes = self.held_processes();
        signal(&processes, rustix::process::Signal::KILL);
        // While one of them has the shared memory, the next start refuses.
        for process in processes {
            wait_for_state(process, |state| state.is_none_or(|state| state == 'Z'));
        }
        self.stop();
        self.resume();
    }

    /// Process ids: the server's own, which is stopped so that it makes no more, and those of its sessions.
    fn held_processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let own = text.lines().next().unwrap();
        let process = own.parse().unwrap();
        signal(&[process], rustix::process::Signal::STOP);
        wait_for_state(process, |state| state == Some('T'));
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
        [own].into_iter().chain(children.split_whitespace()).map(|id| id.parse().unwrap()).collect()
    }

    /// Where a database is, for the role that may do everything.
    pub fn url(&self, database: &str) -> String {
        self.url_for("postgres", "", database)
    }

    /// Where a database is for a role.
    pub fn url_for(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Has it offer TLS from now on.
    pub fn encrypt(&self, certificate: &str, key: &str) {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.folder.join("data").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some(user) = unprivileged() {
                chown(&path, Some(user), Some(user)).unwrap();
            }
        }
        self.run("postgres", "ALTER SYSTEM SET ssl = on");
        self.run("postgres", "SELECT pg_reload_conf()");
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new database, by its name.
    pub fn database(&self) -> String {
        let name = fresh_name();
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// The URL of a new schema in a database that all share: made faster than a database.
    pub fn schema(&self) -> String {
        let name = fresh_name();
        self.run("postgres", &format!("CREATE SCHEMA {name}"));
        format!("{}?options=-csearch_path%3D{name}", self.url("postgres"))
    }

    /// A connection that no copilens has.
    pub fn client(&self, database: &str) -> postgres::Client {
        postgres::Client::connect(&self.url(database), postgres::NoTls).unwrap()
    }

    /// Runs statements in a database.
    pub fn run(&self, database: &str, sql: &str) {
        aside(|| self.client(database).batch_execute(sql).unwrap());
    }

    /// What a statement counts.
    pub fn count(&self, database: &str, sql: &str) -> usize {
        aside(|| self.client(database).query_one(sql, &[]).unwrap().get::<_, i64>(0)).try_into().unwrap()
    }

    /// Runs a statement in a transaction that lasts until the answer is dropped, such as one that locks.
    pub fn hold(&self, database: &str, sql: &str) -> Held {
        let (held, holds) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let (url, sql) = (self.url(database), sql.to_owned());
        let thread = std::thread::spawn(move || {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            let mut transaction = client.transaction().unwrap();
            transaction.batch_execute(&sql).unwrap();
            held.send(()).unwrap();
            let _ = released.recv();
        });
        holds.recv_timeout(PATIENCE).unwrap();
        Held { release: Some(release), thread: Some(thread) }
    }
}

/// A transaction under way.
pub struct Held {
    release: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A server that hangs.
pub struct Frozen(Vec<i32>);

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(&self.0, rustix::process::Signal::CONT);
    }
}

fn signal(processes: &[i32], signal: rustix::process::Signal) {
    for process in processes {
        // A session may have ended by itself.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(*process).unwrap(), signal);
    }
}

/// Waits for a process to be as told by its letter (proc(5)); it has none once it is gone.
fn wait_for_state(process: i32, is_it: impl Fn(Option<char>) -> bool) {
    let begun = Instant::now();
    let state = || fs::read_to_string(format!("/proc/{process}/stat")).ok()?.rsplit(") ").next()?.chars().next();
    while !is_it(state()) {
        assert!(begun.elapsed() < PATIENCE, "process {process} of PostgreSQL is {:?}", state());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// On a thread of its own, for a connection has a runtime inside, and a test may be in another one.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The user for PostgreSQL's programs, which refuse to run as root.
fn unprivileged() -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let id = |name: &str| {
        let user = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        user.and_then(|rest| rest.split(':').nth(1)?.parse().ok())
    };
    rustix::process::geteuid().is_root().then(|| id("postgres").or_else(|| id("nobody"))).flatten()
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some(user) = unprivileged() {
        command.uid(user).gid(user);
    }
    command
}
