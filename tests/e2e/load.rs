//! Six connections that keep asking, and the accounts that must balance whatever happened meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use copilens::sim::client::{ClientError, Credentials, ProxyClient, Reply};
use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;
use serde_json::Value;

use crate::asking::{Ask, fresh_id};
use crate::support::{Copilens, PATIENCE, Site, Upstream, files_in, json};

const USERS: [&str; 2] = ["alice", "bob"];

/// What each connection asks for, and over which version of HTTP.
const KINDS: [(fn() -> Ask, Alpn); 6] = [
    (Ask::completion, Alpn::Http1),
    (Ask::completion, Alpn::Http2),
    (Ask::chat, Alpn::Http2),
    (|| Ask::chat().whole(), Alpn::Http1),
    (|| Ask::completion().whole(), Alpn::Http2),
    (|| Ask::completion().with(control::ENCODING, "gzip"), Alpn::Http1),
];

/// A millisecond between the events of an answer, so that there is always one under way.
pub(crate) async fn busy_upstream() -> Upstream {
    let options = FakeOptions { event_delay: Duration::from_millis(1), ..FakeOptions::default() };
    Upstream::with(options, Alpn::Both).await
}

/// A site on which no exchange is counted as late, however busy the machine is: those are excepted from the promise.
pub(crate) fn patient_site(upstream: &Upstream) -> Site {
    Site::new(upstream).set("capture.commit_timeout_ms", "60000")
}

