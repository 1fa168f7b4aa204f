//! Where secrets get out without a request: the command line, the environment, core dumps, faults of the configuration.

use std::fs;
use std::process::Output;

use copilens::config::{Environment, Sources};
use copilens::identity::basic::Credentials;
use copilens::sim::tls::{Alpn, TestAuthority};

use crate::support::{CHAT_HOST, Copilens, Site, wait_until};

const SECRET: &str = "CanaryParentPassword0123456789";
const USER: &str = "canary-parent-user";
const VARIABLE: &str = "COPILENS_UPSTREAM__PARENT_PROXY";

/// A site that leads nowhere.
fn site() -> Site {
    Site::to(([127, 0, 0, 1], 1).into(), &TestAuthority::new().unwrap())
}

fn proc_file(copilens: &Copilens, name: &str) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{}/{name}", copilens.pid())).unwrap()).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn assert_hidden(text: &str) {
    let basic = data_encoding::BASE64.encode(format!("{USER}:{SECRET}").as_bytes());
    assert!(!text.contains("anary") && !text.contains(&basic), "{text}");
}

/// No command takes a secret as an argument, and a core dump would hold them all.
#[tokio::test(flavor = "multi_thread")]
async fn f5_the_process_shows_no_secret_and_leaves_no_core() {
    let copilens = site().start();
    let secrets =
        ["config/seed", "config/admin-token"].map(|file| fs::read_to_string(copilens.site.path(file)).unwrap());
    let secrets = [secrets[0].trim(), secrets[1].trim(), &copilens.site.password("alice")].map(str::to_owned);
    for shown in ["cmdline", "environ", "comm"] {
        let shown = proc_file(&copilens, shown);
        assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{shown}");
    }
    let limits = proc_file(&copilens, "limits");
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().next(), Some("0"), "{limits}");
    for command in [["users", "add", "--help"], ["users", "password", "--help"], ["users", "rotate", "--help"]] {
        let help = copilens.site.stdout(&command);
        assert!(!help.contains("--password") && !help.contains("<PASSWORD>"), "{help}");
    }
}

#[test]
fn f5_debug_output_shows_no_secret() {
    let parent = format!("http://{USER}:{SECRET}@parent.example:3128");
    let site = site().set("upstream.parent_proxy", &format!("{parent:?}"));
    let absolute = |path: &str| format!("{:?}", site.path(path));
    let (seed, list) = (absolute("config/seed"), absolute("config/allowlist.toml"));
    let site = site.set("auth.seed_file", &seed).set("auth.allowlist", &list);
    let environment: Environment = [(VARIABLE.to_owned(), parent)].into_iter().collect();
    let sources = Sources::new(Some(site.path("config/copilens.toml")), environment);
    let loaded = sources.load_or_create_seed().unwrap();
    let seed = fs::read_to_string(site.path("config/seed")).unwrap();
    let alice = loaded.directory.get("alice").unwrap();
    let password = loaded.seed.derive(alice.name(), 1);
    let basic = Credentials { name: "alice".to_owned(), password: password.clone() };
    let shown = format!("{loaded:?} {loaded:#?} {sources:?} {alice:?} {basic:?} {password:?}");
    assert!(shown.contains("parent.example:3128") && shown.contains("alice"), "{shown}");
    for secret in [SECRET, seed.trim(), password.reveal()] {
        assert!(!shown.contains(secret), "{shown}");
    }
    // As an array of numbers, which is how bytes are shown.
    let bytes: Vec<u8> = data_encoding::HEXLOWER.decode(seed.trim().as_bytes()).unwrap();
    assert!(!shown.contains(&format!("{}, {}, {}", bytes[0], bytes[1], bytes[2])), "{shown}");
}

/// Right, and wrong in every way that a line can be.
fn settings() -> Vec<(bool, String)> {
    let url = format!("http://{USER}:{SECRET}@127.0.0.1:1");
    vec![
        (true, format!("parent_proxy = \"{url}\"")),
        (false, format!("parent_proxy = \"{}\"", url.replace("http:", "https:"))),
        (false, format!("parent_proxy = \"{}\"", url.replace("127.0.0.1:1", "127.0.0.1:x"))),
        (false, format!("parent_proxy = \"{USER}:{SECRET}@127.0.0.1:1\"")),
        (false, format!("parent_proxy = \"{url}")),
        (false, format!("parent_proxy = {url}")),
        (false, format!("parent_proxy = [\"{url}\"]")),
        (false, format!("parent_proxy = {{ url = \"{url}\" }}")),
        (false, format!("parent_prox = \"{url}\"")),
        (false, format!("parent_proxy = \"{url}\"\nparent_proxy = \"{url}\"")),
        (false, format!("parent_proxy = \"{url}\" \"{SECRET}\"")),
    ]
}

#[test]
fn f6_check_and_run_mask_the_parent_proxys_credentials_whatever_is_wrong() {
    let site = site();
    for (right, line) in settings() {
        fs::write(site.path("config/copilens.toml"), format!("[upstream]\n{line}\n")).unwrap();
        let check = site.output(&["check"]);
        assert_eq!(check.status.success(), right, "{line}: {}", said(&check));
        assert_hidden(&said(&check));
        if !right {
            assert_hidden(&said(&site.output(&["run"])));
        }
    }
    fs::write(site.path("config/copilens.toml"), "").unwrap();
    for (variable, value) in [
        (VARIABLE, format!("https://{USER}:{SECRET}@127.0.0.1:1")),
        (VARIABLE, format!("[\"http://{USER}:{SECRET}@127.0.0.1:1\"]")),
        ("COPILENS_UPSTREAM__PARENT_PROXI", format!("http://{USER}:{SECRET}@127.0.0.1:1")),
    ] {
        let check = site.command(&["check"]).env(variable, &value).output().unwrap();
        assert!(!check.status.success() && said(&check).contains(variable), "{value}: {}", said(&check));
        assert_hidden(&said(&check));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_parent_proxy_that_cannot_be_reached_is_named_without_its_credentials() {
    let copilens = Copilens::start_with(site().set("upstream.resolve", "{}"), |command| {
        command.env(VARIABLE, format!("http://{USER}:{SECRET}@127.0.0.1:1")).env("RUST_LOG", "trace");
    });
    let tunnel = copilens.tunnel("alice", CHAT_HOST, Alpn::Http1).await;
    let request = http::Request::get("/").body(bytes::Bytes::new()).unwrap();
    assert_eq!(tunnel.send(request).await.unwrap().status(), 502);
    let log =
        wait_until("the cause", || Some(copilens.log()).filter(|log| log.contains("cannot connect to 127.0.0.1:1")));
    assert_hidden(&log);
}
