//! What Copilot's own clients find: copilens before a fake Copilot under the real hosts' names, and nothing else.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use copilens::sim::copilot::{FakeCopilot, FakeOptions, Seen, SeenRequest};
use copilens::sim::tls::{Alpn, TestAuthority};
use serde_json::Value;

use crate::job::command;
use crate::programs::installations;
use crate::support::{Copilens, Site, Upstream};

/// A bound for waiting, never a measure: the clients are large programs, and several of them start at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Every host that the clients ask for. Microsoft's takes a second copy of the telemetry.
const HOSTS: [&str; 8] = [
    "api.github.com",
    "api.githubcopilot.com",
    "api.business.githubcopilot.com",
    "proxy.business.githubcopilot.com",
    "telemetry.business.githubcopilot.com",
    "origin-tracker.business.githubcopilot.com",
    "copilot-telemetry.githubusercontent.com",
    "dc.services.visualstudio.com",
];

/// Copilens, the fake behind it, and a folder for the client's own files.
pub(crate) struct Stage {
    pub(crate) upstream: Upstream,
    pub(crate) copilens: Copilens,
}

impl Stage {
    /// A stage on which nothing leaves the machine.
    pub(crate) async fn set() -> Self {
        Self::set_with(|site| site).await
    }

    /// As [`Stage::set`], with Microsoft's telemetry intercepted as well.
    pub(crate) async fn set_with_second_copies() -> Self {
        let hosts = "[\"*.githubcopilot.com\", \"copilot-telemetry.githubusercontent.com\", \"api.github.com\", \
                     \"dc.services.visualstudio.com\"]";
        Self::set_with(|site| site.set("intercept.hosts", hosts)).await
    }

    async fn set_with(change: impl FnOnce(Site) -> Site) -> Self {
        let authority = TestAuthority::new().unwrap();
        let tls = Some(authority.server(&HOSTS, Alpn::Both).unwrap());
        let fake = FakeCopilot::start(FakeOptions { tls, ..FakeOptions::default() }).await.unwrap();
        let resolve: Vec<_> = HOSTS.iter().map(|host| format!("\"{host}\" = \"{}\"", fake.address())).collect();
        let site = Site::to(fake.address(), &authority)
            .set("upstream.resolve", &format!("{{ {} }}", resolve.join(", ")))
            .set("intercept.other_hosts", "\"deny\"");
        let copilens = change(site).start();
        Self { upstream: Upstream { authority, fake }, copilens }
    }

    pub(crate) fn proxy_url(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@{}", self.copilens.proxy)
    }

