//! Disks that are full, out of inodes, read-only, or limited.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

use super::*;

const NO_MOUNT: &str = "mounting a file system is not permitted";

/// A file system of its own, unmounted in the end.
pub(super) struct Disk(TempDir);

impl Disk {
    /// In memory, with these limits. `None` where mounting is not permitted.
    fn of(limits: &str) -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let options = format!("mode=0700,{limits}");
        system("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], disk.0.path()).then_some(disk)
    }

    /// Where the log folder lies: the site's own is a link to it.
    fn logs(&self) -> PathBuf {
        self.0.path().join("logs")
    }

    fn hold_logs_of(&self, site: Site) -> Site {
        fs::create_dir_all(self.logs()).unwrap();
        symlink(self.logs(), site.path("logs")).unwrap();
        site
    }

    /// Takes all room that is left.
    fn fill(&self) {
        for size in [1 << 16, 1 << 12, 1] {
            let more = vec![1; size];
            let ballast = self.0.path().join(format!("ballast-{size}"));
            let mut file = fs::File::create(ballast).unwrap();
            while std::io::Write::write_all(&mut file, &more).is_ok() {}
        }
    }

    fn make_room(&self) {
        for ballast in files_in(self.0.path()).iter().filter(|path| !path.is_dir()) {
            fs::remove_file(ballast).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        system("umount", &["--lazy"], self.0.path());
    }
}

async fn full_disk(policy: Policy) {
    let Some(disk) = Disk::of("size=2m") else { return skipped(NO_MOUNT) };
    let mut trial = Trial::start(|site| disk.hold_logs_of(policy.set(site))).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    disk.fill();
    trial.ask_until_lost().await;
    let told = trial.wait_for_trouble(&["logs/spool/", "No space left", "free some disk space"]).await;
    assert!(told.contains("exchanges were not recorded since the start"), "{told}");
    trial.ask_in_trouble(policy).await;
    disk.make_room();
    trial.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_traffic_passes_counted_until_there_is_room() {
    full_disk(Policy::Pass).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_traffic_is_refused_where_that_is_set() {
    full_disk(Policy::Refuse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_out_of_inodes_is_told_and_recovered_from() {
    let Some(disk) = Disk::of("size=8m,nr_inodes=60") else { return skipped(NO_MOUNT) };
    let mut trial = Trial::start(|site| disk.hold_logs_of(site)).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    let taken = (0..).take_while(|n| fs::File::create(disk.0.path().join(format!("taken-{n}"))).is_ok()).count();
    assert!(taken > 10, "{taken}");
    for _ in 0..5 {
        assert_eq!(trial.ask().await, 200);
    }
    trial.wait_for_trouble(&["No space left", "free some disk space or inodes"]).await;
    disk.make_room();
    trial.recovers().await;
}

/// The store alone: noise makes no record file, and the spool lies elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_room_for_its_log_holds_up_nothing_but_the_counting() {
    let Some(disk) = Disk::of("size=2m") else { return skipped(NO_MOUNT) };
    let elsewhere = tempfile::tempdir().unwrap();
    let mut trial = Trial::start(|site| {
        let site = disk.hold_logs_of(Policy::Refuse.set(site));
        symlink(elsewhere.path(), site.path("logs/spool")).unwrap();
        site
    })
    .await;
    trial.ask().await;
    trial.has_recorded(1);
    disk.fill();
    let noise = Ask::completion().prompt(copilens::sim::copilot::NOTHING_TO_ADD);
    let mut sent = 0;
    while !trial.copilens.admin("/readyz").await.1.contains("no room for the usage store") {
        let another = noise.clone().with("x-request-id", &crate::asking::fresh_id());
        assert_eq!(another.finish(&trial.client).await.0, 200, "what the spool has will be recorded");
        sent += 1;
        assert!(sent < 500, "the store takes what a full disk cannot hold");
    }
    disk.make_room();
    trial.recovers().await;
    assert_eq!(trial.metric("copilens_noise_exchanges_total{reason=\"empty_completion\"}").await, sent);
    assert_eq!(trial.unrecorded().await, 0);
}

/// As far as names go; what is open stays writable, which no system call can change.
async fn read_only_disk(policy: Policy) {
    let Some(disk) = Disk::of("size=8m") else { return skipped(NO_MOUNT) };
    let logs = disk.logs();
    let mut trial = Trial::start(|site| disk.hold_logs_of(policy.set(Trial::with_small_segments(site)))).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    assert!(system("mount", &["--bind", logs.to_str().unwrap()], &logs));
    assert!(system("mount", &["-o", "remount,bind,ro"], &logs));
    trial.ask_until_lost().await;
    trial.wait_for_trouble(&["logs/spool", "Read-only file system", "remount it read-write"]).await;
    trial.ask_in_trouble(policy).await;
    assert!(system("umount", &[], &logs));
    trial.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_read_only_disk_traffic_passes_counted_until_it_is_writable() {
    read_only_disk(Policy::Pass).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_read_only_disk_traffic_is_refused_where_that_is_set() {
    read_only_disk(Policy::Refuse).await;
}

/// The kernel made it read-only after an error: nothing can be written, open or not, until it is mounted anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_failed_costs_what_is_counted_and_no_more() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(16 << 20).unwrap();
    let disk = Disk(tempfile::tempdir().unwrap());
    let mount = |path: &Path| {
        let image = image.path().to_str().unwrap();
        system("mount", &["-o", "loop,errors=remount-ro", image], path)
    };
    if !system("mkfs.ext4", &["-q", "-O", "^has_journal"], image.path()) || !mount(disk.0.path()) {
        return skipped("making and mounting an ext4 image is not permitted");
    }
    let mut trial = Trial::start(|site| disk.hold_logs_of(site)).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    // What has left the spool is safe elsewhere.
    wait_until("an empty spool", || files_in(&trial.path("logs/spool")).is_empty().then_some(()));
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let device = mounts.lines().find(|line| line.contains(disk.0.path().to_str().unwrap())).unwrap();
    let device = device.split(' ').next().unwrap().trim_start_matches("/dev/");
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    trial.ask_until_lost().await;
    trial.wait_for_trouble(&["Read-only file system", "remount it read-write"]).await;
    trial.ask_in_trouble(Policy::Pass).await;
    let lost = usize::try_from(trial.unrecorded().await).unwrap();
    let sent = trial.sent;
    let trial = trial.restart(Copilens::kill, |_| {
        assert!(system("umount", &[], disk.0.path()) && mount(disk.0.path()));
    });
    let mut trial = trial.await;
    trial.has_recorded(sent - lost);
    trial.ask().await;
    trial.has_recorded(sent - lost + 1);
}

/// As with a quota that is reached: a write fails, and the signal that comes with this one ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_file_sizes_is_survived_and_recovered_from() {
    let mut trial = Trial::start(|site| site).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    let pid = Pid::from_raw(i32::try_from(trial.copilens.pid()).unwrap());
    let unlimited = Rlimit { current: None, maximum: None };
    let before = prlimit(pid, Resource::Fsize, Rlimit { current: Some(1000), maximum: None }).unwrap();
    assert_eq!(before, unlimited);
    trial.ask_until_lost().await;
    trial.wait_for_trouble(&["logs/spool/", "File too large"]).await;
    trial.ask_in_trouble(Policy::Pass).await;
    prlimit(pid, Resource::Fsize, unlimited).unwrap();
    trial.recovers().await;
}

/// Each command says what is the matter, and done again with room it has done all of it, once.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nobody_is_forgotten_and_nothing_imported_by_halves() {
    let Some(disk) = Disk::of("size=24m") else { return skipped(NO_MOUNT) };
    let mut trial = Trial::start(|site| disk.hold_logs_of(site)).await;
    trial.ask_times(3).await;
    trial.has_recorded(3);
    let (_, site) = trial.copilens.stop();
    let add_on = tempfile::tempdir().unwrap();
    let (from, count) = (add_on.path().display().to_string(), 400);
    crate::import::write_records(add_on.path(), "carol", true, count);
    let said = |command: &[&str]| {
        let output = site.output(command);
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let total = |what: &str| {
        serde_json::from_str::<Value>(&site.stdout(&["report", "--json", "--from", "2020-01-01"])).unwrap()["total"]
            [what]
            .as_u64()
    };
    // Not even the files that SQLite makes beside its own, and then some but not enough.
    for room in [0, 400 << 10] {
        disk.fill();
        let ballast = fs::File::options().write(true).open(disk.0.path().join("ballast-65536")).unwrap();
        ballast.set_len(ballast.metadata().unwrap().len() - room).unwrap();
        drop(ballast);
        for command in [["import", &from].as_slice(), &["forget", "alice", "--yes"]] {
            let (code, text) = said(command);
            assert!(code == Some(74) && text.contains("free some disk space"), "{room} {command:?}: {code:?} {text}");
        }
        disk.make_room();
        assert_eq!(total("completions"), Some(3));
    }
    assert_eq!((said(&["import", &from]).0, total("chat_turns")), (Some(0), Some(count as u64)));
    assert_eq!((said(&["forget", "alice", "--yes"]).0, total("completions")), (Some(0), Some(3)));
    assert_eq!(files_in(&site.path("logs/usage")).len(), 1, "carol's alone");
}
