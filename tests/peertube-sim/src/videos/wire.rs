//! Videos as each version writes them. Whatever is not simulated has the value of a
//! fresh video.

use serde_json::{Value, json};

use super::Video;
use crate::jobs::Version;

const BASE_58: &[u8; 58] = b"123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

/// The short form of a UUID, as addresses of newer versions have it.
pub(crate) fn short_uuid(uuid: &str) -> String {
    let mut left = u128::from_str_radix(&uuid.replace('-', ""), 16).unwrap_or(0);
    let mut digits = Vec::with_capacity(22);
    while left > 0 {
        let digit = usize::try_from(left % 58).unwrap_or(0);
        digits.push(char::from(BASE_58[digit]));
        left /= 58;
    }
    digits.resize(22, '1');
    digits.iter().rev().collect()
}

impl Video {
    /// A row of a list.
    pub(crate) fn row(&self, version: Version, host: &str, include: u64) -> Value {
        let mut row = self.common(version, host);
        let mut set = |name: &str, value: Value| row[name] = value;
        set("account", actor_summary("accounts", self.owner_id, &self.owner, self.host(host)));
        set("channel", actor_summary("video-channels", self.owner_id, &self.channel(), self.host(host)));
        if version == Version::QuickStart {
            return row;
        }
        if include & 1 != 0 {
            set("state", numbered(self.state.id(), self.state.label()));
            set("waitTranscoding", json!(self.wait_transcoding));
            if let Some((at, privacy)) = self.scheduled {
                set("scheduledUpdate", json!({ "updateAt": format!("{at:.3}"), "privacy": privacy.id() }));
            }
        }
        if include & 2 != 0 {
            set("blacklisted", json!(self.blocked.is_some()));
            set("blacklistedReason", json!(self.blocked));
        }
        if include & 4 != 0 {
            set("blockedOwner", json!(self.owner_muted));
            set("blockedServer", json!(false));
        }
        if include & 8 != 0 {
            set("streamingPlaylists", json!([]));
            set("files", json!([]));
        }
        if include & 16 != 0 {
            set("automaticTags", json!([]));
        }
        if include & 32 != 0 {
            set("videoSource", json!({ "filename": format!("{}.mp4", self.name) }));
        }
        row
    }

    /// All that `GET /videos/{id}` tells of a self.
    pub(crate) fn whole(&self, version: Version, host: &str) -> Value {
        let mut whole = self.common(version, host);
        let mut set = |name: &str, value: Value| whole[name] = value;
        let account = actor("accounts", self.owner_id, &self.owner, self.host(host));
        let mut channel = actor("video-channels", self.owner_id, &self.channel(), self.host(host));
        channel["ownerAccount"] = account.clone();
        channel["isLocal"] = json!(self.is_local());
        set("account", account);
        set("channel", channel);
        set("blacklisted", json!(self.blocked.is_some()));
        set("blacklistedReason", json!(self.blocked));
        set("streamingPlaylists", json!([]));
        set("files", json!([]));
        set("support", json!(null));
        set("descriptionPath", json!(format!("/api/v1/videos/{}/description", self.uuid)));
        set("tags", json!([]));
        set("commentsEnabled", json!(true));
        set("downloadEnabled", json!(true));
        set("waitTranscoding", json!(self.wait_transcoding));
        set("state", numbered(self.state.id(), self.state.label()));
        set("trackerUrls", json!([format!("http://{host}/tracker/announce")]));
        if let Some((at, privacy)) = self.scheduled {
            set("scheduledUpdate", json!({ "updateAt": format!("{at:.3}"), "privacy": privacy.id() }));
        }
        if version != Version::QuickStart {
            set("commentsPolicy", numbered(1, "Enabled"));
            set("inputFileUpdatedAt", json!(null));
        }
        whole
    }

    fn host<'a>(&'a self, local: &'a str) -> &'a str {
        self.origin.as_deref().unwrap_or(local)
    }

    fn channel(&self) -> String {
        format!("{}_channel", self.owner)
    }

    /// What rows and whole videos have in common.
    fn common(&self, version: Version, host: &str) -> Value {
        let uuid = &self.uuid;
        let unknown = || json!({ "id": null, "label": "Unknown" });
        let mut video = json!({
            "id": self.id,
            "uuid": uuid,
            "name": self.name,
            "category": unknown(),
            "licence": unknown(),
            "language": unknown(),
            "privacy": numbered(self.privacy.id(), self.privacy.label()),
            "nsfw": self.nsfw,
            "description": null,
            "isLocal": self.is_local(),
            "duration": self.duration,
            "views": self.views,
            "likes": 0,
            "dislikes": 0,
            "thumbnailPath": format!("/lazy-static/thumbnails/{uuid}.jpg"),
            "previewPath": format!("/lazy-static/previews/{uuid}.jpg"),
            "embedPath": format!("/videos/embed/{uuid}"),
            "createdAt": format!("{:.3}", self.created_at),
            "updatedAt": format!("{:.3}", self.updated_at),
            "publishedAt": format!("{:.3}", self.published_at),
            "originallyPublishedAt": null,
        });
        if version == Version::QuickStart {
            return video;
        }
        let mut set = |name: &str, value: Value| video[name] = value;
        let short = short_uuid(uuid);
        set("url", json!(format!("http://{}/videos/watch/{uuid}", self.host(host))));
        set("truncatedDescription", json!(null));
        set("aspectRatio", json!(1.7778));
        set("viewers", json!(0));
        set("isLive", json!(self.live.is_some()));
        if version == Version::V8_2 {
            set("nsfwFlags", json!(0));
            set("nsfwSummary", json!(null));
            set("downloads", json!(0));
            set("comments", json!(0));
            set("embedPath", json!(format!("/videos/embed/{short}")));
            set("thumbnails", thumbnails(host, uuid));
        }
        set("shortUUID", json!(short));
        video
    }
}

fn thumbnails(host: &str, uuid: &str) -> Value {
    let one = |width: u64, height: u64, ratio: &str| {
        json!({
            "height": height,
            "width": width,
            "aspectRatio": ratio,
            "fileUrl": format!("http://{host}/lazy-static/thumbnails/{uuid}-{height}.jpg"),
        })
    };
    json!([
        one(1920, 1080, "16:9"),
        one(1400, 1400, "1:1"),
        one(1280, 720, "16:9"),
        one(850, 480, "16:9"),
        one(280, 157, "16:9"),
    ])
}

fn numbered(id: u64, label: &str) -> Value {
    json!({ "id": id, "label": label })
}

fn actor_summary(kind: &str, id: u64, name: &str, host: &str) -> Value {
    json!({
        "id": id,
        "name": name,
        "displayName": name,
        "url": format!("http://{host}/{kind}/{name}"),
        "host": host,
        "avatars": [],
    })
}

fn actor(kind: &str, id: u64, name: &str, host: &str) -> Value {
    let mut actor = actor_summary(kind, id, name, host);
    let more = json!({
        "hostRedundancyAllowed": false,
        "followingCount": 0,
        "followersCount": 0,
        "description": null,
    });
    if let (Some(actor), Some(more)) = (actor.as_object_mut(), more.as_object()) {
        actor.extend(more.clone());
    }
    actor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_uuids_are_made_as_recorded() {
        assert_eq!(short_uuid("447920ab-ec9e-42cc-8599-3ddfc78a41fa"), "9spPCrY9i6YjtKV363241E");
        assert_eq!(short_uuid("00000000-0000-0000-0000-000000000000"), "1".repeat(22));
    }
}
