//! What happens to jobs as time goes by: arrivals, runs, retries, cascades, purges.
//! A plan is void when its job has another ticket by then.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::queue::{Job, Key, Parent, Queue, State};
use super::{Chain, Ended, JobRef, Jobs, NewFlow, NewJob, Outcome, Version, kinds, texts, timestamp, uuid};

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

    fn next_of_chain(&mut self, chain: usize) -> Option<usize> {
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

    fn delay_until(&mut self, slot: usize, due: i64) {
        self.put(slot, State::Delayed, due);
        let plan = self.plan(slot);
        self.schedule(due, Happening::Due(plan));
    }

    /// Joins the end of the line of those that may run.
    fn line_up(&mut self, slot: usize) {
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
    fn take_back(&mut self, slot: usize) {
        let sequence = self.next_sequence();
        self.put(slot, State::Waiting, -sequence);
        self.fill_queue_of(slot);
    }

    fn fill_queue_of(&mut self, slot: usize) {
        if let Some(queue) = self.job(slot).map(|job| job.queue) {
            self.fill(queue);
        }
    }

    /// Workers take what waits.
    pub(super) fn fill(&mut self, queue: usize) {
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

    pub(super) fn plan(&mut self, slot: usize) -> Plan {
        let ticket = self.next_sequence();
        if let Some(job) = &mut self.jobs[slot] {
            job.ticket = ticket;
        }
        Plan { slot, ticket }
    }

    fn stands(&self, plan: Plan) -> bool {
        self.job(plan.slot).is_some_and(|job| job.ticket == plan.ticket)
    }

    /// Moves a job from the list where it stands to another.
    fn put(&mut self, slot: usize, state: State, score: i64) {
        let Some(job) = &mut self.jobs[slot] else { return };
        let queue = &mut self.queues[job.queue];
        queue.list_mut(job.state).remove(&job.key);
        job.state = state;
        job.key = (score, Arc::clone(&job.id));
        queue.list_mut(state).insert(job.key.clone(), slot);
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
