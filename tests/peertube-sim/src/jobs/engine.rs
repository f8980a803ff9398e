//! What happens to jobs as time goes by: arrivals, runs, retries, cascades, purges.
//! A plan is void when its job has another ticket by then.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::queue::{Key, Parent, State};
use super::{Ended, Jobs, NewFlow, NewJob, Outcome, Version, kinds, texts, timestamp};

/// What the agenda holds.
#[derive(Debug)]
pub(super) enum Happening {
    Arrive(Box<NewJob>),
    ArriveFlow(Box<NewFlow>),
    /// A delayed job is due.
    Due(Plan),
    /// An attempt is over.
    RunOver(Plan),
    /// The job of a killed worker is taken back.
    TakenBack(Plan),
    /// The server is up again.
    Up,
    /// A person cancels the longest running job of a type.
    Cancel(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) slot: usize,
    pub(super) ticket: i64,
}

#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) at: i64,
    sequence: i64,
    pub(super) what: Happening,
}

/// The soonest is the greatest, for the heap.
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl Jobs {
    pub(super) fn schedule(&mut self, at: i64, what: Happening) {
        let sequence = self.next_sequence();
        self.agenda.push(Scheduled { at: at.max(self.now), sequence, what });
    }

    pub(super) fn happen(&mut self, what: Happening) {
        match what {
            // A server that is down adds nothing: what was meant to come, comes after.
            Happening::Arrive(_) | Happening::ArriveFlow(_) if self.now < self.down_until => {
                self.schedule(self.down_until, what);
            }
            Happening::Arrive(job) => {
                self.add(*job);
            }
            Happening::ArriveFlow(flow) => {
                let slots = self.insert_flow(*flow);
                self.admit_flow(&slots);
            }
            Happening::Due(plan) => {
                if self.stands(plan) {
                    self.line_up(plan.slot);
                }
            }
            Happening::RunOver(plan) => {
                if self.stands(plan) {
                    self.run_over(plan.slot);
                }
            }
            Happening::TakenBack(plan) => {
                if self.stands(plan) {
                    self.take_back(plan.slot);
                }
            }
            // Another restart may have come in between.
            Happening::Up if self.now == self.down_until => self.start_up(),
            Happening::Up => {}
            Happening::Cancel(job_type) => self.cancel_longest(job_type),
        }
    }

    pub(super) fn next_sequence(&mut self) -> i64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn fill_queue_of(&mut self, slot: usize) {
        if let Some(queue) = self.job(slot).map(|job| job.queue) {
            self.fill(queue);
        }
    }

    /// Workers take what waits.
    pub(super) fn fill(&mut self, queue: usize) {
        if !self.queues[queue].served {
            return;
        }
        while !self.paused && self.now >= self.down_until && self.queues[queue].running < self.queues[queue].concurrency
        {
            let Some(slot) = self.queues[queue].next() else { break };
            self.start(slot);
        }
    }

    fn start(&mut self, slot: usize) {
        let sequence = self.next_sequence();
        self.put(slot, State::Active, sequence);
        let failing_takes = self.rng.i64(0..=2);
        let Some(job) = &mut self.jobs[slot] else { return };
        self.queues[job.queue].running += 1;
        job.processed = Some(self.now);
        job.stalled = false;
        let run = if job.doomed_by.is_some() { failing_takes } else { job.run };
        let chain = job.chain.take();
        let plan = self.plan(slot);
        self.schedule(self.now.saturating_add(run), Happening::RunOver(plan));
        if let Some(chain) = chain {
            self.next_of_chain(chain);
        }
    }

    fn run_over(&mut self, slot: usize) {
        let Some(job) = &mut self.jobs[slot] else { return };
        let queue = job.queue;
        self.queues[queue].running -= 1;
        if let Some(child) = job.doomed_by.take() {
            let error = texts::cascade(self.version, &child);
            self.fail(slot, Outcome::Cascaded, error);
            return self.fill(queue);
        }
        job.attempts_made += 1;
        if job.attempts_made > job.fails {
            self.complete(slot);
            return self.fill(queue);
        }
        let error = job.failure.clone().unwrap_or_else(|| texts::failure(self.version, self.queues[queue].name));
        if job.attempts_made < job.attempts {
            // The list shows the stack of the first attempt, whatever comes after.
            job.error.get_or_insert(error);
            let pause = job.backoff.saturating_mul(1 << (job.attempts_made - 1).min(20));
            self.delay_until(slot, self.now.saturating_add(pause));
        } else {
            self.fail(slot, Outcome::Failed, error);
        }
        self.fill(queue);
    }

    fn complete(&mut self, slot: usize) {
        let Some(job) = &mut self.jobs[slot] else { return };
        // The last report before the end is often not of a whole.
        job.progress = if job.reports_progress { if job.created % 5 == 0 { 98 } else { 100 } } else { 0 };
        let (parent, then) = (job.parent.clone(), std::mem::take(&mut job.then));
        self.finish(slot, State::Completed, Outcome::Completed);
        self.purge_completed(slot);
        if let Some(parent) = parent.and_then(|parent| self.waiting_parent(&parent))
            && let Some(job) = &mut self.jobs[parent]
        {
            job.children_left -= 1;
            if job.children_left == 0 {
                self.admit(parent);
            }
        }
        for flow in then {
            self.schedule(self.now + 1, Happening::ArriveFlow(Box::new(flow)));
        }
    }

    /// Ends a job badly, and what depends on it as the version does.
    pub(super) fn fail(&mut self, slot: usize, outcome: Outcome, error: Arc<str>) {
        let (mut slot, mut outcome, mut error) = (slot, outcome, error);
        loop {
            let progress = self.job(slot).map_or(0, |job| job.progress_at(self.now));
            let Some(job) = &mut self.jobs[slot] else { return };
            job.progress = progress;
            job.error.get_or_insert(error);
            let child = texts::child(self.queues[job.queue].name, &job.id);
            let parent = job.parent.clone();
            self.finish(slot, State::Failed, outcome);
            // Before 8.2 a parent is failed by the script of its child, which purges
            // the child's own queue only.
            let purges = outcome != Outcome::Cascaded || self.version == Version::V8_2;
            if purges {
                self.purge_failed(slot);
            }
            let Some(parent) = parent.and_then(|parent| self.waiting_parent(&parent)) else { return };
            if self.version == Version::V8_2 {
                if let Some(job) = &mut self.jobs[parent] {
                    job.doomed_by = Some(child);
                }
                return self.line_up(parent);
            }
            (slot, outcome, error) = (parent, Outcome::Cascaded, texts::cascade(self.version, &child));
        }
    }

    fn waiting_parent(&self, parent: &Parent) -> Option<usize> {
        self.job(parent.slot)
            .is_some_and(|job| job.id == parent.id && job.state == State::WaitingChildren)
            .then_some(parent.slot)
    }

    fn finish(&mut self, slot: usize, state: State, outcome: Outcome) {
        self.put(slot, state, self.now);
        let Some(job) = &mut self.jobs[slot] else { return };
        job.finished = Some(self.now);
        job.ended = Some(self.ended.len());
        self.ended.push(Ended {
            job_type: self.queues[job.queue].name,
            id: job.id.to_string(),
            created_at: timestamp(job.created),
            processed_on: job.processed.map(timestamp),
            finished_on: timestamp(self.now),
            due_at: timestamp(job.due),
            outcome,
            error: job.error.clone(),
            data: Arc::clone(&job.data),
            left_at: None,
        });
    }

    fn purge_completed(&mut self, ended: usize) {
        let Some(queue) = self.job(ended).map(|job| job.queue) else { return };
        let before = self.now - self.queues[queue].completed_kept_for;
        let list = self.queues[queue].list_mut(State::Completed);
        for slot in purge(list, before, kinds::COMPLETED_KEPT) {
            self.forget(slot);
        }
    }

    fn purge_failed(&mut self, ended: usize) {
        let Some(queue) = self.job(ended).map(|job| job.queue) else { return };
        let before = self.now - kinds::FAILED_KEPT_FOR;
        let list = self.queues[queue].list_mut(State::Failed);
        for slot in purge(list, before, kinds::FAILED_KEPT) {
            self.forget(slot);
            self.purged_failed += 1;
            self.queues[queue].purged_failed += 1;
        }
    }

    /// Frees a slot whose job stands in no list any more.
    pub(super) fn forget(&mut self, slot: usize) {
        if let Some(job) = self.jobs[slot].take() {
            self.free.push(slot);
            if let Some(ended) = job.ended {
                self.ended[ended].left_at = Some(timestamp(self.now));
            }
        }
    }

    fn stands(&self, plan: Plan) -> bool {
        self.job(plan.slot).is_some_and(|job| job.ticket == plan.ticket)
    }
}

/// Takes out of a list what is too old, then what is beyond the newest so many.
fn purge(list: &mut BTreeMap<Key, usize>, before: i64, kept: usize) -> Vec<usize> {
    let mut gone = Vec::new();
    loop {
        let crowded = list.len() > kept;
        match list.first_entry() {
            Some(oldest) if crowded || oldest.key().0 <= before => gone.push(oldest.remove()),
            _ => return gone,
        }
    }
}
