//! What a person does with deliveries: look at them, have them tried again, drop them.

use jiff::Timestamp;
use sqlx::FromRow;

use super::settle::remove;
use super::time;
use crate::store::{Store, StoreError};

/// A delivery as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub seq: i64,
    pub id: String,
    pub rule: String,
    pub action: String,
    pub is_dead: bool,
    pub events: u64,
    /// Of its first event.
    pub first_type: String,
    pub created_at: Timestamp,
    pub due_at: Timestamp,
    pub tries: u64,
    pub tried_at: Option<Timestamp>,
    pub error: Option<String>,
}

/// Which deliveries are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    All,
    These(Vec<i64>),
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    id: String,
    rule: String,
    action: String,
    state: String,
    events: i64,
    first: Option<String>,
    created_at: i64,
    due_at: i64,
    tries: i64,
    tried_at: Option<i64>,
    error: Option<String>,
}

impl Store {
    /// All that is owed, and the dead letters, in the order in which they came about.
    pub async fn deliveries(&self) -> Result<Vec<Listed>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT seq, id, rule, action, state, created_at, due_at, tries, tried_at, error,
                    (SELECT count(*) FROM delivery_events WHERE delivery = deliveries.seq) AS events,
                    (SELECT event FROM delivery_events WHERE delivery = deliveries.seq AND position = 0) AS first
             FROM deliveries ORDER BY seq",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(|e| self.sql("list the deliveries", e))?;
        rows.into_iter().map(listed).collect()
    }

    /// Makes dead letters owed again from now on, and what is named and waits for
    /// another try due now. How many there were.
    pub async fn retry(&self, which: &Which, now: Timestamp) -> Result<u64, StoreError> {
        let doing = "retry deliveries";
        let failed = |e| self.sql(doing, e);
        let mut transaction = self.begin(doing).await?;
        let mut retried = 0;
        for seq in self.seqs(which, doing).await? {
            let done = sqlx::query(
                "UPDATE deliveries SET state = 'pending', due_at = $2, first_due_at = $2, tries = 0, by_hand = 1
                 WHERE seq = $1",
            )
            .bind(seq)
            .bind(now.as_millisecond())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            retried += done.rows_affected();
        }
        self.finish(doing, transaction).await?;
        Ok(retried)
    }

    /// Forgets deliveries. How many there were.
    pub async fn drop_deliveries(&self, which: &Which) -> Result<u64, StoreError> {
        let doing = "drop deliveries";
        let failed = |e| self.sql(doing, e);
        let mut transaction = self.begin(doing).await?;
        let seqs = self.seqs(which, doing).await?;
        for seq in &seqs {
            remove(&mut transaction, *seq).await.map_err(failed)?;
        }
        self.finish(doing, transaction).await?;
        Ok(seqs.len() as u64)
    }

    /// Those of them that there are. All means the dead letters alone.
    async fn seqs(&self, which: &Which, doing: &'static str) -> Result<Vec<i64>, StoreError> {
        let query = match which {
            Which::All => "SELECT seq FROM deliveries WHERE state = 'dead' ORDER BY seq",
            Which::These(_) => "SELECT seq FROM deliveries ORDER BY seq",
        };
        let mut seqs: Vec<i64> =
            sqlx::query_scalar(query).fetch_all(&self.readers).await.map_err(|e| self.sql(doing, e))?;
        if let Which::These(these) = which {
            seqs.retain(|seq| these.contains(seq));
        }
        Ok(seqs)
    }
}

fn listed(row: Row) -> Result<Listed, StoreError> {
    let first: Option<serde_json::Value> = row.first.and_then(|text| serde_json::from_str(&text).ok());
    let first_type = first.as_ref().and_then(|event| event["type"].as_str()).unwrap_or_default();
    Ok(Listed {
        seq: row.seq,
        id: row.id,
        rule: row.rule,
        action: row.action,
        is_dead: row.state == "dead",
        events: u64::try_from(row.events).unwrap_or(0),
        first_type: first_type.to_owned(),
        created_at: time(row.created_at)?,
        due_at: time(row.due_at)?,
        tries: u64::try_from(row.tries).unwrap_or(0),
        tried_at: row.tried_at.map(time).transpose()?,
        error: row.error,
    })
}
