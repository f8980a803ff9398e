//! The domain of remote runners: their jobs, and what an instance says of both.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::job::{JobType, Payload};

/// PeerTube's states of a runner job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerJobState {
    Pending,
    Processing,
    Completed,
    Errored,
    WaitingForParentJob,
    Cancelled,
    ParentErrored,
    ParentCancelled,
    Completing,
}

impl RunnerJobState {
    /// Those that should pass.
    pub const UNFINISHED: [Self; 4] = [Self::Pending, Self::Processing, Self::WaitingForParentJob, Self::Completing];

    /// `None` for one that a later version knows and we don't.
    pub fn from_id(id: u64) -> Option<Self> {
        Some(match id {
            1 => Self::Pending,
            2 => Self::Processing,
            3 => Self::Completed,
            4 => Self::Errored,
            5 => Self::WaitingForParentJob,
            6 => Self::Cancelled,
            7 => Self::ParentErrored,
            8 => Self::ParentCancelled,
            9 => Self::Completing,
            _ => return None,
        })
    }

    pub fn id(self) -> u64 {
        match self {
            Self::Pending => 1,
            Self::Processing => 2,
            Self::Completed => 3,
            Self::Errored => 4,
            Self::WaitingForParentJob => 5,
            Self::Cancelled => 6,
            Self::ParentErrored => 7,
            Self::ParentCancelled => 8,
            Self::Completing => 9,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Errored => "errored",
            Self::WaitingForParentJob => "waiting_for_parent_job",
            Self::Cancelled => "cancelled",
            Self::ParentErrored => "parent_errored",
            Self::ParentCancelled => "parent_cancelled",
            Self::Completing => "completing",
        }
    }

    pub fn is_unfinished(self) -> bool {
        Self::UNFINISHED.contains(&self)
    }
}

/// A question for runner jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunnerJobsQuery {
    pub list: RunnerJobsList,
    pub start: u64,
    /// At most 100.
    pub count: u64,
}

/// Which runner jobs, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunnerJobsList {
    /// All, the last changed first.
    Changes,
    /// Those that have not ended, the oldest first.
    Unfinished,
}

/// A reply to a [`RunnerJobsQuery`].
#[derive(Debug, Clone, PartialEq)]
pub struct RunnerJobsPage {
    pub total: u64,
    pub rows: Vec<RunnerJobRow>,
    /// Rows besides that can't be read: they may be any job.
    pub unread: u64,
    /// The server's clock when it answered.
    pub date: Timestamp,
}

/// A runner job as a list shows it, less what nobody may see.
#[derive(Debug, Clone, PartialEq)]
pub struct RunnerJobRow {
    pub uuid: String,
    pub job_type: JobType,
    pub state: Option<RunnerJobState>,
    /// Attempts that failed.
    pub failures: u64,
    pub error: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The name of the runner that holds it, or held it at its end.
    pub runner: Option<String>,
    /// The uuid of the job that has to complete before.
    pub parent: Option<String>,
    pub payload: Payload,
}

/// A reply to the question for runners.
#[derive(Debug, Clone, PartialEq)]
pub struct RunnersPage {
    pub total: u64,
    pub rows: Vec<RunnerRow>,
    /// Rows besides that can't be read.
    pub unread: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RunnerRow {
    pub name: String,
    /// When it last asked for a job or spoke of one.
    pub last_contact: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::RunnerJobState;

    #[test]
    fn states_are_known_by_their_numbers() {
        for id in 1..=9 {
            assert_eq!(RunnerJobState::from_id(id).map(RunnerJobState::id), Some(id));
        }
        assert_eq!(RunnerJobState::from_id(10), None);
        let unfinished = (1..=9).filter(|id| RunnerJobState::from_id(*id).is_some_and(RunnerJobState::is_unfinished));
        assert_eq!(unfinished.collect::<Vec<_>>(), [1, 2, 5, 9]);
    }
}
