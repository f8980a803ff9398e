//! What polls remember and which jobs were told, as the last commit left it.

use super::{Store, StoreError};
use crate::core::memory::Documents;
use crate::core::poll::PollKind;

impl Store {
    /// A poll's whole memory; empty before its first commit.
    pub async fn memory(&self, instance: &str, poll: PollKind) -> Result<Documents, StoreError> {
        let doing = "read the memory of a poll";
        let failed = |e| self.sql(doing, e);
        let mut reader = self.readers.acquire().await.map_err(failed)?;
        let id = self.instance_id(&mut reader, instance, doing).await?;
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT document, body FROM memory WHERE instance_id = $1 AND poll = $2")
                .bind(id)
                .bind(poll.as_str())
                .fetch_all(&mut *reader)
                .await
                .map_err(failed)?;
        Ok(rows.into_iter().collect())
    }

    /// Fingerprints of the jobs already told, in no order.
    pub async fn settled(&self, instance: &str) -> Result<Vec<i64>, StoreError> {
        let doing = "read the settled jobs";
        let failed = |e| self.sql(doing, e);
        let mut reader = self.readers.acquire().await.map_err(failed)?;
        let id = self.instance_id(&mut reader, instance, doing).await?;
        sqlx::query_scalar("SELECT fingerprint FROM settled WHERE instance_id = $1")
            .bind(id)
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)
    }
}
