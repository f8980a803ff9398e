//! The rules and schedules that the state knows. One that is taken out of the
//! configuration is forgotten, and is new when it comes back.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Store, StoreError};

const DOING: &str = "enrol the rules";

impl Store {
    /// Makes the configured rules and schedules known, these and no others. When each
    /// was added: it acts on what happens from then on.
    pub async fn enrol_rules(&self, names: &[&str], now: Timestamp) -> Result<BTreeMap<String, Timestamp>, StoreError> {
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
        for name in names {
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
        self.finish(DOING, transaction).await?;
        Ok(added)
    }
}
