//! The file of tokens: what is written is read again, what is faulty opens nothing, and each change counts at the next use.

use proptest::prelude::*;

use super::*;

const NOW: &str = "2026-03-01T12:00:00Z";

struct Office(tempfile::TempDir);

impl Office {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Whose file need not be there.
    fn admin_token(&self) -> PathBuf {
        self.0.path().join("config/admin-token")
    }

    fn path(&self) -> PathBuf {
        path(&self.admin_token())
    }

    fn add(&self, name: &str, scope: Scope, end: Option<&str>) -> Result<Token, TokenError> {
        add(&self.admin_token(), name.parse().unwrap(), scope, (at(NOW), end.map(at)))
    }

    fn write(&self, text: &str) {
        secret_file::replace(&self.path(), text, &[]).unwrap();
    }
}

fn at(text: &str) -> DateTime<Utc> {
    time(text.to_owned()).unwrap()
}

fn digest(token: &Token) -> TokenDigest {
    TokenDigest::of(token.reveal().as_bytes())
}

#[test]
fn a_token_opens_its_scope_from_the_next_use_on_and_nothing_once_it_is_removed() {
    let office = Office::new();
    let tokens = Tokens::beside(&office.admin_token());
    assert_eq!(tokens.scope(TokenDigest::of(b""), at(NOW)), None);
    for round in 0..5 {
        let token = office.add("prometheus", Scope::Metrics, None).unwrap();
        assert_eq!(tokens.scope(digest(&token), at(NOW)), Some(Scope::Metrics), "{round}");
        let other = office.add("grafana", Scope::Viewer, None).unwrap();
        assert_eq!(tokens.scope(digest(&other), at(NOW)), Some(Scope::Viewer), "{round}");
        remove(&office.admin_token(), "prometheus").unwrap();
        assert_eq!(tokens.scope(digest(&token), at(NOW)), None, "{round}");
        assert_eq!(tokens.scope(digest(&other), at(NOW)), Some(Scope::Viewer), "{round}");
        fs::remove_file(office.path()).unwrap();
        assert_eq!(tokens.scope(digest(&other), at(NOW)), None, "{round}");
    }
}

#[test]
fn an_expired_token_opens_nothing_from_its_last_second_on() {
    let office = Office::new();
    let tokens = Tokens::beside(&office.admin_token());
    let token = office.add("ci", Scope::Auditor, Some("2026-03-02T00:00:00.9Z")).unwrap();
    assert_eq!(tokens.scope(digest(&token), at("2026-03-01T23:59:59.999Z")), Some(Scope::Auditor));
    assert_eq!(tokens.scope(digest(&token), at("2026-03-02T00:00:00Z")), None);
}

