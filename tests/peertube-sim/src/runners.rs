//! Remote runners and the jobs given to them, simulated in virtual time: no clock, no
//! I/O. What [`Runners::ended`] and [`Runners::deleted`] tell is never forgotten.

mod list;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::jobs::uuid;
pub use list::{RunnerJobsQuery, SORTS};

/// A job that failed so often is not tried again.
pub const MOST_FAILURES: u64 = 5;

/// PeerTube's states of a runner job, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Pending = 1,
    Processing = 2,
    Completed = 3,
    Errored = 4,
    WaitingForParent = 5,
    Cancelled = 6,
    ParentErrored = 7,
    ParentCancelled = 8,
    Completing = 9,
}

impl State {
    pub fn id(self) -> u64 {
        self as u64
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Processing => "Processing",
            Self::Completed => "Completed",
            Self::Errored => "Errored",
            Self::WaitingForParent => "Waiting for parent job to finish",
            Self::Cancelled => "Cancelled",
            Self::ParentErrored => "Parent job failed",
            Self::ParentCancelled => "Parent job cancelled",
            Self::Completing => "Completing",
        }
    }

    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Processing | Self::WaitingForParent | Self::Completing)
    }
}

/// A job to give to the runners.
#[derive(Debug, Clone)]
pub struct NewRunnerJob {
    pub job_type: &'static str,
    /// How long each attempt takes.
    pub run: Duration,
    /// How long the server takes with what the runner gave back.
    pub completing: Duration,
    /// So many attempts fail before one succeeds.
    pub fails: u64,
    /// Low is soon.
    pub priority: u64,
    pub video: String,
    /// The job that has to complete first.
    pub parent: Option<String>,
}

impl NewRunnerJob {
    pub fn new(job_type: &'static str) -> Self {
        Self {
            job_type,
            run: Duration::from_secs(10),
            completing: Duration::ZERO,
            fails: 0,
            priority: 100,
            video: "05c07c37-656b-4326-be8d-73174245b486".to_owned(),
            parent: None,
        }
    }

    pub fn run(self, run: Duration) -> Self {
        Self { run, ..self }
    }

    pub fn completing(self, completing: Duration) -> Self {
        Self { completing, ..self }
    }

    pub fn fails(self, fails: u64) -> Self {
        Self { fails, ..self }
    }

    pub fn video(self, video: &str) -> Self {
        Self { video: video.to_owned(), ..self }
    }

    pub fn after(self, parent: &str) -> Self {
        Self { parent: Some(parent.to_owned()), ..self }
    }
}

/// A runner job as it stands, or as it stood when it was deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct RunnerJob {
    pub uuid: String,
    pub job_type: &'static str,
    pub state: State,
    pub failures: u64,
    pub error: Option<String>,
    pub progress: Option<u64>,
    pub priority: u64,
    pub video: String,
    pub parent: Option<String>,
    pub runner: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    run: Duration,
    completing: Duration,
    fails_left: u64,
    /// What was planned for an earlier attempt is void.
    ticket: u64,
    /// Its attempt is over, but its runner does not say so.
    overdue: bool,
    /// Orders jobs made or changed in the same millisecond.
    created_seq: u64,
    updated_seq: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Runner {
    pub id: u64,
    pub name: String,
    pub last_contact: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// How many jobs it takes at once.
    pub concurrency: usize,
    pub silent: bool,
}

/// The runners of one instance, and their jobs.
#[derive(Debug)]
pub struct Runners {
    /// As a server of 5.2, which knows no `stateOneOf`.
    pub ignores_state: bool,
    rng: fastrand::Rng,
    now: Timestamp,
    runners: Vec<Runner>,
    jobs: BTreeMap<String, RunnerJob>,
    waiting: BTreeSet<(u64, u64, String)>,
    agenda: BTreeSet<(Timestamp, u64, String, Plan)>,
    sequence: u64,
    ended: Vec<RunnerJob>,
    deleted: Vec<RunnerJob>,
}

/// What is to come of a job, if its ticket is still that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    /// The runner tells how far it is.
    Report(u64),
    RunOver(u64),
    Completed(u64),
}

