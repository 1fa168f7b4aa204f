//! What is PostgreSQL's own: the server, its errors, its plans, and several proxies at once.

#[path = "../../../tests/support/postgres.rs"]
pub(in crate::store) mod server;

use std::sync::Arc;

use chrono::TimeDelta;

use self::server::Server;
use super::*;
use crate::copilot::observation::{Fate, Observation};
use crate::store::ServerTrouble;
use crate::store::tests::{Engine, Place, all_events, shown_later};
use crate::usage::sample::{completion, noise};

/// `None` where PostgreSQL is not installed.
pub(in crate::store) fn engine() -> Option<Engine> {
    Server::shared().map(|_| Engine(|| Box::new(Schema::new(Server::shared().unwrap()))))
}

/// A schema with a store's tables.
struct Schema {
    url: PostgresUrl,
}

impl Schema {
    fn new(server: &Server) -> Self {
        Self { url: server.schema().parse().unwrap() }
    }

    /// As another proxy has it.
    fn open_as(&self, origin: &str) -> PostgresStore {
        PostgresStore::new(&self.url, origin.to_owned())
    }

    fn client(&self) -> postgres::Client {
        pool::connect(&self.url).unwrap()
    }
}

impl Place for Schema {
    fn open(&self) -> Box<dyn UsageStore> {
        Box::new(self.open_as("one"))
    }

