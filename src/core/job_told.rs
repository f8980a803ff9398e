//! What is told of one job, or of several that can't be told apart. It becomes one
//! event; a field that can't be known is null in it, never absent.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::event::{Event, EventKind, Origin};
use super::job::{JobType, Payload, Pending};
use super::text::clean;

/// One thing to tell of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub kind: EventKind,
    pub job_type: JobType,
    pub job_id: Option<String>,
    pub at: Timestamp,
    pub created_at: Option<Timestamp>,
    pub processed_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub wait_seconds: Option<f64>,
    pub run_seconds: Option<f64>,
    pub error: Option<String>,
    pub payload: Payload,
    /// Of unaccounted jobs: how many, and how they went missing.
    pub missing: Option<Missing>,
    /// Of stuck jobs: how.
    pub stuck: Option<Stuck>,
    /// Of a job of a remote runner.
    pub at_runner: Option<AtRunner>,
}

/// What only jobs of remote runners have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtRunner {
    /// The name of the runner, if one holds it or held it at its end.
    pub runner: Option<String>,
    /// Attempts that failed.
    pub failures: u64,
}

/// How jobs went missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    pub count: u64,
    pub how: &'static str,
}

/// How a job is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    /// Waiting or active.
    pub state: Pending,
    pub since: Timestamp,
    /// How many of its type wait with it.
    pub count: Option<u64>,
}

impl Told {
    /// Of a job of which nothing more is known.
    pub fn new(kind: EventKind, job_type: &JobType, at: Timestamp) -> Self {
        Self {
            kind,
            job_type: job_type.clone(),
            job_id: None,
            at,
            created_at: None,
            processed_at: None,
            finished_at: None,
            wait_seconds: None,
            run_seconds: None,
            error: None,
            payload: Payload::default(),
            missing: None,
            stuck: None,
            at_runner: None,
        }
    }

    /// Jobs whose end can't be known.
    pub fn unaccounted(job_type: &JobType, at: Timestamp, count: u64, how: &'static str) -> Self {
        Self { missing: Some(Missing { count, how }), ..Self::new(EventKind::JobUnaccounted, job_type, at) }
    }

    /// The event; `video` is what is known of the job's video.
    pub fn to_event(&self, origin: &Origin, video: Value) -> Event {
        let id = self.job_id.as_deref();
        let data = json!({
            "job_type": self.job_type,
            "job_id": id,
            "created_at": self.created_at,
            "processed_at": self.processed_at,
            "finished_at": self.finished_at,
            "wait_seconds": self.wait_seconds,
            "run_seconds": self.run_seconds,
            "error": self.error,
            "video": video,
            "payload": self.payload,
        });
        let mut data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        if let Some(missing) = self.missing {
            data.insert("count".to_owned(), missing.count.into());
            data.insert("reason".to_owned(), missing.how.into());
        }
        if let Some(at_runner) = &self.at_runner {
            data.insert("runner".to_owned(), at_runner.runner.as_deref().map(|name| clean(name, 200)).into());
            data.insert("failures".to_owned(), at_runner.failures.into());
        }
        let subject = id.map_or_else(|| self.job_type.to_string(), |id| format!("{}/{id}", self.job_type));
        let created = self.created_at.map(|at| at.as_millisecond()).unwrap_or_default();
        let how = self.missing.map_or("", |missing| missing.how);
        let mut what = format!("{subject}/{created}/{how}");
        if let Some(Stuck { state, since, count }) = self.stuck {
            data.insert("state".to_owned(), state.as_str().into());
            data.insert("since".to_owned(), json!(since));
            data.insert("count".to_owned(), json!(count));
            what = format!("{what}{}/{}", state.as_str(), since.as_millisecond());
        }
        Event::new(origin, self.kind, &what, Some(subject), self.at, data)
    }
}
