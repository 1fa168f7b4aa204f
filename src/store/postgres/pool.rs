//! Connections to one database: made when needed, kept while idle, thrown away after any error.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postgres::Client;

use super::error::{Answer, Context as _};
use super::{reach, schema, tls};
use crate::config::PostgresUrl;
use crate::store::Result;

/// As many idle connections are kept.
const KEPT: usize = 4;

/// An idle connection is tried before use after this long: the server may have ended it.
const FRESH: Duration = Duration::from_secs(5);

/// What each session is set to. A lock is waited for less long than a statement may take. The rest is what our statements rely
/// on, and what a database may have other defaults for.
const SESSION: &str = "
    SET lock_timeout = '5s';
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '60s';
    SET default_transaction_isolation = 'read committed';
    SET TIME ZONE 'UTC';
    SET bytea_output = 'hex'";

/// What is committed is taken out of the spool, so no crash of the server may undo it. Who waits for standbys, too, goes on so.
const DURABLE: &str =
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Whether a pool's connections may make and change the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// The connections.
pub(super) struct Pool {
    url: PostgresUrl,
    access: Access,
    idle: Mutex<Vec<(Client, Instant)>>,
}

impl Pool {
    /// None is open yet.
    pub(super) fn new(url: &PostgresUrl, access: Access) -> Self {
        Self { url: url.clone(), access, idle: Mutex::default() }
    }

    /// Runs `work` on an idle connection or on a new one. One that met an error, or a panic, is not used again.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Client) -> Answer<T>) -> Result<T> {
        let result = self.take().and_then(|mut client| work(&mut client).map(|done| (done, client)));
        let result = result.inspect_err(|_| self.close()).at(&self.url);
        result.map(|(done, client)| {
            let mut idle = self.lock();
            if idle.len() < KEPT {
                idle.push((client, Instant::now()));
            }
            done
        })
    }

    /// Closes those that are idle. If one of them is broken, so are the others, most likely.
    pub(super) fn close(&self) {
        // Not under the lock: closing tells the server.
        let idle = std::mem::take(&mut *self.lock());
        drop(idle);
    }

    fn take(&self) -> Answer<Client> {
        loop {
            let idle = self.lock().pop();
            let Some((mut client, since)) = idle else { return self.connect() };
            if since.elapsed() < FRESH || client.check_connection().is_ok() {
                return Ok(client);
            }
        }
    }

    fn connect(&self) -> Answer<Client> {
        let mut client = connect(&self.url)?;
        match self.access {
            Access::Write => schema::migrate(&mut client, &self.url)?,
            Access::Read => schema::expect(&mut client, &self.url)?,
        }
        Ok(client)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Client, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    /// On a thread of its own: a connection has a runtime inside, which must not end on a thread of another one.
    fn drop(&mut self) {
        let idle = std::mem::take(&mut *self.lock());
        if !idle.is_empty()
            && let Ok(thread) = std::thread::Builder::new().name("store-close".to_owned()).spawn(move || drop(idle))
        {
            let _ = thread.join();
        }
    }
}

/// A connection whose session is set, whatever the database has.
pub(super) fn connect(url: &PostgresUrl) -> Answer<Client> {
    reach::expect_answer(url)?;
    let config = url.config();
    let mut client = config.connect(tls::connector(config.get_ssl_mode())?)?;
    client.batch_execute(SESSION)?;
    client.batch_execute(DURABLE)?;
    Ok(client)
}
