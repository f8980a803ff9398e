use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use serde_json::Map;
use sqlx::Executor;

use super::*;
use crate::core::event::{Event, EventKind, Origin};
use crate::core::memory::{Change, Documents};
use crate::core::poll::PollKind;
use crate::core::rule::{ActionKind, Owner, Terms};

fn origin() -> Origin {
    Origin { name: "main".into(), url: "https://peertube.example.com".into() }
}

fn event(number: usize) -> Event {
    let what = format!("email/{number}");
    Event::new(&origin(), EventKind::JobFailed, &what, Some(what.clone()), Timestamp::UNIX_EPOCH, Map::new())
}

/// The commit of the `number`th poll: it remembers its number, tells two events.
fn poll(number: usize) -> Commit {
    Commit {
        instance: "main".into(),
        poll: PollKind::Jobs,
        changes: vec![Change { key: "polls".into(), value: Some(number.to_string()) }],
        settled: vec![(number as i64, Timestamp::now())],
        events: vec![event(2 * number), event(2 * number + 1)],
        claims: Vec::new(),
    }
}

async fn daemon(path: &Path) -> Store {
    let store = Store::open(path, Access::Daemon).await.unwrap();
    store.enrol(&origin()).await.unwrap();
    store
}

async fn told(store: &Store) -> Vec<Event> {
    let filter = EventFilter { limit: 1000, ..EventFilter::default() };
    store.events(&filter).await.unwrap().into_iter().map(|stored| stored.event).collect()
}

async fn polls(store: &Store) -> usize {
    store.memory("main", PollKind::Jobs).await.unwrap().get("polls").map_or(0, |text| text.parse().unwrap())
}

/// Memory, settled jobs and events must agree: of each poll all or nothing.
async fn assert_whole(store: &Store) -> usize {
    let polls = polls(store).await;
    assert_eq!(told(store).await, (2..2 * polls + 2).map(event).collect::<Vec<_>>());
    let mut settled = store.settled("main").await.unwrap();
    settled.sort_unstable();
    assert_eq!(settled, (1..=polls as i64).collect::<Vec<_>>());
    polls
}

#[tokio::test]
async fn what_a_rule_owes_that_was_just_taken_away_is_a_dead_letter() {
    let directory = tempfile::tempdir().unwrap();
    let store = daemon(&directory.path().join("state.db")).await;
    let owner = |name: &str| {
        let owner = Owner { name: name.into(), action: ActionKind::Webhook, terms: Terms::default() };
        Claim { event: 0, owner: Arc::new(owner) }
    };
    store.enrol_rules(&[("chat", false), ("gone", false)], Timestamp::UNIX_EPOCH).await.unwrap();
    // Between what a poll found and its turn to store it.
    store.enrol_rules(&[("chat", false)], Timestamp::UNIX_EPOCH).await.unwrap();
    store.commit(&Commit { claims: vec![owner("chat"), owner("gone")], ..poll(1) }).await.unwrap();
    let listed = store.deliveries().await.unwrap();
    let dead: Vec<_> = listed.iter().map(|one| (one.rule.as_str(), one.is_dead)).collect();
    assert_eq!(dead, [("chat", false), ("gone", true)]);
    assert!(listed[1].error.as_ref().unwrap().contains("not in the configuration"));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_power_cut_at_any_byte_leaves_whole_polls_and_the_next_ones_tell_the_rest_once() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state.db");
    let store = daemon(&path).await;
    for number in 1..=12 {
        store.commit(&poll(number)).await.unwrap();
    }
    // The store is still open, as at a power cut; its log is cut anywhere.
    let wal = home.path().join("state.db-wal");
    let length = fs::metadata(&wal).unwrap().len();
    let mut seen = Vec::new();
    for cut in (0..40).map(|step| length - length * step * step / 1600).chain([0]) {
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("state.db");
        fs::copy(&path, &copy).unwrap();
        fs::copy(&wal, copies.path().join("state.db-wal")).unwrap();
        let copied = OpenOptions::new().write(true).open(copies.path().join("state.db-wal")).unwrap();
        copied.set_len(cut).unwrap();

        let survivor = daemon(&copy).await;
        let known = assert_whole(&survivor).await;
        for number in known + 1..=12 {
            assert_eq!(survivor.commit(&poll(number)).await.unwrap().told.len(), 2);
        }
        assert_eq!(assert_whole(&survivor).await, 12);
        seen.push(known);
    }
    assert_eq!(seen[0], 12, "nothing was cut, so nothing may be missing");
    assert!(seen.contains(&0) && seen.iter().any(|known| (1..12).contains(known)), "{seen:?}");
}

