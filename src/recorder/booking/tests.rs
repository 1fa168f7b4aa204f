//! Completions that wait to be seen, in every order of events and with a stop between any two steps.

use chrono::{NaiveDate, TimeDelta};
use prometheus_client::registry::Registry;
use serde_json::Value;

use super::*;
use crate::config::{Capture, Content};
use crate::copilot::observation::SuggestionKind;
use crate::exchange::{BodySize, Ending, Exchange, ResponseHead, Timings};
use crate::recorder::rebuild;
use crate::spool::{Options, Spool, Told};
use crate::store::{FILE_NAME, SqliteStore};

const PROMPT: &str = "prompt-canary";
const GHOST: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"ghost-canary\"}]}\n\ndata: [DONE]\n\n";

fn noon() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-20T12:00:00Z").unwrap().into()
}

/// A log folder and what books into it, which can be stopped and begun anew.
struct Trial {
    folder: tempfile::TempDir,
    live: Arc<Live>,
    booking: Booking,
    store: Arc<SqliteStore>,
}

impl Trial {
    fn with(capture: impl FnOnce(&mut Capture)) -> Self {
        Self::at(tempfile::tempdir().unwrap(), live(capture))
    }

    fn at(folder: tempfile::TempDir, live: Arc<Live>) -> Self {
        let store = Arc::new(SqliteStore::open(&folder.path().join(FILE_NAME)).unwrap());
        let files = RecordFiles::open(folder.path()).unwrap();
        if !store.is_whole().unwrap() {
            rebuild(&files, &*store, None, None).unwrap();
            store.mark_whole().unwrap();
        }
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        let mut booking = Booking::new(Arc::clone(&store) as Arc<dyn UsageStore>, files, Arc::clone(&live), metrics);
        booking.days.catch_up().unwrap();
        Self { folder, live, booking, store }
    }

    /// As after `kill -9`: nothing of it is in memory.
    fn killed(self) -> Self {
        let Self { folder, live, booking, store } = self;
        drop((booking, store));
        Self::at(folder, live)
    }

    fn killed_and_set(self, capture: impl FnOnce(&mut Capture)) -> Self {
        let Self { folder, .. } = self.killed();
        Self::at(folder, live(capture))
    }

    fn book(&mut self, batch: &[Spooled]) {
        self.try_book(batch).unwrap();
    }

    fn try_book(&mut self, batch: &[Spooled]) -> Result<(), Fault> {
        self.booking.book(&entries(batch))
    }

    /// By user: class and request of each record.
    fn records(&self) -> Vec<(String, String, String)> {
        let mut records = Vec::new();
        for user in ["alice", "bob"] {
            let folder = self.folder.path().join(format!("usage/{user}/completions"));
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let record: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let id = text(&record["request"]["headers"]["x-request-id"]);
                records.push((user.to_owned(), text(&record["class"]), id));
            }
        }
        records.sort();
        records
    }

    fn pending(&self) -> usize {
        let folder = |user| self.folder.path().join("pending").join(user);
        ["alice", "bob"].map(|user| std::fs::read_dir(folder(user)).map_or(0, Iterator::count)).iter().sum()
    }

    /// Completions, shown and accepted of a user in a day's file, once it says the same as the store and as `rebuild`.
    fn day(&mut self, user: &str, day: NaiveDate) -> [Option<u64>; 3] {
        self.booking.days.write().unwrap();
        let path = self.folder.path().join(format!("metrics/copilot-usage_{day}.json"));
        let text = || std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
        let file = text();
        if file != "{}" {
            assert_eq!(file, self.store.day(day).unwrap().to_json(), "the store");
            rebuild(&RecordFiles::open(self.folder.path()).unwrap(), &*self.store, None, None).unwrap();
            assert_eq!(file, text(), "`rebuild`");
        }
        let file: Value = serde_json::from_str(&file).unwrap();
        ["completions_count", "shown", "accepted"].map(|key| file["usage"][user][key].as_u64())
    }

    fn today(&mut self, user: &str) -> [Option<u64>; 3] {
        self.day(user, noon().date_naive())
    }

    fn noise(&self) -> u64 {
        let day = noon().date_naive();
        self.store.noise_counts(day, day, None).unwrap().values().sum()
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.folder.path().join(FILE_NAME)).unwrap().execute_batch(sql).unwrap();
    }
}

fn live(capture: impl FnOnce(&mut Capture)) -> Arc<Live> {
    let mut loaded = Loaded::default();
    capture(&mut loaded.settings.capture);
    Arc::new(Live::new(loaded))
}

