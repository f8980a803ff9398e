//! What is stuck at runners: types of which jobs wait and nobody takes one, and jobs
//! that are worked on for too long. By the server's clock; each is told once, until it
//! moves. What was so at the first poll is counted and never told.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::memory::{Memory, PendingJob};
use super::{Ask, Poll};
use crate::core::event::EventKind;
use crate::core::job::{JobType, Pending};
use crate::core::job_told::{Stuck, Told};
use crate::core::runner::{RunnerJobRow, RunnerJobState};

impl<A: Ask + Send> Poll<'_, A> {
    pub(super) fn tell_stuck(
        &self,
        memory: &mut Memory,
        moved: &BTreeMap<JobType, Timestamp>,
        now: Timestamp,
        told: &mut Vec<Told>,
    ) {
        let first_poll = memory.meta.first_poll.unwrap_or(now);
        let is_news = |at: Timestamp| !self.before.is_new() && at > first_poll;
        let mut count = 0;
        for (uuid, job) in &mut memory.pending {
            let limit = self.policy.stuck_active.of(&job.job_type);
            let Some((at, limit)) = job.worked_on_since().zip(limit) else { continue };
            if now.duration_since(at) <= limit {
                continue;
            }
            count += 1;
            let since = at.saturating_add(limit).unwrap_or(at);
            if job.stuck.replace(at) != Some(at) && is_news(since) {
                let how = Stuck { state: Pending::Active, since: at, count: None };
                told.push(stuck(uuid, job, since, how));
            }
        }

        let limit = self.policy.stuck_waiting;
        for (name, known) in &mut memory.types {
            let of_type = || memory.pending.iter().filter(|(_, job)| job.job_type == *name && job.absent == 0);
            let is_busy =
                of_type().any(|(_, job)| matches!(job.state, RunnerJobState::Processing | RunnerJobState::Completing));
            known.moved = known.moved.max(moved.get(name).copied()).max(is_busy.then_some(now));
            // What moved since may be stuck again.
            known.stuck = known.stuck.filter(|since| known.moved.is_none_or(|moved| moved <= *since));
            let waiting = || of_type().filter(|(_, job)| job.state == RunnerJobState::Pending);
            let Some((uuid, job)) = waiting().min_by_key(|(_, job)| job.since).filter(|_| !is_busy) else {
                known.stuck = None;
                continue;
            };
            let since = job.since.max(known.moved.unwrap_or(job.since));
            if now.duration_since(since) <= limit {
                continue;
            }
            let waits = waiting().count() as u64;
            count += waits;
            let at = since.saturating_add(limit).unwrap_or(since);
            if known.stuck.replace(since).is_none() && is_news(at) {
                told.push(stuck(uuid, job, at, Stuck { state: Pending::Waiting, since, count: Some(waits) }));
            }
        }
        memory.meta.stuck_at_first.get_or_insert(count);
    }

    /// When something of each type last moved, by what this poll saw: a job was taken, or
    /// ended, or was given back.
    pub(super) fn moves(&self, rows: &BTreeMap<String, RunnerJobRow>) -> BTreeMap<JobType, Timestamp> {
        let mut moved: BTreeMap<JobType, Timestamp> = BTreeMap::new();
        for row in rows.values() {
            let known = self.before.pending.get(&row.uuid);
            let was_taken = known.is_some_and(|known| known.state != RunnerJobState::Pending);
            let given_back = (row.state == Some(RunnerJobState::Pending) && was_taken).then_some(row.updated_at);
            let last = row.started_at.max(row.finished_at).max(given_back);
            if let Some(last) = last.max(moved.get(&row.job_type).copied()) {
                moved.insert(row.job_type.clone(), last);
            }
        }
        moved
    }
}

impl PendingJob {
    pub(super) fn worked_on_since(&self) -> Option<Timestamp> {
        self.started_at.filter(|_| self.state == RunnerJobState::Processing && self.absent == 0)
    }
}

fn stuck(uuid: &str, job: &PendingJob, at: Timestamp, how: Stuck) -> Told {
    job.told(uuid, Told { stuck: Some(how), ..Told::new(EventKind::JobStuck, &job.job_type, at) })
}
