//! The configuration of the running proxy: read on each request without a lock, replaced when a file changes.
//!
//! Files are compared by their contents, once a second: that needs no support from the system, and works with editors that
//! rename, with mounted volumes and with links.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::load::{Loaded, Sources};

/// How often the files are looked at. A change counts once two looks see the same, so it takes effect within twice this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the files hold; `None` for one that cannot be read.
type Contents = Vec<Option<Vec<u8>>>;

/// The current configuration.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Loaded>,
    fault: ArcSwapOption<String>,
    published: watch::Sender<u64>,
}

impl Live {
    /// Begins with what was loaded at the start.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        Self { current: ArcSwap::from_pointee(loaded), fault: ArcSwapOption::empty(), published: watch::Sender::new(0) }
    }

    /// The configuration as it is now. What one request reads should come from one call.
    #[must_use]
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// Why the files as they are now are not in use; `None` where they are.
    #[must_use]
    pub fn reload_fault(&self) -> Option<String> {
        self.fault.load_full().map(|fault| fault.as_ref().clone())
    }

    /// Tells of every new configuration; the number counts them.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Watches the files for as long as it is polled. A change is loaded; with a fault, the configuration stays as it was
    /// and [`Live::reload_fault`] tells why until the files are good again.
    pub async fn watch(&self, sources: Sources) {
        self.watch_every(LOOK_EVERY, sources).await;
    }

    async fn watch_every(&self, period: Duration, sources: Sources) {
        let sources = Arc::new(sources);
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut in_use = self.look(&sources).await;
        let mut seen = in_use.clone();
        // Files may have changed between the start's load and the first look.
        let mut is_due = true;
        loop {
            ticks.tick().await;
            let now = self.look(&sources).await;
            let is_stable = now == seen;
            seen = now;
            // While there is a fault, the cure may be in a file that only the faulty settings name.
            if is_stable && (is_due || seen != in_use || self.fault.load().is_some()) {
                let is_new_text = seen != in_use;
                if self.reload(&sources, &seen, is_new_text).await {
                    in_use.clone_from(&seen);
                    is_due = false;
                }
            }
        }
    }

    /// The contents of the settings file, the allowlist and the seed.
    async fn look(&self, sources: &Sources) -> Contents {
        let auth = &self.current().settings.auth;
        let files: [PathBuf; 3] = [sources.path().to_owned(), auth.allowlist.clone(), auth.seed_file.clone()];
        let read = move || files.iter().map(|file| fs::read(file).ok()).collect();
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    /// False, and nothing done, where the files are no longer as they were seen: somebody is writing, and what was loaded
    /// may be half a file or an empty one, which may well be valid.
    async fn reload(&self, sources: &Arc<Sources>, seen: &Contents, is_new_text: bool) -> bool {
        let loaded = load(sources).await;
        if self.look(sources).await != *seen {
            return false;
        }
        match loaded {
            Ok(loaded) => self.publish(loaded),
            Err(fault) => self.refuse(fault, is_new_text),
        }
        true
    }

    fn publish(&self, mut loaded: Loaded) {
        let running = self.current();
        for key in loaded.settings.keep_start_values(&running.settings) {
            tracing::warn!(key, "a changed setting takes effect at the next start");
        }
        let had_fault = self.fault.swap(None).is_some();
        if had_fault || loaded != *running {
            let users = loaded.directory.users().len();
            self.current.store(Arc::new(loaded));
            tracing::info!(users, "configuration reloaded");
            self.published.send_modify(|count| *count += 1);
        }
    }

    /// Tells of a fault once for each text of the files.
    fn refuse(&self, fault: String, is_new_text: bool) {
        if is_new_text || self.reload_fault().as_ref() != Some(&fault) {
            tracing::error!(fault, "configuration not reloaded; the one before stays in use");
        }
        self.fault.store(Some(Arc::new(fault)));
    }
}