/// As the spool hands them out.
fn entries(batch: &[Spooled]) -> Vec<Entry> {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), Options::default()).unwrap();
    for spooled in batch {
        let sizes =
            Exchange { head: spooled.head().clone(), request_body: vec![].into(), response_body: vec![].into() };
        let (_ack, place) = spool.place(&sizes);
        place.unwrap().fill(spooled.clone());
    }
    let mut reader = spool.reader();
    let mut read = Vec::new();
    while read.len() < batch.len() {
        read.extend(reader.next_batch(1000, u64::MAX, std::time::Duration::from_secs(10)).unwrap());
    }
    read
}

fn head(user: &str, request_id: &str, headers: &[(&str, &str)]) -> Head {
    let fields = [("editor-version", "vscode/1.96.2"), ("x-request-id", request_id)];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Head {
        account: None,
        id: ExchangeId::now(),
        user: user.to_owned(),
        client: [127, 0, 0, 1].into(),
        method: "POST".to_owned(),
        url: "https://proxy.business.githubcopilot.com/v1/engines/demo/completions".to_owned(),
        request_headers: fields.iter().chain(headers).map(owned).collect(),
        request_size: BodySize::default(),
        response: Some(ResponseHead {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        }),
        response_size: BodySize::default(),
        ending: Ending::Completed,
        timings: Timings { started_at: noon(), ended_at: noon(), first_byte_us: Some(1), duration_us: 2 },
    }
}

fn completion_at(user: &str, request_id: &str, headers: &[(&str, &str)], at: DateTime<Utc>) -> Spooled {
    let mut head = head(user, request_id, headers);
    (head.timings.started_at, head.timings.ended_at) = (at, at);
    let request_body = format!(r#"{{"prompt":"{PROMPT}","extra":{{"language":"go"}}}}"#).into();
    Spooled::AsSent(Exchange { head, request_body, response_body: GHOST.into() })
}

fn completion(user: &str, request_id: &str) -> Spooled {
    completion_at(user, request_id, &[], noon())
}

fn speculative(user: &str, request_id: &str) -> Spooled {
    completion_at(user, request_id, &[("x-copilot-speculative", "true")], noon())
}

/// A completion without an end.
fn ended(user: &str, request_id: &str, ending: Ending) -> Spooled {
    let Spooled::AsSent(mut exchange) = completion(user, request_id) else { unreachable!() };
    exchange.head.ending = ending;
    exchange.into()
}

/// A completion that the client cancelled when it had come.
fn cancelled(user: &str, request_id: &str) -> Spooled {
    ended(user, request_id, Ending::Canceled)
}

fn told_at(user: &str, request_id: &str, fate: Fate, at: DateTime<Utc>) -> Spooled {
    let mut head = head(user, &ExchangeId::now().to_string(), &[]);
    head.timings.ended_at = at;
    let report = SuggestionReport {
        suggestion_id: format!("suggestion-of-{request_id}"),
        kind: SuggestionKind::Completion,
        request_id: Some(request_id.to_owned()),
        fate,
        lines: Some(1),
        characters: Some(12),
        language: None,
        model: None,
        editor_version: None,
        time: None,
    };
    let notice = Notice::Telemetry(vec![Observation::Suggestion(report)]);
    Spooled::Told(Box::new((head, Told { notice, unrecognised: Vec::new() })))
}

fn shown(user: &str, request_id: &str) -> Spooled {
    told_at(user, request_id, Fate::Shown, noon())
}

fn accepted(user: &str, request_id: &str) -> Spooled {
    told_at(user, request_id, Fate::Accepted { partially: false }, noon())
}

fn turn(user: &str, request_id: &str) -> (String, String, String) {
    (user.to_owned(), "turn".to_owned(), request_id.to_owned())
}

#[test]
fn whatever_comes_first_and_however_it_comes_together_it_is_one_turn() {
    let (ahead, told, taken) = (speculative("alice", "a"), shown("alice", "a"), accepted("alice", "a"));
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        // Each alone, two and one, one and two, all at once.
        for cuts in [vec![1, 2], vec![2], vec![1], vec![]] {
            let entries = order.map(|index| [&ahead, &told, &taken][index].clone());
            let mut trial = Trial::with(|_| {});
            let mut begun = 0;
            for end in cuts.iter().copied().chain([3]) {
                // The spool hands out again what was not settled.
                trial.book(&entries[begun..end]);
                trial = trial.killed();
                trial.book(&entries[begun..end]);
                begun = end;
            }
            trial = trial.killed();
            trial.book(&entries);
            assert_eq!(trial.records(), [turn("alice", "a")], "{order:?} {cuts:?}");
            assert_eq!(trial.today("alice"), [Some(1); 3], "{order:?} {cuts:?}");
            assert_eq!((trial.pending(), trial.noise()), (0, 0), "{order:?} {cuts:?}");
        }
    }
}

