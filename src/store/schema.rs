//! The schema's versions. They are applied in order, each in one transaction with
//! its number, and a file that is ahead of this program is never touched.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, SqlSafeStr};

pub(super) const TABLE: &str = "schema_version";

/// A version's number is its place here, from 1. What was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_outbox.sql"),
    include_str!("migrations/0003_by_hand.sql"),
];

/// The version that this program reads and writes.
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;

/// The version of a state of ours.
pub(super) async fn version(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM schema_version").fetch_one(connection).await?;
    Ok(version.unwrap_or(0))
}

/// Brings an empty or older state to [`KNOWN`].
pub(super) async fn migrate(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)")
        .execute(&mut *transaction)
        .await?;
    let found = version(&mut transaction).await?;
    for (migration, number) in MIGRATIONS.iter().copied().zip(1..).skip_while(|(_, number)| *number <= found) {
        sqlx::raw_sql(migration.into_sql_str()).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind::<i64>(number)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}
