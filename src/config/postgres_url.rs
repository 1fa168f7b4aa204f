//! The PostgreSQL database of `store.url`, as a URL that holds a password.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use postgres::config::Host;

use super::hosts::is_host_name;

/// How long a connection may take where the URL does not say (`connect_timeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which the system asks whether the server is still there, and how often then.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);
/// How long what was sent may stay unacknowledged (Linux).
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

const NEEDED: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE is needed, with ?sslmode=disable, prefer or require \
                      behind it if need be (percent-encode @ : / # ? % in user and password)";

/// Where the usage store is and how to get in. `Debug` and `Display` show no password.
#[derive(Clone)]
pub struct PostgresUrl {
    text: String,
    config: postgres::Config,
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PostgresUrl {}

impl PostgresUrl {
    /// All that a connection needs. A secret.
    #[must_use]
    pub fn config(&self) -> &postgres::Config {
        &self.config
    }

    fn hosts(&self) -> String {
        let ports = self.config.get_ports();
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let shown = self.config.get_hosts().iter().enumerate().map(|(index, host)| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(index)),
            Host::Tcp(name) => format!("{name}:{}", port(index)),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{} (port {})", folder.display(), port(index)),
        });
        shown.collect::<Vec<_>>().join(",")
    }
}

impl FromStr for PostgresUrl {
    type Err = &'static str;

    /// No error repeats the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut config: postgres::Config = text.parse().map_err(|_| NEEDED)?;
        let is_plain = |host: &Host| match host {
            // Else a part of a password with an `@` in it would be shown as the host.
            Host::Tcp(name) => name.parse::<std::net::IpAddr>().is_ok() || is_host_name(name),
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        let is_whole = config.get_user().is_some_and(|user| !user.is_empty()) && config.get_dbname().is_some();
        if !is_whole || config.get_hosts().is_empty() || !config.get_hosts().iter().all(is_plain) {
            return Err(NEEDED);
        }
        if config.get_connect_timeout().is_none_or(Duration::is_zero) {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SEND_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name(env!("CARGO_PKG_NAME"));
        }
        let (idle, interval, retries) = KEEPALIVE;
        config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
        Ok(Self { text: text.to_owned(), config })
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (database, user) =
            (self.config.get_dbname().unwrap_or_default(), self.config.get_user().unwrap_or_default());
        write!(f, "PostgreSQL database {database} on {} as user {user}", self.hosts())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_shown_without_its_password() {
        for (text, shown) in [
            ("postgres://mona:hunter2@db.example/usage", "PostgreSQL database usage on db.example:5432 as user mona"),
            (
                "postgresql://mona:hunter2%40@[::1]:5433/usage?sslmode=require",
                "PostgreSQL database usage on [::1]:5433 as user mona",
            ),
            (
                "postgres://mona:hunter2@a.example:1,b.example:2/usage?target_session_attrs=read-write",
                "PostgreSQL database usage on a.example:1,b.example:2 as user mona",
            ),
        ] {
            let url: PostgresUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
            assert!(url.config().get_password().is_some_and(|password| password.starts_with(b"hunter2")));
            assert!(url.config().get_connect_timeout().is_some());
        }
        #[cfg(unix)]
        assert_eq!(
            "postgres://mona@%2Frun%2Fpostgresql/usage".parse::<PostgresUrl>().unwrap().to_string(),
            "PostgreSQL database usage on /run/postgresql (port 5432) as user mona"
        );
    }

    #[test]
    fn no_error_repeats_a_password() {
        for text in [
            "postgres://mona:hunter2@db.example",
            "postgres://mona:hunter2@/usage",
            "postgres://:hunter2@db/usage",
            "postgres://db.example/hunter2",
            "postgres://mona:x@hunter2@db.example/usage",
            "postgres://mona:hunter2@db.example:99999/usage",
            "postgres://mona:hunter2@db.example/usage?sslmode=verify-full",
            "postgres://mona:hunter2@db.example/usage?sslrootcert=x",
            "postgres://mona:%ff@%ff/hunter2",
            "host=db password=hunter2",
        ] {
            let message = text.parse::<PostgresUrl>().unwrap_err();
            assert!(message.contains("postgres://USER") && !message.contains("hunter2"), "{text}");
        }
    }
}
