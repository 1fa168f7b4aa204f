//! Symbolic links planted in the log folder: nothing is written where they lead.

use std::os::unix::fs::symlink;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_place_of_a_folder_is_told_and_not_written_through() {
    let mut trial = Trial::start(|site| site).await;
    trial.ask().await;
    trial.has_recorded(1);
    let (elsewhere, away) = (tempfile::tempdir().unwrap(), trial.path("away"));
    for folder in ["usage", "usage/alice", "usage/alice/completions", ".unfinished", "metrics"] {
        let folder = format!("logs/{folder}");
        fs::rename(trial.path(&folder), &away).unwrap();
        symlink(elsewhere.path(), trial.path(&folder)).unwrap();
        trial.ask_times(2).await;
        trial.wait_for_trouble(&[&folder, "a symbolic link, which is not followed", "move away"]).await;
        assert!(files_in(elsewhere.path()).is_empty(), "{folder}");
        fs::remove_file(trial.path(&folder)).unwrap();
        fs::rename(&away, trial.path(&folder)).unwrap();
        trial.recovers().await;
    }
    assert_eq!(trial.unrecorded().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_place_of_a_day_file_is_replaced() {
    let mut trial = Trial::start(|site| site).await;
    trial.ask().await;
    trial.has_recorded(1);
    let day = files_in(&trial.path("logs/metrics")).pop().unwrap();
    let target = trial.path("target");
    fs::write(&target, "somebody's").unwrap();
    fs::remove_file(&day).unwrap();
    symlink(&target, &day).unwrap();
    trial.ask().await;
    wait_until("the day file", || fs::symlink_metadata(&day).unwrap().is_file().then_some(()));
    trial.has_recorded(2);
    assert_eq!(fs::read_to_string(&target).unwrap(), "somebody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_place_of_lock_or_store_is_refused_at_the_start() {
    let upstream = Upstream::start().await;
    let site = Trial::site(&upstream);
    fs::create_dir(site.path("logs")).unwrap();
    for name in [".lock", "usage.sqlite3"] {
        let (link, target) = (site.path("logs").join(name), site.path("target"));
        for content in [Some("somebody's"), None] {
            let _ = fs::remove_file(&target);
            content.inspect(|text| fs::write(&target, text).unwrap());
            symlink(&target, &link).unwrap();
            let refused = site.output(&["rebuild"]);
            let said = String::from_utf8(refused.stderr).unwrap();
            assert_eq!(refused.status.code(), Some(74), "{said}");
            assert!(said.contains(&format!("logs/{name}")) && said.contains("a symbolic link"), "{said}");
            assert_eq!(fs::read_to_string(&target).ok().as_deref(), content);
            fs::remove_file(&link).unwrap();
        }
    }
}
