//! Folders as the add-on's versions leave them, with invented values, and what becomes of them.

mod days;
mod properties;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::copilot::vocabulary::{Class, Kind, Outcome};
use crate::store::{FILE_NAME, SqliteStore};
use crate::usage::{IMPORTED, IMPORTED_COUNT};

/// Bytes to which bodies are decoded.
const LIMIT: usize = 1 << 20;
const PASSWORD: &str = "canary-5b1e77";
const TOKEN: &str = "tid=canary01;exp=1735400000;sku=yearly_sub;proxy-ep=p.example;chat=1:canary02";

/// A folder to import from, and one to import into.
struct Site {
    from: TempDir,
    to: TempDir,
}

impl Site {
    fn new() -> Self {
        Self { from: tempfile::tempdir().unwrap(), to: tempfile::tempdir().unwrap() }
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.from.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A record in the place where the add-on's first versions had it, or under `root`.
    fn write_record(&self, root: &str, kind: &str, record: &Value) {
        let stamp = record["timestamp"].as_str().unwrap().replace(':', "-");
        let name = format!("{root}/{kind}/{stamp}_a1b2c3d4e5_192.0.2.7_vscode-1.90.0.json");
        self.write(&name, serde_json::to_string_pretty(record).unwrap());
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.to.path().join(FILE_NAME)).unwrap()
    }

    fn import_with(&self, content: Content) -> Imported {
        let files = RecordFiles::open(self.to.path()).unwrap();
        let store = self.store();
        let import = Import { files: &files, store: &store, decode_limit: LIMIT, content_of: &|_| content };
        import.run(self.from.path(), &mut |_| {}).unwrap()
    }

    fn import(&self) -> Imported {
        self.import_with(Content::Full)
    }

