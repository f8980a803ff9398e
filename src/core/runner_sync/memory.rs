//! What the poll of runners remembers between two polls, as small documents. Counters
//! in it never go down.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::core::histogram::Histogram;
use crate::core::job::JobType;
use crate::core::memory::Documents;
use crate::core::runner::RunnerJobState;
use crate::core::view::{JobTypeView, RunnersView, StuckJob, StuckType, StuckView};
use crate::core::work::Work;

const META: &str = "meta";
const TYPE: &str = "type/";
const JOB: &str = "job/";
const LOST: &str = "lost/";
const RUNNER: &str = "runner/";

/// All that a poll of runners knows from those before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    pub(super) meta: Meta,
    pub(super) types: BTreeMap<JobType, TypeMemory>,
    /// Jobs that had not ended at the last poll, by uuid.
    pub(super) pending: BTreeMap<String, PendingJob>,
    /// Jobs told as unaccounted, and when: they may turn up after all.
    pub(super) lost: BTreeMap<String, Timestamp>,
    pub(super) runners: BTreeMap<String, RunnerMemory>,
}

/// A memory that could not be read back.
#[derive(Debug, thiserror::Error)]
#[error("read the remembered document {key:?} of runners")]
pub struct MemoryError {
    key: String,
    #[source]
    source: Option<serde_json::Error>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    /// The server's clock at the first reply of the first poll.
    pub first_poll: Option<Timestamp>,
    /// The same of the last poll.
    pub last_poll: Option<Timestamp>,
    /// How many jobs the server had, whatever their state.
    pub total: u64,
    /// How many jobs were stuck at the first poll.
    pub stuck_at_first: Option<u64>,
    /// A server that gives jobs of all states whatever was asked.
    pub ignores_state: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TypeMemory {
    pub completed: u64,
    pub failed: u64,
    pub cascaded: u64,
    pub unaccounted: u64,
    pub recovered: u64,
    pub wait: Histogram,
    pub run: Histogram,
    /// A state once seen stays, as 0.
    pub jobs: BTreeMap<RunnerJobState, u64>,
    /// When a job of it was last taken, given back or ended.
    pub moved: Option<Timestamp>,
    /// Since when its jobs wait, if that was told or noted as stuck.
    pub stuck: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PendingJob {
    pub job_type: JobType,
    pub state: RunnerJobState,
    /// Since when it is in that state.
    pub since: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub failures: u64,
    /// An attempt was given up or failed: its wait can't be told.
    pub requeued: bool,
    /// When it could have begun, if that is known.
    pub due: Option<Timestamp>,
    pub runner: Option<String>,
    pub parent: Option<String>,
    pub video: Option<String>,
    /// Polls that saw all unfinished jobs, but not this one.
    #[serde(default)]
    pub absent: u8,
    /// The start from which on it was told or noted as stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunnerMemory {
    pub last_contact: Timestamp,
    #[serde(default)]
    pub offline: Option<Offline>,
}

/// A runner that is offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Offline {
    /// It was so at the first look.
    Noted,
    Told,
}

impl Memory {
    /// Reads a memory back from what was stored.
    pub fn from_documents(documents: &Documents) -> Result<Self, MemoryError> {
        let mut memory = Self::default();
        for (key, text) in documents {
            if key == META {
                memory.meta = read(key, text)?;
            } else if let Some(name) = key.strip_prefix(TYPE) {
                memory.types.insert(name.into(), read(key, text)?);
            } else if let Some(uuid) = key.strip_prefix(JOB) {
                memory.pending.insert(uuid.to_owned(), read(key, text)?);
            } else if let Some(uuid) = key.strip_prefix(LOST) {
                memory.lost.insert(uuid.to_owned(), read(key, text)?);
            } else if let Some(name) = key.strip_prefix(RUNNER) {
                memory.runners.insert(name.to_owned(), read(key, text)?);
            } else {
                return Err(MemoryError { key: key.clone(), source: None });
            }
        }
        Ok(memory)
    }

    /// The memory as documents: one for each job, so that a poll rewrites only what
    /// changed.
    pub fn to_documents(&self) -> Documents {
        let mut documents = Documents::from([(META.to_owned(), write(&self.meta))]);
        documents.extend(self.types.iter().map(|(name, known)| (format!("{TYPE}{name}"), write(known))));
        documents.extend(self.pending.iter().map(|(uuid, job)| (format!("{JOB}{uuid}"), write(job))));
        documents.extend(self.lost.iter().map(|(uuid, at)| (format!("{LOST}{uuid}"), write(at))));
        documents.extend(self.runners.iter().map(|(name, runner)| (format!("{RUNNER}{name}"), write(runner))));
        documents
    }

    /// Whether no poll has ended yet.
    pub fn is_new(&self) -> bool {
        self.meta.first_poll.is_none()
    }

    /// What metrics and pages show of it.
    pub fn view(&self) -> RunnersView {
        let jobs = self.types.iter().map(|(name, known)| (name.clone(), known.jobs.clone()));
        let offline = self.runners.iter().filter(|(_, runner)| runner.offline.is_some());
        let last_contact = self.runners.iter().map(|(name, runner)| (name.clone(), runner.last_contact));
        RunnersView {
            types: self.types.iter().map(|(name, known)| (name.clone(), known.view())).collect(),
            jobs: jobs.collect(),
            last_contact: last_contact.collect(),
            offline: offline.map(|(name, _)| name.clone()).collect(),
        }
    }

    /// What is stuck now, as far as the last poll could know.
    pub fn stuck(&self) -> StuckView {
        let types = self.types.iter().filter_map(|(job_type, known)| {
            let waiting = known.jobs.get(&RunnerJobState::Pending).copied().unwrap_or(0);
            Some(StuckType { job_type: job_type.clone(), waiting, since: known.stuck? })
        });
        let jobs = self.pending.iter().filter_map(|(uuid, job)| {
            let since = job.worked_on_since().filter(|at| job.stuck == Some(*at))?;
            Some(StuckJob { job_type: job.job_type.clone(), id: uuid.clone(), since })
        });
        StuckView { types: types.collect(), jobs: jobs.collect() }
    }

    /// How many jobs were stuck at the first look; `None` before it.
    pub fn stuck_at_first(&self) -> Option<u64> {
        self.meta.stuck_at_first
    }

    /// Which videos have an unfinished job at a runner; `None` before the first poll.
    pub fn work(&self) -> Option<Work> {
        let videos = self.pending.values().filter_map(|job| job.video.clone()).collect();
        Some(Work { videos, imports: false, at: self.meta.last_poll? })
    }
}

impl TypeMemory {
    fn view(&self) -> JobTypeView {
        JobTypeView {
            completed: self.completed,
            failed: self.failed,
            cascaded: self.cascaded,
            unaccounted: self.unaccounted,
            recovered: self.recovered,
            wait: self.wait.clone(),
            run: self.run.clone(),
            ..JobTypeView::default()
        }
    }
}

fn read<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, MemoryError> {
    serde_json::from_str(text).map_err(|source| MemoryError { key: key.to_owned(), source: Some(source) })
}

/// Plain structs with text keys: writing them can't fail.
fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
