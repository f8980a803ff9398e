//! What really happened to the jobs, whatever the lists show of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

/// A job that was added.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobRef {
    pub job_type: &'static str,
    pub id: String,
    pub created_at: Timestamp,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Completed,
    Failed,
    /// Failed because a child did.
    Cascaded,
    /// Failed because a person cancelled it.
    Cancelled,
}

impl Outcome {
    /// Whether it stands among the failed.
    pub fn is_failure(self) -> bool {
        self != Self::Completed
    }
}

/// A job that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub job_type: &'static str,
    pub id: String,
    pub created_at: Timestamp,
    pub processed_on: Option<Timestamp>,
    pub finished_on: Timestamp,
    /// When it was first due: at its creation, after its delay, or at the time in the
    /// id of a recurring one.
    pub due_at: Timestamp,
    pub outcome: Outcome,
    /// Of its first failed attempt, also when a later one succeeded.
    pub error: Option<Arc<str>>,
    pub data: Arc<Value>,
    /// When its row left its list: purged, or gone with Redis. It could be seen from
    /// `finished_on` until just before that.
    pub left_at: Option<Timestamp>,
}

/// A job of a type began, ended, or was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    pub job_type: &'static str,
    pub at: Timestamp,
    /// So many of its type are active from then on.
    pub active: usize,
}

/// A job that was destroyed with Redis before it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub job_type: &'static str,
    pub id: String,
    pub created_at: Timestamp,
    pub lost_at: Timestamp,
}
