//! The state store as its users meet it: daemons, readers beside them, crashes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tubewarden::core::event::{Event, EventKind, Origin};
use tubewarden::core::glob::Globs;
use tubewarden::core::memory::{Change, Documents};
use tubewarden::core::poll::PollKind;
use tubewarden::store::{Access, Commit, Enrolment, EventFilter, Pruned, Store, StoreError, TokenPair};

const VICTIM: &str = "TUBEWARDEN_TEST_VICTIM";

struct Home {
    directory: TempDir,
    path: PathBuf,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        Self { directory, path }
    }

    async fn daemon(&self) -> Store {
        let store = Store::open(&self.path, Access::Daemon).await.unwrap();
        store.enrol(&origin()).await.unwrap();
        store
    }

    async fn reader(&self) -> Store {
        Store::open(&self.path, Access::Beside).await.unwrap()
    }

    fn modes(&self) -> Vec<(String, u32)> {
        let mut modes: Vec<_> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().permissions().mode() & 0o777)
            })
            .collect();
        modes.sort();
        modes
    }
}

fn origin() -> Origin {
    Origin { name: "main".into(), url: "https://peertube.example.com".into() }
}

fn event_at(kind: EventKind, what: &str, time: Timestamp) -> Event {
    let data = Map::from_iter([("job_id".to_owned(), Value::from(what))]);
    Event::new(&origin(), kind, what, Some(format!("email/{what}")), time, data)
}

fn event(kind: EventKind, what: &str) -> Event {
    event_at(kind, what, "2026-11-24T02:51:53.854Z".parse().unwrap())
}

fn commit(events: Vec<Event>) -> Commit {
    Commit {
        instance: "main".into(),
        poll: PollKind::Jobs,
        changes: Vec::new(),
        settled: Vec::new(),
        events,
        claims: Vec::new(),
    }
}

fn remember(key: &str, value: Option<&str>) -> Change {
    Change { key: key.into(), value: value.map(Into::into) }
}

async fn told(store: &Store) -> Vec<Event> {
    let mut filter = EventFilter { limit: 7, ..EventFilter::default() };
    let mut all = Vec::new();
    loop {
        let page = store.events(&filter).await.unwrap();
        let Some(last) = page.last() else { return all };
        filter.after_seq = last.seq;
        all.extend(page.into_iter().map(|stored| stored.event));
    }
}

#[tokio::test]
async fn what_is_committed_is_there_after_a_restart() {
    let home = Home::new();
    let failed = event(EventKind::JobFailed, "1");
    let at = "2026-11-24T02:51:53.854Z".parse().unwrap();
    let store = home.daemon().await;
    let first = Commit {
        changes: vec![remember("a", Some("1")), remember("b", Some("2"))],
        settled: vec![(i64::MIN, at), (7, at)],
        ..commit(vec![failed.clone()])
    };
    assert_eq!(store.commit(&first).await.unwrap().told, std::slice::from_ref(&failed));
    let second = Commit { changes: vec![remember("a", Some("3")), remember("b", None)], ..commit(Vec::new()) };
    store.commit(&second).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let store = home.daemon().await;
    assert_eq!(told(&store).await, [failed]);
    assert_eq!(store.memory("main", PollKind::Jobs).await.unwrap(), Documents::from([("a".into(), "3".into())]));
    assert_eq!(store.memory("main", PollKind::Config).await.unwrap(), Documents::new());
    let mut settled = store.settled("main").await.unwrap();
    settled.sort_unstable();
    assert_eq!(settled, [i64::MIN, 7]);
}

#[tokio::test]
async fn an_event_told_before_is_not_new_and_keeps_its_place() {
    let home = Home::new();
    let store = home.daemon().await;
    let [a, b, c] = ["a", "b", "c"].map(|what| event(EventKind::JobFailed, what));
    assert_eq!(store.commit(&commit(vec![a.clone(), b.clone()])).await.unwrap().told, [a.clone(), b.clone()]);
    let again = commit(vec![b.clone(), c.clone(), c.clone(), a.clone()]);
    assert_eq!(store.commit(&again).await.unwrap().told, std::slice::from_ref(&c));
    assert_eq!(told(&store).await, [a, b, c]);
}

