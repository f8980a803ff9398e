//! Videos as PeerTube lists them and as their own address shows them.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::scalar::{self, Scalar};
use super::{Listed, Page, decode, missing};
use crate::core::video::{Privacy, VideoRow, VideoState, VideosPage};
use crate::peertube::error::Cause;

/// `counted` tells whether the question asked for the total, so that it must be there.
pub fn videos(body: &[u8], date: Timestamp, counted: bool) -> Result<Listed<VideosPage>, Cause> {
    let page: Page<Video> = Page::read(body)?;
    let total = page.maybe_total().filter(|_| counted);
    if counted && total.is_none() {
        return Err(missing("total"));
    }
    let (unread, passed_over) = (page.unread(), page.passed_over());
    let rows = page.rows.into_iter().map(VideoRow::from).collect();
    Ok(Listed { page: VideosPage { total, rows, unread, date }, passed_over })
}

/// Whether a video can have it for its uuid. It comes from strangers and becomes a part
/// of an address.
pub fn is_video_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

pub fn video(body: &[u8]) -> Result<VideoRow, Cause> {
    decode::<Video>(body).map(VideoRow::from)
}

/// A video that can't be asked for at its own address would end every poll that has to.
fn uuid<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    scalar::text(from).and_then(|text| if is_video_id(&text) { Ok(text) } else { Err(D::Error::custom("no uuid")) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Video {
    #[serde(deserialize_with = "uuid")]
    uuid: String,
    #[serde(default)]
    name: Scalar,
    #[serde(default)]
    url: Scalar,
    channel: Option<Named>,
    account: Option<Named>,
    privacy: Option<Labelled>,
    state: Option<Labelled>,
    wait_transcoding: Option<bool>,
    blacklisted: Option<bool>,
    #[serde(deserialize_with = "scalar::time")]
    created_at: Timestamp,
    #[serde(default, deserialize_with = "scalar::maybe_time")]
    published_at: Option<Timestamp>,
    #[serde(default)]
    duration: Scalar,
    is_live: Option<bool>,
    is_local: Option<bool>,
    nsfw: Option<bool>,
}

/// A channel or an account: the name by which it can be found, which does not change.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: Scalar,
}

/// A state or a privacy. Without its number it can't be read, which must not look like
/// one that isn't told: what a public list shows without a state is published.
#[derive(Deserialize)]
struct Labelled {
    id: u64,
}

impl From<Video> for VideoRow {
    fn from(video: Video) -> Self {
        let name = |named: Option<Named>| named.and_then(|named| named.name.into_text());
        let id = |labelled: Option<Labelled>| labelled.map(|labelled| labelled.id);
        Self {
            uuid: video.uuid,
            name: video.name.into_text().unwrap_or_default(),
            url: video.url.into_text(),
            channel: name(video.channel),
            account: name(video.account),
            privacy: id(video.privacy).map(Privacy::from_id),
            state: id(video.state).map(VideoState::from_id),
            wait_transcoding: video.wait_transcoding,
            blacklisted: video.blacklisted,
            created_at: video.created_at,
            published_at: video.published_at,
            duration: video.duration.as_whole().and_then(|seconds| u64::try_from(seconds).ok()),
            is_live: video.is_live,
            is_local: video.is_local,
            nsfw: video.nsfw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_taken_for_what_is_not_told() {
        let page = |more: &str| {
            let row = format!(r#"{{"uuid": "a", "createdAt": "2026-11-24T06:00:00.000Z"{more}}}"#);
            let body = format!(r#"{{"total": 1, "data": [{row}]}}"#);
            videos(body.as_bytes(), Timestamp::UNIX_EPOCH, true).unwrap().page
        };
        let bare = page("").rows.remove(0);
        assert_eq!((bare.state, bare.privacy, bare.published_at), (None, None, None));
        assert_eq!(page(r#", "state": null, "privacy": null, "publishedAt": null"#).rows, [bare]);
        for odd in ["state", "privacy", "publishedAt"] {
            for value in [r#"{"odd": true}"#, "[]", "true"] {
                let page = page(&format!(r#", "{odd}": {value}"#));
                assert_eq!((page.rows.len(), page.unread), (0, 1), "{odd}: {value}");
            }
        }
    }

    #[test]
    fn a_video_that_can_t_be_asked_for_is_passed_over_and_hides_no_other() {
        let rows = ["a09a616c-5d3c-4b53-8f3b-6d0c7f4f2a11", "", "../users/me", "a b", &"a".repeat(65)]
            .map(|uuid| format!(r#"{{"uuid": {}, "createdAt": "2026-11-24T02:51:53.854Z"}}"#, serde_json::json!(uuid)));
        let body = format!(r#"{{"total": 5, "data": [{}]}}"#, rows.join(","));
        let listed = videos(body.as_bytes(), Timestamp::UNIX_EPOCH, true).unwrap();
        assert_eq!((listed.page.rows.len(), listed.page.unread), (1, 4));
        assert!(is_video_id(&listed.page.rows[0].uuid));
        assert!(matches!(video(rows[2].as_bytes()), Err(Cause::Shape { cut: false, .. })));
    }
}
