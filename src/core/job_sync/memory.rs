//! What the jobs poll remembers of an instance between two polls, and how it is
//! kept as small documents. Counters in it never go down.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::histogram::Histogram;
use crate::core::job::{JobKey, JobType, Pending};
use crate::core::memory::Documents;
use crate::core::view::{JobTypeView, JobsView, StuckJob, StuckType, StuckView};
use crate::core::work::Work;

/// Imports of single videos, and what makes many of them; neither names its videos.
const IMPORT_TYPES: [&str; 2] = ["video-import", "video-channel-import"];

/// All that a poll of jobs knows from those before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    pub(super) meta: Meta,
    pub(super) types: BTreeMap<JobType, TypeMemory>,
    /// Jobs that had not ended at the last poll, and those sought since.
    pub(super) pending: BTreeMap<JobKey, PendingJob>,
    /// Jobs told as unaccounted, and when: they may turn up after all.
    pub(super) lost: BTreeMap<JobKey, Timestamp>,
    /// Active jobs told or noted as stuck, each with its start.
    pub(super) stuck: BTreeMap<JobKey, Timestamp>,
}

/// A memory that could not be read back.
#[derive(Debug, thiserror::Error)]
#[error("read the remembered jobs document {key:?}")]
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
    /// Counts polls, to take types in turn.
    pub polls: u64,
    pub listed_completed: u64,
    pub listed_failed: u64,
    /// How long each list of unfinished jobs was.
    pub list_totals: BTreeMap<Pending, u64>,
    /// The job that was the last to end, and when: a short list must show it still.
    pub last_ended: Option<(JobKey, Timestamp)>,
    /// An old server that gives all types whatever was asked.
    pub ignores_type: bool,
    /// The server showed more types than are remembered.
    pub leaves_types_out: bool,
    /// Jobs that were stuck at the first poll.
    pub stuck_at_first: Option<u64>,
    /// The last poll saw every unfinished job that may be for a video.
    pub saw_all_work: bool,
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
    /// A state once seen stays.
    pub pending: BTreeMap<Pending, u64>,
    pub oldest_waiting: Option<Timestamp>,
    pub oldest_active: Option<Timestamp>,
    /// When a job of this type was last known to begin, run or end.
    pub moved: Option<Timestamp>,
    /// Told or noted as stuck: since when it waited.
    pub stuck: Option<Timestamp>,
    /// A row of this type was seen.
    pub seen: bool,
    /// Has ids that are no numbers: its numbers may have holes.
    pub mixed: bool,
    /// All that finished before this instant was told.
    pub covered: Option<Timestamp>,
    /// When its turn came last among the types that a full page may hide.
    pub turn: Option<Timestamp>,
    /// How many unfinished jobs of this type there were at the last poll was known,
    /// and which: all but those that hid.
    pub pending_known: bool,
    /// The creation of the oldest of them.
    pub oldest_pending: Option<Timestamp>,
    /// Jobs that wait, by the list's total, and that no page ever showed.
    pub hidden: u64,
    /// Polls in a row that counted fewer than should wait, or more.
    pub surplus: u8,
    pub deficit: u8,
    /// The server said that it knows no such type.
    pub refused: Option<Timestamp>,
    /// The completed list's total against what was counted: see `shortfall`.
    pub listed: Listed,
    /// The highest number seen, and the creation of that job.
    pub highest: Option<(u64, Timestamp)>,
    /// For types that are counted by their numbers.
    pub tally: Option<Tally>,
    /// Until then it was counted by its numbers, and no longer.
    pub tallied_until: Option<Timestamp>,
    /// Numbers never seen, between others that were.
    pub holes: BTreeMap<u64, Hole>,
}

/// How long the list of completed jobs was when as many as it grew by had been counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// The total, and the counter then.
    pub base: Option<(u64, u64)>,
    /// Polls in a row by which it grew by more.
    pub short: u8,
    /// So many were told as unaccounted since they never showed.
    pub lost: u64,
}

/// Jobs counted by their numbers: highest - pending = offset + ended + vanished.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub offset: i64,
    pub ended: u64,
    pub vanished: u64,
    /// How many of the ended are known to have failed, and how many were counted as
    /// completed.
    pub failed: u64,
    pub completed: u64,
    /// Polls in a row that saw jobs go without a trace of where.
    pub doubt: u8,
    /// Polls in a row that saw no higher number.
    pub calm: u8,
}

/// A number that was passed over: its job was created between two others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Hole {
    pub after: Timestamp,
    pub before: Timestamp,
    pub absent: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PendingJob {
    pub state: Pending,
    /// When it could have begun, as far as can be known.
    pub due: Timestamp,
    pub processed_at: Option<Timestamp>,
    /// An attempt has failed: its wait can't be told.
    pub retried: bool,
    pub parent: Option<String>,
    /// Polls in a row that proved it to be nowhere.
    pub absent: u8,
    /// Polls in a row that didn't meet it.
    pub sought: u8,
    /// The poll that saw it last, once one has not.
    pub last_seen: Option<Timestamp>,
    /// When it was first seen to wait after it had been in another state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_from: Option<Timestamp>,
    /// The video that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
}

