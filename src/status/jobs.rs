//! The instance's own jobs: what is to be done, what failed, and what was missed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::safe;
use crate::core::job::Pending;
use crate::core::view::JobsView;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Jobs {
    /// Types with jobs that have not ended.
    pub queues: Vec<Queue>,
    /// Since the daemon first ran.
    pub unaccounted: BTreeMap<String, u64>,
    /// In the last 24 hours, of themselves.
    pub failed_24h: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queue {
    pub job_type: String,
    pub active: u64,
    pub waiting: u64,
    pub delayed: u64,
    /// When the oldest was started.
    pub oldest_active_at: Option<Timestamp>,
    /// When the oldest was due.
    pub oldest_waiting_at: Option<Timestamp>,
}

impl Jobs {
    pub(super) fn of(view: &JobsView, failed_24h: BTreeMap<String, u64>) -> Self {
        let queues = view.types.iter().map(|(job_type, known)| {
            let count = |state| known.pending.get(&state).copied().unwrap_or(0);
            Queue {
                job_type: safe(&job_type.0),
                active: count(Pending::Active),
                waiting: count(Pending::Waiting),
                delayed: count(Pending::Delayed),
                oldest_active_at: known.oldest_active,
                oldest_waiting_at: known.oldest_waiting,
            }
        });
        let unaccounted = view.types.iter().map(|(job_type, known)| (safe(&job_type.0), known.unaccounted));
        Self {
            queues: queues.filter(|queue| queue.active + queue.waiting + queue.delayed > 0).collect(),
            unaccounted: unaccounted.filter(|(_, jobs)| *jobs > 0).collect(),
            failed_24h: failed_24h.into_iter().map(|(job_type, jobs)| (safe(&job_type), jobs)).collect(),
        }
    }
}