#[tokio::test]
async fn instances_share_the_file_and_nothing_else() {
    let home = Home::new();
    let store = home.daemon().await;
    let other = Origin { name: "other".into(), url: "https://other.example.com".into() };
    assert_eq!(store.enrol(&other).await.unwrap(), Enrolment::New);
    let mut learnt = commit(Vec::new());
    learnt.changes = vec![remember("a", Some("main's"))];
    learnt.settled = vec![(1, Timestamp::now())];
    store.commit(&learnt).await.unwrap();
    assert!(store.memory("other", PollKind::Jobs).await.unwrap().is_empty());
    assert!(store.settled("other").await.unwrap().is_empty());

    learnt.instance = "stranger".into();
    let error = store.commit(&learnt).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownInstance { name } if name == "stranger"), "{error:?}");
}

#[tokio::test]
async fn a_name_that_points_elsewhere_begins_anew_and_finds_its_memory_when_it_comes_back() {
    let home = Home::new();
    let store = home.daemon().await;
    assert_eq!(store.enrol(&origin()).await.unwrap(), Enrolment::Known);
    let mut learnt = commit(Vec::new());
    learnt.changes = vec![remember("a", Some("1"))];
    store.commit(&learnt).await.unwrap();
    store.save_tokens("main", &pair("monitor")).await.unwrap();

    let moved = Origin { url: "https://moved.example.com".into(), ..origin() };
    assert_eq!(store.enrol(&moved).await.unwrap(), Enrolment::Moved { from: origin().url });
    assert!(store.memory("main", PollKind::Jobs).await.unwrap().is_empty());
    assert!(store.tokens("main", "monitor").await.unwrap().is_none());
    let known = store.instances().await.unwrap();
    assert_eq!(
        known.iter().map(|i| (i.name.as_str(), i.url.as_str())).collect::<Vec<_>>(),
        [("main", moved.url.as_str())]
    );

    assert_eq!(store.enrol(&origin()).await.unwrap(), Enrolment::Moved { from: moved.url });
    assert_eq!(store.memory("main", PollKind::Jobs).await.unwrap().len(), 1);
    assert!(store.tokens("main", "monitor").await.unwrap().is_some());
}

