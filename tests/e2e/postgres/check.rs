//! What `check` says of a database.

use super::*;
use crate::support::postgres::GUARDED;

/// What `check` prints of the store, and its exit code.
fn check(site: &Site) -> String {
    let output = site.output(&["check"]);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains(GUARDED.1), "{text}");
    let of_store = text.lines().filter(|line| line.contains("PostgreSQL") || line.contains("usage store"));
    let lines: Vec<String> = of_store.map(without_numbers).collect();
    format!("{}: {}", output.status.code().unwrap(), lines.join(" | "))
}

/// Without what is another in each run: port, database and version.
fn without_numbers(line: &str) -> String {
    let is_another = |word: &str| {
        let (mut first, mut rest) = (word.chars(), word.chars().skip(1));
        match first.next() {
            Some('t') => rest.next().is_some_and(|second| second.is_ascii_digit()),
            Some(digit) => digit.is_ascii_digit() && word.contains('.'),
            None => false,
        }
    };
    line.split(' ').map(|word| if is_another(word) { "_" } else { word }).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_a_start_would_meet() {
    let Some(server) = Server::shared() else { return };
    let upstream = Upstream::start().await;
    let (role, password) = GUARDED;
    let [fresh, used, refused] = [server.database(), server.database(), server.database()];
    let guarded = |database: &str| server.url_for(role, password, database);
    let mut found = Vec::new();
    let mut site = site(&upstream, &server.url(&fresh));
    let mut try_with = |site: &mut Site, what: &str, url: &str| {
        site.change("store.url", &format!("\"{url}\""));
        found.push(format!("{what}\n  {}", check(site)));
    };
    // The seed and the CA, which are none of this test's business.
    site = site.start().stop().1;
    try_with(&mut site, "as it was used", &server.url(&fresh));
    try_with(&mut site, "new", &server.url(&used));
    try_with(&mut site, "no CREATE", &guarded(&refused));
    server.run(&fresh, &format!("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {role}"));
    try_with(&mut site, "no UPDATE and DELETE", &guarded(&fresh));
    server.run(&fresh, "UPDATE copilens_schema SET version = 0");
    try_with(&mut site, "older, of another owner", &guarded(&fresh));
    server.run(&fresh, "UPDATE copilens_schema SET version = 99");
    try_with(&mut site, "newer", &server.url(&fresh));
    server.run("postgres", &format!("ALTER DATABASE {used} SET default_transaction_read_only = on"));
    try_with(&mut site, "read-only", &server.url(&used));
    try_with(&mut site, "no such database", &guarded("elsewhere"));
    try_with(&mut site, "wrong password", &server.url_for(role, "wrong", &used));
    try_with(&mut site, "nobody there", "postgres://mona:hunter2@127.0.0.1:1/usage");
    insta::assert_snapshot!(found.join("\n"), @r#"
    as it was used
      0: PostgreSQL database _ on _ as user postgres: PostgreSQL _ the connection is not encrypted
    new
      0: PostgreSQL database _ on _ as user postgres: PostgreSQL _ the connection is not encrypted | the usage store's tables will be made by the first `copilens run`
    no CREATE
      74: copilens: the usage store, PostgreSQL database _ on _ as user guarded, does not allow what is needed (no CREATE on schema public): make the user the database's owner, or grant it CREATE on the schema and all on its tables
    no UPDATE and DELETE
      74: copilens: the usage store, PostgreSQL database _ on _ as user guarded, does not allow what is needed (no UPDATE on acceptance account chat_action cli_session organization_day organization_sums origin quota stale suggestion usage_event user_client user_day user_month user_year, no DELETE on acceptance account chat_action cli_session organization_day organization_sums origin quota stale suggestion usage_event user_client user_day user_month user_year): make the user the database's owner, or grant it CREATE on the schema and all on its tables
    older, of another owner
      74: copilens: the usage store, PostgreSQL database _ on _ as user guarded, does not allow what is needed (no CREATE on schema public, the tables belong to postgres): make the user the database's owner, or grant it CREATE on the schema and all on its tables
    newer
      74: copilens: the usage store PostgreSQL database _ on _ as user postgres has schema version 99, this copilens knows up to 1: run the version that made it, or a later one
    read-only
      74: copilens: the usage store, PostgreSQL database _ on _ as user postgres, is read-only (transaction_read_only is on): name the primary server in store.url, or end its default_transaction_read_only
    no such database
      74: copilens: the usage store, PostgreSQL database elsewhere on _ as user guarded, is not there (database "elsewhere" does not exist): make it (createdb), or correct its name in store.url
    wrong password
      74: copilens: the usage store, PostgreSQL database _ on _ as user guarded, does not let us in (password authentication failed for user "guarded"): correct user and password in store.url, or let this machine in (pg_hba.conf)
    nobody there
      74: copilens: the usage store, PostgreSQL database usage on _ as user mona, cannot be reached (Connection refused (os error 111)): start the server, or correct host, port and sslmode in store.url
    "#);
}