#[test]
fn the_file_holds_digests_alone_for_its_owner_alone() {
    let office = Office::new();
    let token = office.add("prometheus", Scope::Metrics, Some("2026-04-01T00:00:00Z")).unwrap();
    let text = fs::read_to_string(office.path()).unwrap();
    assert!(!text.contains(token.reveal()) && !text.contains(&token.reveal()[4..]), "{text}");
    let hex = serde_json::to_value(digest(&token)).unwrap();
    insta::assert_snapshot!(text.replace(hex.as_str().unwrap(), "[digest]"), @r#"
    # Bearer tokens of the admin listener. `copilens tokens` writes this file; it holds digests, no tokens.

    [[token]]
    name = "prometheus"
    scope = "metrics"
    sha256 = "[digest]"
    created_at = "2026-03-01T12:00:00Z"
    expires_at = "2026-04-01T00:00:00Z"
    "#);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(office.path()).unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

#[test]
fn a_name_is_given_once_and_a_missing_one_is_told_with_a_near_one() {
    let office = Office::new();
    office.add("grafana", Scope::Viewer, None).unwrap();
    let before = fs::read_to_string(office.path()).unwrap();
    let taken = office.add("Grafana", Scope::Admin, None).unwrap_err();
    assert!(taken.to_string().contains("token \"grafana\" is already there") && taken.exit_code() == 64, "{taken}");
    let unknown = remove(&office.admin_token(), "grafna").unwrap_err();
    assert!(unknown.to_string().ends_with("no token \"grafna\"; did you mean \"grafana\"?"), "{unknown}");
    assert_eq!((unknown.exit_code(), fs::read_to_string(office.path()).unwrap()), (64, before));
}

#[test]
fn a_faulty_file_names_every_fault_opens_nothing_and_is_not_written_over() {
    let office = Office::new();
    let tokens = Tokens::beside(&office.admin_token());
    let token = office.add("prometheus", Scope::Metrics, None).unwrap();
    let good = fs::read_to_string(office.path()).unwrap();
    let bad = format!(
        "{good}\n[[token]]\nname = \"PROMETHEUS\"\nscope = \"all\"\nsha256 = \"ab\"\nexpires_at = \"soon\"\nx = 1\n"
    );
    office.write(&bad);
    assert_eq!(tokens.scope(digest(&token), at(NOW)), None);
    let told = office.add("grafana", Scope::Viewer, None).unwrap_err();
    for part in [
        ":9: a created_at is missing",
        ":9: token \"PROMETHEUS\" is already on line 3",
        ":11: scope: a scope is one of metrics, viewer, auditor, admin",
        ":12: sha256: 64 hexadecimal digits are needed",
        ":13: expires_at: a time is needed",
        ":14: unknown key \"x\"",
    ] {
        assert!(told.to_string().contains(part), "no {part} in {told}");
    }
    assert_eq!((told.exit_code(), fs::read_to_string(office.path()).unwrap()), (78, bad));
    office.write(&good);
    assert_eq!(tokens.scope(digest(&token), at(NOW)), Some(Scope::Metrics));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_opens_nothing_until_it_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let office = Office::new();
    let tokens = Tokens::beside(&office.admin_token());
    let token = office.add("prometheus", Scope::Metrics, None).unwrap();
    let old = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(office.path()).unwrap().set_modified(old).unwrap();
    for (mode, opens) in [(0o600, Some(Scope::Metrics)), (0o644, None), (0o600, Some(Scope::Metrics))] {
        fs::set_permissions(office.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(tokens.scope(digest(&token), at(NOW)), opens, "{mode:o}");
    }
    fs::set_permissions(office.path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load(&office.path()).unwrap_err().to_string().contains("chmod 600"));
}

#[test]
fn an_old_file_is_not_read_again_until_it_changes() {
    let office = Office::new();
    let tokens = Tokens::beside(&office.admin_token());
    office.add("prometheus", Scope::Metrics, None).unwrap();
    let first = tokens.current();
    assert!(!Arc::ptr_eq(&first, &tokens.current()), "a file that is new may change within the grain of its time");
    let old = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(office.path()).unwrap().set_modified(old).unwrap();
    let read = tokens.current();
    assert!(Arc::ptr_eq(&read, &tokens.current()));
    office.add("grafana", Scope::Viewer, None).unwrap();
    assert_eq!(tokens.current().len(), 2);
}

#[test]
fn two_commands_at_once_lose_nothing() {
    let office = Office::new();
    fs::create_dir_all(office.path().parent().unwrap()).unwrap();
    std::thread::scope(|scope| {
        for index in 0..16 {
            let office = &office;
            scope.spawn(move || office.add(&format!("name-{index}"), Scope::Metrics, None).unwrap());
        }
    });
    assert_eq!(load(&office.path()).unwrap().len(), 16);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        names in proptest::collection::btree_set("[a-z][a-z0-9_@+-]{0,12}", 0..6),
        scope in 0..4_usize,
        end in proptest::option::of(0..4_000_000_000_i64),
    ) {
        let office = Office::new();
        let (scope, end) = (Scope::ALL[scope], end.and_then(|end| DateTime::from_timestamp(end, 0)));
        let reserved = |name: &String| name.parse::<UserName>().is_err();
        let names: Vec<_> = names.into_iter().filter(|name| !reserved(name)).collect();
        for name in &names {
            add(&office.admin_token(), name.parse().unwrap(), scope, (at(NOW), end)).unwrap();
        }
        let read = load(&office.path()).unwrap();
        prop_assert!(read.iter().all(|entry| (entry.scope, entry.expires_at) == (scope, end)));
        prop_assert_eq!(read.iter().map(|entry| entry.name.to_string()).collect::<Vec<_>>(), names);
    }

    #[test]
    fn no_text_makes_reading_fail_but_with_faults(text in "(\\[\\[token\\]\\]|name|sha256|=|\"|\n|[a-z0-9]| ){0,60}") {
        let _ = parse(Path::new("tokens.toml"), &text);
    }
}

/// A running proxy asks with every request, so to wait for a pipe or to read all of a giant would stop all of them.
#[cfg(unix)]
#[test]
fn what_stands_in_the_file_s_place_opens_nothing_and_is_not_waited_for() {
    use std::os::unix::fs::PermissionsExt as _;
    let office = Office::new();
    let tokens = Tokens::beside(&office.admin_token());
    let token = office.add("prometheus", Scope::Metrics, None).unwrap();
    let (file, aside) = (office.path(), office.0.path().join("aside"));
    let put = |make: &dyn Fn()| {
        fs::rename(&file, &aside).unwrap();
        make();
        assert_eq!(tokens.scope(digest(&token), at(NOW)), None);
        let fault = load(&file).unwrap_err().to_string();
        let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
        fs::rename(&aside, &file).unwrap();
        assert_eq!(tokens.scope(digest(&token), at(NOW)), Some(Scope::Metrics));
        fault
    };
    let mode = |mode| fs::Permissions::from_mode(mode);
    let pipe = put(&|| rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::from(0o600)).unwrap());
    let folder = put(&|| fs::create_dir(&file).and_then(|()| fs::set_permissions(&file, mode(0o700))).unwrap());
    let endless = put(&|| std::os::unix::fs::symlink("/dev/zero", &file).unwrap());
    let itself = put(&|| std::os::unix::fs::symlink(&file, &file).unwrap());
    let huge = put(&|| {
        let file = fs::File::create(&file).unwrap();
        file.set_permissions(mode(0o600)).unwrap();
        file.set_len(1 << 40).unwrap();
    });
    assert!([pipe, folder, endless].iter().all(|fault| fault.ends_with("tokens.toml: it is not a file")));
    assert!(huge.ends_with("it is larger than any secret") && itself.contains("symbolic links"), "{huge} {itself}");
}