impl Memory {
    /// Reads a memory back from what was stored.
    pub fn from_documents(documents: &Documents) -> Result<Self, MemoryError> {
        let mut memory = Self::default();
        for (key, value) in documents {
            let error = |source| MemoryError { key: key.clone(), source };
            let parts: Vec<&str> = key.splitn(2, '\u{1f}').collect();
            match parts.as_slice() {
                ["meta"] => memory.meta = serde_json::from_str(value).map_err(|e| error(Some(e)))?,
                ["type", name] => {
                    let parsed = serde_json::from_str(value).map_err(|e| error(Some(e)))?;
                    memory.types.insert((*name).into(), parsed);
                }
                ["pending", rest] => {
                    let key = parse_key(rest).ok_or_else(|| error(None))?;
                    memory.pending.insert(key, serde_json::from_str(value).map_err(|e| error(Some(e)))?);
                }
                ["lost", rest] => {
                    let key = parse_key(rest).ok_or_else(|| error(None))?;
                    memory.lost.insert(key, serde_json::from_str(value).map_err(|e| error(Some(e)))?);
                }
                ["stuck", rest] => {
                    let key = parse_key(rest).ok_or_else(|| error(None))?;
                    memory.stuck.insert(key, serde_json::from_str(value).map_err(|e| error(Some(e)))?);
                }
                _ => return Err(error(None)),
            }
        }
        Ok(memory)
    }

    /// The memory as documents: one for each type and each unfinished job, so that
    /// a poll rewrites only what changed.
    pub fn to_documents(&self) -> Documents {
        let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
        let mut documents = Documents::new();
        documents.insert("meta".to_owned(), json(serde_json::to_string(&self.meta)));
        for (name, known) in &self.types {
            documents.insert(format!("type\u{1f}{name}"), json(serde_json::to_string(known)));
        }
        for (key, job) in &self.pending {
            documents.insert(format!("pending\u{1f}{}", key_text(key)), json(serde_json::to_string(job)));
        }
        for (key, at) in &self.lost {
            documents.insert(format!("lost\u{1f}{}", key_text(key)), json(serde_json::to_string(at)));
        }
        for (key, at) in &self.stuck {
            documents.insert(format!("stuck\u{1f}{}", key_text(key)), json(serde_json::to_string(at)));
        }
        documents
    }

    /// Whether no poll has ended yet.
    pub fn is_new(&self) -> bool {
        self.meta.first_poll.is_none()
    }

    /// What metrics and pages show of it.
    pub fn view(&self) -> JobsView {
        let types = self.types.iter().map(|(name, known)| (name.clone(), known.view())).collect();
        JobsView { listed_completed: self.meta.listed_completed, listed_failed: self.meta.listed_failed, types }
    }

    /// What is stuck now, as far as the last poll could know.
    pub fn stuck(&self) -> StuckView {
        let types = self.types.iter().filter_map(|(job_type, known)| {
            let waiting = known.pending.get(&Pending::Waiting).copied().filter(|jobs| *jobs > 0)?;
            Some(StuckType { job_type: job_type.clone(), waiting, since: known.stuck? })
        });
        let jobs = self.stuck.iter().map(|(key, at)| {
            let JobKey { job_type, id, .. } = key.clone();
            StuckJob { job_type, id, since: *at }
        });
        StuckView { types: types.collect(), jobs: jobs.collect() }
    }

    /// Whether the server gives jobs of all types whatever type is asked for.
    pub fn ignores_type(&self) -> bool {
        self.meta.ignores_type
    }

    /// Whether there were more types than [`MOST_TYPES`]: jobs of the rest are not counted.
    ///
    /// [`MOST_TYPES`]: crate::core::job::MOST_TYPES
    pub fn leaves_types_out(&self) -> bool {
        self.meta.leaves_types_out
    }

    /// Jobs that have not ended, those that are due later included.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// How many jobs were stuck at the first poll; `None` before it.
    pub fn stuck_at_first(&self) -> Option<u64> {
        self.meta.stuck_at_first
    }

    /// Which videos have unfinished jobs; `None` if the last poll did not see them all.
    pub fn work(&self) -> Option<Work> {
        let at = self.meta.last_poll.filter(|_| self.meta.saw_all_work)?;
        let videos = self.pending.values().filter_map(|job| job.video.clone()).collect();
        let imports = self.pending.keys().any(|key| IMPORT_TYPES.contains(&key.job_type.0.as_str()));
        Some(Work { videos, imports, at })
    }

    pub(super) fn type_mut(&mut self, name: &JobType) -> &mut TypeMemory {
        self.types.entry(name.clone()).or_default()
    }

    /// Types of which a row was seen, ever.
    pub(super) fn seen_types(&self) -> BTreeSet<JobType> {
        self.types.iter().filter(|(_, known)| known.seen).map(|(name, _)| name.clone()).collect()
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
            pending: self.pending.clone(),
            oldest_waiting: self.oldest_waiting,
            oldest_active: self.oldest_active,
            wait: self.wait.clone(),
            run: self.run.clone(),
            ..JobTypeView::default()
        }
    }
}

/// Types and ids are the server's: JSON keeps them apart whatever is in them.
fn key_text(key: &JobKey) -> String {
    serde_json::json!([key.job_type, key.id, key.created_at.as_millisecond()]).to_string()
}

fn parse_key(text: &str) -> Option<JobKey> {
    let (job_type, id, created): (JobType, String, i64) = serde_json::from_str(text).ok()?;
    Some(JobKey { job_type, id, created_at: Timestamp::from_millisecond(created).ok()? })
}
