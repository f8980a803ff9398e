//! What an event makes rules owe, in the transaction that stores the event.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::sqlite::SqliteConnection;

use crate::core::event::Event;
use crate::core::rule::{Admission, Owner, RuleMemory};
use crate::store::rules::orphan;

/// A rule or a schedule that is to act on an event.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The event's place in the commit.
    pub event: usize,
    pub owner: Arc<Owner>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    pub owner: Arc<Owner>,
    pub admission: Admission,
}

/// Claims to events that were not new are none: they were made before.
pub(in crate::store) async fn write_claims(
    connection: &mut SqliteConnection,
    events: &[Event],
    new: &[bool],
    claims: &[Claim],
) -> sqlx::Result<Vec<Admitted>> {
    let now = Timestamp::now();
    let mut by_owner: BTreeMap<&str, Vec<(&Claim, &Event)>> = BTreeMap::new();
    for claim in claims {
        if let Some(event) = events.get(claim.event).filter(|_| new.get(claim.event) == Some(&true)) {
            by_owner.entry(&claim.owner.name).or_default().push((claim, event));
        }
    }
    let mut admitted = Vec::new();
    for (name, claims) in by_owner {
        let before = read_memory(connection, name).await?;
        let mut memory = before.clone();
        for (claim, event) in claims {
            let owner = claim.owner.clone();
            let admission = memory.admit(name, &owner.terms, event, now);
            match &admission {
                Admission::Owed { delivery, due } => owe(connection, &owner, delivery, *due, now, event).await?,
                Admission::Joins { delivery } => join(connection, delivery, event).await?,
                Admission::Limited | Admission::Deduplicated => {}
            }
            admitted.push(Admitted { owner, admission });
        }
        if memory != before {
            write_memory(connection, name, &memory).await?;
        }
        // It may have been taken away while this waited for its turn.
        let is_known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM rules WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut *connection)
            .await?;
        if is_known.is_none() {
            orphan(connection, name, now).await?;
        }
    }
    Ok(admitted)
}

/// What a rule did lately. A batch that is under way takes no more. A memory that
/// can't be read is of a newer version, and begins anew.
pub(super) async fn read_memory(connection: &mut SqliteConnection, rule: &str) -> sqlx::Result<RuleMemory> {
    let text: Option<String> = sqlx::query_scalar("SELECT memory FROM rules WHERE name = $1")
        .bind(rule)
        .fetch_optional(&mut *connection)
        .await?;
    let mut memory: RuleMemory = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    for open in memory.open_batches() {
        let takes: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM deliveries WHERE id = $1 AND is_sealed = 0 AND state = 'pending'")
                .bind(&open)
                .fetch_optional(&mut *connection)
                .await?;
        if takes.is_none() {
            memory.close_batch(&open);
        }
    }
    Ok(memory)
}

pub(super) async fn write_memory(
    connection: &mut SqliteConnection,
    rule: &str,
    memory: &RuleMemory,
) -> sqlx::Result<()> {
    let text = serde_json::to_string(memory).unwrap_or_default();
    sqlx::query("UPDATE rules SET memory = $2 WHERE name = $1").bind(rule).bind(text).execute(connection).await?;
    Ok(())
}

async fn owe(
    connection: &mut SqliteConnection,
    owner: &Owner,
    delivery: &str,
    due: Timestamp,
    now: Timestamp,
    event: &Event,
) -> sqlx::Result<()> {
    let seq: i64 = sqlx::query_scalar("UPDATE delivery_sequence SET last = last + 1 RETURNING last")
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO deliveries
             (seq, id, rule, action, instance, state, is_batch, is_sealed, created_at, first_due_at, due_at, tries)
         VALUES ($1, $2, $3, $4, $5, 'pending', $6, 0, $7, $8, $8, 0)",
    )
    .bind(seq)
    .bind(delivery)
    .bind(&owner.name)
    .bind(owner.action.as_str())
    .bind(event.instance())
    .bind(i64::from(owner.terms.batch.is_some()))
    .bind(now.as_millisecond())
    .bind(due.as_millisecond())
    .execute(&mut *connection)
    .await?;
    add_event(connection, seq, 0, &event.to_json()).await
}

async fn join(connection: &mut SqliteConnection, delivery: &str, event: &Event) -> sqlx::Result<()> {
    let (seq, position): (i64, i64) = sqlx::query_as(
        "SELECT seq, (SELECT count(*) FROM delivery_events WHERE delivery = deliveries.seq)
         FROM deliveries WHERE id = $1",
    )
    .bind(delivery)
    .fetch_one(&mut *connection)
    .await?;
    add_event(connection, seq, position, &event.to_json()).await
}

pub(in crate::store) async fn add_event(
    connection: &mut SqliteConnection,
    seq: i64,
    position: i64,
    event: &Value,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO delivery_events (delivery, position, event) VALUES ($1, $2, $3)")
        .bind(seq)
        .bind(position)
        .bind(event.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
