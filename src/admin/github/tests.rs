//! What happens when much is asked at once, and when nobody reads.

use axum::body::Body;
use axum::http::Request as HttpRequest;
use axum::http::header::{HOST, RETRY_AFTER};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::admin::AdminToken;
use crate::config::{Live, Loaded, Tokens};
use crate::identity::{Account, Directory, Seed};
use crate::store::SqliteStore;

/// The day of every report here; teams are known for any.
const FILE: &str = "user-teams-1-day_2026-03-01.ndjson";

struct Office {
    folder: tempfile::TempDir,
    desk: Arc<Desk>,
    router: Router,
    bearer: String,
}

impl Office {
    /// With so many members of one team.
    fn new(members: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let access = Access::new(AdminToken::read_or_create(&file).unwrap(), Arc::new(Tokens::beside(&file)));
        let seed = Seed::generate().unwrap();
        let accounts = (0..members).map(|index| Account {
            teams: vec!["core".to_owned()],
            ..Account::new(format!("user-{index}").parse().unwrap())
        });
        let mut loaded = Loaded { directory: Directory::new(accounts, &seed), seed, ..Loaded::default() };
        loaded.settings.log_dir = folder.path().to_owned();
        let store = SqliteStore::open_or_renew(&folder.path().join("usage.sqlite3")).unwrap();
        let source = ReportSource::new(Arc::new(Live::new(loaded)), Arc::new(store));
        let desk = Arc::new(Desk::new(Arc::new(source)).unwrap());
        let bearer = format!("Bearer {}", std::fs::read_to_string(&file).unwrap().trim());
        Self { router: routes(Arc::clone(&desk), access), desk, bearer, folder }
    }

    async fn get(&self, path: &str) -> Response {
        let request = HttpRequest::get(path).header(HOST, "h").header("authorization", &self.bearer);
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    fn link(&self) -> String {
        self.desk.links.sign(&self.desk.source.live().current(), ReportFile::parse(FILE).unwrap(), Utc::now())
    }
}

fn assert_busy(answer: &Response) {
    let after = answer.headers().get(RETRY_AFTER).map(|after| after.to_str().unwrap());
    assert_eq!((answer.status(), after), (StatusCode::SERVICE_UNAVAILABLE, Some("5")));
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_many_reports_are_made_waits_a_little_and_is_sent_away() {
    let office = Office::new(1);
    let all = Arc::clone(&office.desk.making).acquire_many_owned(u32::try_from(MAKING).unwrap()).await.unwrap();
    assert_busy(&office.get("/orgs/example/copilot/billing").await);
    assert_busy(&office.get(&office.link()).await);
    drop(all);
    assert_eq!(office.get("/orgs/example/copilot/billing").await.status(), StatusCode::OK);
    assert_eq!(office.get(&office.link()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_do_not_read_do_not_keep_reports_from_being_made() {
    let office = Office::new(2_000);
    let mut open = Vec::new();
    for _ in 0..READING {
        let answer = office.get(&office.link()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        open.push(answer);
    }
    assert_busy(&office.get(&office.link()).await);
    // All are written to their ends, though nobody reads them.
    let all = Arc::clone(&office.desk.making).acquire_many_owned(u32::try_from(MAKING).unwrap());
    drop(tokio::time::timeout(Duration::from_secs(60), all).await.unwrap());
    assert_eq!(office.get("/orgs/example/copilot/billing").await.status(), StatusCode::OK);
    let whole = open.pop().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole.split(|byte| *byte == b'\n').count(), 2_001);
    drop(open);
    let all = Arc::clone(&office.desk.reading).acquire_many_owned(u32::try_from(READING).unwrap());
    drop(tokio::time::timeout(Duration::from_secs(60), all).await.unwrap());
    assert_eq!(office.get(&office.link()).await.status(), StatusCode::OK, "those who left made room");
}

#[tokio::test]
async fn what_cannot_be_made_is_told_before_the_file_begins() {
    let office = Office::new(1);
    std::fs::remove_dir_all(office.folder.path()).unwrap();
    assert_busy(&office.get(&office.link()).await);
}