#[tokio::test]
async fn a_commit_that_fails_at_its_end_leaves_nothing_of_its_beginning() {
    let home = tempfile::tempdir().unwrap();
    let store = daemon(&home.path().join("state.db")).await;
    store.commit(&poll(1)).await.unwrap();
    // Memory is written last: this fails when the events stand already.
    let pool = &store.writer.as_ref().unwrap().pool;
    pool.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON memory WHEN NEW.body = '2' BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .await
    .unwrap();
    assert!(matches!(store.commit(&poll(2)).await, Err(StoreError::Sql { .. })));
    assert_eq!(assert_whole(&store).await, 1);

    pool.execute("DROP TRIGGER refuse").await.unwrap();
    assert_eq!(store.commit(&poll(2)).await.unwrap().told, [event(4), event(5)]);
    assert_eq!(assert_whole(&store).await, 2);
}

#[tokio::test]
async fn a_full_disk_is_told_and_passes() {
    let home = tempfile::tempdir().unwrap();
    let store = daemon(&home.path().join("state.db")).await;
    store.commit(&poll(1)).await.unwrap();
    let pool = &store.writer.as_ref().unwrap().pool;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(pool).await.unwrap();
    pool.execute(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).await.unwrap();
    let mut large = poll(2);
    large.changes.push(Change { key: "large".into(), value: Some("x".repeat(100_000)) });

    let error = store.commit(&large).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert_eq!(assert_whole(&store).await, 1);

    // The bound was the failed connection's own; the next one sees a disk with space.
    store.commit(&large).await.unwrap();
    assert_eq!(assert_whole(&store).await, 2);
}

#[tokio::test]
async fn a_state_that_can_only_be_read_is_told_and_passes() {
    let home = tempfile::tempdir().unwrap();
    let store = daemon(&home.path().join("state.db")).await;
    store.commit(&poll(1)).await.unwrap();
    let pool = &store.writer.as_ref().unwrap().pool;
    pool.execute("PRAGMA query_only = 1").await.unwrap();
    let error = store.commit(&poll(2)).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }) && error.is_transient(), "{error:?}");
    assert!(matches!(store.look_after().await, Err(StoreError::ReadOnly { .. })));
    assert_eq!(store.trouble(), Some(Fault::ReadOnly));
    assert_eq!(store.failures(Fault::ReadOnly), 2);
    assert_eq!(assert_whole(&store).await, 1, "it can be read");

    pool.execute("PRAGMA query_only = 0").await.unwrap();
    store.look_after().await.unwrap();
    assert_eq!(store.trouble(), None, "seen though nothing had to be stored");
    store.commit(&poll(2)).await.unwrap();
    assert_eq!(assert_whole(&store).await, 2);
}

#[tokio::test]
async fn a_newer_schema_is_left_alone_by_daemon_and_reader() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state.db");
    let store = daemon(&path).await;
    store.writer.as_ref().unwrap().pool.execute("INSERT INTO schema_version (version) VALUES (99)").await.unwrap();
    store.close().await.unwrap();
    drop(store);
    for access in [Access::Daemon, Access::Beside] {
        let error = Store::open(&path, access).await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, known: schema::KNOWN, .. }), "{error:?}");
        assert!(error.to_string().contains("update tubewarden"), "{error}");
    }
}

#[tokio::test]
async fn what_is_asked_often_is_found_by_an_index() {
    let home = tempfile::tempdir().unwrap();
    let store = daemon(&home.path().join("state.db")).await;
    for (question, index) in [
        ("SELECT fingerprint FROM settled WHERE instance_id = 1", "COVERING INDEX sqlite_autoindex_settled_1"),
        ("SELECT min(seq + 0) FROM events WHERE time >= 5", "COVERING INDEX events_time"),
        ("SELECT body FROM events WHERE seq > 5 AND type IN ('a') ORDER BY seq LIMIT 5", "INDEX events_type"),
        ("SELECT body FROM events WHERE seq > 5 ORDER BY seq LIMIT 5", "INTEGER PRIMARY KEY"),
        ("SELECT seq FROM events WHERE recorded_at < 5 ORDER BY recorded_at LIMIT 5", "INDEX events_age"),
        ("SELECT fingerprint FROM settled WHERE settled_at < 5 ORDER BY settled_at LIMIT 5", "INDEX settled_age"),
    ] {
        let plan = sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {question}")));
        let steps: Vec<(i64, i64, i64, String)> = plan.fetch_all(&store.readers).await.unwrap();
        assert!(steps.iter().any(|step| step.3.contains(index)), "{question}: {steps:?}");
        assert!(!steps.iter().any(|step| step.3.contains("TEMP B-TREE")), "{question}: {steps:?}");
    }
}

