//! What is asked of the queues: one job, or a tree of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::kinds;

/// A job to add. [`NewJob::new`] gives what PeerTube lays down for its type.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub job_type: &'static str,
    /// How long each attempt takes.
    pub run: Duration,
    /// Low is soon. Jobs without one go before all others.
    pub priority: Option<u64>,
    pub delay: Duration,
    pub attempts: u32,
    /// The pause before the second attempt, then doubled.
    pub backoff: Duration,
    /// How many of its attempts fail: with as many as it has, the job does.
    pub fails: u32,
    /// The stack trace of a failure; without one, a telling one for its type.
    pub error: Option<Arc<str>>,
    pub data: Arc<Value>,
    /// Only ffmpeg reports how far it is.
    pub reports_progress: bool,
    /// What the server adds when this job has completed.
    pub then: Vec<NewFlow>,
}

impl NewJob {
    pub fn new(job_type: &'static str) -> Self {
        Self {
            job_type,
            run: Duration::from_millis(50),
            priority: None,
            delay: Duration::ZERO,
            attempts: kinds::attempts(job_type),
            backoff: kinds::BACKOFF,
            fails: 0,
            error: None,
            data: Arc::new(json!({})),
            reports_progress: false,
            then: Vec::new(),
        }
    }

    pub fn run(self, run: Duration) -> Self {
        Self { run, ..self }
    }

    pub fn priority(self, priority: u64) -> Self {
        Self { priority: Some(priority), ..self }
    }

    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    pub fn backoff(self, backoff: Duration) -> Self {
        Self { backoff, ..self }
    }

    /// So many attempts fail before one succeeds.
    pub fn fails(self, fails: u32) -> Self {
        Self { fails, ..self }
    }

    /// Every attempt fails.
    pub fn failing(self) -> Self {
        Self { fails: u32::MAX, ..self }
    }

    pub fn error(self, error: &str) -> Self {
        Self { error: Some(error.into()), ..self }
    }

    pub fn data(self, data: Value) -> Self {
        Self { data: Arc::new(data), ..self }
    }

    pub fn reports_progress(self) -> Self {
        Self { reports_progress: true, ..self }
    }

    pub fn then(mut self, next: impl Into<NewFlow>) -> Self {
        self.then.push(next.into());
        self
    }
}

/// A tree of jobs. Its jobs have UUIDs for ids, also when the tree is a single one.
#[derive(Debug, Clone)]
pub struct NewFlow {
    pub job: NewJob,
    pub children: Vec<NewFlow>,
}

impl NewFlow {
    pub fn new(job: NewJob) -> Self {
        Self { job, children: Vec::new() }
    }

    pub fn child(mut self, child: impl Into<NewFlow>) -> Self {
        self.children.push(child.into());
        self
    }
}

impl From<NewJob> for NewFlow {
    fn from(job: NewJob) -> Self {
        Self::new(job)
    }
}
