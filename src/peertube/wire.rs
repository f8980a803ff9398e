//! What PeerTube's JSON becomes. Old versions may leave fields out; what must be
//! there and isn't makes the whole answer an error, or of a list that one row. All text
//! that is kept is bounded, whoever wrote it.

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

pub use jobs::jobs;
pub use moderation::moderation;
pub use page::{Listed, PassedOver};
pub use runners::{runner_jobs, runners};
pub use server::{new_versions, plugins, stats};
pub use sign_in::{Granted, OauthClient, problem};
pub use videos::{is_video_id, video, videos};

use self::page::Page;
use super::error::Cause;
use crate::core::rights::Role;

/// What is needed of `/config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerConfig {
    #[serde(deserialize_with = "scalar::text")]
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
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Cause> {
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
pub fn anything(body: &[u8]) -> Result<Value, Cause> {
    if body.is_empty() { Ok(Value::Null) } else { decode(body) }
}

pub fn me(body: &[u8]) -> Result<Me, Cause> {
    #[derive(Deserialize)]
    struct Account {
        #[serde(deserialize_with = "scalar::text")]
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn no_text_is_kept_at_any_length() {
        let (long, most) = ("x".repeat(100_000), 4096);
        let created = r#""createdAt": "2026-11-24T02:51:53.854Z", "updatedAt": "2026-11-24T02:51:53.854Z""#;
        let list = |row: &str| format!(r#"{{"total": 1, "data": [{row}]}}"#).into_bytes();

        let config: ServerConfig = decode(format!(r#"{{"serverVersion": "{long}"}}"#).as_bytes()).unwrap();
        assert_eq!(config.server_version.len(), most);
        let me = me(format!(r#"{{"username": "{long}", "role": 2}}"#).as_bytes()).unwrap();
        assert_eq!(me.username.len(), most);
        let versions = new_versions(&list(&format!(r#"{{"peertube": {{"latestVersion": "{long}"}}}}"#))).unwrap();
        assert_eq!(versions.page[0].len(), most);

        let row = format!(r#"{{"id": "{long}", "uuid": "{long}", "type": "{long}", "state": {{"id": 1}}, {created}}}"#);
        let at_runner = runner_jobs(&list(&row), Timestamp::UNIX_EPOCH).unwrap().page.rows.remove(0);
        assert_eq!((at_runner.uuid.len(), at_runner.job_type.0.len()), (most, most));
        let row = row.replace(r#"{"id": 1}"#, r#""failed""#);
        let job = jobs(&list(&row), Timestamp::UNIX_EPOCH, None).unwrap().page.rows.remove(0);
        assert_eq!((job.key.id.len(), job.key.job_type.0.len()), (most, most));
    }
}
