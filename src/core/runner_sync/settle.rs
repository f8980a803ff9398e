//! The end of a poll: what was seen becomes what is told, counted and remembered. No
//! questions any more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::memory::{Memory, PendingJob};
use super::{Ask, Outcome, Poll};
use crate::core::event::EventKind;
use crate::core::histogram::{RUN_BOUNDS, WAIT_BOUNDS};
use crate::core::job::{Payload, error_summary, runner_job_fingerprint};
use crate::core::job_told::{AtRunner, Told};
use crate::core::runner::{RunnerJobRow, RunnerJobState};

/// A job is unaccounted when this many polls saw all unfinished jobs but not this one.
const PATIENCE: u8 = 3;
/// A job that is told at all is told within this time.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a lost job may still turn up.
const LOST_KEPT: SignedDuration = SignedDuration::from_hours(8 * 24);

/// The types of PeerTube 5.2 to 8.2. Where there are runners, each is a series at 0
/// before its first job.
const KNOWN_TYPES: [&str; 7] = [
    "generate-video-storyboard",
    "live-rtmp-hls-transcoding",
    "video-studio-transcoding",
    "video-transcription",
    "vod-audio-merge-transcoding",
    "vod-hls-transcoding",
    "vod-web-video-transcoding",
];

impl<A: Ask + Send> Poll<'_, A> {
    pub(super) fn settle(mut self) -> Outcome {
        let now = self.now();
        let mut memory = self.before.clone();
        memory.meta.first_poll.get_or_insert(now);
        memory.meta.last_poll = Some(now);
        memory.meta.total = self.total.unwrap_or(0);
        memory.meta.ignores_state = self.ignores_state;
        if !self.runners.is_empty() {
            for name in KNOWN_TYPES {
                memory.types.entry(name.into()).or_default();
            }
        }
        let rows = std::mem::take(&mut self.rows);
        let moved = self.moves(&rows);
        let mut told = Vec::new();
        let mut settled = Vec::new();
        self.renew_absent(&mut memory, &rows, now, &mut told);
        let ends: BTreeMap<&str, Timestamp> =
            rows.values().filter_map(|row| Some((row.uuid.as_str(), row.finished_at?))).collect();
        for row in rows.values() {
            let Some(state) = row.state else { continue };
            let parents_end = row.parent.as_ref().and_then(|parent| ends.get(parent.as_str())).copied();
            let known = memory.pending.remove(&row.uuid);
            if memory.lost.remove(&row.uuid).is_some() {
                memory.types.entry(row.job_type.clone()).or_default().recovered += 1;
            }
            let job = renewed(row, state, known.as_ref(), parents_end);
            if state.is_unfinished() {
                memory.types.entry(row.job_type.clone()).or_default();
                memory.pending.insert(row.uuid.clone(), job);
                continue;
            }
            let fingerprint = runner_job_fingerprint(&row.uuid, row.created_at);
            let was_known = known.is_some() || self.before.lost.contains_key(&row.uuid);
            if self.settled.contains(&fingerprint) || !(was_known || self.is_news(&memory, row)) {
                continue;
            }
            settled.push(fingerprint);
            told.extend(self.count(&mut memory, row, state, &job));
        }
        count_jobs(&mut memory);
        self.tell_stuck(&mut memory, &moved, now, &mut told);
        memory.lost.retain(|_, at| now.duration_since(*at) < LOST_KEPT);
        let runners_told = self.renew_runners(&mut memory, now);
        told.sort_by_key(|told| told.at);
        Outcome { memory, told, runners_told, settled, at: now }
    }

    /// Whether a job that was never seen before ended while we looked, and not so long
    /// ago that it was told by then, whatever was pruned here.
    fn is_news(&self, memory: &Memory, row: &RunnerJobRow) -> bool {
        let at = ended_at(row);
        let is_old = self.before.meta.last_poll.is_some_and(|last| last.duration_since(at) > TOLD_WITHIN);
        memory.meta.first_poll.is_some_and(|first| at >= first) && !is_old
    }

    /// Counts one job that ended, and says what is told of it.
    fn count(&self, memory: &mut Memory, row: &RunnerJobRow, state: RunnerJobState, job: &PendingJob) -> Option<Told> {
        let follows = self.policy.follows(&row.job_type);
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_millis().max(0) as f64 / 1000.0;
        let due = job.due.filter(|_| !job.requeued);
        let wait = due.zip(row.started_at).map(|(due, started)| seconds(due, started));
        let run = row.started_at.zip(row.finished_at).map(|(started, finished)| seconds(started, finished));
        let known = memory.types.entry(row.job_type.clone()).or_default();
        let kind = match state {
            RunnerJobState::Completed => {
                known.completed += 1;
                if follows {
                    wait.into_iter().for_each(|wait| known.wait.observe(WAIT_BOUNDS, wait));
                    run.into_iter().for_each(|run| known.run.observe(RUN_BOUNDS, run));
                }
                EventKind::JobCompleted
            }
            RunnerJobState::ParentErrored | RunnerJobState::ParentCancelled => {
                known.cascaded += 1;
                EventKind::JobCascaded
            }
            RunnerJobState::Cancelled => {
                known.failed += 1;
                EventKind::JobCancelled
            }
            _ => {
                known.failed += 1;
                EventKind::JobFailed
            }
        };
        let is_completed = kind == EventKind::JobCompleted;
        let is_told = if is_completed { follows } else { self.policy.tells_failures(&row.job_type) };
        is_told.then(|| Told {
            job_id: Some(row.uuid.clone()),
            created_at: Some(row.created_at),
            processed_at: row.started_at,
            finished_at: row.finished_at,
            wait_seconds: wait,
            run_seconds: run,
            error: row.error.as_deref().filter(|_| !is_completed).map(error_summary),
            payload: row.payload.clone(),
            at_runner: Some(AtRunner { runner: row.runner.clone(), failures: row.failures }),
            ..Told::new(kind, &row.job_type, ended_at(row))
        })
    }

    /// Jobs that were unfinished and were not seen now. What totals that agree, or a list
    /// with a gap, say of one of them is nothing.
    fn renew_absent(
        &self,
        memory: &mut Memory,
        rows: &BTreeMap<String, RunnerJobRow>,
        now: Timestamp,
        told: &mut Vec<Told>,
    ) {
        if !self.is_verified {
            return;
        }
        let mut vanished = Vec::new();
        for (uuid, job) in memory.pending.iter_mut().filter(|(uuid, _)| !rows.contains_key(*uuid)) {
            job.absent += 1;
            if job.absent >= PATIENCE {
                vanished.push(uuid.clone());
            }
        }
        for uuid in vanished {
            let Some(job) = memory.pending.remove(&uuid) else { continue };
            memory.types.entry(job.job_type.clone()).or_default().unaccounted += 1;
            memory.lost.insert(uuid.clone(), now);
            told.push(job.told(&uuid, Told::unaccounted(&job.job_type, now, 1, "vanished")));
        }
    }
}

