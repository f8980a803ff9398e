//! How a try ended, stored together with what it brought forth.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::owe::{read_memory, write_memory};
use super::{Claim, write_claims};
use crate::core::event::Event;
use crate::core::rule::{Swallowed, Terms};
use crate::store::commit::{Committed, write_events};
use crate::store::{Store, StoreError};

const DOING: &str = "store how a delivery ended";

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered, or of no use any more: it goes.
    Gone,
    /// To be tried again.
    Again { due: Timestamp, why: String },
    /// Given up; kept until somebody retries or drops it, or it grows old.
    Dead { why: String },
}

/// A value that a script keeps between its runs, or `None` to forget it.
pub type Kept = (String, Option<String>);

/// A try that ended, with what else it leaves behind.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub seq: i64,
    pub rule: String,
    pub verdict: Verdict,
    pub at: Timestamp,
    /// What its script told, and which rules act on that.
    pub events: Vec<Event>,
    pub claims: Vec<Claim>,
    pub kept: Vec<Kept>,
}

impl Settlement {
    pub fn new(seq: i64, rule: &str, verdict: Verdict, at: Timestamp) -> Self {
        Self { seq, rule: rule.to_owned(), verdict, at, events: Vec::new(), claims: Vec::new(), kept: Vec::new() }
    }
}

impl Store {
    /// Returns the events that were new, and what became of the claims to them. What
    /// was dropped by hand meanwhile stays dropped.
    pub async fn settle(&self, settlement: &Settlement) -> Result<Committed, StoreError> {
        let failed = |e| self.sql(DOING, e);
        let mut transaction = self.begin(DOING).await?;
        end_try(&mut transaction, settlement).await.map_err(failed)?;
        let new = write_events(&mut transaction, &settlement.events).await.map_err(failed)?;
        let admitted =
            write_claims(&mut transaction, &settlement.events, &new, &settlement.claims).await.map_err(failed)?;
        keep(&mut transaction, settlement).await.map_err(failed)?;
        self.finish(DOING, transaction).await?;
        let told = settlement.events.iter().zip(&new).filter(|(_, new)| **new).map(|(event, _)| event.clone());
        Ok(Committed { told: told.collect(), admitted })
    }

    /// What a rule's limit has swallowed, if it is time to sum that up.
    /// It is forgotten with the event that tells it.
    pub async fn sum_up(
        &self,
        rule: &str,
        terms: &Terms,
        now: Timestamp,
        tell: impl FnOnce(&Swallowed) -> (Event, Vec<Claim>) + Send,
    ) -> Result<Option<Committed>, StoreError> {
        let doing = "sum up what a limit has swallowed";
        let failed = |e| self.sql(doing, e);
        let mut transaction = self.begin(doing).await?;
        let mut memory = read_memory(&mut transaction, rule).await.map_err(failed)?;
        let Some(swallowed) = memory.sum_up(terms, now) else { return Ok(None) };
        write_memory(&mut transaction, rule, &memory).await.map_err(failed)?;
        let (event, claims) = tell(&swallowed);
        let events = [event];
        let new = write_events(&mut transaction, &events).await.map_err(failed)?;
        let admitted = write_claims(&mut transaction, &events, &new, &claims).await.map_err(failed)?;
        self.finish(doing, transaction).await?;
        let told = events.into_iter().zip(new).filter_map(|(event, new)| new.then_some(event));
        Ok(Some(Committed { told: told.collect(), admitted }))
    }

    /// When a rule's limit is to be summed up.
    pub async fn sums_up_at(&self, rule: &str, terms: &Terms) -> Result<Option<Timestamp>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(|e| self.sql(super::DOING, e))?;
        let memory = read_memory(&mut connection, rule).await.map_err(|e| self.sql(super::DOING, e))?;
        Ok(memory.sums_up_at(terms))
    }

    /// All that a rule's script keeps between its runs.
    pub async fn kept(&self, rule: &str) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query_as("SELECT name, value FROM script_store WHERE rule = $1")
            .bind(rule)
            .fetch_all(&self.readers)
            .await
            .map_err(|e| self.sql("read what a script keeps", e))
    }
}

async fn end_try(connection: &mut SqliteConnection, settlement: &Settlement) -> sqlx::Result<()> {
    let seq = settlement.seq;
    match &settlement.verdict {
        Verdict::Gone => remove(connection, seq).await,
        Verdict::Again { due, why } => {
            sqlx::query(
                "UPDATE deliveries SET tries = tries + 1, tried_at = $2, due_at = $3, error = $4, is_sealed = 1
                 WHERE seq = $1",
            )
            .bind(seq)
            .bind(settlement.at.as_millisecond())
            .bind(due.as_millisecond())
            .bind(why)
            .execute(connection)
            .await?;
            Ok(())
        }
        Verdict::Dead { why } => {
            sqlx::query(
                "UPDATE deliveries SET tries = tries + 1, tried_at = $2, state = 'dead', error = $3, is_sealed = 1
                 WHERE seq = $1",
            )
            .bind(seq)
            .bind(settlement.at.as_millisecond())
            .bind(why)
            .execute(connection)
            .await?;
            Ok(())
        }
    }
}

pub(super) async fn remove(connection: &mut SqliteConnection, seq: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM delivery_events WHERE delivery = $1").bind(seq).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM deliveries WHERE seq = $1").bind(seq).execute(connection).await?;
    Ok(())
}

async fn keep(connection: &mut SqliteConnection, settlement: &Settlement) -> sqlx::Result<()> {
    for (name, value) in &settlement.kept {
        let query = match value {
            Some(value) => sqlx::query(
                "INSERT INTO script_store (rule, name, value) VALUES ($1, $2, $3)
                 ON CONFLICT (rule, name) DO UPDATE SET value = excluded.value",
            )
            .bind(&settlement.rule)
            .bind(name)
            .bind(value),
            None => {
                sqlx::query("DELETE FROM script_store WHERE rule = $1 AND name = $2").bind(&settlement.rule).bind(name)
            }
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
