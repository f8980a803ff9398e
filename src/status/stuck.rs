//! What is stuck now, whether it was told or was so at the first look. The oldest comes
//! first.

use jiff::Timestamp;
use serde::Serialize;

use super::safe;
use crate::core::video_facts::Facts;
use crate::core::view::StuckView;

/// Each is null until it is known, and where the account may not ask.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stuck {
    pub jobs: Option<StuckJobs>,
    pub runner_jobs: Option<StuckJobs>,
    pub videos: Option<Vec<StuckVideo>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StuckJobs {
    /// Types of which jobs wait and none begins.
    pub types: Vec<StuckType>,
    /// Jobs that run for too long.
    pub active: Vec<StuckJob>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StuckType {
    pub job_type: String,
    pub waiting: u64,
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StuckJob {
    pub job_type: String,
    pub id: String,
    /// When it was started.
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StuckVideo {
    pub uuid: String,
    pub name: Option<String>,
    /// Since when it is in its state.
    pub since: Timestamp,
}

impl StuckJobs {
    pub(super) fn of(view: StuckView) -> Self {
        let types = view.types.into_iter().map(|stuck| StuckType {
            job_type: safe(&stuck.job_type.0),
            waiting: stuck.waiting,
            since: stuck.since,
        });
        let jobs = view.jobs.into_iter().map(|stuck| StuckJob {
            job_type: safe(&stuck.job_type.0),
            id: safe(&stuck.id),
            since: stuck.since,
        });
        let mut stuck = Self { types: types.collect(), active: jobs.collect() };
        stuck.types.sort_by_key(|of_type| of_type.since);
        stuck.active.sort_by_key(|job| job.since);
        stuck
    }
}

impl StuckVideo {
    pub(super) fn all_of<'a>(stuck: impl Iterator<Item = (&'a Facts, Timestamp)>) -> Vec<Self> {
        let video = |(facts, since): (&Facts, _)| Self {
            uuid: safe(&facts.uuid),
            name: Some(safe(&facts.name)).filter(|name| !name.is_empty()),
            since,
        };
        let mut all: Vec<Self> = stuck.map(video).collect();
        all.sort_by_key(|video| video.since);
        all
    }
}