    /// An empty folder for a client's settings, or for its work.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.copilens.site.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The command of a client, trusting the proxy's CA by `NODE_EXTRA_CA_CERTS` and signed in by its environment; why
    /// it cannot be where the client is not installed.
    pub(crate) fn client(&self, package: &str, program: &str) -> Result<Command, String> {
        let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
        let path = format!("node_modules/{package}-{}-{architecture}/{program}", std::env::consts::OS);
        let binary = installations().join(path);
        if !binary.is_file() {
            return Err(format!("the package {package} is not installed for this machine"));
        }
        let mut command = command(&binary.display().to_string());
        command.env("HOME", self.folder("home")).env("TMPDIR", self.folder("temporary"));
        command.env("NODE_EXTRA_CA_CERTS", self.copilens.site.path("certs/ca.pem"));
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "GITHUB_TOKEN", "GH_TOKEN"]
        {
            command.env_remove(name);
        }
        command.env("GH_COPILOT_TOKEN", "gho_fake").env("COPILOT_GITHUB_TOKEN", "gho_fake");
        command.current_dir(self.folder("work"));
        Ok(command)
    }

    /// Waits until so many requests that `pick` wants were answered whole, and gives them in order.
    pub(crate) async fn requests(&self, count: usize, pick: impl Fn(&SeenRequest) -> bool) -> Vec<SeenRequest> {
        let served = |request: &&SeenRequest| request.finished && pick(request);
        let enough = |seen: &Seen| seen.requests.iter().filter(served).count() >= count;
        self.upstream.fake.wait_for(enough, PATIENCE).await.unwrap();
        self.upstream.fake.requests().iter().filter(served).cloned().collect()
    }

    /// Waits until the day file tells of a user what `ready` wants.
    pub(crate) fn usage(&self, user: &str, ready: impl Fn(&Value) -> bool) -> Value {
        self.copilens.wait_for_day(|day| ready(&day["usage"][user]))["usage"][user].clone()
    }

    /// A user's line in `report --json`.
    pub(crate) fn report(&self, user: &str) -> Value {
        let report: Value = serde_json::from_str(&self.copilens.site.stdout(&["report", "--json"])).unwrap();
        let lines = report["users"].as_array().unwrap();
        lines.iter().find(|line| line["user"] == user).unwrap().clone()
    }

    /// How often a user's records are of each class.
    pub(crate) fn classes(&self, user: &str, kind: &str, count: usize) -> BTreeMap<String, usize> {
        let mut classes = BTreeMap::new();
        for record in self.copilens.wait_for_records(user, kind, count) {
            *classes.entry(record["class"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        classes
    }

    /// The standard telemetry so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events_at("/telemetry")
    }

    /// The copies for Microsoft so far.
    pub(crate) fn second_copies(&self) -> Vec<Event> {
        self.events_at("/v2/track")
    }

    fn events_at(&self, path: &str) -> Vec<Event> {
        let requests = self.upstream.fake.requests();
        let posts = requests.iter().filter(|request| request.method == "POST" && request.path() == path);
        posts.flat_map(envelopes).map(|envelope| Event(envelope["data"]["baseData"].clone())).collect()
    }
}

/// True for a request of ghost text that a person's typing caused.
pub(crate) fn is_ghost_text(request: &SeenRequest) -> bool {
    request.path().ends_with("/completions")
        && request.path().starts_with("/v1/engines/")
        && request.header("x-copilot-speculative") == Some("false")
}

/// True for a call of a chat model, next-edit suggestions among them.
pub(crate) fn is_chat(request: &SeenRequest) -> bool {
    request.method == "POST" && matches!(request.path(), "/chat/completions" | "/responses" | "/v1/messages")
}

/// The JSON of a request's body.
pub(crate) fn body(request: &SeenRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// What the fake said that its answers cost, in the terms of the day file: input, output, cached, nano-AIU.
pub(crate) fn cost<'a>(calls: impl IntoIterator<Item = &'a SeenRequest>) -> [u64; 4] {
    let mut sum = [0; 4];
    for call in calls {
        let said = std::str::from_utf8(&call.answer).unwrap();
        let last = |name: &str| said.rsplit(&format!("\"{name}\":")).next().filter(|rest| rest.len() < said.len());
        let number = |name: &str| {
            let digits = last(name)?.split(|char: char| !char.is_ascii_digit()).next()?;
            digits.parse::<u64>().ok()
        };
        let cached = number("cached_tokens").or(number("cache_read_input_tokens")).unwrap_or(0);
        let apart = number("cache_read_input_tokens").unwrap_or(0) + number("cache_creation_input_tokens").unwrap_or(0);
        let input = number("prompt_tokens").or(number("input_tokens")).unwrap() + apart;
        let output = number("completion_tokens").or(number("output_tokens")).unwrap();
        for (sum, part) in sum.iter_mut().zip([input, output, cached, number("total_nano_aiu").unwrap()]) {
            *sum += part;
        }
    }
    sum
}

/// The same of a user's entry in the day file.
pub(crate) fn booked(usage: &Value) -> [u64; 4] {
    let tokens = &usage["tokens"];
    [&tokens["input"], &tokens["output"], &tokens["cached"], &usage["nano_aiu"]].map(|sum| sum.as_u64().unwrap_or(0))
}

fn envelopes(request: &SeenRequest) -> Vec<Value> {
    let mut text = String::new();
    match request.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(&request.body[..]).read_to_string(&mut text).unwrap(),
        _ => request.body.as_ref().read_to_string(&mut text).unwrap(),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Array(envelopes)) => envelopes,
        _ => text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect(),
    }
}

/// What one envelope of telemetry says.
#[derive(Debug, Clone)]
pub(crate) struct Event(Value);

impl Event {
    /// The last part of the name.
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn property(&self, name: &str) -> &str {
        self.0["properties"][name].as_str().unwrap_or_default()
    }

    pub(crate) fn measurement(&self, name: &str) -> Option<f64> {
        self.0["measurements"][name].as_f64()
    }

    /// What an event of the CLI wraps: kind, properties and metrics.
    pub(crate) fn payload(&self) -> Value {
        serde_json::from_str(self.property("payload")).unwrap_or_default()
    }
}
