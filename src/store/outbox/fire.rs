//! A schedule that fires: its event, what it owes, and when that was, in one transaction.

use jiff::Timestamp;

use super::write_claims;
use super::{Claim, DOING, settle::remove};
use crate::core::event::Event;
use crate::store::commit::{Committed, write_events};
use crate::store::{Store, StoreError};

/// One schedule, for one instance, at one time.
#[derive(Debug, Clone)]
pub struct Firing {
    pub schedule: String,
    pub event: Event,
    /// The schedule's own, and those of rules that act on its event.
    pub claims: Vec<Claim>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    pub committed: Committed,
    /// Why the run before failed, if it gave way while it waited for another try.
    pub failed: Option<String>,
}

impl Store {
    /// A run that still waits, for its turn or for another try, gives way to this one.
    pub async fn fire(&self, firing: &Firing) -> Result<Fired, StoreError> {
        let doing = "fire a schedule";
        let failed = |e| self.sql(doing, e);
        let instance = firing.event.instance();
        let mut transaction = self.begin(doing).await?;
        let events = std::slice::from_ref(&firing.event);
        let new = write_events(&mut transaction, events).await.map_err(failed)?;
        let mut why = None;
        if new.contains(&true) {
            let waiting: Vec<(i64, i64, Option<String>)> = sqlx::query_as(
                "SELECT seq, tries, error FROM deliveries WHERE rule = $1 AND instance = $2 AND state = 'pending'",
            )
            .bind(&firing.schedule)
            .bind(instance)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
            for (seq, tries, error) in waiting {
                if tries > 0 {
                    why = Some(error.unwrap_or_default());
                }
                remove(&mut transaction, seq).await.map_err(failed)?;
            }
        }
        let admitted = write_claims(&mut transaction, events, &new, &firing.claims).await.map_err(failed)?;
        sqlx::query(
            "INSERT INTO schedules (name, instance, fired_at) VALUES ($1, $2, $3)
             ON CONFLICT (name, instance) DO UPDATE SET fired_at = excluded.fired_at
             WHERE schedules.fired_at < excluded.fired_at",
        )
        .bind(&firing.schedule)
        .bind(instance)
        .bind(firing.event.time.as_millisecond())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        self.finish(doing, transaction).await?;
        let told = new.contains(&true).then(|| firing.event.clone());
        Ok(Fired { committed: Committed { told: told.into_iter().collect(), admitted }, failed: why })
    }

    /// When a schedule last fired for an instance.
    pub async fn fired_at(&self, schedule: &str, instance: &str) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar("SELECT fired_at FROM schedules WHERE name = $1 AND instance = $2")
            .bind(schedule)
            .bind(instance)
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| self.sql(DOING, e))?;
        at.map(super::time).transpose()
    }
}
