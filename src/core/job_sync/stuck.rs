//! What is stuck: types of which nothing moves while jobs wait, and jobs that run too
//! long. By the server's clock and only by what this poll saw whole; each is told once,
//! until it moves. What was so at the first poll is counted and never told.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::memory::PendingJob;
use super::pending::ListSeen;
use super::{Ask, Poll};
use crate::core::event::EventKind;
use crate::core::job::{JobKey, JobType, Payload, Pending};
use crate::core::job_told::{Stuck, Told};

/// The job that waits longest, of a type of which nothing moves.
struct Waiting {
    key: JobKey,
    since: Timestamp,
    count: u64,
}

impl<A: Ask + Send> Poll<'_, A> {
    pub(super) fn tell_stuck(&mut self, now: Timestamp, first: bool, emptied: bool, told: &mut Vec<Told>) {
        let first_poll = self.memory.meta.first_poll.unwrap_or(now);
        let is_news = |at: Timestamp| !first && at > first_poll;
        let mut count = 0;
        for (key, at, limit) in self.stuck_active(now) {
            let since = at.saturating_add(limit).unwrap_or(at);
            if self.memory.stuck.insert(key.clone(), at) != Some(at) && is_news(since) {
                told.push(self.stuck(&key, since, Stuck { state: Pending::Active, since: at, count: None }));
            }
            count += 1;
        }
        self.forget_stuck();

        let parents = self.parents();
        let names: Vec<JobType> = self.memory.types.keys().cloned().collect();
        for name in names {
            let moves = emptied || self.moves(&name);
            let known = self.memory.type_mut(&name);
            if moves {
                known.moved = known.moved.max(Some(now));
            }
            // What moved since may be stuck again.
            known.stuck = known.stuck.filter(|since| known.moved.is_none_or(|moved| moved <= *since));
            let (moved, is_known) = (known.moved, known.stuck.is_some());
            let Some(waiting) = self.waits_longest(&name, &parents) else { continue };
            let since = waiting.since.max(moved.unwrap_or(waiting.since));
            let limit = self.policy.stuck_waiting;
            if now.duration_since(since) <= limit {
                continue;
            }
            count += waiting.count;
            let at = since.saturating_add(limit).unwrap_or(since);
            self.memory.type_mut(&name).stuck.get_or_insert(since);
            if !is_known && is_news(at) {
                let how = Stuck { state: Pending::Waiting, since, count: Some(waiting.count) };
                told.push(self.stuck(&waiting.key, at, how));
            }
        }
        if first {
            self.memory.meta.stuck_at_first = Some(count);
        }
        self.memory.meta.saw_all_work = self.lists.len() == 3 && self.unread.is_empty() && self.shows_all_but(None);
    }

    /// Jobs that are active for longer than they may, with their starts and limits.
    fn stuck_active(&self, now: Timestamp) -> Vec<(JobKey, Timestamp, SignedDuration)> {
        let active = self.pending.iter().filter(|(_, job)| job.state == Pending::Active);
        let stuck = active.filter_map(|(key, job)| {
            let (at, limit) = (job.processed_at?, self.policy.stuck_active.of(&key.job_type)?);
            (now.duration_since(at) > limit).then(|| (key.clone(), at, limit))
        });
        stuck.collect()
    }

    /// Those told as stuck that run no more, or began anew.
    fn forget_stuck(&mut self) {
        let mut stuck = std::mem::take(&mut self.memory.stuck);
        stuck.retain(|key, at| match self.pending.get(key) {
            Some(job) => job.state == Pending::Active && job.processed_at == Some(*at),
            None => {
                let list = self.lists.get(&Pending::Active);
                !self.ended_now.contains(key) && !list.is_some_and(|list| list.is_complete(&key.job_type))
            }
        });
        self.memory.stuck = stuck;
    }

    /// Whether a job of the type runs, or left the lists since the last poll.
    fn moves(&self, name: &JobType) -> bool {
        if self.pending_total(Pending::Active, name).is_some_and(|active| active > 0) {
            return true;
        }
        let before = |state| self.before.types.get(name).and_then(|known| known.pending.get(&state)).copied();
        if before(Pending::Active).is_some_and(|active| active > 0) {
            return true;
        }
        if self.is_tallied(name) {
            // Which of them ended is known later; that fewer wait is known at once.
            let waiting = self.pending_total(Pending::Waiting, name).zip(before(Pending::Waiting));
            return waiting.is_some_and(|(now, before)| now < before);
        }
        // Not met by this poll, and sought. A list that grew while it was asked type by type
        // may have seemed to hold no more before this type was asked.
        let was_asked = |list: &ListSeen| list.whole || list.totals.contains_key(name);
        self.lists.get(&Pending::Waiting).is_some_and(was_asked)
            && self.memory.pending.iter().any(|(key, job)| key.job_type == *name && job.last_seen.is_some())
    }

    /// Ids of jobs that wait for others, also for those that this poll did not meet.
    fn parents(&self) -> BTreeSet<String> {
        let jobs = self.memory.pending.values().chain(self.pending.values());
        jobs.filter_map(|job| job.parent.clone()).collect()
    }

    /// `None` where one runs, none waits, or this poll can't know.
    fn waits_longest(&self, name: &JobType, parents: &BTreeSet<String>) -> Option<Waiting> {
        if self.pending_total(Pending::Active, name)? > 0 {
            return None;
        }
        let total = self.pending_total(Pending::Waiting, name)?;
        let is_tallied = self.is_tallied(name);
        let is_whole = self.lists.get(&Pending::Waiting)?.is_complete(name);
        if !is_tallied && !is_whole && !self.adds_up_to_all(name) {
            return None;
        }
        // A job of a flow may wait for one of another type, which must not hide.
        let shows_children = self.shows_all_but(Some(name));
        let may_be_stuck = |key: &JobKey, job: &PendingJob| {
            let began_before = is_tallied && (job.retried || job.processed_at.is_some());
            key.job_type == *name
                && job.state == Pending::Waiting
                && key.recurring_due().is_none()
                && !began_before
                && !parents.contains(&key.id)
                && (shows_children || key.number().is_some())
        };
        let waiting = || self.pending.iter().filter(|(key, job)| may_be_stuck(key, job));
        let since = |job: &PendingJob| job.waits_from.unwrap_or(job.due);
        let (key, job) = waiting().min_by_key(|(_, job)| since(job))?;
        let count = if is_whole { waiting().count() as u64 } else { total };
        Some(Waiting { key: key.clone(), since: since(job), count })
    }

    /// Whether those known to wait, with those that no page shows, are as many as the
    /// list said.
    fn adds_up_to_all(&self, name: &JobType) -> bool {
        let known = self.memory.types.get(name);
        self.hidden.contains_key(name) && known.is_some_and(|known| known.surplus == 0 && known.deficit == 0)
    }

    /// Whether each unfinished job that may belong to another was seen, but for those of
    /// one type. Jobs of tallied types are no parts of flows and for no video.
    fn shows_all_but(&self, name: Option<&JobType>) -> bool {
        self.lists.values().all(|list| {
            let shows = |of: &JobType| name == Some(of) || list.complete.contains(of) || self.is_tallied(of);
            list.whole || (list.rest_empty && list.totals.iter().all(|(of, total)| *total == 0 || shows(of)))
        })
    }

    fn stuck(&self, key: &JobKey, at: Timestamp, how: Stuck) -> Told {
        let job = self.pending.get(key);
        let video_uuid = job.and_then(|job| job.video.clone());
        Told {
            job_id: Some(key.id.clone()),
            created_at: Some(key.created_at),
            processed_at: job.and_then(|job| job.processed_at),
            payload: self.payloads.get(key).cloned().unwrap_or(Payload { video_uuid, ..Payload::default() }),
            stuck: Some(how),
            ..Told::new(EventKind::JobStuck, &key.job_type, at)
        }
    }
}
