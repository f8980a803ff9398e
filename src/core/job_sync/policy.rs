//! Which types are told one by one, which are only counted, and what is known of
//! PeerTube's types before an instance shows any.

use crate::core::glob::Globs;
use crate::core::job::{JobKey, JobType};

/// The `[jobs]` part of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub follow: Globs,
    /// Counted, but no event for a completion; wins over `follow`.
    pub count_only: Globs,
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
