//! The history of events, read in the order in which they were committed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::{QueryBuilder, Sqlite};

use super::{Store, StoreError};
use crate::core::event::{Event, EventKind};
use crate::core::glob::Globs;

const DOING: &str = "read the events";

/// The most events that one question gives.
const MOST: u32 = 1000;

/// Which events are wanted. The next page is what comes after the last one's `seq`.
#[derive(Debug, Clone)]
pub struct EventFilter {
    /// Those that happened then or later.
    pub since: Option<Timestamp>,
    /// Those of matching types; without it, all.
    pub kinds: Option<Globs>,
    pub instance: Option<String>,
    pub after_seq: i64,
    /// At most this many, and never more than 1,000.
    pub limit: u32,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self { since: None, kinds: None, instance: None, after_seq: 0, limit: 500 }
    }
}

/// An event and its place in the history.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    pub seq: i64,
    pub event: Event,
}

type Row = (i64, String, String, Option<String>, i64, String);

impl Store {
    /// Oldest first; empty when there are no more. Events of a type that this program
    /// doesn't know, left by a newer one, are passed over.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        let mut filter = filter.clone();
        if let (Some(since), 0) = (filter.since, filter.after_seq) {
            let Some(first) = self.first_since(since).await? else { return Ok(Vec::new()) };
            filter.after_seq = first - 1;
        }
        loop {
            let rows = self.page(&filter).await?;
            let Some(last) = rows.last() else { return Ok(Vec::new()) };
            filter.after_seq = last.0;
            let is_wanted = |kind: &str| filter.kinds.as_ref().is_none_or(|globs| globs.matches(kind));
            let wanted = rows.into_iter().filter(|(_, _, kind, ..)| is_wanted(kind));
            let events: Vec<_> = wanted.filter_map(stored).collect::<Result<_, _>>()?;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// How many jobs of each type failed of themselves since then.
    pub async fn failed_since(&self, instance: &str, since: Timestamp) -> Result<BTreeMap<String, u64>, StoreError> {
        let subjects: Vec<Option<String>> =
            sqlx::query_scalar("SELECT subject FROM events WHERE time >= $1 AND instance = $2 AND type = $3")
                .bind(since.as_millisecond())
                .bind(instance)
                .bind(EventKind::JobFailed.as_str())
                .fetch_all(&self.readers)
                .await
                .map_err(|e| self.sql(DOING, e))?;
        let mut failed = BTreeMap::new();
        for subject in subjects.into_iter().flatten() {
            let job_type = subject.split('/').next().unwrap_or_default();
            *failed.entry(job_type.to_owned()).or_default() += 1;
        }
        Ok(failed)
    }

    /// The newest event of matching types, on an instance that is meant.
    pub async fn newest_event(
        &self,
        kinds: &Globs,
        is_meant: impl Fn(&str) -> bool + Send,
    ) -> Result<Option<Event>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT seq, id, type, subject, time, body FROM events ORDER BY seq DESC LIMIT 10000")
                .fetch_all(&self.readers)
                .await
                .map_err(|e| self.sql(DOING, e))?;
        let mut events = rows.into_iter().filter(|(_, _, kind, ..)| kinds.matches(kind)).filter_map(stored);
        let is_wanted = |stored: &Result<StoredEvent, StoreError>| {
            stored.as_ref().map_or(true, |stored| is_meant(stored.event.instance()))
        };
        Ok(events.find(is_wanted).transpose()?.map(|stored| stored.event))
    }

    /// When an event was written down.
    pub async fn recorded_at(&self, seq: i64) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar("SELECT recorded_at FROM events WHERE seq = $1")
            .bind(seq)
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| self.sql(DOING, e))?;
        Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
    }

    /// The place of the newest event; 0 without any. Who follows begins here.
    pub async fn last_seq(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT last FROM event_sequence")
            .fetch_one(&self.readers)
            .await
            .map_err(|e| self.sql(DOING, e))
    }

    /// Where to begin, so that a question for the last hour doesn't read a month.
    /// The `+ 0` keeps SQLite from walking the history from its oldest end instead of
    /// the index of times.
    async fn first_since(&self, since: Timestamp) -> Result<Option<i64>, StoreError> {
        sqlx::query_scalar("SELECT min(seq + 0) FROM events WHERE time >= $1")
            .bind(since.as_millisecond())
            .fetch_one(&self.readers)
            .await
            .map_err(|e| self.sql(DOING, e))
    }

    async fn page(&self, filter: &EventFilter) -> Result<Vec<Row>, StoreError> {
        let mut query =
            QueryBuilder::<Sqlite>::new("SELECT seq, id, type, subject, time, body FROM events WHERE seq > ");
        query.push_bind(filter.after_seq);
        if let Some(since) = filter.since {
            query.push(" AND time >= ").push_bind(since.as_millisecond());
        }
        if let Some(instance) = &filter.instance {
            query.push(" AND instance = ").push_bind(instance);
        }
        if let Some(globs) = &filter.kinds {
            let kinds: Vec<_> = EventKind::ALL.into_iter().filter(|kind| kind.can_match(globs)).collect();
            if kinds.is_empty() {
                return Ok(Vec::new());
            }
            let mut list = query.push(" AND (type IN (").separated(", ");
            for kind in &kinds {
                list.push_bind(kind.as_str());
            }
            query.push(")");
            if kinds.contains(&EventKind::Custom) {
                // Which of them match is seen row by row.
                query.push(" OR type LIKE 'custom.%'");
            }
            query.push(")");
        }
        query.push(" ORDER BY seq LIMIT ").push_bind(filter.limit.clamp(1, MOST));
        query.build_query_as().persistent(false).fetch_all(&self.readers).await.map_err(|e| self.sql(DOING, e))
    }
}

fn stored((seq, id, name, subject, time, body): Row) -> Option<Result<StoredEvent, StoreError>> {
    let kind = EventKind::parse(&name)?;
    let event = parse_body(&body).zip(Timestamp::from_millisecond(time).ok());
    Some(match event {
        Some(((source, data), time)) => {
            let custom = (kind == EventKind::Custom).then_some(name);
            Ok(StoredEvent { seq, event: Event { id, source, kind, custom, subject, time, data } })
        }
        None => Err(StoreError::Unreadable { what: format!("event {id}") }),
    })
}

fn parse_body(body: &str) -> Option<(String, Map<String, Value>)> {
    let Ok(Value::Object(mut event)) = serde_json::from_str(body) else { return None };
    match (event.remove("source"), event.remove("data")) {
        (Some(Value::String(source)), Some(Value::Object(data))) => Some((source, data)),
        _ => None,
    }
}
