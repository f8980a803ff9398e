//! What PeerTube's JSON becomes. Old versions may leave fields out; what must be
//! there and isn't makes the whole answer an error, or of a list that one row.

mod jobs;
mod moderation;
mod page;
mod runners;
mod scalar;
mod server;
mod sign_in;
mod videos;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) use jobs::jobs;
pub(super) use moderation::moderation;
pub(super) use page::{Listed, PassedOver};
pub(super) use runners::{runner_jobs, runners};
pub(super) use server::{new_versions, plugins, stats};
pub(super) use sign_in::{Granted, OauthClient, problem};
pub(super) use videos::{video, videos};

use self::page::Page;
use super::error::Cause;
use crate::core::rights::Role;

/// What is needed of `/config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerConfig {
    pub server_version: String,
}

/// Who we are signed in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    pub username: String,
    pub role: Role,
}

/// Decodes a body. Its errors tell where, and never what stands there: that may
/// be a secret.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Cause> {
    serde_json::from_slice(body).map_err(|error| shape(&error))
}

fn shape(error: &serde_json::Error) -> Cause {
    let text = error.to_string();
    let reason = if text.starts_with("missing field `") {
        text
    } else {
        format!("unexpected at line {} column {}", error.line(), error.column())
    };
    Cause::Shape { reason, cut: error.is_eof() }
}

/// A body whatever it holds; nothing is null.
pub(super) fn anything(body: &[u8]) -> Result<Value, Cause> {
    if body.is_empty() { Ok(Value::Null) } else { decode(body) }
}

pub(super) fn me(body: &[u8]) -> Result<Me, Cause> {
    #[derive(Deserialize)]
    struct Account {
        username: String,
        role: AnyRole,
    }
    /// An object today, a number before.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum AnyRole {
        Today { id: u64 },
        Before(u64),
    }

    let account: Account = decode(body)?;
    let (AnyRole::Today { id } | AnyRole::Before(id)) = account.role;
    Ok(Me { username: account.username, role: Role::from_id(id) })
}

fn missing(field: &str) -> Cause {
    Cause::Shape { reason: format!("missing field `{field}`"), cut: false }
}
