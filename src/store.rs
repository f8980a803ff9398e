//! The state store: what polls remember, what was told, and the tokens.
//!
//! What a poll learnt is committed in one transaction: its memory and its events
//! are there together or not at all, and no event is there twice.

mod commit;
mod copy;
mod error;
mod events;
mod file;
mod health;
mod instances;
mod memory;
mod outbox;
mod prune;
mod rules;
mod schema;
mod sqlite;
mod tokens;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};

pub use self::commit::{Commit, Committed};
pub use self::error::StoreError;
pub use self::events::{EventFilter, StoredEvent};
pub use self::file::{Holder, holder};
use self::file::{Identity, Lock};
use self::health::Health;
pub use self::instances::{Enrolment, KnownInstance};

pub use self::outbox::{
    Admitted, Claim, Fired, Firing, Kept, Listed, Next, Owed, Owes, Settlement, Turn, Verdict, Which,
};
pub use self::prune::Pruned;
pub use self::rules::Enrolled;
use self::sqlite::Content;
pub use self::tokens::{SignedIn, TokenPair};
use crate::core::fault::Fault;

/// Who looks whether a daemon runs, holds the lock for less than this.
const LOOK: Duration = Duration::from_millis(50);

/// As what the state is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// As its one daemon: creates, locks, migrates, writes.
    Daemon,
    /// Beside a daemon or in its absence: reads, and changes nothing.
    Beside,
    /// Likewise, but for what a person does with deliveries.
    ByHand,
}

/// The state in one SQLite file. Shared by reference; every call is one short
/// transaction of its own.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    identity: Identity,
    readers: SqlitePool,
    writer: Option<Writer>,
    health: Health,
}

#[derive(Debug)]
struct Writer {
    pool: SqlitePool,
    /// Absent by hand: others may write too.
    _lock: Option<Lock>,
    /// That of the state which this one is a copy of.
    _original: Option<Lock>,
}

impl Store {
    pub async fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(|e| StoreError::file("find the state", path, e))?;
        let lock = match access {
            Access::Daemon => Some(prepare(&path).await?),
            Access::Beside | Access::ByHand => {
                inspect(&path).await?;
                None
            }
        };
        let identity = Identity::of(&path).map_err(|e| StoreError::file("open the state", &path, e))?;
        let writer =
            (access != Access::Beside).then(|| Writer { pool: sqlite::writer(&path), _lock: lock, _original: None });
        Ok(Self { readers: sqlite::readers(&path), path, identity, writer, health: Health::default() })
    }

    /// Whether the state answers, and is still the file that was opened.
    pub async fn check(&self) -> Result<(), StoreError> {
        let doing = "check the state";
        self.still_there(doing)?;
        sqlx::query("SELECT last FROM event_sequence").execute(&self.readers).await.map_err(|e| self.sql(doing, e))?;
        Ok(())
    }

    /// Whether the state takes what is written: whoever waits here waits with the
    /// polls. Nothing is written.
    pub async fn check_writer(&self) -> Result<(), StoreError> {
        let doing = "check that the state can be written";
        self.still_there(doing)?;
        self.begin(doing).await?.rollback().await.map_err(|e| self.sql(doing, e))
    }

    /// Looks whether the file is there; and if the last that was done with it failed,
    /// whether it takes a write again.
    pub async fn look_after(&self) -> Result<(), StoreError> {
        let doing = "look after the state";
        self.still_there(doing)?;
        match self.trouble() {
            None => return Ok(()),
            Some(Fault::Full | Fault::Disk) => {
                if self.try_room().await.is_err() {
                    return Ok(());
                }
            }
            Some(_) => {}
        }
        self.write_nothing(doing).await?;
        self.health.is_well();
        Ok(())
    }

    /// Whether the state takes a write now.
    pub async fn try_write(&self) -> Result<(), StoreError> {
        let doing = "write to the state";
        self.try_room().await.map_err(|e| StoreError::file(doing, &self.path, e))?;
        self.write_nothing(doing).await
    }

    async fn try_room(&self) -> std::io::Result<()> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || file::try_room(&path)).await?
    }

    /// A write that changes nothing.
    async fn write_nothing(&self, doing: &'static str) -> Result<(), StoreError> {
        let mut transaction = self.begin(doing).await?;
        let write = sqlx::query("UPDATE event_sequence SET last = last").execute(&mut *transaction).await;
        write.map_err(|e| self.sql(doing, e))?;
        self.finish(doing, transaction).await
    }

    /// What stands between the state and a write, as far as that is known.
    pub fn trouble(&self) -> Option<Fault> {
        self.health.trouble()
    }

    /// Returns when trouble has begun or ended since the last call. For one caller.
    pub async fn trouble_changed(&self) {
        self.health.changed().await;
    }

    /// How often something failed in this way since the state was opened.
    pub fn failures(&self, fault: Fault) -> u64 {
        self.health.count(fault)
    }

    /// Ends all that runs and leaves one file behind. Later calls are errors. The
    /// lock is given back when the store is dropped.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        let Some(writer) = &self.writer else { return Ok(()) };
        let checkpointed = sqlite::checkpoint(&writer.pool).await;
        writer.pool.close().await;
        checkpointed.map_err(|e| self.sql("close the state", e))
    }

    /// Begins a transaction that will write. A deferred one that reads first would
    /// fail at once when another program writes, however long it may wait.
    async fn begin(&self, doing: &'static str) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let Some(writer) = &self.writer else {
            return Err(StoreError::Beside { doing, path: self.path.clone() });
        };
        writer.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|e| self.sql(doing, e))
    }

    /// Commits, unless the file is gone: SQLite would go on writing to one that
    /// nobody will ever find again.
    async fn finish(&self, doing: &'static str, transaction: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        self.still_there(doing)?;
        transaction.commit().await.map_err(|e| self.sql(doing, e))?;
        self.health.committed();
        Ok(())
    }

    fn still_there(&self, doing: &'static str) -> Result<(), StoreError> {
        match Identity::of(&self.path) {
            Ok(now) if now == self.identity => Ok(()),
            _ => Err(self.noted(StoreError::Replaced { doing, path: self.path.clone() })),
        }
    }

    fn sql(&self, doing: &'static str, source: sqlx::Error) -> StoreError {
        self.noted(StoreError::sql(doing, &self.path, source))
    }

    fn noted(&self, error: StoreError) -> StoreError {
        self.health.failed(error.fault());
        error
    }
}

