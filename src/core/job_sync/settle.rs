//! The end of a poll: what was seen becomes what is told, counted and remembered.
//! No I/O, no questions: a pure step from what was noted to an outcome.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::memory::{Listed, PendingJob, TypeMemory};
use super::{Ask, Finished, Outcome, Poll};
use crate::core::event::EventKind;
use crate::core::histogram::{RUN_BOUNDS, WAIT_BOUNDS};
use crate::core::job::{Failure, JobKey, JobList, JobRow, JobType, Pending, error_summary, failure};
use crate::core::job_told::Told;

/// A missing job is unaccounted when this many polls running proved it to be nowhere:
/// one that is tried again moves backward through the lists, and may slip by.
const PATIENCE: u8 = 3;
/// Where no proof can be had, this many polls that didn't meet it have to do.
const LONG_PATIENCE: u8 = 12;
/// How far back lists are read again for a row that could not be read.
const UNREAD_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// The server keeps this many failed jobs of a type.
const FAILED_KEPT: usize = 10;
/// A job that is told at all is told within this time.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a lost job may still turn up: longer than any list keeps one.
const LOST_KEPT: SignedDuration = SignedDuration::from_hours(8 * 24);

impl<A: Ask + Send> Poll<'_, A> {
    pub(super) fn settle(mut self) -> Outcome {
        let now = self.now();
        let first = self.before.is_new();
        self.memory.meta.first_poll.get_or_insert(now);
        self.memory.meta.last_poll = Some(now);
        self.memory.meta.polls += 1;
        for job_type in self.all_types() {
            self.memory.type_mut(&job_type);
        }
        // Seen to end after it was seen pending.
        self.pending.retain(|key, _| !self.finished.contains_key(key));
        let mut told = Vec::new();
        let emptied = self.notice_emptied(now, &mut told);
        let gaps = self.gaps();
        self.tell_hidden(now, &mut told);
        let settled = self.tell_finished(now, &mut told);
        if !first {
            for job_type in gaps {
                // Where numbers tell of each job that is lost, these are counted instead.
                let numbered = !self.is_tallied(&job_type) && self.has_whole_numbers(&job_type);
                let count = u64::from(!numbered);
                self.memory.type_mut(&job_type).unaccounted += count;
                told.push(Told::unaccounted(&job_type, now, count, "purged"));
            }
        }
        // What ends from now on is new, by a clock that was set back too.
        self.memory.meta.first_poll = self.memory.meta.first_poll.min(Some(now));
        self.tell_shortfalls(now, emptied, &mut told);
        self.renew_pending(now, &mut told);
        self.renew_numbers(now, first, emptied, &mut told);
        self.renew_types(now);
        self.tell_stuck(now, first, emptied, &mut told);
        self.memory.lost.retain(|_, at| now.duration_since(*at) < LOST_KEPT);
        told.sort_by_key(|told| told.at);
        Outcome { memory: self.memory, told, settled, at: now, first, emptied }
    }

    /// Tells every ended job that was not settled before, and settles it.
    fn tell_finished(&mut self, now: Timestamp, told: &mut Vec<Told>) -> Vec<i64> {
        let first_poll = self.memory.meta.first_poll.unwrap_or(Timestamp::UNIX_EPOCH);
        let mut children: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for ended in self.finished.values() {
            if let (Some(parent), Some(at)) = (&ended.row.parent, ended.row.finished_at) {
                let last = children.entry(parent.as_str()).or_insert(at);
                *last = (*last).max(at);
            }
        }
        let children: BTreeMap<String, Timestamp> = children.into_iter().map(|(id, at)| (id.to_owned(), at)).collect();
        let mut settled = Vec::new();
        for (key, ended) in std::mem::take(&mut self.finished) {
            self.ended_now.insert(key.clone());
            self.ended_types.insert(key.job_type.clone());
            let fingerprint = key.fingerprint();
            let at = self.ended_at(&key, &ended.row);
            // What ended so long before the last poll was told by then, however long the
            // server lists it and whatever was pruned of it here.
            let is_old = self.before.meta.last_poll.is_some_and(|last| last.duration_since(at) > TOLD_WITHIN);
            if at < first_poll && at > now {
                // By the clock as it was before the first poll: known, and never told.
                settled.push(fingerprint);
                continue;
            }
            let was_pending = self.before.pending.contains_key(&key);
            if (at < first_poll && !was_pending)
                || is_old
                || self.settled.contains(&fingerprint)
                || !self.is_settled_by_key(&key, &ended, at)
            {
                continue;
            }
            settled.push(fingerprint);
            let known = self.before.pending.get(&key);
            let due = children.get(&key.id).copied().max(known.map(|job| job.due));
            let due = due.or(key.recurring_due()).unwrap_or(key.created_at).max(key.created_at);
            let retried =
                known.is_some_and(|job| job.retried) || (ended.list == JobList::Completed && ended.row.error.is_some());
            let lost = JobKey { created_at: Timestamp::UNIX_EPOCH, ..key.clone() };
            let recovered = self.memory.lost.remove(&key).or(self.memory.lost.remove(&lost)).is_some();
            if let Some(job) = self.count(&key, &ended, at, (!retried).then_some(due), recovered) {
                told.push(job);
            }
        }
        for (key, job) in &mut self.pending {
            if let Some(at) = children.get(&key.id) {
                job.due = job.due.max(*at);
            }
        }
        settled
    }

    /// When a job ended. Where its row does not say, one that was pending at the last poll
    /// ended after it.
    fn ended_at(&self, key: &JobKey, row: &JobRow) -> Timestamp {
        let was_pending = self.before.pending.contains_key(key);
        let after = self.before.meta.last_poll.filter(|_| was_pending).max(row.processed_at);
        row.finished_at.or(after).unwrap_or(key.created_at)
    }

    /// Completed jobs of tallied types are counted by their numbers instead; so are
    /// those of a type that was tallied until now, as far as the tally went.
    fn is_settled_by_key(&self, key: &JobKey, ended: &Finished, at: Timestamp) -> bool {
        if ended.list == JobList::Failed {
            return true;
        }
        let known = self.before.types.get(&key.job_type);
        let was_tallied = known.is_some_and(|known| known.tally.is_some());
        let until = known.and_then(|known| known.tallied_until).or(self.before.meta.last_poll.filter(|_| was_tallied));
        let counted = until.is_some_and(|until| at < until);
        !self.is_tallied(&key.job_type) && !counted
    }

    /// Counts one job that ended, and says what is told of it.
    fn count(
        &mut self,
        key: &JobKey,
        ended: &Finished,
        at: Timestamp,
        due: Option<Timestamp>,
        recovered: bool,
    ) -> Option<Told> {
        let follows = self.policy.follows(&key.job_type);
        let tells_failures = self.policy.tells_failures(&key.job_type);
        let row = &ended.row;
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_millis().max(0) as f64 / 1000.0;
        let wait = due.zip(row.processed_at).map(|(due, processed)| seconds(due, processed));
        let run = row.processed_at.zip(row.finished_at).map(|(processed, finished)| seconds(processed, finished));
        let known = self.memory.type_mut(&key.job_type);
        known.recovered += u64::from(recovered);
        let kind = if ended.list == JobList::Completed {
            known.completed += 1;
            if follows {
                if let Some(wait) = wait {
                    known.wait.observe(WAIT_BOUNDS, wait);
                }
                if let Some(run) = run {
                    known.run.observe(RUN_BOUNDS, run);
                }
            }
            EventKind::JobCompleted
        } else {
            if let Some(tally) = &mut known.tally {
                tally.failed += u64::from(key.number().is_some());
            }
            match failure(row.error.as_deref().unwrap_or_default()) {
                Failure::Cascaded => {
                    known.cascaded += 1;
                    EventKind::JobCascaded
                }
                Failure::Cancelled => {
                    known.failed += 1;
                    EventKind::JobCancelled
                }
                Failure::OfItself => {
                    known.failed += 1;
                    EventKind::JobFailed
                }
            }
        };
        let is_told = if kind == EventKind::JobCompleted { follows } else { tells_failures };
        is_told.then(|| told_of(kind, row, at, wait, run))
    }

    /// A list that grew by more jobs than were counted holds some that no page shows,
    /// from either end. What the server purges makes it shorter, never longer, so that
    /// this can miss some and invents none.
    fn tell_shortfalls(&mut self, now: Timestamp, emptied: bool, told: &mut Vec<Told>) {
        for (name, total) in std::mem::take(&mut self.completed_totals) {
            if self.is_tallied(&name) {
                continue;
            }
            // A row that can't be read is told as such, and counted by nobody.
            let is_known = !emptied && !self.may_be_unread(&name);
            let known = self.memory.type_mut(&name);
            let counted = known.completed;
            let Some((base_total, base_counted)) = known.listed.base.filter(|_| is_known) else {
                known.listed = Listed { base: Some((total, counted)), ..Listed::default() };
                continue;
            };
            let grown = total.saturating_sub(base_total);
            let seen = (counted - base_counted) + known.listed.lost;
            if grown <= seen {
                // Of those told as lost, some have turned up.
                let found = (seen - grown).min(known.listed.lost);
                known.recovered += if total >= base_total { found } else { 0 };
                let lost = known.listed.lost - if total >= base_total { found } else { 0 };
                let is_even = lost == 0;
                known.listed = Listed {
                    base: if is_even { Some((total, counted)) } else { Some((base_total, base_counted)) },
                    short: 0,
                    lost,
                };
                continue;
            }
            known.listed.short = known.listed.short.saturating_add(1);
            if known.listed.short >= LONG_PATIENCE {
                let lost = grown - seen;
                known.listed.short = 0;
                known.listed.lost += lost;
                known.unaccounted += lost;
                told.push(Told::unaccounted(&name, now, lost, "hidden"));
            }
        }
    }

    /// Jobs that only a list's total told of: those that are still there, and those
    /// that ended without ever being seen.
    fn tell_hidden(&mut self, now: Timestamp, told: &mut Vec<Told>) {
        let names: Vec<JobType> = self.memory.types.keys().cloned().collect();
        for name in names {
            let known = self.memory.types.get(&name).map_or(0, |known| known.hidden);
            let hidden = self.hidden.get(&name).copied();
            let lost = match hidden {
                Some(_) => self.lost_hidden.get(&name).copied().unwrap_or(0),
                None if known > 0 && self.all_pending_read(&name) => self.still_hidden(&name),
                None => 0,
            };
            let complete = self.all_pending_read(&name);
            let known = self.memory.type_mut(&name);
            if complete || hidden.is_some() {
                known.hidden = hidden.unwrap_or(0);
            }
            if lost > 0 {
                known.unaccounted += lost;
                told.push(Told::unaccounted(&name, now, lost, "passed unseen"));
            }
        }
    }

    /// Types of which failed jobs may have been purged unseen: as many rows as are
    /// kept, and none of them known.
    fn gaps(&self) -> BTreeSet<JobType> {
        let first_poll = self.memory.meta.first_poll.unwrap_or(Timestamp::UNIX_EPOCH);
        let mut rows: BTreeMap<&JobType, (usize, usize)> = BTreeMap::new();
        for (key, ended) in self.finished.iter().filter(|(_, ended)| ended.list == JobList::Failed) {
            let at = ended.row.finished_at.unwrap_or(key.created_at);
            let (all, known) = rows.entry(&key.job_type).or_default();
            *all += 1;
            *known += usize::from(at < first_poll || self.settled.contains(&key.fingerprint()));
        }
        let full = rows.into_iter().filter(|(_, (all, known))| *all >= FAILED_KEPT && *known == 0);
        full.map(|(job_type, _)| job_type.clone()).collect()
    }

    /// What is pending now, and what was and is sought still.
    fn renew_pending(&mut self, now: Timestamp, told: &mut Vec<Told>) {
        let mut pending: BTreeMap<JobKey, PendingJob> = BTreeMap::new();
        for (key, job) in &self.before.pending {
            let ended = self.settled.contains(&key.fingerprint()) || self.ended_now.contains(key);
            let recurring = key.recurring_due();
            if self.pending.contains_key(key) || ended || self.is_tallied(&key.job_type) {
                continue;
            }
            // An old recurring job that vanished before it was due is made anew.
            if recurring.is_some_and(|due| due > now) {
                continue;
            }
            let mut job = job.clone();
            job.last_seen = job.last_seen.or(self.before.meta.last_poll);
            job.sought += 1;
            if self.may_be_unread(&key.job_type) {
                job.sought = job.sought.min(LONG_PATIENCE - 1);
            } else if self.proven_absent.contains(key) && self.pending_is_complete(&key.job_type) {
                job.absent += 1;
            }
            if job.absent < PATIENCE && job.sought < LONG_PATIENCE {
                pending.insert(key.clone(), job);
            } else if recurring.is_none() {
                self.memory.type_mut(&key.job_type).unaccounted += 1;
                self.memory.lost.insert(key.clone(), now);
                let mut lost = Told::unaccounted(&key.job_type, now, 1, "vanished");
                lost.job_id = Some(key.id.clone());
                lost.created_at = Some(key.created_at);
                lost.processed_at = job.processed_at;
                told.push(lost);
            }
        }
        let tracked = self.pending.iter().filter(|(key, _)| !self.is_tallied(&key.job_type));
        pending.extend(tracked.map(|(key, job)| (key.clone(), job.clone())));
        for key in pending.keys() {
            if self.memory.lost.remove(key).is_some() {
                self.memory.type_mut(&key.job_type).recovered += 1;
            }
        }
        self.memory.pending = pending;
    }

    /// Gauges, and what the next poll may rely on.
    fn renew_types(&mut self, now: Timestamp) {
        self.memory.meta.list_totals = self.lists.iter().map(|(state, list)| (*state, list.total)).collect();
        let parents: BTreeSet<&str> = self.pending.values().filter_map(|job| job.parent.as_deref()).collect();
        let names: Vec<JobType> = self.memory.types.keys().cloned().collect();
        for name in names {
            let complete = self.all_pending_read(&name);
            let is_unread = self.may_be_unread(&name);
            let closed = self.hidden.contains_key(&name);
            let covered = self.covered.contains(&name);
            let counts: Vec<(Pending, u64)> =
                self.lists.keys().filter_map(|state| Some((*state, self.pending_total(*state, &name)?))).collect();
            let of_type = || self.pending.iter().filter(|(key, _)| key.job_type == name);
            // A recurring job waits by design, and a parent waits for its children.
            let oldest_waiting = of_type()
                .filter(|(key, job)| {
                    job.state == Pending::Waiting && key.recurring_due().is_none() && !parents.contains(key.id.as_str())
                })
                .map(|(_, job)| job.due)
                .min();
            let oldest_pending = of_type().map(|(key, _)| key.created_at).min();
            let oldest_active =
                of_type().filter(|(_, job)| job.state == Pending::Active).filter_map(|(_, job)| job.processed_at).min();
            let known: &mut TypeMemory = self.memory.types.entry(name.clone()).or_default();
            known.pending_known = complete || closed;
            known.oldest_pending = oldest_pending;
            // A row that can't be read yet is looked at again, but not for ever.
            let looks_again =
                is_unread && known.covered.is_some_and(|covered| now.duration_since(covered) < UNREAD_KEPT);
            if (covered && !looks_again) || known.covered.is_none() {
                known.covered = Some(now);
            }
            for (state, count) in counts {
                if count > 0 || known.pending.contains_key(&state) {
                    known.pending.insert(state, count);
                }
            }
            known.oldest_waiting = oldest_waiting;
            known.oldest_active = oldest_active;
        }
    }

    /// Whether every unfinished job of a type was seen and could be read.
    fn all_pending_read(&self, job_type: &JobType) -> bool {
        self.pending_is_complete(job_type) && !self.may_be_unread(job_type)
    }

    /// How many jobs of a type are in a state, where this poll saw it.
    pub(super) fn pending_total(&self, state: Pending, job_type: &JobType) -> Option<u64> {
        let list = self.lists.get(&state)?;
        if list.is_complete(job_type) {
            let rows = self.pending.iter().filter(|(key, job)| key.job_type == *job_type && job.state == state);
            return Some(rows.count() as u64);
        }
        list.totals.get(job_type).copied()
    }
}

fn told_of(kind: EventKind, row: &JobRow, at: Timestamp, wait: Option<f64>, run: Option<f64>) -> Told {
    Told {
        job_id: Some(row.key.id.clone()),
        created_at: Some(row.key.created_at),
        processed_at: row.processed_at,
        finished_at: row.finished_at,
        wait_seconds: wait,
        run_seconds: run,
        error: (kind != EventKind::JobCompleted).then(|| row.error.as_deref().map(error_summary)).flatten(),
        payload: row.payload.clone(),
        ..Told::new(kind, &row.key.job_type, at)
    }
}
