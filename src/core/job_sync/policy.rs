//! Which types are told one by one, which are only counted, when a job is stuck, and
//! what is known of PeerTube's types before an instance shows any.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::core::glob::Globs;
use crate::core::job::{JobKey, JobType};

/// The `[jobs]` part of the configuration: how jobs are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Types that are told one by one, as events.
    pub follow: Globs,
    /// Counted, but no event for a completion; wins over `follow`.
    pub count_only: Globs,
    /// A type is stuck when a job of it waits longer with none of it active.
    pub stuck_waiting: SignedDuration,
    /// A job is stuck when it is active longer.
    pub stuck_active: StuckActive,
}

/// How long jobs may be active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckActive {
    /// Of types that are not named.
    pub default: SignedDuration,
    pub by_type: BTreeMap<JobType, SignedDuration>,
}

impl StuckActive {
    /// The limit of a type, of the instance's own jobs or of its runners'. A runner's
    /// `vod-*` jobs are transcodes; its `live-*` jobs run as long as the live, and have
    /// a limit only if they are named.
    pub fn of(&self, job_type: &JobType) -> Option<SignedDuration> {
        let named = |name: &JobType| self.by_type.get(name).copied();
        let name = &job_type.0;
        named(job_type)
            .or_else(|| name.starts_with("vod-").then(|| named(&"video-transcoding".into()))?)
            .or_else(|| (!name.starts_with("live-")).then_some(self.default))
    }
}

impl Policy {
    /// Whether each completed job of this type is told.
    pub fn follows(&self, job_type: &JobType) -> bool {
        !self.count_only.matches(&job_type.0) && self.follow.matches(&job_type.0)
    }

    /// Federation fails all the time and means nothing; every other failure is told.
    pub fn tells_failures(&self, job_type: &JobType) -> bool {
        self.follows(job_type) || !job_type.0.starts_with("activitypub-")
    }
}

/// The types of PeerTube 6.3 to 8.2: each is a series at 0 before its first job,
/// and is asked for in turn where a full list might hide it.
pub const KNOWN_TYPES: &[&str] = &[
    "activitypub-cleaner",
    "activitypub-follow",
    "activitypub-http-broadcast",
    "activitypub-http-broadcast-parallel",
    "activitypub-http-fetcher",
    "activitypub-http-unicast",
    "activitypub-refresher",
    "actor-keys",
    "after-video-channel-import",
    "create-user-export",
    "email",
    "federate-video",
    "generate-video-storyboard",
    "import-user-archive",
    "manage-video-torrent",
    "move-to-file-system",
    "move-to-object-storage",
    "notify",
    "transcoding-job-builder",
    "video-channel-import",
    "video-file-import",
    "video-import",
    "video-live-ending",
    "video-redundancy",
    "video-studio-edition",
    "video-transcoding",
    "video-transcription",
    "videos-stats",
    "videos-views-stats",
];

/// Types that PeerTube also makes as parts of a flow. A flow's jobs have UUIDs, so
/// the numbers of such a type say nothing of how many there were.
const FLOW_TYPES: &[&str] = &[
    "federate-video",
    "generate-video-storyboard",
    "manage-video-torrent",
    "move-to-file-system",
    "move-to-object-storage",
    "notify",
    "transcoding-job-builder",
    "video-studio-edition",
    "video-transcoding",
    "video-transcription",
];

/// Whether a type may have holes in its numbers before any job of it was seen.
pub(super) fn is_flow_type(job_type: &JobType) -> bool {
    FLOW_TYPES.contains(&job_type.0.as_str())
}

/// Whether an id is neither a number nor that of a recurring job that is one of many.
pub(super) fn has_no_number(key: &JobKey) -> bool {
    key.number().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(limits: &StuckActive, job_type: &str) -> Option<i64> {
        limits.of(&job_type.into()).map(|limit| limit.as_hours())
    }

    #[test]
    fn a_runners_transcodes_have_the_limit_of_transcodes_and_its_lives_have_none() {
        let by_type = [("video-transcoding".into(), SignedDuration::from_hours(12))];
        let mut limits = StuckActive { default: SignedDuration::from_hours(2), by_type: by_type.into() };
        assert_eq!(hours(&limits, "email"), Some(2));
        assert_eq!(hours(&limits, "video-live-ending"), Some(2));
        assert_eq!(hours(&limits, "video-transcoding"), Some(12));
        assert_eq!(hours(&limits, "vod-hls-transcoding"), Some(12));
        assert_eq!(hours(&limits, "live-rtmp-hls-transcoding"), None);

        limits.by_type.insert("vod-hls-transcoding".into(), SignedDuration::from_hours(5));
        limits.by_type.insert("live-rtmp-hls-transcoding".into(), SignedDuration::from_hours(9));
        assert_eq!(hours(&limits, "vod-hls-transcoding"), Some(5));
        assert_eq!(hours(&limits, "vod-web-video-transcoding"), Some(12));
        assert_eq!(hours(&limits, "live-rtmp-hls-transcoding"), Some(9));

        limits.by_type.remove(&"video-transcoding".into());
        assert_eq!(hours(&limits, "vod-web-video-transcoding"), Some(2));
    }
}
