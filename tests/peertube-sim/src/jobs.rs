//! The job queues of one instance, simulated in virtual time: no clock, no I/O. What
//! is listed may be forgotten, what [`Jobs::ended`] tells never is, and the same seed
//! with the same calls gives the same history.

mod engine;
mod kinds;
mod list;
mod new;
mod places;
mod queue;
mod texts;
mod trouble;
mod truth;
mod upgrade;
mod view;
pub mod work;

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use engine::{Happening, Scheduled};
pub use list::{ListError, ListQuery, Listing, Naming};
pub use new::{NewFlow, NewJob};
use queue::{Job, Queue};
pub use trouble::{CancelError, Restart};
pub use truth::{Ended, JobRef, Lost, Move, Outcome};
pub use view::JobView;

/// Which PeerTube is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Of the years 2018 to 2023: numeric ids, [`Naming::Both`], fewer fields, no flows,
    /// and `jobType` ignored.
    QuickStart,
    V6_3,
    V8_2,
}

impl Version {
    /// As the server tells it.
    pub fn number(self) -> &'static str {
        match self {
            Self::QuickStart => "1.4.1",
            Self::V6_3 => "6.3.0",
            Self::V8_2 => "8.2.1",
        }
    }

    /// The type of the hourly statistics, which was renamed.
    pub fn stats_type(self) -> &'static str {
        match self {
            Self::QuickStart => "videos-views",
            Self::V6_3 => "videos-views-stats",
            Self::V8_2 => "videos-stats",
        }
    }
}

/// The queues of one instance.
#[derive(Debug)]
pub struct Jobs {
    /// For a test to change, at any time.
    pub naming: Naming,
    version: Version,
    rng: fastrand::Rng,
    now: i64,
    queues: Vec<Queue>,
    types: Vec<&'static str>,
    by_type: BTreeMap<&'static str, usize>,
    jobs: Vec<Option<Job>>,
    free: Vec<usize>,
    agenda: BinaryHeap<Scheduled>,
    /// Ever higher: orders what happens in the same millisecond, and lists.
    sequence: i64,
    /// The recurring jobs that the server sets up whenever it starts.
    declared: Vec<(i64, NewJob)>,
    chains: Vec<Option<Chain>>,
    /// The server does not run before this.
    down_until: i64,
    paused: bool,
    ended: Vec<Ended>,
    taken: usize,
    moves: Vec<Move>,
    lost: Vec<Lost>,
    purged_failed: u64,
}

/// One recurring job: each instance makes the next when it is processed.
#[derive(Debug)]
struct Chain {
    every: i64,
    offset: i64,
    hash: String,
    job: NewJob,
}

impl Jobs {
    pub fn new(seed: u64, now: Timestamp, version: Version) -> Self {
        let mut jobs = Self {
            naming: Naming::of(version),
            version,
            rng: fastrand::Rng::with_seed(seed),
            now: now.as_millisecond(),
            queues: Vec::new(),
            types: Vec::new(),
            by_type: BTreeMap::new(),
            jobs: Vec::new(),
            free: Vec::new(),
            agenda: BinaryHeap::new(),
            sequence: 0,
            declared: Vec::new(),
            chains: Vec::new(),
            down_until: i64::MIN,
            paused: false,
            ended: Vec::new(),
            taken: 0,
            moves: Vec::new(),
            lost: Vec::new(),
            purged_failed: 0,
        };
        for name in kinds::types(version) {
            jobs.queue_of(name);
        }
        jobs
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn now(&self) -> Timestamp {
        timestamp(self.now)
    }

    /// Lets everything up to and including `at` happen. Time never goes back but by
    /// [`Jobs::set_back`].
    pub fn advance_to(&mut self, at: Timestamp) {
        let at = at.as_millisecond();
        while self.agenda.peek().is_some_and(|next| next.at <= at) {
            let Some(next) = self.agenda.pop() else { break };
            self.now = self.now.max(next.at);
            self.happen(next.what);
        }
        self.now = self.now.max(at);
    }

    /// When something happens next, if nothing is added before.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.agenda.peek().map(|next| timestamp(next.at))
    }

    /// The job types of this version, and those that were added besides.
    pub fn types(&self) -> &[&'static str] {
        &self.types
    }

    /// How many jobs of a type run at once. Each type has a default.
    pub fn set_concurrency(&mut self, job_type: &'static str, concurrency: usize) {
        let queue = self.queue_of(job_type);
        self.queues[queue].concurrency = concurrency;
        self.fill(queue);
    }

    /// Adds a job now.
    pub fn add(&mut self, job: NewJob) -> JobRef {
        let slot = self.insert(job, None);
        self.admit(slot);
        self.job_ref(slot)
    }

    /// Adds a job later. While the server is down nobody adds: it comes when it is up.
    pub fn add_at(&mut self, at: Timestamp, job: NewJob) {
        self.schedule(at.as_millisecond(), Happening::Arrive(Box::new(job)));
    }

    /// Adds a tree of jobs now: children run first, and a parent waits for all of its
    /// own. Told root first.
    pub fn add_flow(&mut self, root: NewFlow) -> Vec<JobRef> {
        let slots = self.insert_flow(root);
        let refs = slots.iter().map(|slot| self.job_ref(*slot)).collect();
        self.admit_flow(&slots);
        refs
    }

    /// Adds a tree of jobs later.
    pub fn add_flow_at(&mut self, at: Timestamp, root: NewFlow) {
        self.schedule(at.as_millisecond(), Happening::ArriveFlow(Box::new(root)));
    }

    /// Sets up a recurring job, as the server does whenever it starts: its first
    /// instance stands in delayed until it is due.
    pub fn add_recurring(&mut self, every: Duration, job: NewJob) -> JobRef {
        let every = millis(every).max(1);
        self.declared.push((every, job.clone()));
        let slot = self.begin_chain(every, job);
        self.job_ref(slot)
    }

    /// The truth: every job that ended, in order, whatever the lists forget.
    pub fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// Those that ended since the last take.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        let fresh = self.ended[self.taken..].to_vec();
        self.taken = self.ended.len();
        fresh
    }

    /// The truth: each beginning and end, of all attempts.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Jobs that were destroyed with Redis before they ended.
    pub fn lost(&self) -> &[Lost] {
        &self.lost
    }

    /// How many failed rows were purged; [`Ended::left_at`] tells which, and when.
    pub fn purged_failed(&self) -> u64 {
        self.purged_failed
    }

    pub fn purged_failed_of(&self, job_type: &str) -> u64 {
        self.by_type.get(job_type).map_or(0, |queue| self.queues[*queue].purged_failed)
    }
}

fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// A UUID of version 4.
pub(crate) fn uuid(rng: &mut fastrand::Rng) -> Arc<str> {
    let bits = rng.u128(..) & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into()
}

#[cfg(test)]
mod tests;