async fn load(sources: &Arc<Sources>) -> Result<Loaded, String> {
    let sources = Arc::clone(sources);
    match tokio::task::spawn_blocking(move || sources.load()).await {
        Ok(loaded) => loaded.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    struct Running {
        folder: tempfile::TempDir,
        live: Arc<Live>,
        watcher: tokio::task::JoinHandle<()>,
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.watcher.abort();
        }
    }

    fn settings_text(folder: &Path, allowlist: &str) -> String {
        let at = |name: &str| folder.join(name).display().to_string();
        format!("[auth]\nallowlist = '{}'\nseed_file = '{}'\n", at(allowlist), at("seed"))
    }

    impl Running {
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("users.toml"), "[[user]]\nname = 'octocat'\n").unwrap();
            fs::write(folder.path().join("copilens.toml"), settings_text(folder.path(), "users.toml")).unwrap();
            let sources = Sources::new(Some(folder.path().join("copilens.toml")), Environment::default());
            let live = Arc::new(Live::new(sources.load_or_create_seed().unwrap()));
            let watching = Arc::clone(&live);
            let watcher = tokio::spawn(async move { watching.watch_every(Duration::from_millis(5), sources).await });
            Self { folder, live, watcher }
        }

        fn write(&self, name: &str, text: &str) {
            let new = self.folder.path().join("new-file");
            fs::write(&new, text).unwrap();
            fs::rename(new, self.folder.path().join(name)).unwrap();
        }

        async fn wait_until(&self, condition: impl Fn(&Live) -> bool) {
            let wait = async {
                while !condition(&self.live) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
        }
    }

    fn has_user(live: &Live, name: &str) -> bool {
        live.current().directory.get(name).is_some()
    }

    #[tokio::test]
    async fn a_changed_allowlist_takes_effect() {
        let running = Running::start();
        let mut changes = running.live.subscribe();
        running.write("users.toml", "[[user]]\nname = 'mona'\n");
        changes.changed().await.unwrap();
        assert!(has_user(&running.live, "mona") && !has_user(&running.live, "octocat"));
    }

    #[tokio::test]
    async fn a_bad_file_keeps_the_old_one_and_says_why_until_it_is_good() {
        let running = Running::start();
        running.write("users.toml", "[[user]]\nname = 'a b'\n");
        running.wait_until(|live| live.reload_fault().is_some()).await;
        assert!(running.live.reload_fault().unwrap().contains("users.toml:2: name"));
        assert!(has_user(&running.live, "octocat"));
        running.write("users.toml", "[[user]]\nname = 'mona'\n");
        running.wait_until(|live| has_user(live, "mona")).await;
        assert_eq!(running.live.reload_fault(), None);
    }

    #[tokio::test]
    async fn a_fault_in_a_file_that_only_the_new_settings_name_can_be_cured_there() {
        let running = Running::start();
        running.write("new.toml", "x = 1");
        running.write("copilens.toml", &settings_text(running.folder.path(), "new.toml"));
        running.wait_until(|live| live.reload_fault().is_some_and(|fault| fault.contains("new.toml:1"))).await;
        running.write("new.toml", "[[user]]\nname = 'mona'\n");
        running.wait_until(|live| has_user(live, "mona")).await;
        running.write("new.toml", "[[user]]\nname = 'hubot'\n");
        running.wait_until(|live| has_user(live, "hubot")).await;
    }

    #[tokio::test]
    async fn what_is_being_written_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.toml");
        fs::write(&users, "[[user]]\nname = 'octocat'\n").unwrap();
        fs::write(folder.path().join("copilens.toml"), settings_text(folder.path(), "users.toml")).unwrap();
        let sources = Arc::new(Sources::new(Some(folder.path().join("copilens.toml")), Environment::default()));
        let live = Live::new(sources.load_or_create_seed().unwrap());
        let seen = live.look(&sources).await;
        fs::write(&users, "").unwrap();
        assert!(!live.reload(&sources, &seen, true).await);
        assert!(has_user(&live, "octocat"));
        assert!(live.reload(&sources, &live.look(&sources).await, true).await);
        assert!(!has_user(&live, "octocat"));
    }

    #[tokio::test]
    async fn a_lost_seed_changes_no_password() {
        let running = Running::start();
        let before = running.live.current();
        fs::remove_file(running.folder.path().join("seed")).unwrap();
        running.wait_until(|live| live.reload_fault().is_some_and(|fault| fault.contains("seed: no such file"))).await;
        assert!(Arc::ptr_eq(&before, &running.live.current()));
        assert!(!running.folder.path().join("seed").exists());
    }

    #[tokio::test]
    async fn what_takes_a_start_stays_as_it_was() {
        let running = Running::start();
        let text = settings_text(running.folder.path(), "users.toml");
        running.write("copilens.toml", &format!("listen = '127.0.0.1:1'\nshutdown_grace = '1s'\n{text}"));
        running.wait_until(|live| live.current().settings.shutdown_grace.as_secs() == 1).await;
        assert_eq!(running.live.current().settings.listen.port(), 8080);
    }

    #[tokio::test]
    async fn nothing_is_published_without_a_change_of_meaning() {
        let running = Running::start();
        let before = running.live.current();
        running.write("users.toml", "# Hello.\n[[user]]\nname = 'octocat'\n");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(Arc::ptr_eq(&before, &running.live.current()));
    }
}
