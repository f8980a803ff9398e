//! A picture of videos as metric families. All labels are closed sets.

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;

use crate::core::histogram::READY_BOUNDS;
use crate::core::view::VideosView;

use super::family::{Distribution, Family, seconds};

const PUBLISHED: Family<0> = Family::counter(
    "peertube_videos_published_total",
    "Videos that became public and published, each counted once since tubewarden first ran.",
    [],
);
const VIDEOS: Family<2> = Family::gauge("peertube_videos", "Videos by privacy and state.", ["privacy", "state"]);
const LAST_PUBLISHED: Family<0> =
    Family::gauge("peertube_video_last_published_timestamp_seconds", "When a video was last published.", []);
const OLDEST_IN_STATE: Family<1> = Family::gauge(
    "peertube_video_oldest_in_state_timestamp_seconds",
    "Since when the oldest video is in a state that should pass.",
    ["state"],
);
const READY: Family<0> =
    Family::histogram("peertube_video_ready_seconds", "How long videos took from created to first ready.", []);

pub(super) fn descs(instance: &str) -> prometheus::Result<Vec<Desc>> {
    Ok(vec![
        PUBLISHED.desc(instance)?,
        VIDEOS.desc(instance)?,
        LAST_PUBLISHED.desc(instance)?,
        OLDEST_IN_STATE.desc(instance)?,
        READY.desc(instance)?,
    ])
}

/// What stays true whatever happens later.
pub(super) fn history(instance: &str, view: &VideosView) -> Vec<MetricFamily> {
    let ready =
        Distribution { buckets: view.ready.cumulated(READY_BOUNDS), total: view.ready.total(), sum: view.ready.sum() };
    vec![
        PUBLISHED.samples(instance, [([], view.published_total as f64)]),
        LAST_PUBLISHED.samples(instance, view.last_published.map(|at| ([], seconds(at)))),
        READY.distributions(instance, [([], ready)]),
    ]
}

/// How many there are of each sort, as long as the full list is fresh.
pub(super) fn counts(instance: &str, view: &VideosView) -> MetricFamily {
    let counts = view.videos.iter().map(|((privacy, state), count)| ([*privacy, *state], *count as f64));
    VIDEOS.samples(instance, counts)
}

/// What should pass, as long as the list of what is not yet published is fresh.
pub(super) fn passing(instance: &str, view: &VideosView) -> MetricFamily {
    let oldest = view.oldest_in_state.iter().map(|(state, at)| ([*state], seconds(*at)));
    OLDEST_IN_STATE.samples(instance, oldest)
}