impl PendingJob {
    /// What is known of it, put into what is told.
    pub(super) fn told(&self, uuid: &str, told: Told) -> Told {
        Told {
            job_id: Some(uuid.to_owned()),
            created_at: Some(self.created_at),
            processed_at: self.started_at,
            payload: Payload { video_uuid: self.video.clone(), ..Payload::default() },
            at_runner: Some(AtRunner { runner: self.runner.clone(), failures: self.failures }),
            ..told
        }
    }
}

/// A job as it is now, with what was known of it.
fn renewed(
    row: &RunnerJobRow,
    state: RunnerJobState,
    known: Option<&PendingJob>,
    parents_end: Option<Timestamp>,
) -> PendingJob {
    let is_first = known.is_none() && row.failures == 0 && row.parent.is_none();
    let unmoved = known.filter(|known| {
        let moves_alone = state == RunnerJobState::Pending;
        known.state == state && (!moves_alone || known.updated_at == row.updated_at)
    });
    let since = match state {
        RunnerJobState::Processing if row.started_at.is_some() => row.started_at.unwrap_or(row.updated_at),
        RunnerJobState::Pending if is_first => row.created_at,
        _ => unmoved.map_or(row.updated_at, |known| known.since),
    };
    let was_taken = |known: &PendingJob| known.state == RunnerJobState::Processing;
    let requeued = row.failures > 0
        || known.is_some_and(|known| known.requeued || (was_taken(known) && state == RunnerJobState::Pending));
    let due = match &row.parent {
        None => Some(row.created_at),
        Some(_) => parents_end
            .or(known.and_then(|known| known.due))
            .or((state == RunnerJobState::Pending && !requeued).then_some(since)),
    };
    PendingJob {
        job_type: row.job_type.clone(),
        state,
        since,
        created_at: row.created_at,
        updated_at: row.updated_at,
        started_at: row.started_at,
        failures: row.failures,
        requeued,
        due: due.map(|due| due.max(row.created_at)),
        runner: row.runner.clone(),
        parent: row.parent.clone(),
        video: row.payload.video_uuid.clone(),
        absent: 0,
        stuck: known.and_then(|known| known.stuck).filter(|at| row.started_at == Some(*at)),
    }
}

/// The gauges.
fn count_jobs(memory: &mut Memory) {
    memory.types.values_mut().flat_map(|known| known.jobs.values_mut()).for_each(|count| *count = 0);
    for job in memory.pending.values() {
        *memory.types.entry(job.job_type.clone()).or_default().jobs.entry(job.state).or_default() += 1;
    }
}

fn ended_at(row: &RunnerJobRow) -> Timestamp {
    row.finished_at.unwrap_or(row.updated_at)
}