#[tokio::test]
async fn the_history_is_asked_by_time_type_instance_and_place() {
    let home = Home::new();
    let store = home.daemon().await;
    let noon: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let hour = |n: i64| noon + n.hours();
    let completed = event_at(EventKind::JobCompleted, "1", hour(0));
    let late = event_at(EventKind::JobFailed, "2", hour(-5));
    let failed = event_at(EventKind::JobFailed, "3", hour(2));
    let other = Origin { name: "other".into(), url: "https://other.example.com".into() };
    let video = Event::new(&other, EventKind::VideoPublished, "v", None, hour(3), Map::new());
    store.commit(&commit(vec![completed.clone(), late.clone(), failed.clone(), video.clone()])).await.unwrap();

    let ask = async |filter: EventFilter| -> Vec<Event> {
        store.events(&filter).await.unwrap().into_iter().map(|stored| stored.event).collect()
    };
    let all = EventFilter::default;
    assert_eq!(ask(EventFilter { since: Some(hour(2)), ..all() }).await, [failed.clone(), video.clone()]);
    assert_eq!(
        ask(EventFilter { since: Some(hour(0)), ..all() }).await,
        [completed.clone(), failed.clone(), video.clone()],
        "told late, happened before"
    );
    assert_eq!(ask(EventFilter { since: Some(hour(4)), ..all() }).await, []);
    let jobs = Some(Globs::new(["job.*", "!job.completed"]));
    assert_eq!(ask(EventFilter { kinds: jobs, ..all() }).await, [late.clone(), failed.clone()]);
    assert_eq!(ask(EventFilter { kinds: Some(Globs::new(["nothing"])), ..all() }).await, []);
    assert_eq!(ask(EventFilter { instance: Some("other".into()), ..all() }).await, [video]);
    assert_eq!(ask(EventFilter { limit: 2, ..all() }).await, [completed, late]);

    let place = store.last_seq().await.unwrap();
    let next = event_at(EventKind::JobFailed, "4", hour(-9));
    store.commit(&commit(vec![next.clone()])).await.unwrap();
    assert_eq!(ask(EventFilter { after_seq: place, ..all() }).await, [next]);
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_told_who_holds_the_state() {
    let home = Home::new();
    let first = home.daemon().await;
    let error = Store::open(&home.path, Access::Daemon).await.unwrap_err();
    assert!(matches!(&error, StoreError::Held { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("process {} holds it", std::process::id())), "{error}");
    drop(first);
    home.daemon().await;
}

#[tokio::test]
async fn a_reader_sees_each_commit_of_the_daemon_beside_it_and_writes_nothing() {
    let home = Home::new();
    let store = home.daemon().await;
    let reader = home.reader().await;
    for number in 0..20 {
        let new = event(EventKind::JobFailed, &number.to_string());
        store.commit(&commit(vec![new.clone()])).await.unwrap();
        assert_eq!(told(&reader).await.last(), Some(&new));
    }
    reader.check().await.unwrap();
    let error = reader.commit(&commit(vec![event(EventKind::JobFailed, "x")])).await.unwrap_err();
    assert!(matches!(error, StoreError::Beside { .. }), "{error:?}");
    store.close().await.unwrap();
    drop(store);
    assert_eq!(told(&reader).await.len(), 20, "the daemon's end is not the reader's");
    assert_eq!(told(&home.reader().await).await.len(), 20);
}

#[tokio::test]
async fn a_reader_creates_nothing() {
    let home = Home::new();
    let error = Store::open(&home.path, Access::Beside).await.unwrap_err();
    assert!(error.to_string().contains("start the daemon first"), "{error}");
    assert!(!home.path.exists());
    // What a daemon that was stopped at its very first instant leaves.
    fs::write(&home.path, "").unwrap();
    let error = Store::open(&home.path, Access::Beside).await.unwrap_err();
    assert!(matches!(error, StoreError::NoState { .. }), "{error:?}");
}

#[tokio::test]
async fn only_the_owner_may_read_any_of_the_files() {
    let home = Home::new();
    let store = home.daemon().await;
    store.commit(&commit(vec![event(EventKind::JobFailed, "1")])).await.unwrap();
    let private = |names: [&str; 4]| names.map(|name| (name.to_owned(), 0o600));
    let expected = private(["state.db", "state.db-shm", "state.db-wal", "state.db.lock"]);
    assert_eq!(home.modes(), expected);
    drop(store);

    // A careless copy or an old file is made private.
    fs::set_permissions(&home.path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = home.daemon().await;
    store.commit(&commit(vec![event(EventKind::JobFailed, "2")])).await.unwrap();
    assert_eq!(home.modes(), expected);
}

#[tokio::test]
async fn old_events_and_settled_jobs_go_and_younger_ones_stay() {
    let home = Home::new();
    let store = home.daemon().await;
    let now = Timestamp::now();
    let mut learnt = commit((0..5).map(|n| event(EventKind::JobFailed, &n.to_string())).collect());
    learnt.settled =
        (0..1200).map(|n| (n, now - (9 * 24).hours())).chain([(-1, now), (-2, now - (7 * 24).hours())]).collect();
    store.commit(&learnt).await.unwrap();
    // Seen again: kept from then on.
    let again = Commit { settled: vec![(3, now), (-1, now - (9 * 24).hours())], ..commit(Vec::new()) };
    store.commit(&again).await.unwrap();

    let pruned = store.prune(now - 1.hour(), now - 1.hour()).await.unwrap();
    assert_eq!(
        pruned,
        Pruned { events: 0, settled: 1199, dead_letters: 0 },
        "events just recorded are young, whenever they happened"
    );
    let mut settled = store.settled("main").await.unwrap();
    settled.sort_unstable();
    assert_eq!(settled, [-2, -1, 3], "none goes that is less than eight days older than the youngest");
    let pruned = store.prune(Timestamp::now() + 1.second(), now - 1.hour()).await.unwrap();
    assert_eq!(pruned, Pruned { events: 5, settled: 0, dead_letters: 0 });
    assert_eq!(told(&store).await, []);
}

#[tokio::test]
async fn a_state_deleted_or_replaced_while_it_runs_is_told_instead_of_written_into_the_void() {
    let home = Home::new();
    let store = home.daemon().await;
    store.commit(&commit(vec![event(EventKind::JobFailed, "1")])).await.unwrap();
    let aside = home.directory.path().join("aside");
    fs::rename(&home.path, &aside).unwrap();
    for replaced in [false, true] {
        if replaced {
            fs::write(&home.path, "").unwrap();
        }
        for learnt in [commit(vec![event(EventKind::JobFailed, "2")]), commit(Vec::new())] {
            let error = store.commit(&learnt).await.unwrap_err();
            assert!(matches!(error, StoreError::Replaced { .. }) && !error.is_transient(), "{error:?}");
        }
        assert!(matches!(store.check().await, Err(StoreError::Replaced { .. })));
        assert!(matches!(store.check_writer().await, Err(StoreError::Replaced { .. })));
    }
    // Back in its place, it goes on, and what was refused is still new.
    fs::rename(&aside, &home.path).unwrap();
    let second = event(EventKind::JobFailed, "2");
    assert_eq!(store.commit(&commit(vec![second.clone()])).await.unwrap().told, [second]);
    assert_eq!(told(&store).await.len(), 2);
}

#[tokio::test]
async fn what_is_no_state_of_ours_is_left_as_it_is() {
    let home = Home::new();
    fs::write(&home.path, "this is no database at all, but somebody's notes".repeat(50)).unwrap();
    let before = fs::read(&home.path).unwrap();
    let error = Store::open(&home.path, Access::Daemon).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(fs::read(&home.path).unwrap(), before);

    let other = home.directory.path().join("other.db");
    let url = format!("sqlite://{}?mode=rwc", other.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE songs (title TEXT)").execute(&pool).await.unwrap();
    pool.close().await;
    let before = fs::read(&other).unwrap();
    for access in [Access::Daemon, Access::Beside] {
        let error = Store::open(&other, access).await.unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    }
    assert_eq!(fs::read(&other).unwrap(), before);

    let nowhere = home.directory.path().join("missing/state.db");
    let error = Store::open(&nowhere, Access::Daemon).await.unwrap_err();
    assert!(matches!(error, StoreError::NoDirectory { .. }), "{error:?}");
}

#[tokio::test]
async fn a_lock_held_by_another_program_is_told() {
    let home = Home::new();
    let store = home.daemon().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&home.path);
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = store.commit(&commit(vec![event(EventKind::JobFailed, "1")])).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }) && error.is_transient(), "{error:?}");
    let check = tokio::time::timeout(Duration::from_millis(50), store.check_writer()).await;
    assert!(check.is_err(), "it waits for the lock as a commit does");
    held.rollback().await.unwrap();
    store.check_writer().await.unwrap();
    store.commit(&commit(vec![event(EventKind::JobFailed, "1")])).await.unwrap();
}

