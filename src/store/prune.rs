//! What is old goes, a few rows at a time: no poll waits long for its commit.

use jiff::Timestamp;

use super::{Store, StoreError};

const DOING: &str = "remove what is old from the state";

/// Rows that one transaction removes at most.
pub(super) const BATCH: i64 = 500;

const EVENTS: &str =
    "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE recorded_at < $1 ORDER BY recorded_at LIMIT $2)";

const SETTLED: &str = "DELETE FROM settled WHERE (instance_id, fingerprint) IN
     (SELECT instance_id, fingerprint FROM settled WHERE settled_at < $1 AND settled_at <
      (SELECT MAX(latest.settled_at) FROM settled AS latest WHERE latest.instance_id = settled.instance_id) - 691200000
      ORDER BY settled_at LIMIT $2)";

/// Dead letters that nobody retried; what is owed is never removed.
const LETTERS: &str = "DELETE FROM deliveries WHERE seq IN
     (SELECT seq FROM deliveries WHERE state = 'dead' AND tried_at < $1 ORDER BY tried_at LIMIT $2)";

const ORPHANS: &str = "DELETE FROM delivery_events WHERE delivery IN
     (SELECT seq FROM deliveries WHERE state = 'dead' AND tried_at < $1 ORDER BY tried_at LIMIT $2)";

/// How much was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub events: u64,
    pub settled: u64,
    pub dead_letters: u64,
}

impl Store {
    /// Removes the events recorded and the letters given up, and the jobs settled, before
    /// these times. An
    /// event's age is that of its record: one told late is kept as long as others. A
    /// settled job also stays until one was settled that is eight days younger: while
    /// the daemon was off, nothing grew old.
    pub async fn prune(&self, events_before: Timestamp, settled_before: Timestamp) -> Result<Pruned, StoreError> {
        Ok(Pruned {
            events: self.delete(&[EVENTS], events_before).await?,
            settled: self.delete(&[SETTLED], settled_before).await?,
            dead_letters: self.delete(&[ORPHANS, LETTERS], events_before).await?,
        })
    }

    /// How many rows the last of the statements removed in all.
    async fn delete(&self, statements: &[&'static str], before: Timestamp) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let mut transaction = self.begin(DOING).await?;
            let mut rows = 0;
            for statement in statements {
                let done = sqlx::query(*statement)
                    .bind(before.as_millisecond())
                    .bind(BATCH)
                    .execute(&mut *transaction)
                    .await
                    .map_err(|e| self.sql(DOING, e))?;
                rows = done.rows_affected();
            }
            self.finish(DOING, transaction).await?;
            deleted += rows;
            if rows < BATCH as u64 {
                return Ok(deleted);
            }
        }
    }
}