#[tokio::test]
async fn an_event_of_a_type_unknown_here_is_passed_over_and_hides_no_other() {
    let home = tempfile::tempdir().unwrap();
    let store = daemon(&home.path().join("state.db")).await;
    store.commit(&poll(1)).await.unwrap();
    let pool = &store.writer.as_ref().unwrap().pool;
    pool.execute("UPDATE events SET type = 'job.invented' WHERE seq = 1").await.unwrap();
    let one_a_page = EventFilter { limit: 1, ..EventFilter::default() };
    let page = store.events(&one_a_page).await.unwrap();
    assert_eq!(page, [StoredEvent { seq: 2, event: event(3) }]);
}

#[tokio::test]
async fn no_prune_takes_more_than_a_batch_at_once_and_numbers_are_never_given_again() {
    let home = tempfile::tempdir().unwrap();
    let store = daemon(&home.path().join("state.db")).await;
    let many = prune::BATCH as usize + 20;
    let commit = Commit { events: (0..many).map(event).collect(), changes: Vec::new(), ..poll(1) };
    store.commit(&commit).await.unwrap();
    let pool = &store.writer.as_ref().unwrap().pool;
    pool.execute(
        "CREATE TABLE deleted (n INTEGER);
         CREATE TRIGGER count AFTER DELETE ON events BEGIN INSERT INTO deleted VALUES (1); END;
         CREATE TRIGGER bound BEFORE INSERT ON deleted WHEN (SELECT count(*) FROM deleted) >= 500
         BEGIN SELECT RAISE(ABORT, 'too many'); END",
    )
    .await
    .unwrap();
    let later = Timestamp::now() + 1.hour();
    // The second batch is one too many for the trigger; the first stays done.
    assert!(store.prune(later, Timestamp::UNIX_EPOCH).await.is_err());
    assert_eq!(told(&store).await.len(), 20);
    pool.execute("DELETE FROM deleted").await.unwrap();
    let pruned = store.prune(later, later).await.unwrap();
    assert_eq!(
        pruned,
        Pruned { events: 20, settled: 0, dead_letters: 0 },
        "nothing was settled that is eight days younger"
    );

    let before = store.last_seq().await.unwrap();
    store.commit(&poll(2)).await.unwrap();
    let filter = EventFilter { after_seq: before, ..EventFilter::default() };
    assert_eq!(store.events(&filter).await.unwrap().len(), 2, "who follows misses nothing");
    assert_eq!(store.memory("main", PollKind::Videos).await.unwrap(), Documents::new());
}

#[tokio::test]
async fn who_looks_for_a_daemon_keeps_none_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    assert_eq!(holder(&path).unwrap(), None, "nobody ever was there");
    let store = Store::open(&path, Access::Daemon).await.unwrap();
    let held = holder(&path).unwrap().unwrap();
    assert_eq!(held.pid, Some(std::process::id()));
    store.close().await.unwrap();
    drop(store);
    assert_eq!(holder(&path).unwrap(), None);

    // A look that is under way just when a daemon starts.
    let look = fs::File::open(directory.path().join("state.db.lock")).unwrap();
    look.lock_shared().unwrap();
    let (opened, ()) = tokio::join!(Store::open(&path, Access::Daemon), async {
        tokio::task::yield_now().await;
        drop(look);
    });
    opened.unwrap();
}

#[tokio::test]
async fn a_copy_has_all_but_the_tokens_and_is_refused_beside_a_daemon() {
    let directory = tempfile::tempdir().unwrap();
    // A name that an address of SQLite's would take apart.
    let path = directory.path().join("a b?c=%41#d.db");
    let store = daemon(&path).await;
    let pair = TokenPair {
        username: "root".into(),
        access_token: "the-access".to_owned().into(),
        refresh_token: "the-refresh".to_owned().into(),
        access_expires_at: Timestamp::UNIX_EPOCH,
        refresh_expires_at: None,
    };
    store.save_tokens("main", &pair).await.unwrap();
    let copy = directory.path().join("copy.db");
    let refused = Store::open_copy(&path, &copy).await.unwrap_err();
    assert!(matches!(refused, StoreError::Held { .. }), "{refused}");
    assert!(!copy.exists());
    store.close().await.unwrap();
    drop(store);

    let copied = Store::open_copy(&path, &copy).await.unwrap();
    assert_eq!(copied.instances().await.unwrap().len(), 1);
    assert!(copied.tokens("main", "root").await.unwrap().is_none());
    copied.enrol(&Origin { name: "more".into(), ..origin() }).await.unwrap();
    let refused = Store::open(&path, Access::Daemon).await.unwrap_err();
    assert!(matches!(refused, StoreError::Held { .. }), "no daemon begins meanwhile: {refused}");
    copied.close().await.unwrap();
    drop(copied);

    let store = Store::open(&path, Access::Daemon).await.unwrap();
    assert_eq!(store.instances().await.unwrap().len(), 1, "the original is as it was");
    assert!(store.tokens("main", "root").await.unwrap().is_some());
}
