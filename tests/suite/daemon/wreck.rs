//! What a killed daemon leaves behind, looked at as the next one would find it: a copy
//! of the state with its log, opened by SQLite itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use tubewarden::core::job::{JobKey, JobType};
use tubewarden::core::rule::delivery_id;

use super::harness::Home;
use super::truth::{Job, job_key};

/// The parts of a state that must agree.
#[derive(Debug, Default)]
pub(super) struct Wreck {
    /// In the order of their commits.
    pub(super) events: Vec<Value>,
    pub(super) settled: BTreeSet<i64>,
    /// What is still owed: ids of deliveries and of their events.
    pub(super) owed: BTreeMap<String, Vec<String>>,
    /// How the poll of jobs went last.
    pub(super) course: Option<String>,
    /// Bytes that were in the log and not yet in the database.
    pub(super) log_bytes: u64,
}

impl Wreck {
    /// Copies the files as they are and reads the copy; the original stays untouched.
    pub(super) async fn of(home: &Home) -> Self {
        let copies = tempfile::tempdir().unwrap();
        let mut log_bytes = 0;
        for name in ["state.db", "state.db-wal"] {
            if home.file(name).exists() {
                let bytes = fs::copy(home.file(name), copies.path().join(name)).unwrap();
                log_bytes = if name == "state.db-wal" { bytes } else { 0 };
            }
        }
        let mut wreck = Self::read(&copies.path().join("state.db")).await;
        wreck.log_bytes = log_bytes;
        wreck
    }

    async fn read(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let health: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&pool).await.unwrap();
        assert_eq!(health, ["ok"]);
        let strays = sqlx::query("PRAGMA foreign_key_check").fetch_all(&pool).await.unwrap();
        assert!(strays.is_empty(), "{} rows refer to nothing", strays.len());
        let bodies: Vec<String> =
            sqlx::query_scalar("SELECT body FROM events ORDER BY seq").fetch_all(&pool).await.unwrap();
        let past: i64 = sqlx::query_scalar("SELECT count(*) FROM events, event_sequence WHERE seq > last")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(past, 0, "events beyond the last number given");
        let settled: Vec<i64> = sqlx::query_scalar("SELECT fingerprint FROM settled").fetch_all(&pool).await.unwrap();
        let owed: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT id, event FROM deliveries LEFT JOIN delivery_events ON delivery = deliveries.seq ORDER BY position",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        let course = "SELECT body FROM memory WHERE poll = 'config' AND document = 'poll/jobs'";
        let course: Option<String> = sqlx::query_scalar(course).fetch_optional(&pool).await.unwrap();
        pool.close().await;
        let mut of_delivery: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (delivery, event) in owed {
            let event: Value =
                serde_json::from_str(&event.unwrap_or_else(|| panic!("{delivery} has no event"))).unwrap();
            of_delivery.entry(delivery).or_default().push(event["id"].as_str().unwrap().to_owned());
        }
        let events = bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        Self { events, settled: settled.into_iter().collect(), owed: of_delivery, course, log_bytes: 0 }
    }

    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Each event is there once; what is owed refers to events that are there; and the
    /// jobs that are settled are those that were told, of those that are to be told.
    pub(super) fn assert_whole(&self, to_tell: &BTreeMap<Job, usize>, rule: &str) {
        let ids = self.ids();
        assert_eq!(ids.len(), self.events.len(), "an event is there twice");
        for (delivery, events) in &self.owed {
            assert!(events.iter().all(|id| ids.contains(id)), "{delivery} is owed for an event that is not there");
            assert_eq!(*delivery, delivery_id(&events[0], rule));
        }
        let told: BTreeSet<i64> = self.events.iter().filter_map(job_key).map(|key| fingerprint(&key)).collect();
        let settled: BTreeSet<i64> =
            to_tell.keys().map(fingerprint).filter(|fingerprint| self.settled.contains(fingerprint)).collect();
        assert_eq!(settled, told, "settled, and told");
    }
}

fn fingerprint((_, job_type, id, created_at): &Job) -> i64 {
    JobKey { job_type: JobType(job_type.clone()), id: id.clone(), created_at: *created_at }.fingerprint()
}
