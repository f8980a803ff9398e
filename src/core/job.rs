//! The domain of jobs: types, ids, states, and what a finished one tells.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A job's type, as the server names it. An open set of strings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobType(pub String);

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for JobType {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// What tells a job from every other of an instance: ids are unique only within a
/// type, and start again when Redis is emptied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    pub job_type: JobType,
    pub id: String,
    pub created_at: Timestamp,
}

impl JobKey {
    /// A stable number for the set of settled jobs: of a hash, so that a million
    /// of them are small.
    pub fn fingerprint(&self) -> i64 {
        let mut hash = Sha256::new();
        for part in [&self.job_type.0, &self.id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(self.created_at.as_millisecond().to_be_bytes());
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        i64::from_be_bytes(first)
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.job_type, self.id, self.created_at.as_millisecond())
    }
}

/// States of a job that has not ended, as gauges tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    Delayed,
    Waiting,
    Active,
}

impl Pending {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Waiting => "waiting",
            Self::Active => "active",
        }
    }
}

/// The lists of jobs that an instance keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobList {
    Delayed,
    Waiting,
    Active,
    Failed,
    Completed,
}

impl JobList {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Failed => "failed",
            Self::Completed => "completed",
        }
    }
}

/// The order of a list: by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// `-createdAt`
    NewestFirst,
    /// `createdAt`
    OldestFirst,
}

/// A question to the jobs list of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobsQuery {
    pub list: JobList,
    /// One type, or all.
    pub job_type: Option<JobType>,
    pub start: u64,
    /// At most 100.
    pub count: u64,
    pub order: Order,
}

/// A reply to a [`JobsQuery`].
#[derive(Debug, Clone, PartialEq)]
pub struct JobsPage {
    /// Jobs that the list keeps, of the type asked.
    pub total: u64,
    pub rows: Vec<JobRow>,
    /// The server's clock when it answered.
    pub date: Timestamp,
}

/// A job as a list shows it, less what nobody may see.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    pub key: JobKey,
    pub processed_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Present on failed jobs, and on others that were tried again.
    pub error: Option<String>,
    pub payload: Payload,
}

/// The fields of a job's `data` that may be shown; everything else, working
/// password-reset links among it, is never even decoded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_new_video: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_import_id: Option<i64>,
    /// Not shown as payload: it names the video of the event.
    #[serde(skip_serializing)]
    pub video_uuid: Option<String>,
}
