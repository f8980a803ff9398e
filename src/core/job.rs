//! The domain of jobs: types, ids, states, and what a finished one tells.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::text::clean;

/// A job's type, as the server names it. An open set of strings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobType(pub String);

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The most types of one instance that are remembered. PeerTube has some thirty.
pub const MOST_TYPES: usize = 256;
/// A longer name is no type's.
const LONGEST_TYPE: usize = 128;

impl JobType {
    /// Whether a type that a server shows is remembered besides so many others.
    pub fn may_join(&self, others: usize) -> bool {
        others < MOST_TYPES && self.0.len() <= LONGEST_TYPE
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

/// The highest whole number that JavaScript, and so a queue, can count to.
pub(crate) const HIGHEST_NUMBER: u64 = (1 << 53) - 1;

impl JobKey {
    /// The id as a number, where the queue counts its jobs.
    pub fn number(&self) -> Option<u64> {
        self.id.parse().ok().filter(|number| *number <= HIGHEST_NUMBER)
    }

    /// When a recurring job is due: `repeat:<hash>:<milliseconds>`.
    pub fn recurring_due(&self) -> Option<Timestamp> {
        let (_, due) = self.id.strip_prefix("repeat:")?.rsplit_once(':')?;
        Timestamp::from_millisecond(due.parse().ok()?).ok()
    }

    /// A stable number for the set of settled jobs: of a hash, so that a million
    /// of them are small.
    pub fn fingerprint(&self) -> i64 {
        fingerprint(&[&self.job_type.0, &self.id], self.created_at)
    }
}

/// The same of a job of a remote runner. It has one part more, so that none of the
/// instance's own jobs can be taken for it.
pub fn runner_job_fingerprint(uuid: &str, created_at: Timestamp) -> i64 {
    fingerprint(&["runner", "job", uuid], created_at)
}

fn fingerprint(parts: &[&str], created_at: Timestamp) -> i64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(created_at.as_millisecond().to_be_bytes());
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
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
    /// Rows besides of which not even that could be read which tells them from others.
    pub unread: Vec<UnreadJob>,
    /// The server's clock when it answered.
    pub date: Timestamp,
}

/// A row that can't be read: it may be any job, of its type if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadJob {
    pub job_type: Option<JobType>,
}

/// A job as a list shows it, less what nobody may see.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    pub key: JobKey,
    pub processed_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Present on failed jobs, and on others that were tried again.
    pub error: Option<String>,
    /// The id of the job that waits for this one.
    pub parent: Option<String>,
    pub payload: Payload,
}

/// A reply to a question for jobs.
#[derive(Debug, Clone, PartialEq)]
pub enum JobsReply {
    Page(JobsPage),
    /// The server does not know the type that was asked for.
    UnknownType,
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

/// Why a job is in the list of failed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    OfItself,
    /// A child of it failed.
    Cascaded,
    Cancelled,
}

/// Reads the cause from the error text, the only place that tells it.
pub fn failure(error: &str) -> Failure {
    let first = error.lines().next().unwrap_or_default();
    let of_a_child = first.match_indices("child bull-").any(|(at, _)| {
        (at == 0 || first.get(..at).is_some_and(|before| before.ends_with(": ")))
            && first.get(at..).is_some_and(|rest| rest.contains(" failed"))
    });
    if of_a_child {
        Failure::Cascaded
    } else if first.contains("Job has been canceled") {
        Failure::Cancelled
    } else {
        Failure::OfItself
    }
}

/// An error in one line: the first, which names it, then the last that is no stack
/// frame, which often tells the cause (`ffmpeg exited with code 1` alone doesn't).
pub fn error_summary(error: &str) -> String {
    let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("at "));
    let first = lines.next().unwrap_or_default();
    match lines.next_back() {
        Some(last) => clean(&format!("{first} … {last}"), 500),
        None => clean(first, 500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_its_kind_by_its_error() {
        for cascaded in [
            "child bull-peertube.example.com:video-transcoding:feec3118 failed\n    at x",
            "UnrecoverableError: child bull-peertube.example.com:video-transcoding:feec3118 failed",
        ] {
            assert_eq!(failure(cascaded), Failure::Cascaded);
        }
        assert_eq!(failure("UnrecoverableError: Job has been canceled\n    at AbortSignal"), Failure::Cancelled);
        assert_eq!(failure("Error: grandchild bull-x failed"), Failure::OfItself);
        assert_eq!(failure("Error: ffmpeg exited with code 1"), Failure::OfItself);
        assert_eq!(failure(""), Failure::OfItself);
    }

    #[test]
    fn an_error_is_summed_up_by_its_first_line_and_its_cause() {
        let error = "Error: ffmpeg exited with code 1\n    at ChildProcess.<anonymous> (/a/b.js:1:2)\n\
                     [mov] moov atom not found\nInvalid data found when processing input\n    at process (node:1)\n";
        assert_eq!(error_summary(error), "Error: ffmpeg exited with code 1 … Invalid data found when processing input");
        assert_eq!(error_summary("Error: alone\n    at x"), "Error: alone");
        assert_eq!(error_summary(""), "");
        assert_eq!(error_summary(&"x".repeat(9000)).chars().count(), 500);
    }

    #[test]
    fn a_recurring_job_tells_when_it_is_due() {
        let key = |id: &str| JobKey { job_type: "email".into(), id: id.into(), created_at: Timestamp::UNIX_EPOCH };
        let due = key("repeat:373e67227ccbf47e220f4f98c39606f0:1795490220000").recurring_due();
        assert_eq!(due, Timestamp::from_millisecond(1_795_490_220_000).ok());
        assert_eq!(key("17").recurring_due(), None);
        assert_eq!(key("17").number(), Some(17));
        assert_eq!(key("repeat:x:1").number(), None);
    }

    #[test]
    fn fingerprints_tell_jobs_apart() {
        let key = |job_type: &str, id: &str, ms| JobKey {
            job_type: job_type.into(),
            id: id.into(),
            created_at: Timestamp::from_millisecond(ms).unwrap(),
        };
        let all = [key("email", "1", 0), key("email", "1", 1), key("email", "2", 0), key("emai", "l1", 0)];
        let distinct: std::collections::BTreeSet<_> = all.iter().map(JobKey::fingerprint).collect();
        assert_eq!(distinct.len(), all.len());
        // A runner's job has a key of its own, whatever an instance calls its jobs.
        let (uuid, at) = ("feec3118", Timestamp::UNIX_EPOCH);
        let local = ["runner", "job", "runnerjob", "runner/job"].map(|name| key(name, uuid, 0).fingerprint());
        assert!(!local.contains(&runner_job_fingerprint(uuid, at)));
        assert_ne!(runner_job_fingerprint(uuid, at), runner_job_fingerprint("feec3119", at));
    }
}
