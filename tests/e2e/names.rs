//! What clients call models, languages and editors, in every export and page: each is read back by a parser that nobody here wrote.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::clock::FakeTime;
use crate::metrics::text_page;
use crate::prometheus::promtool;
use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens, Site, Upstream, files_below};

/// Rows of tables and lines of JSON, as Python's standard library reads them.
const READ: &str = "
import csv, json, sys
tables, lines = {}, {}
for path in sys.argv[1:]:
    with open(path, newline='', encoding='utf-8') as file:
        if path.endswith('csv'):
            rows = list(csv.reader(file, strict=True))
            assert all(len(row) == len(rows[0]) for row in rows), path
            tables[path] = [dict(zip(rows[0], row)) for row in rows[1:]]
        else:
            lines[path] = [json.loads(line) for line in file.read().split('\\n')[:-1]]
json.dump([tables, lines], sys.stdout)
";

/// Names that mean something to some format.
fn names() -> Vec<String> {
    let plain = [
        "a,b;c",
        "say \"hi\"",
        "two\nlines",
        "\r\n=1+1",
        "=cmd|' /C calc'!A0",
        "@SUM(1)",
        "+1",
        "-1",
        "'quoted",
        "nul\0inside",
        "\u{202e}right to left",
        "\u{2028}line\u{85}ends",
        "back\\slash\\n\"",
        "x\"} 1\n# EOF\n",
        "{user=\"bob\"}",
        "\u{feff}mark",
        "naïve ✓ 模型 🦀",
        "tab\tx",
        "<script>alert(1)</script>",
        "\u{1b}[31mred",
        "e\u{301}",
    ];
    plain.into_iter().map(str::to_owned).chain(["x".repeat(10_000)]).collect()
}

/// What a header field can carry of that.
const EDITORS: [&str; 4] = ["vscode/1.0,\"x\"", "=1+1/2", "x\\\"} 1", "a;b\tc"];

/// What the formats may not change: they trim, and leave out what is too long for a name.
fn told() -> BTreeSet<String> {
    names().iter().map(|name| name.trim().to_owned()).filter(|name| name.len() <= 100).collect()
}

const TABLES: [&str; 2] = ["csv", "events-csv"];
const LINES: [&str; 5] = ["events", "users-1-day", "users-28-day", "organization-1-day", "organization-28-day"];

/// What Python reads in each format: rows and lines.
fn read(site: &Site) -> Value {
    let mut python = Command::new("python3");
    python.args(["-c", READ]).args(TABLES).args(LINES).current_dir(site.path(""));
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The values of a column or key, less the apostrophe that keeps spreadsheets from running a text.
fn column(rows: &Value, name: &str, is_defused: bool) -> BTreeSet<String> {
    let texts = rows.as_array().unwrap().iter().filter_map(|row| row[name].as_str());
    texts.map(|text| text.strip_prefix('\'').filter(|_| is_defused).unwrap_or(text).to_owned()).collect()
}

async fn work(copilens: &Copilens) {
    let chats = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
    let completions = copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await;
    for name in names() {
        assert_eq!(Ask::chat().field("model", &*name).finish(&chats).await.0, 200);
        let ask = Ask::completion().field("extra", json!({"language": name, "next_indent": 4}));
        assert_eq!(ask.finish(&completions).await.0, 200);
    }
    let long = "e".repeat(10_000);
    for editor in EDITORS.iter().chain([&&*long]) {
        assert_eq!(Ask::completion().with("editor-version", editor).finish(&completions).await.0, 200);
    }
    copilens.wait_for_records("alice", "chat", names().len());
    copilens.wait_for_records("bob", "completions", names().len() + EDITORS.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_clients_call_things_every_format_can_be_read_and_tells_the_same() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: python3 is not installed");
        return;
    }
    let Some(faketime) = FakeTime::find() else { return };
    let upstream = Upstream::start().await;
    // Whole days alone are in some formats.
    let copilens = faketime.start_at(Site::new(&upstream), "-1d");
    work(&copilens).await;
    let (_, site) = copilens.stop();
    let yesterday = (chrono::Utc::now().date_naive() - chrono::Days::new(1)).to_string();
    for format in TABLES.iter().chain(&LINES).chain(&["openmetrics"]) {
        site.stdout(&["export", "--format", format, "--to", &yesterday, "-o", format]);
    }
    let [tables, lines] = [0, 1].map(|index| read(&site)[index].take());
    let models = told();
    let languages: BTreeSet<_> = models.iter().map(|name| name.to_lowercase()).collect();
    let editors: BTreeSet<_> = EDITORS.iter().map(|name| name.replace('/', "-")).chain(["e".repeat(100)]).collect();
    for (rows, is_defused) in [(&lines["events"], false), (&tables["events-csv"], true), (&tables["csv"], true)] {
        assert!(column(rows, "model", is_defused).is_superset(&models), "{rows}");
        assert!(column(rows, "language", is_defused).is_superset(&languages), "{rows}");
        assert!(rows[0].get("editor").is_none() || column(rows, "editor", is_defused).is_superset(&editors), "{rows}");
    }
    assert!(LINES.iter().all(|format| !lines[format].as_array().unwrap().is_empty()), "{lines}");
    for path in files_below(&site.path("logs/metrics"))
        .into_iter()
        .chain(TABLES.iter().chain(&LINES).map(|name| site.path(name)))
    {
        assert!(!fs::read_to_string(&path).unwrap().contains(&"x".repeat(101)), "{}", path.display());
    }
    let arguments = ["tsdb", "create-blocks-from", "openmetrics", "openmetrics", "data"];
    let Some((is_good, said)) = promtool(&site.path(""), &arguments, "") else { return };
    assert!(is_good, "{said}");
    let copilens = site.start();
    for page in ["/metrics", "/metrics/usage"] {
        let text = text_page(&copilens, page).await;
        let (_, said) = promtool("/".as_ref(), &["check", "metrics"], &text).unwrap();
        assert!(!said.contains("parsing"), "{page}: {said}");
    }
}