impl Runners {
    pub fn new(seed: u64, now: Timestamp) -> Self {
        Self {
            ignores_state: false,
            rng: fastrand::Rng::with_seed(seed),
            now,
            runners: Vec::new(),
            jobs: BTreeMap::new(),
            waiting: BTreeSet::new(),
            agenda: BTreeSet::new(),
            sequence: 0,
            ended: Vec::new(),
            deleted: Vec::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets everything up to and including `at` happen. Time never goes back.
    pub fn advance_to(&mut self, at: Timestamp) {
        while self.agenda.first().is_some_and(|(next, ..)| *next <= at) {
            let Some((next, _, uuid, plan)) = self.agenda.pop_first() else { break };
            self.now = self.now.max(next);
            self.happen(&uuid, plan);
        }
        self.now = self.now.max(at);
    }

    pub fn advance(&mut self, by: Duration) {
        self.advance_to(self.now + by);
    }

    /// A runner registers. It takes two jobs at once.
    pub fn add_runner(&mut self, name: &str) {
        let id = self.runners.len() as u64 + 1;
        self.runners.push(Runner {
            id,
            name: name.to_owned(),
            last_contact: self.now,
            created_at: self.now,
            updated_at: self.now,
            concurrency: 2,
            silent: false,
        });
        self.hand_out();
    }

    /// The runner says nothing any more, whatever it does.
    pub fn silence(&mut self, name: &str) {
        self.runners.iter_mut().filter(|runner| runner.name == name).for_each(|runner| runner.silent = true);
    }

    /// It speaks again: what it has done meanwhile, it tells now, and it asks for more.
    pub fn wake(&mut self, name: &str) {
        for runner in self.runners.iter_mut().filter(|runner| runner.name == name) {
            runner.silent = false;
            runner.last_contact = self.now;
        }
        let is_held = |job: &RunnerJob| job.state == State::Processing && job.runner.as_deref() == Some(name);
        let is_done = |job: &&RunnerJob| job.overdue && is_held(job);
        let done: Vec<String> = self.jobs.values().filter(is_done).map(|job| job.uuid.clone()).collect();
        done.iter().for_each(|uuid| self.run_over(uuid));
        self.hand_out();
    }

    /// Adds a job now. Gives its UUID.
    pub fn add(&mut self, new: NewRunnerJob) -> String {
        let uuid = uuid(&mut self.rng).to_string();
        let parent = new.parent.as_ref().and_then(|parent| self.jobs.get(parent));
        let is_free = parent.is_none_or(|parent| parent.state == State::Completed);
        let seq = self.next_sequence();
        let job = RunnerJob {
            uuid: uuid.clone(),
            job_type: new.job_type,
            state: if is_free { State::Pending } else { State::WaitingForParent },
            failures: 0,
            error: None,
            progress: None,
            priority: new.priority,
            video: new.video,
            parent: new.parent,
            runner: None,
            created_at: self.now,
            updated_at: self.now,
            started_at: None,
            finished_at: None,
            run: new.run,
            completing: new.completing,
            fails_left: new.fails,
            ticket: 0,
            overdue: false,
            created_seq: seq,
            updated_seq: seq,
        };
        if is_free {
            self.waiting.insert((job.priority, seq, uuid.clone()));
        }
        self.jobs.insert(uuid.clone(), job);
        self.hand_out();
        uuid
    }

    /// An administrator cancels a job, and with it those that wait for it. Whether
    /// there was anything to cancel.
    pub fn cancel(&mut self, uuid: &str) -> bool {
        let can = self.jobs.get(uuid).is_some_and(|job| !job.state.has_ended());
        if can {
            self.end(uuid, State::Cancelled);
            self.hand_out();
        }
        can
    }

    /// A job is deleted, and with it those that depend on it.
    pub fn delete(&mut self, uuid: &str) {
        let Some(job) = self.jobs.remove(uuid) else { return };
        self.waiting.retain(|(_, _, waiting)| waiting != uuid);
        self.deleted.push(job);
        self.children_of(uuid).iter().for_each(|child| self.delete(child));
        self.hand_out();
    }

    /// All that are listed now.
    pub fn jobs(&self) -> impl Iterator<Item = &RunnerJob> {
        self.jobs.values()
    }

    pub fn runners(&self) -> &[Runner] {
        &self.runners
    }

    /// Every job that ended, as it was then, in that order.
    pub fn ended(&self) -> &[RunnerJob] {
        &self.ended
    }

    /// Every job that was deleted, as it was then.
    pub fn deleted(&self) -> &[RunnerJob] {
        &self.deleted
    }

    fn children_of(&self, uuid: &str) -> Vec<String> {
        let children = self.jobs.values().filter(|job| job.parent.as_deref() == Some(uuid));
        children.map(|job| job.uuid.clone()).collect()
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

#[cfg(test)]
mod tests;