/// Locks, creates and migrates.
async fn prepare(path: &Path) -> Result<Lock, StoreError> {
    let doing = "open the state";
    let failed = |e| StoreError::sql(doing, path, e);
    file::expect_directory(path)?;
    let lock = patiently(|| Lock::take(path)).await?;
    file::create(path)?;
    let mut connection = sqlite::connect(path, false).await.map_err(failed)?;
    match sqlite::content(&mut connection).await.map_err(failed)? {
        Content::Foreign => return Err(StoreError::Foreign { path: path.to_owned() }),
        Content::Ours => {
            refuse_newer(path, schema::version(&mut connection).await.map_err(failed)?)?;
            if let Some(what) = sqlite::damage(&mut connection).await.map_err(failed)? {
                return Err(StoreError::Damaged { path: path.to_owned(), what });
            }
        }
        Content::Empty => {}
    }
    file::make_private(path);
    sqlite::use_wal(&mut connection).await.map_err(failed)?;
    schema::migrate(&mut connection).await.map_err(failed)?;
    sqlite::close(connection).await;
    Ok(lock)
}

/// Takes a lock that may be held for a moment by who only looks at it.
async fn patiently<T>(take: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..4 {
        match take() {
            Err(StoreError::Held { .. }) => tokio::time::sleep(LOOK).await,
            done => return done,
        }
    }
    take()
}

/// Makes sure that there is something that this program can read.
async fn inspect(path: &Path) -> Result<(), StoreError> {
    let failed = |e| StoreError::sql("read the state", path, e);
    let none = || StoreError::NoState { path: path.to_owned() };
    if !path.try_exists().map_err(|e| StoreError::file("read the state", path, e))? {
        return Err(none());
    }
    let mut connection = sqlite::connect(path, true).await.map_err(failed)?;
    let found = match sqlite::content(&mut connection).await.map_err(failed)? {
        Content::Foreign => return Err(StoreError::Foreign { path: path.to_owned() }),
        Content::Empty => return Err(none()),
        Content::Ours => schema::version(&mut connection).await.map_err(failed)?,
    };
    sqlite::close(connection).await;
    refuse_newer(path, found)?;
    if found < schema::KNOWN {
        return Err(StoreError::Older { path: path.to_owned(), found, known: schema::KNOWN });
    }
    Ok(())
}

fn refuse_newer(path: &Path, found: i64) -> Result<(), StoreError> {
    if found > schema::KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: schema::KNOWN });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