    fn events(&self) -> Vec<UsageEvent> {
        let mut events = Vec::new();
        let all = (NaiveDate::MIN, NaiveDate::MAX);
        let days = self.store().days().unwrap();
        let (from, to) = days.first().copied().zip(days.last().copied()).unwrap_or(all);
        self.store()
            .events(from, to, None, &mut |event| {
                events.push(event);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        events
    }

    fn day(&self, day: &str) -> Value {
        let path = self.to.path().join(format!("metrics/copilot-usage_{day}.json"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    fn records(&self) -> Vec<(String, Value)> {
        let mut records = Vec::new();
        let mut walk = Walk::new(&self.to.path().join("usage"), Path::new("/nowhere")).unwrap();
        while let Some(Found::Record(path)) = walk.next(&mut LeftOut::default()) {
            let name = path.strip_prefix(self.to.path().join("usage")).unwrap().to_str().unwrap().to_owned();
            records.push((name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()));
        }
        records.sort_by(|one, other| one.0.cmp(&other.0));
        records
    }
}

/// A completion of `ada`, `number` seconds into an hour of 2025-03-14.
fn completion(number: u32) -> Value {
    json!({
        "proxy-authorization": format!("ada:{PASSWORD}"),
        "timestamp": format!("2025-03-14T10:{:02}:{:02}.000250", number / 60, number % 60),
        "proxy-time-consumed": "151.25ms",
        "request": {
            "url": "https://proxy.business.githubcopilot.com/v1/engines/demo-engine/completions",
            "method": "POST",
            "headers": {
                "authorization": format!("Bearer {TOKEN}"),
                "x-request-id": format!("request-{number}"),
                "vscode-machineid": "a1b2c3d4e5f6",
                "editor-version": "vscode/1.90.0",
                "editor-plugin-version": "copilot/1.200.0",
                "content-length": "77"
            },
            "content": {"prompt": "def area(", "stop": ["\n"], "extra": {"language": "python", "prompt_tokens": 18}}
        },
        "response": {
            "status_code": 200,
            "headers": {"content-type": "text/event-stream", "content-encoding": "gzip"},
            "content": [
                {"model": "demo-engine-2025-01-31", "choices": [{"index": 0, "text": "w,h):", "finish_reason": null}]},
                {"model": "demo-engine-2025-01-31", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]},
                ""
            ]
        }
    })
}

fn chat(number: u32) -> Value {
    let mut record = completion(number);
    record["request"]["url"] = json!("https://api.business.githubcopilot.com/chat/completions");
    record["request"]["headers"]["openai-intent"] = json!("conversation-panel");
    record["request"]["content"] = json!({"model": "demo-chat", "messages": [{"role": "user", "content": "why?"}]});
    record["response"]["content"] = json!([
        {"model": "demo-chat-2025-01-31", "choices": [{"index": 0, "delta": {"content": "Because."}}]},
        {"choices": [], "usage": {"prompt_tokens": 24, "completion_tokens": 9}},
        ""
    ]);
    record
}

#[test]
fn a_completion_is_a_turn_with_all_that_its_record_tells() {
    let site = Site::new();
    site.write_record("logs/usage/ada", "completions", &completion(1));
    let imported = site.import();
    assert_eq!((imported.records, imported.known, imported.left_out.count), (1, 0, 0));
    let event = site.events().remove(0);
    assert_eq!((event.user.as_str(), event.kind, event.class), ("ada", Kind::Completions, Class::Turn));
    assert_eq!((event.reason.as_deref(), event.outcome, event.status), (Some(IMPORTED), Outcome::Completed, Some(200)));
    assert_eq!((event.editor.as_deref(), event.ide.as_deref()), (Some("vscode-1.90.0"), Some("vscode")));
    assert_eq!((event.language.as_deref(), event.model.as_deref()), (Some("python"), Some("demo-engine")));
    assert_eq!((event.tokens.input, event.generations, event.duration_ms), (Some(18), 1, 151.25));
    assert_eq!(event.ended_at.to_rfc3339(), "2025-03-14T10:00:01.000250+00:00");
    assert_eq!((event.request_bytes, event.request_id.as_deref()), (77, Some("request-1")));

    let (name, record) = site.records().remove(0);
    assert_eq!(name, "ada/completions/2025-03-14T10-00-01.000250_a1b2c3d4e5_192.0.2.7_vscode-1.90.0.json");
    assert_eq!(record["proxy-authorization"], "ada");
    assert_eq!(record["proxy-time-consumed"], "151.25ms");
    let shown = &record["request"]["headers"]["authorization"];
    assert_eq!(shown, "Bearer [redacted];exp=1735400000;sku=yearly_sub");
    assert_eq!(record["response"]["content"].as_array().unwrap().len(), 2);
    assert_eq!(record["response"]["headers"]["content-encoding"], "gzip");
    assert_eq!(record["problems"], json!(["response_without_blanks"]));
    let read: crate::recorder::Record = serde_json::from_value(record).unwrap();
    assert_eq!(read.event().unwrap(), event);
}

#[test]
fn every_version_has_its_own_places_and_names() {
    let site = Site::new();
    let mut first = chat(1);
    first["proxy-authorization"] = json!("grace");
    site.write_record("logs/grace", "chat", &first);
    let mut nobody = chat(2);
    nobody["proxy-authorization"] = Value::Null;
    site.write_record("logs/usage/anonymous", "chat", &nobody);
    let mut nes = chat(3);
    nes["request"]["url"] = json!("https://proxy.business.githubcopilot.com/chat/completions");
    nes["request"]["content"]["model"] = json!("copilot-nes-v");
    nes["response"]["content"][0]["model"] = json!("copilot-nes-v");
    site.write_record("auditlogs/usage/ada", "nes", &nes);
    let mut extension = chat(4);
    extension["request"]["url"] = json!("https://api.business.githubcopilot.com/agents/demo-docs?chat");
    site.write_record("auditlogs/usage/ada", "extension", &extension);
    let mut unnamed = completion(5);
    unnamed.as_object_mut().unwrap().remove("proxy-authorization");
    site.write_record("deep/er/copy/of/logs/usage/linus", "completions", &unnamed);
    let imported = site.import();
    assert_eq!((imported.records, &imported.left_out), (5, &LeftOut::default()));
    let events = site.events();
    let told = |event: &UsageEvent| format!("{} {} {}", event.user, event.kind.as_str(), event.feature);
    let expected = [
        "ada chat others",
        "ada chat chat_panel_ask_mode",
        "anonymous chat chat_panel_ask_mode",
        "grace chat chat_panel_ask_mode",
        "linus completions code_completion",
    ];
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
    let actions: Vec<_> = events.iter().filter_map(|event| event.action.as_deref()).collect();
    assert_eq!(actions, ["nes", "demo-docs", "chat-panel", "chat-panel", "completions"]);
}

#[test]
fn damaged_bodies_count_and_tell_what_can_be_read() {
    let site = Site::new();
    let mut texts = chat(1);
    texts["request"]["content"] = json!(r#"{"model": "demo-chat", "stream": True, "stop": None}"#);
    texts["response"]["content"][0] = json!(r#"{"choices":[{"delta":{"content":"print("hi")"}}]}"#);
    let mut text = chat(2);
    text["request"]["content"] = json!("{'model': no json");
    text["response"]["content"] = json!("bad gateway");
    let mut nothing = chat(3);
    nothing["request"].as_object_mut().unwrap().remove("content");
    nothing["response"]["content"] = json!({"error": {"message": "no"}});
    nothing.as_object_mut().unwrap().remove("proxy-time-consumed");
    for record in [&texts, &text, &nothing] {
        site.write_record("logs/usage/ada", "chat", record);
    }
    let marked = [b"\xEF\xBB\xBF".as_slice(), chat(4).to_string().as_bytes()].concat();
    site.write("logs/usage/ada/chat/2025-03-14T10-00-04.000250_-_--1_-.json", marked);
    assert_eq!(site.import().records, 4);
    let events = site.events();
    assert_eq!(events.iter().map(|event| event.class).collect::<Vec<_>>(), [Class::Turn; 4]);
    assert_eq!((events[0].model.as_deref(), events[0].tokens.output), (Some("demo-chat"), Some(9)));
    assert_eq!((events[1].model.as_deref(), events[2].duration_ms), (None, 0.0));
    let content = &site.records()[0].1["response"]["content"];
    assert_eq!(content[0], r#"{"choices":[{"delta":{"content":"print("hi")"}}]}"#);
}

#[test]
fn what_is_no_record_is_left_out_and_told_with_its_reason() {
    let site = Site::new();
    let mut bad_name = completion(1);
    bad_name["proxy-authorization"] = json!("../canary:secret");
    site.write_record("logs/usage/x", "completions", &bad_name);
    let mut other = completion(2);
    other["request"]["url"] = json!("https://api.github.com/user");
    site.write_record("logs/usage/x", "chat", &other);
    site.write("logs/usage/x/chat/torn.json", &completion(3).to_string()[..200]);
    site.write("logs/usage/x/chat/empty.json", "");
    site.write("logs/usage/x/chat/list.json", "[]");
    site.write("logs/usage/x/chat/settings.json", "{}");
    site.write("logs/usage/x/chat/canary.json", "\"canary\"");
    let mut timeless = completion(4);
    timeless["timestamp"] = json!("yesterday");
    site.write("logs/usage/x/chat/timeless.json", timeless.to_string());
    site.write("logs/usage/x/chat/notes.txt", "not looked at");
    site.write("logs/proxy_auth_cache.json", r#"{"192.0.2.7": ["ada", "canary"]}"#);
    site.write("logs/metrics/copilot-usage_2025-03-14.json", "{\"usage\": {\"../canary\": {\"chat\": {\"a\": 1}}}}");
    site.write("logs/metrics/copilot-usage_2025-03-15.json", "{\"day\"");
    site.write("logs/metrics/copilot-usage_2025-03-16.json", r#"{"usage": {"ada": {"chat": {"a": 9000000000000}}}}"#);
    site.write("logs/metrics/copilot-usage_2025-03-17.json", r#"{"day": "2024-01-01", "usage": {}}"#);
    let imported = site.import();
    assert_eq!((imported.records, imported.counts, imported.left_out.count), (0, 0, 12));
    let told = format!("{:?}", imported.left_out);
    assert!(!told.contains("secret"), "{told}");
    for reason in [
        "no name that copilens can have",
        "its URL",
        "cut off (line 1",
        "empty:",
        "it is no JSON object",
        "lacks `request`",
        "tells its time",
        "more than 10000000",
        "but it is of 2024-01-01",
    ] {
        assert!(told.contains(reason), "no {reason} in {told}");
    }
    assert!(site.events().is_empty());
}

/// Such days would be in every list of days for good, and a last activity to come never passes.
#[test]
fn what_no_add_on_can_have_recorded_is_left_out() {
    let site = Site::new();
    let tomorrow = Utc::now().date_naive() + chrono::Days::new(1);
    let later = tomorrow + chrono::Days::new(2);
    for day in ["0000-01-01", "-0005-01-01", "1999-12-31", "9999-12-31", "+99999-01-01", &later.to_string()] {
        let text = days::older_day().to_string().replace("2025-03-14", day);
        site.write(&format!("logs/metrics/copilot-usage_{day}.json"), text);
    }
    for time in ["0000-01-01T00:00:00", "1999-12-31T23:59:59", "9999-12-31T23:59:59", &format!("{later}T00:00:00")] {
        let mut record = completion(0);
        record["timestamp"] = json!(time);
        site.write_record("logs/ada", "completions", &record);
    }
    let imported = site.import();
    assert_eq!((imported.records, imported.counts, imported.left_out.count), (0, 0, 10), "{imported:?}");
    assert!(imported.left_out.first.iter().all(|(_, reason)| reason == NO_DAY), "{:?}", imported.left_out);
    assert_eq!(site.events(), []);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_left_out_and_not_waited_for() {
    let site = Site::new();
    site.write_record("logs/ada", "completions", &completion(0));
    let folder = site.from.path().join("logs/ada/completions");
    let at = |name: &str| folder.join(name);
    std::os::unix::fs::symlink("../..", at("up")).unwrap();
    std::os::unix::fs::symlink("itself.json", at("itself.json")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.json")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe.json"), rustix::fs::Mode::RWXU).unwrap();
    let imported = site.import();
    let mut told: Vec<_> =
        imported.left_out.first.iter().map(|(path, why)| (path.file_name().unwrap(), &**why)).collect();
    told.sort_unstable();
    let link = "a symbolic link, which is not followed";
    let expected = [("itself.json", link), ("pipe.json", "not a file"), ("socket.json", "not a file"), ("up", link)];
    assert_eq!((imported.records, told), (1, expected.map(|(name, why)| (std::ffi::OsStr::new(name), why)).to_vec()));
}

#[test]
fn importing_again_changes_nothing() {
    let site = Site::new();
    for number in 0..300 {
        site.write_record("logs/usage/ada", "completions", &completion(number));
    }
    site.write("logs/metrics/copilot-usage_2025-03-14.json", days::older_day().to_string());
    let first = site.import();
    let (events, records, day) = (site.events(), site.records(), site.day("2025-03-14"));
    assert_eq!((first.records, first.known, records.len()), (300, 0, 300));
    let second = site.import();
    assert_eq!((second.records, second.known, second.counts), (0, 300, 0));
    assert_eq!((site.events(), site.records(), site.day("2025-03-14")), (events, records, day));
}

#[test]
fn a_record_whose_file_was_removed_after_its_time_does_not_come_back() {
    let site = Site::new();
    site.write_record("logs/usage/ada", "completions", &completion(1));
    site.import();
    fs::remove_dir_all(site.to.path().join("usage/ada")).unwrap();
    fs::create_dir(site.to.path().join("usage/ada")).unwrap();
    assert_eq!(site.import().known, 1);
    assert!(site.records().is_empty());
}

#[test]
fn no_password_and_no_token_is_anywhere() {
    let site = Site::new();
    let basic = BASE64_OF_CREDENTIALS;
    let mut record = chat(1);
    record["request"]["headers"]["Proxy-Authorization"] = json!(format!("Basic {basic}"));
    record["request"]["headers"]["x-note"] = json!(format!("it is {PASSWORD}"));
    record["request"]["url"] = json!("https://u:canary@api.business.githubcopilot.com/chat/completions?token=canary");
    record["request"]["content"]["messages"][0]["content"] =
        json!(format!("http://ada:{PASSWORD}@h:1 {basic} gho_canary0123456789abcdef ghp_canary0123456789abcdef"));
    record["response"]["content"][0]["choices"][0]["delta"]["content"] =
        json!(format!("Authorization:Bearercanary-0123456789abc,or{PASSWORD}"));
    record["response"]["headers"]["set-cookie"] = json!("canary");
    record["more"] = json!({"password": PASSWORD});
    site.write_record("logs/usage/ada", "chat", &record);
    site.write("logs/user_auth.json", json!({"ada": PASSWORD, "rin": "canary"}).to_string());
    let imported = site.import();
    assert_eq!(imported.names, ["ada", "rin"].map(str::to_owned).into());
    assert_eq!(imported.records, 1);
    assert!(!format!("{imported:?}").contains("canary"));
    let mut folders = vec![site.to.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = fs::read(&path).unwrap();
            for marker in ["canary", PASSWORD, basic] {
                assert!(memchr::memmem::find(&content, marker.as_bytes()).is_none(), "{marker} in {}", path.display());
            }
        }
    }
}

/// Of `ada` and [`PASSWORD`].
const BASE64_OF_CREDENTIALS: &str = "YWRhOmNhbmFyeS01YjFlNzc=";

#[test]
fn without_content_no_text_is_kept() {
    let site = Site::new();
    site.write_record("logs/usage/ada", "chat", &chat(1));
    site.import_with(Content::Metadata);
    let record = &site.records()[0].1;
    assert_eq!((&record["request"]["content"], &record["response"]["content"]), (&Value::Null, &json!([])));
    assert_eq!((&record["tokens"]["output"], &record["class"]), (&json!(9), &json!("turn")));
}

#[test]
fn copilens_own_folder_is_refused_and_passed_over() {
    let site = Site::new();
    site.write_record("logs/usage/ada", "chat", &chat(1));
    site.import();
    let files = RecordFiles::open(site.to.path()).unwrap();
    let store = site.store();
    let import = Import { files: &files, store: &store, decode_limit: LIMIT, content_of: &|_| Content::Full };
    for dir in [site.to.path().to_owned(), site.to.path().join("usage/ada")] {
        assert!(matches!(import.run(&dir, &mut |_| {}), Err(ImportError::Own(_))));
    }
    // Records of another copilens are not the add-on's.
    let copy = site.from.path().join("copy.json");
    let record = site.records().remove(0).1;
    fs::write(&copy, record.to_string()).unwrap();
    assert_eq!((site.import().ours, site.events().len()), (1, 1));
    fs::remove_file(copy).unwrap();
    // Below the folder that is imported, it is not even looked at.
    let inside =
        Site { from: TempDir::new_in(site.to.path()).unwrap(), to: TempDir::new_in(site.from.path()).unwrap() };
    fs::write(inside.to.path().join("odd.json"), "odd").unwrap();
    let store = inside.store();
    let files = RecordFiles::open(inside.to.path()).unwrap();
    let import = Import { files: &files, store: &store, decode_limit: LIMIT, content_of: &|_| Content::Full };
    assert_eq!(import.run(site.from.path(), &mut |_| {}).unwrap().left_out.count, 0);
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere() {
    let (site, elsewhere) = (Site::new(), Site::new());
    elsewhere.write_record("logs/usage/ada", "chat", &chat(1));
    let from = elsewhere.from.path().join("logs");
    std::os::unix::fs::symlink(&from, site.from.path().join("logs")).unwrap();
    let record = fs::read_dir(from.join("usage/ada/chat")).unwrap().next().unwrap().unwrap().path();
    std::os::unix::fs::symlink(record, site.from.path().join("one.json")).unwrap();
    assert_eq!((site.import().files, site.events().len()), (0, 0));
}