fn pair(username: &str) -> TokenPair {
    TokenPair {
        username: username.into(),
        access_token: "the-access-token".to_owned().into(),
        refresh_token: "the-refresh-token".to_owned().into(),
        access_expires_at: "2026-11-25T02:51:53.854Z".parse().unwrap(),
        refresh_expires_at: None,
    }
}

#[tokio::test]
async fn a_token_pair_is_given_to_its_own_account_alone() {
    let home = Home::new();
    let store = home.daemon().await;
    assert!(store.tokens("main", "monitor").await.unwrap().is_none());
    store.save_tokens("main", &pair("monitor")).await.unwrap();
    let mut renewed = pair("monitor");
    renewed.access_token = "a-newer-token".to_owned().into();
    renewed.refresh_expires_at = Some("2026-12-25T00:00:00Z".parse().unwrap());
    store.save_tokens("main", &renewed).await.unwrap();

    assert!(store.tokens("main", "somebody-else").await.unwrap().is_none());
    let found = store.tokens("main", "monitor").await.unwrap().unwrap();
    assert_eq!(found.access_token.expose_secret(), "a-newer-token");
    assert_eq!(found.refresh_token.expose_secret(), "the-refresh-token");
    assert_eq!(found.refresh_expires_at, renewed.refresh_expires_at);
    assert_eq!(found.access_expires_at, renewed.access_expires_at);
    assert!(!format!("{found:?} {store:?}").contains("token\""), "no secret in Debug");

    store.forget_tokens("main").await.unwrap();
    assert!(store.tokens("main", "monitor").await.unwrap().is_none());
    assert!(!holds(&home.path, "a-newer-token"), "forgotten in the file as well");
}

