//! Folders that vanish, are in nobody's reach, or come back.

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use super::*;

/// Debian's `nobody`.
const NOBODY: u32 = 65534;

/// Permissions bind everybody but root: as root, the site is given to `nobody`, who runs copilens then.
fn start_without_privileges(site: Site) -> Copilens {
    if !rustix::process::geteuid().is_root() {
        return site.start();
    }
    give_to_nobody(&site.path(""));
    Copilens::start_with(site, |command: &mut Command| {
        std::os::unix::process::CommandExt::uid(command, NOBODY);
        std::os::unix::process::CommandExt::gid(command, NOBODY);
    })
}

fn give_to_nobody(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        files_in(path).iter().for_each(|path| give_to_nobody(path));
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn permission_lost(policy: Policy) {
    let upstream = Upstream::start().await;
    let copilens = start_without_privileges(policy.set(Trial::with_small_segments(Trial::site(&upstream))));
    let mut trial = Trial::of(upstream, copilens).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    set_mode(&trial.path("logs"), 0);
    trial.ask_until_lost().await;
    trial.wait_for_trouble(&["logs/spool", "Permission denied", "let copilens's user write there"]).await;
    trial.ask_in_trouble(policy).await;
    set_mode(&trial.path("logs"), 0o700);
    trial.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_traffic_passes_counted_until_it_is_given_back() {
    permission_lost(Policy::Pass).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_traffic_is_refused_where_that_is_set() {
    permission_lost(Policy::Refuse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_permission_wait_in_the_spool_whatever_the_policy() {
    let upstream = Upstream::start().await;
    let copilens = start_without_privileges(Policy::Refuse.set(Trial::site(&upstream)));
    let mut trial = Trial::of(upstream, copilens).await;
    trial.ask_times(1).await;
    trial.has_recorded(1);
    set_mode(&trial.path("logs/usage"), 0);
    trial.ask_times(5).await;
    trial.wait_for_trouble(&["logs/usage/alice", "Permission denied", "let copilens's user write there"]).await;
    set_mode(&trial.path("logs/usage"), 0o700);
    trial.recovers().await;
    assert_eq!(trial.unrecorded().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_could_not_be_removed_are_removed_later() {
    let upstream = Upstream::start().await;
    let copilens = start_without_privileges(Trial::site(&upstream));
    let mut trial = Trial::of(upstream, copilens).await;
    fs::write(trial.path("logs/usage"), "in the way").unwrap();
    trial.ask_times(3).await;
    set_mode(&trial.path("logs/spool"), 0o500);
    fs::remove_file(trial.path("logs/usage")).unwrap();
    trial.has_recorded(3);
    trial
        .wait_for_trouble(&["cannot remove", "logs/spool/", "Permission denied", "let copilens's user write there"])
        .await;
    set_mode(&trial.path("logs/spool"), 0o700);
    let gone = || files_in(&trial.path("logs/spool")).is_empty().then_some(());
    wait_until("an empty spool", gone);
    trial.recovers().await;
}

async fn log_folder_removed(policy: Policy) {
    let mut trial = Trial::start(|site| policy.set(site)).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    fs::remove_dir_all(trial.path("logs")).unwrap();
    // What was there is gone with it; nothing that comes later is.
    trial.sent = 0;
    trial.ask_times(3).await;
    trial.recovers().await;
    assert_eq!(trial.unrecorded().await, 0);
    // It is still one instance's.
    let lock = trial.path("logs/.lock");
    wait_until("the lock", || lock.exists().then_some(()));
    let second = trial.copilens.site.command(&["rebuild"]).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(75), "{said}");
    assert!(said.contains(&format!("process {}", trial.copilens.pid())), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_folder_that_was_removed_is_made_again() {
    log_folder_removed(Policy::Pass).await;
    log_folder_removed(Policy::Refuse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_with_the_spools_folder_is_counted() {
    let mut trial = Trial::start(|site| site).await;
    trial.ask_times(1).await;
    trial.has_recorded(1);
    // Held up, so that the next ones wait in two segments of which the recorder has opened one at most.
    fs::rename(trial.path("logs/usage"), trial.path("logs/away")).unwrap();
    fs::write(trial.path("logs/usage"), "in the way").unwrap();
    trial.ask_times(2).await;
    trial.wait_for_trouble(&["logs/usage"]).await;
    trial.ask_times(2).await;
    fs::remove_dir_all(trial.path("logs/spool")).unwrap();
    trial.ask_times(2).await;
    fs::remove_file(trial.path("logs/usage")).unwrap();
    fs::rename(trial.path("logs/away"), trial.path("logs/usage")).unwrap();
    trial.recovers().await;
}

/// A folder that cannot be made again, because a file has its name.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_spool_folder_traffic_is_refused_where_that_is_set() {
    let mut trial = Trial::start(|site| Policy::Refuse.set(site)).await;
    fs::remove_dir_all(trial.path("logs/spool")).unwrap();
    fs::write(trial.path("logs/spool"), "in the way").unwrap();
    trial.ask_until_lost().await;
    trial.wait_for_trouble(&["logs/spool", "Not a directory"]).await;
    trial.ask_in_trouble(Policy::Refuse).await;
    fs::remove_file(trial.path("logs/spool")).unwrap();
    trial.recovers().await;
}