    fn rows(&self, table: &str) -> Vec<String> {
        let sql = format!("SELECT {table}::text FROM {table} ORDER BY {table}::text COLLATE \"C\"");
        self.client().query(&sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    }
}

/// The plan whatever the parameters are, and however small the tables.
fn plan_of(client: &mut postgres::Client, sql: &str) -> String {
    let count = (1..9).filter(|n| sql.contains(&format!("${n}"))).count();
    let nulls = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
    let explain = format!(
        "DEALLOCATE ALL; SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off;
         SET plan_cache_mode = force_generic_plan;
         PREPARE asked AS {sql}; EXPLAIN EXECUTE asked{nulls}"
    );
    let lines = client.simple_query(&explain).unwrap().into_iter().filter_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_question_goes_by_an_index() {
    let Some(server) = Server::shared() else { return };
    let schema = Schema::new(server);
    schema.open().days().unwrap();
    let mut client = schema.client();
    let others = [acceptance::ALL.as_slice(), &accounts::ALL, &rollups::ALL, &forget::ALL].concat();
    for sql in questions::all().into_iter().chain(facts::all()).chain(others.into_iter().map(str::to_owned)) {
        let plan = plan_of(&mut client, &sql);
        assert!(plan.contains("Index"), "{sql}: {plan}");
        assert!(!plan.contains("Seq Scan"), "{sql}: {plan}");
        // The days are few, and come from two tables.
        let is_sorted = sql.contains("ORDER BY") && !sql.contains("UNION");
        assert!(!is_sorted || !plan.contains("Sort"), "{sql} is sorted: {plan}");
    }
}

#[test]
fn a_newer_schema_is_refused_an_older_one_is_not_read_and_reading_makes_none() {
    let Some(server) = Server::shared() else { return };
    let schema = Schema::new(server);
    let read = || PostgresStore::open_to_read(&schema.url);
    assert!(matches!(read().err(), Some(StoreError::NoTables { .. })));
    schema.open().insert(&[completion(1, "ada")]).unwrap();
    assert_eq!(all_events(&read().unwrap()), [completion(1, "ada")]);
    let refused = read().unwrap().insert(&[completion(2, "ada")]).unwrap_err();
    assert!(refused.to_string().contains("not open for writing"), "{refused}");

    let version = |n: i32| schema.client().execute("UPDATE copilens_schema SET version = $1", &[&n]).unwrap();
    version(99);
    let refused = [schema.open().days().unwrap_err(), read().err().unwrap()];
    assert!(refused.iter().all(|error| matches!(error, StoreError::Newer { found: 99, .. })), "{refused:?}");
    version(0);
    assert!(matches!(read().err(), Some(StoreError::Older { found: 0, .. })));
}

#[test]
fn several_proxies_make_the_tables_once() {
    let Some(server) = Server::shared() else { return };
    let schema = Schema::new(server);
    std::thread::scope(|scope| {
        let first: Vec<_> = (0..4_u32)
            .map(|n| {
                let schema = &schema;
                scope.spawn(move || schema.open_as(&n.to_string()).insert(&[completion(n, "ada")]).unwrap())
            })
            .collect();
        first.into_iter().for_each(|proxy| assert_eq!(proxy.join().unwrap().new, [true]));
    });
    assert_eq!(all_events(&*schema.open()).len(), 4);
    assert_eq!(schema.rows("origin").len(), 4);
}

#[test]
fn a_proxy_knows_which_records_it_brought() {
    let Some(server) = Server::shared() else { return };
    let schema = Schema::new(server);
    let (one, other) = (schema.open_as("one"), schema.open_as("other"));
    one.insert(&[completion(1, "ada"), completion(2, "ada")]).unwrap();
    other.insert(&[completion(3, "ada"), noise(4, "ada", "status")]).unwrap();
    // Record 3 has come to the folder of the first one.
    one.replace_all(&mut [completion(2, "ada"), completion(3, "ada")].into_iter()).unwrap();
    let all = [completion(1, "ada"), completion(2, "ada"), completion(3, "ada"), noise(4, "ada", "status")];
    assert_eq!(all_events(&one), all);

    assert!(!one.is_whole().unwrap());
    one.mark_whole().unwrap();
    assert!(schema.open_as("one").is_whole().unwrap() && !other.is_whole().unwrap());
}

#[test]
fn what_clients_send_never_fails_the_store() {
    let Some(server) = Server::shared() else { return };
    let store = Schema::new(server).open();
    let long = "x".repeat(1 << 20);
    let odd = |n, id: &str| UsageEvent {
        request_id: Some(id.to_owned()),
        interaction_id: Some(id.to_owned()),
        session_id: Some("\\u0000 \"\\".to_owned()),
        language: Some("py\0thon".to_owned()),
        status: Some(u16::MAX),
        duration_ms: f64::NAN,
        first_byte_ms: Some(f64::INFINITY),
        ended_at: crate::usage::sample::noon() + TimeDelta::nanoseconds(999_999_999),
        ..crate::usage::sample::chat(n, "ada")
    };
    store.insert(&[odd(1, &long), odd(2, "\0")]).unwrap();
    let after = (crate::usage::sample::noon() + TimeDelta::days(1), crate::usage::sample::id(9));
    for id in [&*long, "\0"] {
        assert!(store.had_turn("ada", id, after).unwrap());
    }
    let events = all_events(&*store);
    assert_eq!(events[0].request_id.as_deref(), Some(&*long));
    assert_eq!(events[1].language.as_deref(), Some("py\u{fffd}thon"));
    assert_eq!((events[1].session_id.as_deref(), events[1].first_byte_ms), (Some("\\u0000 \"\\"), None));
}

#[tokio::test]
async fn a_store_may_be_dropped_on_an_async_thread() {
    let store = tokio::task::spawn_blocking(|| {
        let store = Schema::new(Server::shared()?).open();
        store.days().unwrap();
        Some(store)
    });
    drop(store.await.unwrap());
}

/// What is said of an attempt that fails: server and database, what is wrong, what to do; no password.
fn refusal(error: &StoreError) -> String {
    let message = error.to_string();
    assert!(!message.contains(server::GUARDED.1), "{message}");
    let (before, after) = message.split_once("127.0.0.1:").unwrap();
    let port = after.find(|c: char| !c.is_ascii_digit()).unwrap();
    format!("{before}127.0.0.1:PORT{}", &after[port..])
}

#[test]
fn errors_name_the_server_what_is_wrong_and_what_to_do() {
    let Some(server) = Server::shared() else { return };
    let open = |url: &str| PostgresStore::new(&url.parse().unwrap(), "one".to_owned()).days().unwrap_err();
    let (role, password) = server::GUARDED;
    let database = "postgres".to_owned();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed =
        server.url_for(role, password, &database).replace(&format!(":{}", server.port()), &format!(":{closed}"));
    let cases = [
        open(&server.url_for(role, "wrong", &database)),
        open(&server.url_for(role, password, "elsewhere")),
        open(&server.url_for(role, password, &database)),
        open(&format!("{}?sslmode=require", server.url(&database))),
        open(&closed),
    ];
    let told = cases.map(|error| (refusal(&error), error.is_temporary()));
    let told: Vec<_> = told.map(|(message, temporary)| format!("{message} [temporary: {temporary}]")).into();
    insta::assert_snapshot!(told.join("\n"), @r#"
    the usage store, PostgreSQL database postgres on 127.0.0.1:PORT as user guarded, does not let us in (password authentication failed for user "guarded"): correct user and password in store.url, or let this machine in (pg_hba.conf) [temporary: false]
    the usage store, PostgreSQL database elsewhere on 127.0.0.1:PORT as user guarded, is not there (database "elsewhere" does not exist): make it (createdb), or correct its name in store.url [temporary: false]
    the usage store, PostgreSQL database postgres on 127.0.0.1:PORT as user guarded, does not allow what is needed (permission denied for schema public): make the user the database's owner, or grant it CREATE on the schema and all on its tables [temporary: false]
    the usage store, PostgreSQL database postgres on 127.0.0.1:PORT as user postgres, cannot be reached (server does not support TLS): start the server, or correct host, port and sslmode in store.url [temporary: false]
    the usage store, PostgreSQL database postgres on 127.0.0.1:PORT as user guarded, cannot be reached (Connection refused (os error 111)): start the server, or correct host, port and sslmode in store.url [temporary: false]
    "#);
}

#[test]
fn a_database_that_takes_no_changes_a_lock_and_a_crowd_pass_by_themselves() {
    let Some(server) = Server::shared() else { return };
    let database = server.database();
    let url: PostgresUrl = server.url(&database).parse().unwrap();
    let store = PostgresStore::new(&url, "one".to_owned());
    store.insert(&[completion(1, "ada")]).unwrap();

    let mut other = server.client(&database);
    let mut held = other.transaction().unwrap();
    held.batch_execute("LOCK TABLE usage_event").unwrap();
    let busy = store.insert(&[completion(2, "ada")]).unwrap_err();
    assert!(matches!(busy, StoreError::Server { trouble: ServerTrouble::Busy, .. }) && busy.is_temporary(), "{busy}");
    held.rollback().unwrap();

    server.run(&database, &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    store.reopen(&busy).unwrap();
    let refused = store.insert(&[completion(2, "ada")]).unwrap_err();
    assert!(matches!(refused, StoreError::Server { trouble: ServerTrouble::ReadOnly, .. }), "{refused}");
    assert!(refused.is_temporary());
    other.batch_execute(&format!("ALTER DATABASE {database} RESET default_transaction_read_only")).unwrap();
    assert_eq!(store.insert(&[completion(1, "ada"), completion(2, "ada")]).unwrap().new, [false, true]);

    other
        .batch_execute(&format!("ALTER DATABASE {database} CONNECTION LIMIT 0; CREATE ROLE crowd_{database} LOGIN"))
        .unwrap();
    let crowd = server.url_for(&format!("crowd_{database}"), "", &database);
    let refused = PostgresStore::open_to_read(&crowd.parse().unwrap()).err().unwrap();
    assert!(matches!(refused, StoreError::Server { trouble: ServerTrouble::Crowded, .. }), "{refused}");
}

#[test]
fn a_server_that_was_away_is_found_again() {
    let Some(mut server) = Server::start() else { return };
    let database = server.database();
    let store: Arc<dyn UsageStore> =
        Arc::new(PostgresStore::new(&server.url(&database).parse().unwrap(), "one".to_owned()));
    store.insert(&[completion(1, "ada")]).unwrap();
    server.stop();
    let away = store.insert(&[completion(2, "ada")]).unwrap_err();
    assert!(matches!(away, StoreError::Server { trouble: ServerTrouble::Unreachable, .. }), "{away}");
    assert!(!away.is_temporary() && store.reopen(&away).is_err());
    server.resume();
    store.reopen(&away).unwrap();
    assert_eq!(store.insert(&[completion(2, "ada"), completion(1, "ada")]).unwrap().new, [true, false]);
}

#[test]
fn who_takes_an_answer_piece_by_piece_may_be_slow() {
    let Some(server) = Server::shared() else { return };
    let store = Schema::new(server).open_as("one");
    let (yesterday, today) = (completion(1, "ada"), completion(2, "ada"));
    let yesterday = UsageEvent { ended_at: yesterday.ended_at - TimeDelta::days(1), ..yesterday };
    let (from, to) = (yesterday.day(), today.day());
    store.insert(&[yesterday, today]).unwrap();
    let impatient = "SET idle_in_transaction_session_timeout = '100ms'";
    let slowly = || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        ControlFlow::Continue(())
    };
    let mut days = Vec::new();
    store.pool.with(|client| Ok(client.batch_execute(impatient)?)).unwrap();
    let asked = store.user_days(from, to, None, &mut |day, _, _| {
        days.push(day);
        slowly()
    });
    asked.unwrap();
    assert_eq!(days, [from, to]);
    let mut events = 0;
    let asked = store.events(from, to, None, &mut |_| {
        events += 1;
        slowly()
    });
    asked.unwrap();
    assert_eq!(events, 2);
}

/// Exchanges of two users on one day, and telemetry of the next day that their suggestions were shown and accepted.
fn arrivals() -> (Vec<UsageEvent>, Vec<Noticed>) {
    let user = |n: u32| if n.is_multiple_of(3) { "grace" } else { "ada" };
    let accepted = |mut noticed: Noticed| {
        if let Notice::Telemetry(observations) = &mut noticed.notice {
            for observation in observations {
                if let Observation::Suggestion(report) = observation {
                    report.fate = Fate::Accepted { partially: false };
                }
            }
        }
        noticed
    };
    let events = (0..40).map(|n| completion(n, user(n))).collect();
    let shown = (0..40).map(|n| shown_later(n, user(n)));
    (events, shown.flat_map(|noticed| [accepted(noticed.clone()), noticed]).collect())
}

/// Brings all of it in small batches, beginning with another one each time, as proxies do that are told the same.
fn bring(store: &PostgresStore, turn: usize, (events, notices): &(Vec<UsageEvent>, Vec<Noticed>)) {
    let again = |done: &dyn Fn() -> Result<()>| {
        while let Err(error) = done() {
            assert!(error.is_temporary(), "{error}");
        }
    };
    let (mut events, mut notices) = (events.clone(), notices.clone());
    let (first_event, first_notice) = (turn * events.len() / 4, turn * notices.len() / 4);
    events.rotate_left(first_event);
    notices.rotate_left(first_notice);
    for (events, notices) in events.chunks(4).zip(notices.chunks(8)) {
        if turn.is_multiple_of(2) {
            again(&|| store.insert(events).map(drop));
            again(&|| store.take_notice(notices).map(drop));
        } else {
            again(&|| store.take_notice(notices).map(drop));
            again(&|| store.insert(events).map(drop));
        }
        again(&|| store.refresh(3).map(drop));
    }
}

#[test]
fn proxies_that_write_at_once_lose_and_double_nothing() {
    let Some(server) = Server::shared() else { return };
    let (alone, fleet, arrivals) = (Schema::new(server), Schema::new(server), arrivals());
    bring(&alone.open_as("one"), 0, &arrivals);
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let (store, arrivals) = (fleet.open_as(&turn.to_string()), &arrivals);
            scope.spawn(move || bring(&store, turn, arrivals));
        }
    });
    for schema in [&alone, &fleet] {
        while schema.open().refresh(1000).unwrap() {}
    }
    assert_eq!(all_events(&*fleet.open()), all_events(&*alone.open()));
    let tables = [
        "suggestion",
        "acceptance",
        "account",
        "stale",
        "user_day",
        "organization_day",
        "organization_sums",
        "user_month",
        "user_year",
    ];
    for table in tables.into_iter().chain(["user_client"]) {
        assert_eq!(fleet.rows(table), alone.rows(table), "{table}");
    }
    assert_eq!(fleet.rows("stale"), Vec::<String>::new());
}

#[test]
fn sslmode_says_whether_to_encrypt_and_whom_to_trust() {
    let Some(server) = Server::start() else { return };
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    server.encrypt(&made.cert.pem(), &made.signing_key.serialize_pem());
    let examine =
        |mode: &str| PostgresStore::examine(&format!("{}?sslmode={mode}", server.url("postgres")).parse().unwrap());
    let encrypted = || examine("prefer").unwrap()[0].ends_with("the connection is encrypted");
    let begun = std::time::Instant::now();
    // The server reads its settings anew when it comes to it.
    while !encrypted() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }
    assert!(examine("disable").unwrap()[0].ends_with("the connection is not encrypted"));
    let refused = examine("require").unwrap_err().to_string();
    assert!(refused.contains("certificate") && refused.contains("sslmode"), "{refused}");
}