#[test]
fn a_stop_between_any_two_steps_of_a_promotion_is_made_good() {
    for noise in [Noise::Drop, Noise::Record] {
        let set = |capture: &mut Capture| capture.noise = noise;
        let (ahead, batch) = (speculative("alice", "a"), [shown("alice", "a"), accepted("alice", "a")]);
        let steps: [fn(&mut Trial, &[Spooled]); 3] = [
            // The telemetry is in the store, the record is not written.
            |trial, batch| {
                let usage = trial.folder.path().join("usage");
                let aside = trial.folder.path().join("usage-aside");
                let _ = std::fs::rename(&usage, &aside);
                std::fs::write(&usage, "in the way").unwrap();
                assert!(trial.try_book(batch).is_err());
                std::fs::remove_file(&usage).unwrap();
                let _ = std::fs::rename(&aside, &usage);
                assert!(trial.store.was_shown("alice", "a").unwrap());
            },
            // The record is written, the event is noise.
            |trial, batch| {
                trial.sql(
                    "CREATE TRIGGER stop BEFORE INSERT ON usage_event WHEN NEW.class = 'turn'
                     BEGIN SELECT RAISE(ABORT, 'stop'); END",
                );
                assert!(trial.try_book(batch).is_err());
                trial.sql("DROP TRIGGER stop");
                assert_eq!((trial.records(), trial.noise()), (vec![turn("alice", "a")], 1));
            },
            // All is done but that the record still waits.
            |trial, batch| {
                let waiting = trial.folder.path().join("pending/alice");
                let file = std::fs::read_dir(&waiting).unwrap().next().unwrap().unwrap().path();
                let kept = std::fs::read(&file).unwrap();
                trial.book(batch);
                std::fs::write(file, kept).unwrap();
                assert_eq!(trial.pending(), 1);
            },
        ];
        for (number, step) in steps.into_iter().enumerate() {
            let mut trial = Trial::with(set);
            trial.book(std::slice::from_ref(&ahead));
            assert_eq!((trial.pending(), trial.noise()), (1, 1));
            step(&mut trial, &batch);
            let mut trial = trial.killed();
            trial.book(&batch);
            assert_eq!(trial.records(), [turn("alice", "a")], "{noise:?} {number}");
            assert_eq!(trial.today("alice"), [Some(1); 3], "{noise:?} {number}");
            assert_eq!((trial.pending(), trial.noise()), (0, 0), "{noise:?} {number}");
        }
    }
}

#[test]
fn a_completion_without_an_end_that_was_shown_before_is_a_turn() {
    for ending in [Ending::Canceled, Ending::UpstreamFailed] {
        let mut trial = Trial::with(|_| {});
        trial.book(&[shown("alice", "a"), ended("alice", "a", ending)]);
        assert_eq!((trial.records(), trial.pending()), (vec![turn("alice", "a")], 0), "{ending:?}");
    }
}

#[test]
fn what_waited_for_more_than_a_day_waited_too_long() {
    for (hours, turns) in [(23, 1), (25, 0)] {
        let mut trial = Trial::with(|_| {});
        trial.book(&[speculative("alice", "a")]);
        trial.book(&[told_at("alice", "a", Fate::Shown, noon() + chrono::TimeDelta::hours(hours))]);
        assert_eq!(trial.records().len(), turns, "after {hours} hours");
    }
}

#[test]
fn what_a_user_tells_is_of_no_other_user() {
    let mut trial = Trial::with(|_| {});
    trial.book(&[speculative("alice", "a"), speculative("bob", "b")]);
    trial.book(&[shown("alice", "b"), accepted("alice", "b"), shown("bob", "a")]);
    assert_eq!((trial.records(), trial.pending(), trial.noise()), (vec![], 2, 2));
    // Of the same id, each has their own.
    trial.book(&[speculative("alice", "c"), speculative("bob", "c"), shown("bob", "c")]);
    assert_eq!((trial.records(), trial.pending()), (vec![turn("bob", "c")], 3));
    assert_eq!(trial.today("alice")[0], Some(0));
}

#[test]
fn of_requests_with_one_id_the_first_answer_is_the_turn() {
    for first in [speculative("alice", "a"), cancelled("alice", "a")] {
        let retry = completion_at("alice", "a", &[], noon() + TimeDelta::seconds(5));
        let told = shown("alice", "a");
        for batches in [
            vec![vec![&first], vec![&retry], vec![&told]],
            vec![vec![&first, &retry], vec![&told]],
            vec![vec![&first], vec![&told], vec![&retry]],
            vec![vec![&told], vec![&first], vec![&retry]],
            vec![vec![&first, &retry, &told]],
        ] {
            let mut trial = Trial::with(|_| {});
            for batch in batches {
                trial.book(&batch.into_iter().cloned().collect::<Vec<_>>());
            }
            assert_eq!((trial.records(), trial.pending()), (vec![turn("alice", "a")], 0));
            assert_eq!((trial.today("alice"), trial.noise()), ([Some(1), Some(1), Some(0)], 1));
        }
    }
}

