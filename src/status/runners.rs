//! Remote runners, and the jobs that are given to them.

use jiff::Timestamp;
use serde::Serialize;

use super::safe;
use crate::core::runner::RunnerJobState;
use crate::core::view::RunnersView;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Runners {
    /// Types with jobs that have not ended.
    pub queues: Vec<RunnerQueue>,
    pub runners: Vec<Runner>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunnerQueue {
    pub job_type: String,
    pub pending: u64,
    pub processing: u64,
    pub completing: u64,
    pub waiting_for_parent_job: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Runner {
    pub name: String,
    /// When it last asked for a job or spoke of one.
    pub last_contact_at: Timestamp,
    /// It should work and is silent.
    pub offline: bool,
}

impl Runners {
    pub(super) fn of(view: &RunnersView) -> Self {
        let queues = view.jobs.iter().map(|(job_type, jobs)| {
            let count = |state| jobs.get(&state).copied().unwrap_or(0);
            RunnerQueue {
                job_type: safe(&job_type.0),
                pending: count(RunnerJobState::Pending),
                processing: count(RunnerJobState::Processing),
                completing: count(RunnerJobState::Completing),
                waiting_for_parent_job: count(RunnerJobState::WaitingForParentJob),
            }
        });
        let runners = view.last_contact.iter().map(|(name, at)| Runner {
            name: safe(name),
            last_contact_at: *at,
            offline: view.offline.contains(name),
        });
        let is_there = |queue: &RunnerQueue| {
            queue.pending + queue.processing + queue.completing + queue.waiting_for_parent_job > 0
        };
        Self { queues: queues.filter(is_there).collect(), runners: runners.collect() }
    }
}
