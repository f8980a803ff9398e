//! Where jobs stand: how they come in, and which list each goes to. A job that is kept
//! stands in one list at most.

use std::sync::Arc;

use super::engine::{Happening, Plan};
use super::queue::{Job, Parent, Queue, State};
use super::{Chain, JobRef, Jobs, Move, NewFlow, NewJob, Version, timestamp, uuid};

impl Jobs {
    pub(super) fn queue_of(&mut self, job_type: &'static str) -> usize {
        *self.by_type.entry(job_type).or_insert_with(|| {
            self.types.push(job_type);
            self.queues.push(Queue::new(job_type));
            self.queues.len() - 1
        })
    }

    pub(super) fn job(&self, slot: usize) -> Option<&Job> {
        self.jobs.get(slot).and_then(Option::as_ref)
    }

    pub(super) fn job_ref(&self, slot: usize) -> JobRef {
        let job = self.job(slot);
        JobRef {
            job_type: job.map_or("", |job| self.queues[job.queue].name),
            id: job.map_or_else(String::new, |job| job.id.to_string()),
            created_at: timestamp(job.map_or(self.now, |job| job.created)),
        }
    }

    /// Keeps a new job, in no list yet.
    pub(super) fn insert(&mut self, new: NewJob, id: Option<Arc<str>>) -> usize {
        let queue = self.queue_of(new.job_type);
        let id = id.unwrap_or_else(|| self.queues[queue].next_id());
        let job = Job::new(new, queue, id, self.now);
        match self.free.pop() {
            Some(slot) => {
                self.jobs[slot] = Some(job);
                slot
            }
            None => {
                self.jobs.push(Some(job));
                self.jobs.len() - 1
            }
        }
    }

    /// Keeps a new tree, root first, in no list yet.
    pub(super) fn insert_flow(&mut self, root: NewFlow) -> Vec<usize> {
        let mut slots = Vec::new();
        let mut ahead = vec![(root, None)];
        while let Some((flow, parent)) = ahead.pop() {
            let id = (self.version != Version::QuickStart).then(|| uuid(&mut self.rng));
            let children = flow.children.len();
            let slot = self.insert(flow.job, id);
            let Some(job) = &mut self.jobs[slot] else { continue };
            job.parent = parent;
            job.children_left = children;
            let me = Parent { slot, id: Arc::clone(&job.id) };
            ahead.extend(flow.children.into_iter().rev().map(|child| (child, Some(me.clone()))));
            slots.push(slot);
        }
        slots
    }

    /// All of a tree is in its lists before any of it runs.
    pub(super) fn admit_flow(&mut self, slots: &[usize]) {
        let (parents, leaves): (Vec<_>, Vec<_>) =
            slots.iter().copied().partition(|slot| self.job(*slot).is_some_and(|job| job.children_left > 0));
        for slot in parents {
            let created = self.job(slot).map_or(0, |job| job.created);
            self.put(slot, State::WaitingChildren, created);
        }
        leaves.into_iter().for_each(|slot| self.admit(slot));
    }

    /// A new job, or one whose children have ended, goes where it waits.
    pub(super) fn admit(&mut self, slot: usize) {
        match self.job(slot).map(|job| job.due) {
            Some(due) if due > self.now => self.delay_until(slot, due),
            _ => self.line_up(slot),
        }
    }

    /// An instance of a recurring job is made at once, and waits in delayed.
    pub(super) fn begin_chain(&mut self, every: i64, job: NewJob) -> usize {
        // PeerTube draws the minute of the hour anew at each start.
        let offset = if every >= 120_000 { self.rng.i64(1..every / 60_000) * 60_000 } else { 0 };
        let hash = format!("{:032x}", self.rng.u128(..));
        self.chains.push(Some(Chain { every, offset, hash, job }));
        self.next_of_chain(self.chains.len() - 1).unwrap_or(0)
    }

    pub(super) fn next_of_chain(&mut self, chain: usize) -> Option<usize> {
        let Chain { every, offset, hash, job } = self.chains.get(chain)?.as_ref()?;
        let due = ((self.now - offset).div_euclid(*every) + 1) * every + offset;
        let id = format!("repeat:{hash}:{due}");
        let job = job.clone();
        let slot = self.insert(job, Some(id.into()));
        if let Some(job) = &mut self.jobs[slot] {
            job.chain = Some(chain);
            job.due = due;
        }
        self.admit(slot);
        Some(slot)
    }

    pub(super) fn delay_until(&mut self, slot: usize, due: i64) {
        self.put(slot, State::Delayed, due);
        let plan = self.plan(slot);
        self.schedule(due, Happening::Due(plan));
    }

    /// Joins the end of the line of those that may run.
    pub(super) fn line_up(&mut self, slot: usize) {
        let sequence = self.next_sequence();
        match self.job(slot).and_then(|job| job.priority).filter(|priority| *priority > 0) {
            None => self.put(slot, State::Waiting, sequence),
            Some(priority) => {
                let priority = i64::try_from(priority.min(1 << 21)).unwrap_or(0);
                self.put(slot, State::Prioritized, (priority << 40) + sequence);
            }
        }
        self.fill_queue_of(slot);
    }

    /// The job of a killed worker goes to the head of the line, whatever its priority.
    pub(super) fn take_back(&mut self, slot: usize) {
        let sequence = self.next_sequence();
        self.put(slot, State::Waiting, -sequence);
        self.fill_queue_of(slot);
    }

    pub(super) fn plan(&mut self, slot: usize) -> Plan {
        let ticket = self.next_sequence();
        if let Some(job) = &mut self.jobs[slot] {
            job.ticket = ticket;
        }
        Plan { slot, ticket }
    }

    /// Moves a job from the list where it stands to another.
    pub(super) fn put(&mut self, slot: usize, state: State, score: i64) {
        let Some(job) = &mut self.jobs[slot] else { return };
        let queue = &mut self.queues[job.queue];
        queue.list_mut(job.state).remove(&job.key);
        let was = std::mem::replace(&mut job.state, state);
        job.key = (score, Arc::clone(&job.id));
        queue.list_mut(state).insert(job.key.clone(), slot);
        if was == State::Active || matches!(state, State::Active | State::Completed | State::Failed) {
            let active = queue.list(State::Active).len();
            self.moves.push(Move { job_type: queue.name, at: timestamp(self.now), active });
        }
    }
}