#[test]
fn an_acceptance_after_midnight_is_on_the_day_of_its_exchange_in_both_files() {
    let (day, night) = (noon() + TimeDelta::hours(11), noon() + TimeDelta::hours(13));
    let (before, after) = (day.date_naive(), night.date_naive());
    let ahead = completion_at("alice", "a", &[("x-copilot-speculative", "true")], day);
    let told =
        [told_at("alice", "a", Fate::Shown, night), told_at("alice", "a", Fate::Accepted { partially: true }, night)];
    for store_is_lost in [false, true] {
        let mut trial = Trial::with(|_| {});
        trial.book(&[ahead.clone(), completion_at("alice", "other", &[], day)]);
        trial.booking.days.write().unwrap();
        if store_is_lost {
            let Trial { folder, live, booking, store } = trial;
            drop((booking, store));
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(folder.path().join(format!("{FILE_NAME}{suffix}")));
            }
            trial = Trial::at(folder, live);
        }
        trial.book(&[completion_at("alice", "next", &[], night)]);
        // The files of both days are written between.
        trial.booking.days.write().unwrap();
        trial.book(&told);
        assert_eq!(trial.day("alice", before), [Some(2), Some(1), Some(1)], "{store_is_lost}");
        let of_night = trial.day("alice", after);
        assert_eq!(of_night[0], Some(1));
        assert!(of_night[1..].iter().all(|count| count.unwrap_or_default() == 0), "{of_night:?}");
    }
}

#[test]
fn a_store_made_anew_gets_what_is_shown_later_and_nothing_twice() {
    let mut trial = Trial::with(|_| {});
    let (one, two) = (speculative("alice", "a"), speculative("alice", "b"));
    trial.book(&[one.clone(), two.clone(), shown("alice", "a")]);
    trial.sql("DROP TABLE suggestion");
    drop(trial.store);
    std::fs::remove_file(trial.folder.path().join(FILE_NAME)).unwrap();
    let _ = std::fs::remove_file(trial.folder.path().join(format!("{FILE_NAME}-wal")));
    drop(trial.booking);
    let mut trial = Trial::at(trial.folder, trial.live);
    // A segment of the spool comes again, without the telemetry that came in another.
    trial.book(&[one, two]);
    trial.book(&[shown("alice", "b"), shown("alice", "a")]);
    assert_eq!(trial.records(), [turn("alice", "a"), turn("alice", "b")]);
    assert_eq!((trial.today("alice"), trial.pending()), ([Some(2), Some(2), Some(0)], 0));
}

#[test]
fn where_nothing_is_told_nothing_waits() {
    let mut trial = Trial::with(|capture| capture.telemetry = false);
    trial.book(&[speculative("alice", "a"), cancelled("alice", "b")]);
    assert_eq!((trial.pending(), trial.noise()), (0, 2));
}

#[test]
fn what_waited_with_its_texts_is_written_without_them_where_that_is_set_meanwhile() {
    let mut trial = Trial::with(|_| {});
    trial.book(&[speculative("alice", "a")]);
    let mut trial = trial.killed_and_set(|capture| capture.content = Content::Metadata);
    trial.book(&[shown("alice", "a")]);
    assert_eq!(trial.records(), [turn("alice", "a")]);
    let record = std::fs::read_dir(trial.folder.path().join("usage/alice/completions")).unwrap().next();
    let text = std::fs::read_to_string(record.unwrap().unwrap().path()).unwrap();
    assert!(!text.contains(PROMPT) && !text.contains("ghost-canary"), "{text}");
}

#[test]
fn a_waiting_record_that_cannot_be_read_costs_itself_alone() {
    let mut trial = Trial::with(|_| {});
    trial.book(&[speculative("alice", "a"), speculative("alice", "b")]);
    for entry in std::fs::read_dir(trial.folder.path().join("pending/alice")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains(r#""x-request-id":"a""#) {
            std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        }
    }
    trial.book(&[shown("alice", "a"), shown("alice", "b")]);
    assert_eq!(trial.records(), [turn("alice", "b")]);
}

#[cfg(unix)]
#[test]
fn no_record_is_taken_from_behind_a_link() {
    let mut trial = Trial::with(|_| {});
    trial.book(&[speculative("alice", "a")]);
    let (pending, elsewhere) = (trial.folder.path().join("pending/alice"), trial.folder.path().join("elsewhere"));
    std::fs::rename(&pending, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &pending).unwrap();
    assert!(trial.try_book(&[shown("alice", "a")]).is_err());
    assert_eq!((trial.records(), std::fs::read_dir(&elsewhere).unwrap().count()), (vec![], 1));
}
