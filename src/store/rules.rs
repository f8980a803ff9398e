//! The rules and schedules that the state knows. One that is taken out of the
//! configuration is forgotten, and is new when it comes back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::sqlite::SqliteConnection;

use super::outbox::add_event;
use super::{Store, StoreError};
use crate::core::rule::delivery_id;

const DOING: &str = "enrol the rules";

/// What is known of the configured rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enrolled {
    /// When each was added: it acts on what happens from then on.
    pub added_at: BTreeMap<String, Timestamp>,
    /// How much those owed that are not configured any more: dead letters from now on.
    pub orphaned: BTreeMap<String, u64>,
}

impl Store {
    /// Makes the configured rules and schedules known, these and no others; with each
    /// stands whether it takes batches.
    pub async fn enrol_rules(&self, rules: &[(&str, bool)], now: Timestamp) -> Result<Enrolled, StoreError> {
        let names: Vec<&str> = rules.iter().map(|(name, _)| *name).collect();
        let failed = |e| self.sql(DOING, e);
        let mut transaction = self.begin(DOING).await?;
        let known: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, added_at FROM rules").fetch_all(&mut *transaction).await.map_err(failed)?;
        let mut added = BTreeMap::new();
        for (name, at) in known {
            if names.contains(&name.as_str()) {
                let at = Timestamp::from_millisecond(at)
                    .map_err(|_| StoreError::Unreadable { what: format!("rule {name}") })?;
                added.insert(name, at);
                continue;
            }
            for statement in [
                "DELETE FROM rules WHERE name = $1",
                "DELETE FROM script_store WHERE rule = $1",
                "DELETE FROM schedules WHERE name = $1",
            ] {
                sqlx::query(statement).bind(&name).execute(&mut *transaction).await.map_err(failed)?;
            }
        }
        for (name, takes_batches) in rules {
            fit(&mut transaction, name, *takes_batches).await.map_err(failed)?;
            if !added.contains_key(*name) {
                sqlx::query("INSERT INTO rules (name, added_at, memory) VALUES ($1, $2, '{}')")
                    .bind(*name)
                    .bind(now.as_millisecond())
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
                added.insert((*name).to_owned(), now);
            }
        }
        let owing: Vec<(String, i64)> =
            sqlx::query_as("SELECT rule, count(*) FROM deliveries WHERE state = 'pending' GROUP BY rule")
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?;
        let mut orphaned = BTreeMap::new();
        for (name, count) in owing {
            if !added.contains_key(&name) {
                orphan(&mut transaction, &name, now).await.map_err(failed)?;
                orphaned.insert(name, u64::try_from(count).unwrap_or(0));
            }
        }
        self.finish(DOING, transaction).await?;
        Ok(Enrolled { added_at: added, orphaned })
    }
}

/// What a rule owed that is gone: nobody delivers it, but a person may want it back.
pub(super) async fn orphan(connection: &mut SqliteConnection, rule: &str, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE deliveries SET state = 'dead', is_sealed = 1, tried_at = $2,
             error = 'its rule is not in the configuration any more'
         WHERE rule = $1 AND state = 'pending'",
    )
    .bind(rule)
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives what is owed the form that the rule has now: batches, or an event each.
async fn fit(connection: &mut SqliteConnection, rule: &str, takes_batches: bool) -> sqlx::Result<()> {
    if takes_batches {
        let query = sqlx::query("UPDATE deliveries SET is_batch = 1, is_sealed = 1 WHERE rule = $1 AND is_batch = 0");
        query.bind(rule).execute(connection).await?;
        return Ok(());
    }
    let batches: Vec<i64> =
        sqlx::query_scalar("SELECT seq FROM deliveries WHERE rule = $1 AND is_batch = 1 ORDER BY seq")
            .bind(rule)
            .fetch_all(&mut *connection)
            .await?;
    for batch in batches {
        let events: Vec<(i64, String)> =
            sqlx::query_as("SELECT position, event FROM delivery_events WHERE delivery = $1 ORDER BY position")
                .bind(batch)
                .fetch_all(&mut *connection)
                .await?;
        // The first one stays what it was, for the batch has its id.
        for (position, event) in events.into_iter().skip(1) {
            let event: Value = serde_json::from_str(&event).unwrap_or_default();
            let id = delivery_id(event["id"].as_str().unwrap_or_default(), rule);
            let seq: i64 = sqlx::query_scalar("UPDATE delivery_sequence SET last = last + 1 RETURNING last")
                .fetch_one(&mut *connection)
                .await?;
            sqlx::query(
                "INSERT INTO deliveries (seq, id, rule, action, instance, state, is_batch, is_sealed, created_at,
                     first_due_at, due_at, tries, tried_at, error, by_hand)
                 SELECT $2, $3, rule, action, instance, state, 0, 1, created_at,
                     first_due_at, due_at, tries, tried_at, error, by_hand
                 FROM deliveries WHERE seq = $1",
            )
            .bind(batch)
            .bind(seq)
            .bind(id)
            .execute(&mut *connection)
            .await?;
            add_event(connection, seq, 0, &event).await?;
            sqlx::query("DELETE FROM delivery_events WHERE delivery = $1 AND position = $2")
                .bind(batch)
                .bind(position)
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query("UPDATE deliveries SET is_batch = 0, is_sealed = 1 WHERE seq = $1")
            .bind(batch)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
