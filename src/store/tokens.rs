//! The token pairs, one an instance. They stand in their own row and nowhere else,
//! and are given only to the account they were issued for.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{Store, StoreError};

/// An access token, the refresh token that renews it, and whose they are.
#[derive(Debug, Clone)]
pub struct TokenPair {
    pub username: String,
    pub access_token: SecretString,
    pub refresh_token: SecretString,
    pub access_expires_at: Timestamp,
    /// Old servers don't tell.
    pub refresh_expires_at: Option<Timestamp>,
}

/// Whose tokens are kept, and how long they are good: no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub username: String,
    pub access_expires_at: Timestamp,
    pub refresh_expires_at: Option<Timestamp>,
}

type Row = (String, String, i64, Option<i64>);

impl Store {
    /// The stored pair, if it is this account's at the address that the instance has
    /// now.
    pub async fn tokens(&self, instance: &str, username: &str) -> Result<Option<TokenPair>, StoreError> {
        let doing = "read the tokens";
        let failed = |e| self.sql(doing, e);
        let mut reader = self.readers.acquire().await.map_err(failed)?;
        let id = self.instance_id(&mut reader, instance, doing).await?;
        let row: Option<Row> = sqlx::query_as(
            "SELECT access_token, refresh_token, access_expires_at, refresh_expires_at
             FROM tokens WHERE instance_id = $1 AND username = $2",
        )
        .bind(id)
        .bind(username)
        .fetch_optional(&mut *reader)
        .await
        .map_err(failed)?;
        row.map(|row| {
            pair(username, row).map_err(|_| StoreError::Unreadable { what: format!("token pair of {instance}") })
        })
        .transpose()
    }

    /// Who is signed in at the address that the instance has now.
    pub async fn signed_in(&self, instance: &str) -> Result<Option<SignedIn>, StoreError> {
        let doing = "read who is signed in";
        let failed = |e| self.sql(doing, e);
        let mut reader = self.readers.acquire().await.map_err(failed)?;
        let id = self.instance_id(&mut reader, instance, doing).await?;
        let row: Option<(String, i64, Option<i64>)> =
            sqlx::query_as("SELECT username, access_expires_at, refresh_expires_at FROM tokens WHERE instance_id = $1")
                .bind(id)
                .fetch_optional(&mut *reader)
                .await
                .map_err(failed)?;
        row.map(|(username, access, refresh)| {
            Ok(SignedIn {
                username,
                access_expires_at: Timestamp::from_millisecond(access)?,
                refresh_expires_at: refresh.map(Timestamp::from_millisecond).transpose()?,
            })
        })
        .transpose()
        .map_err(|_: jiff::Error| StoreError::Unreadable { what: format!("token pair of {instance}") })
    }

    /// Replaces whatever pair the instance had.
    pub async fn save_tokens(&self, instance: &str, pair: &TokenPair) -> Result<(), StoreError> {
        let doing = "store the tokens";
        let mut transaction = self.begin(doing).await?;
        let id = self.instance_id(&mut transaction, instance, doing).await?;
        sqlx::query(
            "INSERT INTO tokens
             (instance_id, username, access_token, refresh_token, access_expires_at, refresh_expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (instance_id) DO UPDATE SET username = excluded.username,
             access_token = excluded.access_token, refresh_token = excluded.refresh_token,
             access_expires_at = excluded.access_expires_at, refresh_expires_at = excluded.refresh_expires_at",
        )
        .bind(id)
        .bind(&pair.username)
        .bind(pair.access_token.expose_secret())
        .bind(pair.refresh_token.expose_secret())
        .bind(pair.access_expires_at.as_millisecond())
        .bind(pair.refresh_expires_at.map(Timestamp::as_millisecond))
        .execute(&mut *transaction)
        .await
        .map_err(|e| self.sql(doing, e))?;
        self.finish(doing, transaction).await
    }

    pub async fn forget_tokens(&self, instance: &str) -> Result<(), StoreError> {
        let doing = "forget the tokens";
        let mut transaction = self.begin(doing).await?;
        let id = self.instance_id(&mut transaction, instance, doing).await?;
        sqlx::query("DELETE FROM tokens WHERE instance_id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.sql(doing, e))?;
        self.finish(doing, transaction).await
    }
}

fn pair(username: &str, row: Row) -> Result<TokenPair, jiff::Error> {
    let (access_token, refresh_token, access_expires_at, refresh_expires_at) = row;
    Ok(TokenPair {
        username: username.to_owned(),
        access_token: access_token.into(),
        refresh_token: refresh_token.into(),
        access_expires_at: Timestamp::from_millisecond(access_expires_at)?,
        refresh_expires_at: refresh_expires_at.map(Timestamp::from_millisecond).transpose()?,
    })
}
