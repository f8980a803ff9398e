//! What metrics and pages show of an instance: pictures of committed memory,
//! replaced whole after each poll.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::histogram::Histogram;
use super::job::{JobType, Pending};
use super::job_sync::Policy;
use super::moderation::Waiting;
use super::runner::RunnerJobState;

/// The jobs of one instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobsView {
    /// Totals that the instance keeps.
    pub listed_completed: u64,
    pub listed_failed: u64,
    /// By job type; a type once known stays.
    pub types: BTreeMap<JobType, JobTypeView>,
}

/// The jobs of one type. Counters never go down; gauges are those of the last poll.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobTypeView {
    pub completed: u64,
    /// Failed of themselves; cancelled ones are among them.
    pub failed: u64,
    /// Failed only because their child did.
    pub cascaded: u64,
    pub unaccounted: u64,
    pub recovered: u64,
    /// A state once seen stays, as 0.
    pub pending: BTreeMap<Pending, u64>,
    /// Due time of the oldest that waits.
    pub oldest_waiting: Option<Timestamp>,
    /// Start of the oldest that runs.
    pub oldest_active: Option<Timestamp>,
    /// Whether it is followed, so that how long its jobs take is measured.
    pub is_followed: bool,
    /// Completed jobs of followed types: due → processed, processed → finished.
    pub wait: Histogram,
    pub run: Histogram,
}

impl JobsView {
    pub fn followed_by(mut self, policy: &Policy) -> Self {
        follow(&mut self.types, policy);
        self
    }
}

impl RunnersView {
    pub fn followed_by(mut self, policy: &Policy) -> Self {
        follow(&mut self.types, policy);
        self
    }
}

fn follow(types: &mut BTreeMap<JobType, JobTypeView>, policy: &Policy) {
    for (job_type, view) in types {
        view.is_followed = policy.follows(job_type);
    }
}

/// The remote runners of one instance and their jobs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunnersView {
    /// What was counted; the gauges in it are empty.
    pub types: BTreeMap<JobType, JobTypeView>,
    /// Unfinished jobs; a state once seen stays, as 0.
    pub jobs: BTreeMap<JobType, BTreeMap<RunnerJobState, u64>>,
    /// By name.
    pub last_contact: BTreeMap<String, Timestamp>,
    /// Those that should work and are silent.
    pub offline: BTreeSet<String>,
}

/// What is stuck of the jobs of an instance or of its runners, told or so at the first
/// look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StuckView {
    pub types: Vec<StuckType>,
    pub jobs: Vec<StuckJob>,
}

/// A type of which jobs wait and nothing moves.
#[derive(Debug, Clone, PartialEq)]
pub struct StuckType {
    pub job_type: JobType,
    pub waiting: u64,
    pub since: Timestamp,
}

/// A job that runs for too long.
#[derive(Debug, Clone, PartialEq)]
pub struct StuckJob {
    pub job_type: JobType,
    pub id: String,
    /// Its start.
    pub since: Timestamp,
}

/// The videos of one instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VideosView {
    pub published_total: u64,
    /// By privacy and state, in snake case.
    pub videos: BTreeMap<(&'static str, &'static str), u64>,
    pub last_published: Option<Timestamp>,
    /// By state that should pass.
    pub oldest_in_state: BTreeMap<&'static str, Timestamp>,
    /// Created → first ready.
    pub ready: Histogram,
}

/// What waits for the moderators of one instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModerationView {
    /// By kind; one that can't be asked is absent.
    pub waiting: BTreeMap<&'static str, Waiting>,
}

/// Whether there are newer versions than what runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpdatesView {
    /// Of PeerTube itself; `None` if that can't be known.
    pub server: Option<bool>,
    /// By the name of the package.
    pub plugins: BTreeMap<String, bool>,
}
