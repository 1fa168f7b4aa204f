//! Who may pass. Credentials are looked at on every way in, before anything is resolved, dialled or recorded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::PROXY_AUTHORIZATION;

use crate::config::Loaded;
use crate::identity::basic::Credentials;
use crate::identity::{User, UserName};

/// One line about failures from an address is written in this time, however many there are: a client with a wrong
/// password sends some forty CONNECTs in half a second.
const QUIET: Duration = Duration::from_secs(10);
/// Addresses of which the log tells at a time; the failures of more are counted in `/metrics` alone.
const MAX_ADDRESSES: usize = 1024;

/// Somebody who may pass.
#[derive(Clone)]
pub(crate) struct Guest {
    user: Arc<User>,
    /// Passes without credentials, as long as none are required.
    anonymous: bool,
}

impl Guest {
    /// The name that everything is booked on.
    pub(crate) fn name(&self) -> &UserName {
        self.user.name()
    }

    /// Whether the allowlist in force still lets this guest pass.
    pub(crate) fn is_still_admitted(&self, loaded: &Loaded) -> bool {
        if self.anonymous { !loaded.settings.auth.required } else { loaded.directory.still_admits(&self.user) }
    }
}

impl From<Arc<User>> for Guest {
    fn from(user: Arc<User>) -> Self {
        Self { user, anonymous: false }
    }
}

/// Decides on each request, and keeps what must be remembered between them.
#[derive(Default)]
pub(crate) struct Admission {
    failures: Arc<Mutex<HashMap<IpAddr, u64>>>,
    seen: Mutex<HashMap<IpAddr, Seen>>,
}

/// The user last seen from an address, for `auth.remember_address`.
struct Seen {
    /// `None` where there were several.
    user: Option<Arc<User>>,
    at: Instant,
}

impl Admission {
    /// The guest that the request's credentials name, or `None` for a 407.
    pub(crate) fn admit(&self, loaded: &Loaded, client: IpAddr, headers: &HeaderMap) -> Option<Guest> {
        let given = headers.get_all(PROXY_AUTHORIZATION).iter().collect::<Vec<_>>();
        let credentials = match given.as_slice() {
            [one] => Credentials::parse(one.as_bytes()).ok(),
            _ => None,
        };
        let user = credentials.as_ref().and_then(|credentials| loaded.directory.authenticate(credentials));
        if let Some(user) = user {
            self.remember(loaded, client, &user);
            return Some(user.into());
        }
        if given.is_empty()
            && let Some(user) = self.recall(loaded, client)
        {
            return Some(user.into());
        }
        if !loaded.settings.auth.required {
            return Some(Guest { user: loaded.directory.anonymous(), anonymous: true });
        }
        // A first request without credentials is how Chromium and curl ask for the challenge: nothing to report.
        if !given.is_empty() {
            self.note_failure(client, credentials.as_ref().map(|credentials| credentials.name.as_str()));
        }
        None
    }

    fn remember(&self, loaded: &Loaded, client: IpAddr, user: &Arc<User>) {
        let life = loaded.settings.auth.remember_address;
        if life.is_zero() {
            return;
        }
        let mut seen = lock(&self.seen);
        seen.retain(|_, seen| seen.at.elapsed() < life);
        let entry = seen.entry(client).or_insert_with(|| Seen { user: Some(Arc::clone(user)), at: Instant::now() });
        if entry.user.as_ref().is_some_and(|known| known.name() != user.name()) {
            entry.user = None;
        } else if entry.user.is_some() {
            entry.user = Some(Arc::clone(user));
        }
        entry.at = Instant::now();
    }

    fn recall(&self, loaded: &Loaded, client: IpAddr) -> Option<Arc<User>> {
        let life = loaded.settings.auth.remember_address;
        let seen = lock(&self.seen);
        let entry = seen.get(&client).filter(|entry| entry.at.elapsed() < life)?;
        entry.user.clone().filter(|user| loaded.directory.still_admits(user))
    }

    fn note_failure(&self, client: IpAddr, name: Option<&str>) {
        let mut failures = lock(&self.failures);
        if let Some(count) = failures.get_mut(&client) {
            *count += 1;
            return;
        }
        if failures.len() >= MAX_ADDRESSES {
            return;
        }
        failures.insert(client, 0);
        let name = name.and_then(|name| name.parse::<UserName>().ok());
        let name = name.as_ref().map_or("(no valid name)", UserName::as_str);
        tracing::warn!(%client, user = name, "wrong proxy credentials");
        tokio::spawn(sum_up(Arc::clone(&self.failures), client));
    }
}

async fn sum_up(failures: Arc<Mutex<HashMap<IpAddr, u64>>>, client: IpAddr) {
    tokio::time::sleep(QUIET).await;
    let more = lock(&failures).remove(&client).unwrap_or_default();
    if more > 0 {
        tracing::warn!(%client, more, "wrong proxy credentials, repeated within {} s", QUIET.as_secs());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
