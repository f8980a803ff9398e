//! What events tell of a video. A field that can't be known is null, never absent,
//! and every text in it is one safe, bounded line.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::text::clean;
use super::video::{Privacy, VideoRow, VideoState};

const LONGEST_NAME: usize = 200;
const LONGEST_URL: usize = 500;

/// The `video` of an event. Remembered by short keys: there may be many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Not remembered twice: it is the document's key.
    #[serde(skip)]
    pub uuid: String,
    #[serde(rename = "n")]
    pub name: String,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub state: Option<VideoState>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub is_live: Option<bool>,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub nsfw: Option<bool>,
}

impl Facts {
    pub fn of(row: &VideoRow) -> Self {
        let name = |text: &Option<String>| text.as_deref().map(|text| clean(text, LONGEST_NAME));
        Self {
            uuid: row.uuid.clone(),
            name: clean(&row.name, LONGEST_NAME),
            url: row.url.as_deref().map(|url| clean(url, LONGEST_URL)),
            channel: name(&row.channel),
            account: name(&row.account),
            privacy: row.privacy,
            state: row.state,
            duration: row.duration,
            is_live: row.is_live,
            nsfw: row.nsfw,
        }
    }

    /// The `video` object of events.
    pub fn to_value(&self) -> Value {
        json!({
            "uuid": self.uuid,
            "name": self.name,
            "url": self.url,
            "channel": self.channel,
            "account": self.account,
            "privacy": self.privacy.map(Privacy::as_str),
            "state": self.state.map(VideoState::as_str),
            "duration": self.duration,
            "is_live": self.is_live,
            "nsfw": self.nsfw,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> VideoRow {
        VideoRow {
            uuid: "u".into(),
            name: "a\u{1b}[31m \u{202e}title".into(),
            url: None,
            channel: Some("root\nchannel".into()),
            account: None,
            privacy: Some(Privacy::PasswordProtected),
            state: Some(VideoState::TranscodingFailed),
            wait_transcoding: None,
            blacklisted: None,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            published_at: None,
            duration: Some(8),
            is_live: Some(false),
            is_local: None,
            nsfw: None,
        }
    }

    #[test]
    fn what_is_not_known_is_null_and_text_is_safe() {
        assert_eq!(
            Facts::of(&row()).to_value(),
            json!({"uuid": "u", "name": "a [31m title", "url": null, "channel": "root channel", "account": null,
                "privacy": "password_protected", "state": "transcoding_failed", "duration": 8, "is_live": false,
                "nsfw": null})
        );
    }

    #[test]
    fn facts_are_remembered_whole_but_for_the_uuid() {
        let facts = Facts::of(&row());
        let text = serde_json::to_string(&facts).unwrap();
        let back: Facts = serde_json::from_str(&text).unwrap();
        assert_eq!(Facts { uuid: "u".into(), ..back }, facts);
        assert_eq!(text, r#"{"n":"a [31m title","c":"root channel","p":5,"s":7,"d":8,"l":false}"#);
    }
}
