//! All that is SQLite's own: how a connection is opened, and what a file is
//! before anything is written to it. The other modules speak SQL that PostgreSQL
//! takes too.

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use url::Url;

use crate::core::text::clean;

/// How long to wait for a lock that another program holds.
const BUSY: Duration = Duration::from_secs(5);

/// How long to wait for the turn on a connection.
const TURN: Duration = Duration::from_secs(30);

/// The one connection that writes. It syncs at each commit: with less, the last
/// polls before a power cut would be told a second time.
pub(super) fn writer(path: &Path) -> SqlitePool {
    let options = options(path).pragma("synchronous", "FULL").pragma("cache_size", "-1500");
    pool(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| Box::pin(is_clean(connection)))
        .connect_lazy_with(options)
}

/// Connections that only read, closed when idle.
pub(super) fn readers(path: &Path) -> SqlitePool {
    let options = options(path).read_only(true).pragma("cache_size", "-500");
    pool(2).idle_timeout(Duration::from_secs(60)).connect_lazy_with(options)
}

/// A single connection to look at a file and to prepare it.
pub(super) async fn connect(path: &Path, read_only: bool) -> sqlx::Result<SqliteConnection> {
    options(path).read_only(read_only).connect().await
}

/// Readers and the writer don't wait for each other from now on.
pub(super) async fn use_wal(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("PRAGMA journal_mode = WAL").execute(connection).await?;
    Ok(())
}

/// Copies each table and index, and all rows but those of `secret`, into an empty
/// file. The original is opened to be read only, and all is of one moment.
pub(super) async fn copy(original: &Path, copy: &Path, secret: &str) -> sqlx::Result<()> {
    let mut connection = connect(copy, false).await?;
    let attach = sqlx::query("ATTACH DATABASE $1 AS original");
    attach.bind(read_only_uri(original)).execute(&mut connection).await?;
    let mut transaction = connection.begin().await?;
    let parts: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT type, name, sql FROM original.sqlite_master
         WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY rowid",
    )
    .fetch_all(&mut *transaction)
    .await?;
    for (kind, name, sql) in parts {
        // The schema is our own: another program's was refused.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
        if kind == "table" && name != secret {
            let rows = format!("INSERT INTO main.\"{name}\" SELECT * FROM original.\"{name}\"");
            sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    close(connection).await;
    Ok(())
}

fn read_only_uri(path: &Path) -> String {
    let uri = Url::from_file_path(path).map(|mut uri| {
        uri.set_query(Some("mode=ro"));
        uri.into()
    });
    // All paths are absolute by now; another could not be opened.
    uri.unwrap_or_default()
}

/// Moves what was written from the log into the database itself.
pub(super) async fn checkpoint(writer: &SqlitePool) -> sqlx::Result<()> {
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await?;
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Empty,
    Ours,
    Foreign,
}

pub(super) async fn content(connection: &mut SqliteConnection) -> sqlx::Result<Content> {
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(connection).await?;
    Ok(match names {
        names if names.is_empty() => Content::Empty,
        names if names.iter().any(|name| name == super::schema::TABLE) => Content::Ours,
        _ => Content::Foreign,
    })
}

/// The first thing that is wrong with a file's pages, if any is. Told at the start, for
/// what is damaged would be found by some poll in the middle of its work.
pub(super) async fn damage(connection: &mut SqliteConnection) -> sqlx::Result<Option<String>> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?;
    Ok((found != "ok").then(|| clean(&found, 200)))
}

pub(super) async fn close(connection: SqliteConnection) {
    // A connection that can't be closed well is closed by the drop.
    let _ = connection.close().await;
}

/// SQLite rolls back by itself when the disk is full or fails, and sqlx, whose own
/// rollback then finds nothing to do, believes for ever that the transaction is
/// open: every later one would be refused. Such a connection is not used again.
async fn is_clean(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // Rollbacks that are still queued come first.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .statement_cache_capacity(24)
        // The log is cut back to this after a large transaction.
        .pragma("journal_size_limit", "4194304")
        // Spent tokens are overwritten where it costs no further page.
        .pragma("secure_delete", "FAST")
        .thread_name(|_| "state".to_owned())
        .disable_statement_logging()
}

fn pool(most: u32) -> PoolOptions<sqlx::Sqlite> {
    PoolOptions::new().max_connections(most).acquire_timeout(TURN).test_before_acquire(false)
}
