//! What PeerTube lays down for each type of job: the names of a version, how many
//! run at once, how often they are tried, how long they are kept.

use std::time::Duration;

use super::Version;

pub(super) const FAILED_KEPT: usize = 10;
pub(super) const FAILED_KEPT_FOR: i64 = 7 * 24 * 3_600_000;
pub(super) const COMPLETED_KEPT: usize = 10_000;

/// The pause before the second attempt, then doubled.
pub(super) const BACKOFF: Duration = Duration::from_secs(60);

const MODERN: [&str; 27] = [
    "activitypub-cleaner",
    "activitypub-follow",
    "activitypub-http-broadcast-parallel",
    "activitypub-http-broadcast",
    "activitypub-http-fetcher",
    "activitypub-http-unicast",
    "activitypub-refresher",
    "actor-keys",
    "after-video-channel-import",
    "email",
    "federate-video",
    "generate-video-storyboard",
    "manage-video-torrent",
    "move-to-object-storage",
    "move-to-file-system",
    "notify",
    "transcoding-job-builder",
    "video-channel-import",
    "video-file-import",
    "video-import",
    "video-live-ending",
    "video-redundancy",
    "video-studio-edition",
    "video-transcription",
    "create-user-export",
    "import-user-archive",
    "video-transcoding",
];

const OLD: [&str; 10] = [
    "activitypub-http-broadcast",
    "activitypub-http-unicast",
    "activitypub-http-fetcher",
    "activitypub-follow",
    "activitypub-refresher",
    "email",
    "video-file-import",
    "video-import",
    "video-redundancy",
    "video-transcoding",
];

/// In the order in which the server asks its queues.
pub(super) fn types(version: Version) -> Vec<&'static str> {
    let mut types = match version {
        Version::QuickStart => OLD.to_vec(),
        Version::V6_3 | Version::V8_2 => MODERN.to_vec(),
    };
    types.push(version.stats_type());
    types
}

pub(super) fn concurrency(job_type: &str) -> usize {
    match job_type {
        "activitypub-http-broadcast-parallel" | "activitypub-http-unicast" => 30,
        "video-live-ending" => 10,
        "email" | "notify" => 5,
        "activitypub-http-fetcher" | "federate-video" => 3,
        _ => 1,
    }
}

pub(super) fn attempts(job_type: &str) -> u32 {
    match job_type {
        "activitypub-follow" | "email" => 5,
        "actor-keys" | "move-to-object-storage" | "move-to-file-system" => 3,
        "activitypub-http-fetcher" | "video-transcription" => 2,
        _ => 1,
    }
}

/// How long a completed job is kept, in milliseconds.
pub(super) fn completed_kept_for(job_type: &str) -> i64 {
    const MINUTE: i64 = 60_000;
    match job_type {
        "activitypub-http-broadcast-parallel" => 10 * MINUTE,
        "activitypub-http-unicast" => 60 * MINUTE,
        "videos-views-stats" | "videos-stats" => 3 * 60 * MINUTE,
        "activitypub-refresher" => 10 * 60 * MINUTE,
        _ => 2 * 24 * 60 * MINUTE,
    }
}
