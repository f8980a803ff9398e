//! What a poll learnt, written in one transaction: all of it or nothing.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::outbox::{Admitted, Claim, write_claims};
use super::{Store, StoreError};
use crate::core::event::Event;
use crate::core::memory::Change;
use crate::core::poll::PollKind;

const DOING: &str = "store what a poll learnt";

/// What one poll of one instance learnt.
#[derive(Debug, Clone)]
pub struct Commit {
    pub instance: String,
    pub poll: PollKind,
    pub changes: Vec<Change>,
    /// Fingerprints of the jobs told now, and when they were settled.
    pub settled: Vec<(i64, Timestamp)>,
    pub events: Vec<Event>,
    /// Which rules act on these.
    pub claims: Vec<Claim>,
}

/// What came of a commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Committed {
    /// The events that were new, in their order; only those are to be told.
    pub told: Vec<Event>,
    pub admitted: Vec<Admitted>,
}

impl Store {
    /// An event whose id is there already is ignored. Must be awaited to its end: of
    /// a call that was dropped nobody knows whether it was stored.
    pub async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        if commit.changes.is_empty() && commit.settled.is_empty() && commit.events.is_empty() {
            self.still_there(DOING)?;
            return Ok(Committed::default());
        }
        let failed = |e| self.sql(DOING, e);
        let mut transaction = self.begin(DOING).await?;
        let instance = self.instance_id(&mut transaction, &commit.instance, DOING).await?;
        let new = write_events(&mut transaction, &commit.events).await.map_err(failed)?;
        let admitted = write_claims(&mut transaction, &commit.events, &new, &commit.claims).await.map_err(failed)?;
        write_settled(&mut transaction, instance, &commit.settled).await.map_err(failed)?;
        write_memory(&mut transaction, instance, commit.poll, &commit.changes).await.map_err(failed)?;
        self.finish(DOING, transaction).await?;
        let told = commit.events.iter().zip(new).filter(|(_, new)| *new).map(|(event, _)| event.clone());
        Ok(Committed { told: told.collect(), admitted })
    }
}

/// Which of them were new.
pub(super) async fn write_events(connection: &mut SqliteConnection, events: &[Event]) -> sqlx::Result<Vec<bool>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    // Taken first and together, so that whoever commits later has higher numbers.
    let last: i64 = sqlx::query_scalar("UPDATE event_sequence SET last = last + $1 RETURNING last")
        .bind(events.len() as i64)
        .fetch_one(&mut *connection)
        .await?;
    let recorded_at = Timestamp::now().as_millisecond();
    let mut new = Vec::new();
    for (event, seq) in events.iter().zip(last - events.len() as i64 + 1..) {
        let done = sqlx::query(
            "INSERT INTO events (seq, id, instance, type, subject, time, recorded_at, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
        )
        .bind(seq)
        .bind(&event.id)
        .bind(event.instance())
        .bind(event.type_name())
        .bind(event.subject.as_deref())
        .bind(event.time.as_millisecond())
        .bind(recorded_at)
        .bind(event.to_json().to_string())
        .execute(&mut *connection)
        .await?;
        new.push(done.rows_affected() > 0);
    }
    Ok(new)
}

/// A job that is settled again is kept from the later time on.
async fn write_settled(
    connection: &mut SqliteConnection,
    instance: i64,
    settled: &[(i64, Timestamp)],
) -> sqlx::Result<()> {
    for (fingerprint, at) in settled {
        sqlx::query(
            "INSERT INTO settled (instance_id, fingerprint, settled_at) VALUES ($1, $2, $3)
             ON CONFLICT (instance_id, fingerprint) DO UPDATE SET settled_at = excluded.settled_at
             WHERE settled.settled_at < excluded.settled_at",
        )
        .bind(instance)
        .bind(fingerprint)
        .bind(at.as_millisecond())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_memory(
    connection: &mut SqliteConnection,
    instance: i64,
    poll: PollKind,
    changes: &[Change],
) -> sqlx::Result<()> {
    for change in changes {
        let query = match &change.value {
            Some(body) => sqlx::query(
                "INSERT INTO memory (instance_id, poll, document, body) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (instance_id, poll, document) DO UPDATE SET body = excluded.body",
            )
            .bind(instance)
            .bind(poll.as_str())
            .bind(&change.key)
            .bind(body),
            None => sqlx::query("DELETE FROM memory WHERE instance_id = $1 AND poll = $2 AND document = $3")
                .bind(instance)
                .bind(poll.as_str())
                .bind(&change.key),
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
