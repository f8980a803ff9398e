//! The instances that the state knows. Memory, settled jobs and tokens belong to a
//! name and an address together: when a name points to another address, nothing of
//! the former instance is taken for the new one's; events stay under the name.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::{Store, StoreError};
use crate::core::event::Origin;

/// What an instance was to the state when it was enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolment {
    /// Its name was never seen.
    New,
    Known,
    /// Its name stood for another address until now. If the new address was seen
    /// under this name before, its memory of then is used again.
    Moved {
        from: String,
    },
}

/// An instance under the address that its name stands for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownInstance {
    pub name: String,
    pub url: String,
    pub first_seen: Timestamp,
}

impl Store {
    /// Makes an instance known. To be done for each configured one before its polls.
    pub async fn enrol(&self, origin: &Origin) -> Result<Enrolment, StoreError> {
        let doing = "enrol an instance";
        let failed = |e| self.sql(doing, e);
        let mut transaction = self.begin(doing).await?;
        let current: Option<String> =
            sqlx::query_scalar("SELECT url FROM instances WHERE name = $1 AND is_current = 1")
                .bind(&origin.name)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?;
        if current.as_deref() == Some(&origin.url) {
            return Ok(Enrolment::Known);
        }
        sqlx::query("UPDATE instances SET is_current = 0 WHERE name = $1 AND is_current = 1")
            .bind(&origin.name)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query(
            "INSERT INTO instances (id, name, url, first_seen, is_current)
             SELECT coalesce(max(id), 0) + 1, $1, $2, $3, 1 FROM instances WHERE 1 = 1
             ON CONFLICT (name, url) DO UPDATE SET is_current = 1",
        )
        .bind(&origin.name)
        .bind(&origin.url)
        .bind(Timestamp::now().as_millisecond())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        self.finish(doing, transaction).await?;
        Ok(match current {
            Some(from) => Enrolment::Moved { from },
            None => Enrolment::New,
        })
    }

    /// All instances ever enrolled, by name, configured any more or not.
    pub async fn instances(&self) -> Result<Vec<KnownInstance>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT name, url, first_seen FROM instances WHERE is_current = 1 ORDER BY name")
                .fetch_all(&self.readers)
                .await
                .map_err(|e| self.sql("list the instances", e))?;
        rows.into_iter()
            .map(|(name, url, first_seen)| {
                let first_seen = Timestamp::from_millisecond(first_seen)
                    .map_err(|_| StoreError::Unreadable { what: format!("instance {name}") })?;
                Ok(KnownInstance { name, url, first_seen })
            })
            .collect()
    }

    /// The id under which an instance's rows are kept.
    pub(super) async fn instance_id(
        &self,
        connection: &mut SqliteConnection,
        name: &str,
        doing: &'static str,
    ) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT id FROM instances WHERE name = $1 AND is_current = 1")
            .bind(name)
            .fetch_optional(connection)
            .await
            .map_err(|e| self.sql(doing, e))?
            .ok_or_else(|| StoreError::UnknownInstance { name: name.to_owned() })
    }
}