/// What clients have seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// One canary for each answer that was seen to finish.
    finished: Mutex<Vec<String>>,
    count: AtomicUsize,
    /// Answers that began and broke off.
    cut: AtomicUsize,
    /// Why tunnels and requests got no answer.
    unanswered: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn finished(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn cut(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }

    pub(crate) fn unanswered(&self) -> Vec<String> {
        self.unanswered.lock().unwrap().clone()
    }

    /// An answer with this in its prompt was seen to finish.
    pub(crate) fn saw(&self, canary: &str) {
        self.finished.lock().unwrap().push(canary.to_owned());
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn got_no_answer(&self, to: &str, error: &ClientError) {
        self.unanswered.lock().unwrap().push(format!("{to}: {error:?}"));
    }

    pub(crate) async fn wait_for(&self, finished: usize) {
        let begun = Instant::now();
        while self.finished() < finished {
            assert!(begun.elapsed() < PATIENCE, "{} answers instead of {finished}", self.finished());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The clients of one start.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Opens the connections, and asks over each again and again until it breaks or the load is ended.
    pub(crate) fn start(copilens: &Copilens, seen: &Arc<Seen>) -> Self {
        let roots = copilens.roots();
        let clients = USERS.map(|user| {
            let credentials = Credentials::basic(user, &password(&copilens.site, user));
            ProxyClient::new(copilens.proxy, credentials, roots.clone())
        });
        let stop = Arc::new(AtomicBool::new(false));
        let asking = KINDS.into_iter().enumerate().map(|(number, (make, alpn))| {
            let client = clients[number % USERS.len()].clone();
            tokio::spawn(ask_over(client, make, alpn, Arc::clone(&stop), Arc::clone(seen)))
        });
        Self { clients: asking.collect(), stop }
    }

    /// Lets each client finish what it is reading.
    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.broken().await;
    }

    /// Waits for clients whose connections break by themselves.
    pub(crate) async fn broken(self) {
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

/// Does not change while a site lives, and asking for it takes a process.
fn password(site: &Site, user: &str) -> String {
    let kept = site.path(&format!("password-of-{user}"));
    std::fs::read_to_string(&kept).unwrap_or_else(|_| {
        let password = site.password(user);
        std::fs::write(&kept, &password).unwrap();
        password
    })
}

async fn ask_over(client: ProxyClient, make: fn() -> Ask, alpn: Alpn, stop: Arc<AtomicBool>, seen: Arc<Seen>) {
    let connection = match client.tunnel(make().host, 443, alpn).await {
        Ok(connection) => connection,
        Err(error) => return seen.got_no_answer("CONNECT", &error),
    };
    while !stop.load(Ordering::Relaxed) {
        let canary = format!("canary-{}", fresh_id());
        let mut reply = match connection.send(make().prompt(&canary).request()).await {
            Ok(reply) => reply,
            Err(error) => return seen.got_no_answer(&format!("{alpn:?} {canary}"), &error),
        };
        assert_eq!(reply.status(), 200);
        if !read_to_the_end(&mut reply).await {
            seen.cut.fetch_add(1, Ordering::Relaxed);
            return;
        }
        seen.saw(&canary);
    }
}

/// False where the answer breaks off.
pub(crate) async fn read_to_the_end(reply: &mut Reply) -> bool {
    let plain = reply.header("content-encoding").is_none();
    let mut body = Vec::new();
    loop {
        match reply.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return true,
            // A client that has the last event has its answer, whether or not the connection is still there to end it.
            Err(_) => return plain && body.ends_with(b"data: [DONE]\n\n"),
        }
    }
}

/// Looks at what is visible in the log folder again and again: a torn file ends the test.
pub(crate) struct TornFiles {
    stop: Arc<AtomicBool>,
    reader: JoinHandle<usize>,
}

impl TornFiles {
    /// A record file never changes, so each is read once, as soon as it is visible; a day file is read every time.
    pub(crate) fn watch(logs: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (logs, stopped) = (logs.to_owned(), Arc::clone(&stop));
        let reader = std::thread::spawn(move || {
            let (mut known, mut read) = (BTreeSet::new(), 0);
            while !stopped.load(Ordering::Relaxed) {
                let days = files_in(&logs.join("metrics"));
                for path in
                    files_below(&logs.join("usage")).into_iter().filter(|path| known.insert(path.clone())).chain(days)
                {
                    json(&path);
                    read += 1;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            read
        });
        Self { stop, reader }
    }

    /// How many times a file was read.
    pub(crate) fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.reader.join().unwrap()
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let nested = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    files_in(folder).into_iter().flat_map(nested).collect()
}

/// A record file's one, or all of an archive.
fn records_in(path: &Path) -> Vec<Value> {
    if path.extension().is_none_or(|ending| ending != "zst") {
        return vec![json(path)];
    }
    let lines = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    serde_json::Deserializer::from_slice(&lines).into_iter().map(Result::unwrap).collect()
}

/// Completions and chat turns.
pub(crate) type Turns = (u64, u64);

/// What the log folder holds, with copilens stopped.
pub(crate) struct Books {
    /// All record files.
    pub(crate) records: Vec<Value>,
}

impl Books {
    pub(crate) fn open(site: &Site) -> Self {
        Self { records: files_below(&site.path("logs/usage")).iter().flat_map(|path| records_in(path)).collect() }
    }

    /// How often each prompt is recorded.
    pub(crate) fn prompts(&self) -> BTreeMap<&str, usize> {
        let mut found = BTreeMap::new();
        for record in &self.records {
            let content = &record["request"]["content"];
            let prompt = content["prompt"].as_str().or(content["messages"][0]["content"].as_str()).unwrap();
            *found.entry(prompt).or_default() += 1;
        }
        found
    }

    /// Turns by the day of their record.
    pub(crate) fn turns_by_day(&self) -> BTreeMap<String, Turns> {
        let mut days: BTreeMap<String, Turns> = BTreeMap::new();
        for record in self.records.iter().filter(|record| record["class"] == "turn") {
            let day = record["timestamp"].as_str().unwrap().split_once('T').unwrap().0;
            let turns = days.entry(day.to_owned()).or_default();
            *(if record["kind"] == "chat" { &mut turns.1 } else { &mut turns.0 }) += 1;
        }
        days
    }
}

/// What the day files say.
pub(crate) fn day_files(site: &Site) -> BTreeMap<String, Turns> {
    let count = |day: &Value, key: &str| day[key].as_u64().unwrap();
    let days = files_in(&site.path("logs/metrics")).into_iter().map(|path| json(&path));
    let turns = |day: &Value| (count(day, "total_completions_count"), count(day, "total_chat_turns"));
    days.map(|day| (day["day"].as_str().unwrap().to_owned(), turns(&day))).collect()
}

/// What the store says, for the given days.
fn stored(site: &Site, days: &BTreeMap<String, Turns>) -> BTreeMap<String, Turns> {
    let turns = |day: &String| {
        let report: Value =
            serde_json::from_str(&site.stdout(&["report", "--json", "--from", day, "--to", day])).unwrap();
        let count = |key: &str| report["total"][key].as_u64().unwrap();
        (day.clone(), (count("completions"), count("chat_turns")))
    };
    days.keys().map(turns).collect()
}

fn day_file_texts(site: &Site) -> Vec<String> {
    files_in(&site.path("logs/metrics")).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Holds after a stop: what was seen to finish is recorded once, nothing is recorded twice, record files, store and day
/// files tell the same, `rebuild` too, and nothing unfinished is left. Gives the number of records.
pub(crate) fn assert_balanced(site: &Site, seen: &Seen) -> usize {
    let books = Books::open(site);
    let prompts = books.prompts();
    let finished = seen.finished.lock().unwrap();
    let lost: Vec<_> = finished.iter().filter(|canary| !prompts.contains_key(canary.as_str())).collect();
    let doubled: Vec<_> = prompts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(lost.is_empty() && doubled.is_empty(), "of {}: lost {lost:?}, doubled {doubled:?}", finished.len());
    let days = books.turns_by_day();
    assert_eq!((day_files(site), stored(site, &days)), (days.clone(), days), "day files and store");
    for folder in ["logs/.unfinished", "logs/spool"] {
        assert_eq!(files_in(&site.path(folder)), Vec::<PathBuf>::new());
    }
    let all = || (day_file_texts(site), site.stdout(&["report", "--json"]));
    let before = all();
    site.stdout(&["rebuild"]);
    assert_eq!(all(), before, "`rebuild`");
    books.records.len()
}

/// Whether the versions of tests that take minutes are asked for.
pub(crate) fn is_long() -> bool {
    std::env::var_os("LONG_TESTS").is_some()
}
