//! What rules and schedules owe: written with the event that it is owed for, tried
//! until it is delivered or given up. Nothing here is ever owed twice.

mod by_hand;
mod fire;
mod owe;
mod settle;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::FromRow;

use super::{Store, StoreError};
pub use by_hand::{Listed, Which};
pub use fire::{Fired, Firing};
pub(super) use owe::add_event;
pub(super) use owe::write_claims;
pub use owe::{Admitted, Claim};
pub use settle::{Kept, Settlement, Verdict};

const DOING: &str = "read what is owed";

/// The plus keeps it from sorting all that is due, which may be ten thousands.
const NEXT: &str = "SELECT seq, id, is_batch, created_at, first_due_at, tries, by_hand FROM deliveries
     WHERE rule = $1 AND state = 'pending' AND +due_at <= $2 ORDER BY seq LIMIT 1";
const NEXT_FRESH: &str = "SELECT seq, id, is_batch, created_at, first_due_at, tries, by_hand FROM deliveries
     WHERE rule = $1 AND state = 'pending' AND +due_at <= $2 AND tries = 0 ORDER BY seq LIMIT 1";
const NEXT_BY_HAND: &str = "SELECT seq, id, is_batch, created_at, first_due_at, tries, by_hand FROM deliveries
     WHERE rule = $1 AND state = 'pending' AND +due_at <= $2 AND by_hand = 1 ORDER BY seq LIMIT 1";
const NEXT_DUE: &str = "SELECT min(due_at) FROM deliveries WHERE rule = $1 AND state = 'pending'";
const OWES: &str = "SELECT rule, CAST(sum(CASE WHEN state = 'pending' THEN 1 ELSE 0 END) AS BIGINT),
            CAST(sum(CASE WHEN state = 'dead' THEN 1 ELSE 0 END) AS BIGINT),
            min(CASE WHEN state = 'pending' THEN created_at END)
     FROM deliveries GROUP BY rule ORDER BY rule";

/// Which of all that is due comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// What is owed longest.
    Oldest,
    /// What was never tried, before what failed already.
    Fresh,
    /// Nothing but what a person had tried again.
    ByHand,
}

/// What one try is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Owed {
    pub seq: i64,
    /// The event's id, a dash, 8 digits of the rule.
    pub id: String,
    pub is_batch: bool,
    pub created_at: Timestamp,
    pub first_due_at: Timestamp,
    /// Before this one.
    pub tries: u32,
    /// Whether a person had it tried again.
    pub is_by_hand: bool,
    /// CloudEvents, oldest first.
    pub events: Vec<Value>,
}

/// What a rule is to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Owed(Owed),
    /// Its turn has come, but what it is to deliver can't be read.
    Unreadable {
        seq: i64,
        id: String,
    },
    /// Nothing before then.
    At(Timestamp),
    Nothing,
}

/// How much a rule owes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owes {
    pub rule: String,
    pub pending: u64,
    pub dead: u64,
    pub oldest_pending_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct OwedRow {
    seq: i64,
    id: String,
    is_batch: i64,
    created_at: i64,
    first_due_at: i64,
    tries: i64,
    by_hand: i64,
}

impl Store {
    /// The delivery that a rule should try now, of those that are due. From now on no
    /// event joins it.
    pub async fn next_owed(&self, rule: &str, now: Timestamp, turn: Turn) -> Result<Next, StoreError> {
        let failed = |e| self.sql(DOING, e);
        let questions: &[&'static str] = match turn {
            Turn::Oldest => &[NEXT],
            Turn::Fresh => &[NEXT_FRESH, NEXT],
            Turn::ByHand => &[NEXT_BY_HAND],
        };
        let mut found: Option<OwedRow> = None;
        for question in questions {
            if found.is_none() {
                let asked = sqlx::query_as(*question).bind(rule).bind(now.as_millisecond());
                found = asked.fetch_optional(&self.readers).await.map_err(failed)?;
            }
        }
        let Some(row) = found else {
            if turn == Turn::ByHand {
                return Ok(Next::Nothing);
            }
            let due: Option<i64> =
                sqlx::query_scalar(NEXT_DUE).bind(rule).fetch_one(&self.readers).await.map_err(failed)?;
            return Ok(match due {
                Some(due) => Next::At(time(due)?),
                None => Next::Nothing,
            });
        };
        if row.is_batch != 0 && row.tries == 0 {
            self.seal(row.seq).await?;
        }
        let events: Vec<String> =
            sqlx::query_scalar("SELECT event FROM delivery_events WHERE delivery = $1 ORDER BY position")
                .bind(row.seq)
                .fetch_all(&self.readers)
                .await
                .map_err(failed)?;
        let events: Result<Vec<Value>, _> = events.iter().map(|event| serde_json::from_str(event)).collect();
        let Ok(events) = events else { return Ok(Next::Unreadable { seq: row.seq, id: row.id }) };
        Ok(Next::Owed(Owed {
            seq: row.seq,
            is_batch: row.is_batch != 0,
            created_at: time(row.created_at)?,
            first_due_at: time(row.first_due_at)?,
            tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
            is_by_hand: row.by_hand != 0,
            events,
            id: row.id,
        }))
    }

    /// Leaves only these events in a delivery that was not tried yet.
    pub async fn shed(&self, seq: i64, left: &[Value]) -> Result<(), StoreError> {
        let doing = "leave old events out of a delivery";
        let failed = |e| self.sql(doing, e);
        let mut transaction = self.begin(doing).await?;
        sqlx::query("DELETE FROM delivery_events WHERE delivery = $1")
            .bind(seq)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        for (event, position) in left.iter().zip(0..) {
            add_event(&mut transaction, seq, position, event).await.map_err(failed)?;
        }
        self.finish(doing, transaction).await
    }

    /// How much each rule owes that owes anything.
    pub async fn owes(&self) -> Result<Vec<Owes>, StoreError> {
        let rows: Vec<(String, i64, i64, Option<i64>)> =
            sqlx::query_as(OWES).fetch_all(&self.readers).await.map_err(|e| self.sql(DOING, e))?;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        rows.into_iter()
            .map(|(rule, pending, dead, oldest)| {
                let oldest_pending_at = oldest.map(time).transpose()?;
                Ok(Owes { rule, pending: count(pending), dead: count(dead), oldest_pending_at })
            })
            .collect()
    }

    /// When each rule that owes something has something due, so that who wrote beside
    /// the daemon is noticed.
    pub async fn owed_rules(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT rule, min(due_at) FROM deliveries WHERE state = 'pending' GROUP BY rule")
                .fetch_all(&self.readers)
                .await
                .map_err(|e| self.sql(DOING, e))?;
        rows.into_iter().map(|(rule, due)| Ok((rule, time(due)?))).collect()
    }

    /// Closes a batch. In a transaction that writes, so that no event joins it unseen.
    async fn seal(&self, seq: i64) -> Result<(), StoreError> {
        let doing = "close a batch";
        let mut transaction = self.begin(doing).await?;
        sqlx::query("UPDATE deliveries SET is_sealed = 1 WHERE seq = $1")
            .bind(seq)
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.sql(doing, e))?;
        self.finish(doing, transaction).await
    }
}

fn time(milliseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(milliseconds)
        .map_err(|_| StoreError::Unreadable { what: format!("the time {milliseconds} of a delivery") })
}

#[cfg(test)]
mod tests;