#[tokio::test]
async fn tokens_stand_in_their_row_and_nowhere_else() {
    let home = Home::new();
    let store = home.daemon().await;
    store.save_tokens("main", &pair("monitor")).await.unwrap();
    store.commit(&commit(vec![event(EventKind::AuthFailed, "1")])).await.unwrap();
    store.close().await.unwrap();
    let text = String::from_utf8_lossy(&fs::read(&home.path).unwrap()).into_owned();
    for secret in ["the-access-token", "the-refresh-token"] {
        assert_eq!(text.matches(secret).count(), 1, "{secret}");
    }
}

/// Whether a text stands in the database, once all is written into it.
fn holds(path: &Path, text: &str) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Runs in a process of its own, which the next test kills. Alone it does nothing.
#[test]
fn a_victim_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Path::new(&path), Access::Daemon).await.unwrap();
        store.enrol(&origin()).await.unwrap();
        let memory = store.memory("main", PollKind::Jobs).await.unwrap();
        let mut number: usize = memory.get("polls").map_or(0, |text| text.parse().unwrap());
        loop {
            number += 1;
            store.commit(&numbered(number)).await.unwrap();
            writeln!(std::io::stdout(), "committed {number}").unwrap();
        }
    });
}

fn numbered(number: usize) -> Commit {
    let large = "x".repeat(number * 977 % 9000);
    Commit {
        changes: vec![remember("polls", Some(&number.to_string())), remember("large", Some(&large))],
        ..commit(vec![event(EventKind::JobFailed, &number.to_string())])
    }
}

#[tokio::test]
async fn a_daemon_killed_at_any_instant_neither_loses_nor_repeats() {
    let home = Home::new();
    for round in 0..6 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::a_victim_commits_until_it_is_killed", "--nocapture"])
            .env(VICTIM, &home.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut commits = lines.filter_map(|line| line.split_once("committed ")?.1.parse::<usize>().ok());
        let last = commits.nth(5 + 17 * round).unwrap();
        victim.kill().unwrap();
        let last = commits.last().unwrap_or(last);
        victim.wait().unwrap();

        let store = home.daemon().await;
        let polls: usize = store.memory("main", PollKind::Jobs).await.unwrap()["polls"].parse().unwrap();
        assert!(polls >= last, "{last} was reported, {polls} are there");
        let expected: Vec<_> = (1..=polls).map(|n| event(EventKind::JobFailed, &n.to_string())).collect();
        assert_eq!(told(&store).await, expected);
        assert_eq!(store.commit(&numbered(polls)).await.unwrap().told, [], "told before the end, not told again");
    }
}
