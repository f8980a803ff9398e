//! What the server answers when it is asked for runner jobs and runners. Nothing here
//! changes either.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Runner, RunnerJob, Runners};

/// What runner jobs can be sorted by, with a `-` before it the other way round.
pub const SORTS: [&str; 2] = ["updatedAt", "createdAt"];

/// A question: `GET /api/v1/runners/jobs?start=…&count=…&sort=…&stateOneOf=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerJobsQuery<'a> {
    pub start: usize,
    pub count: usize,
    pub sort: &'a str,
    /// All, if there is none.
    pub state_one_of: Vec<u64>,
}

impl Runners {
    /// How many there are, and the page.
    pub fn list(&self, query: &RunnerJobsQuery<'_>) -> (u64, Vec<&RunnerJob>) {
        let is_asked = |job: &&RunnerJob| {
            self.ignores_state || query.state_one_of.is_empty() || query.state_one_of.contains(&job.state.id())
        };
        let mut jobs: Vec<&RunnerJob> = self.jobs.values().filter(is_asked).collect();
        let by_update = |job: &&RunnerJob| (job.updated_at, job.updated_seq);
        let by_creation = |job: &&RunnerJob| (job.created_at, job.created_seq);
        match query.sort {
            "updatedAt" => jobs.sort_by_key(by_update),
            "createdAt" => jobs.sort_by_key(by_creation),
            "-createdAt" => jobs.sort_by_key(|job| Reverse(by_creation(job))),
            _ => jobs.sort_by_key(|job| Reverse(by_update(job))),
        }
        let total = jobs.len() as u64;
        (total, jobs.into_iter().skip(query.start).take(query.count).collect())
    }

    /// A job as it goes over the wire. What is between the server and the runner goes
    /// with it.
    pub fn row(&self, job: &RunnerJob, host: &str) -> Value {
        let mut row = Map::new();
        let mut set = |name: &str, value: Value| row.insert(name.to_owned(), value);
        let file = format!("http://{host}/api/v1/runners/jobs/{}/files/videos/{}/max-quality", job.uuid, job.video);
        set("uuid", json!(job.uuid));
        set("type", json!(job.job_type));
        set("state", json!({ "id": job.state.id(), "label": job.state.label() }));
        set("progress", json!(job.progress));
        set("priority", json!(job.priority));
        set("failures", json!(job.failures));
        set("error", json!(job.error));
        set(
            "payload",
            json!({
                "input": { "videoFileUrl": file, "separatedAudioFileUrl": [] },
                "output": { "fps": 25, "resolution": 360 },
            }),
        );
        let mut time = |name: &str, at: Option<Timestamp>| at.map(|at| set(name, json!(iso(at))));
        time("startedAt", job.started_at);
        time("createdAt", Some(job.created_at));
        time("updatedAt", Some(job.updated_at));
        time("finishedAt", job.finished_at);
        if let Some(parent) = job.parent.as_ref().and_then(|parent| self.jobs.get(parent)) {
            let state = json!({ "id": parent.state.id(), "label": parent.state.label() });
            set(
                "parent",
                json!({ "id": parent.created_seq, "type": parent.job_type, "state": state, "uuid": parent.uuid }),
            );
        }
        let runner = self.runners.iter().find(|runner| Some(&runner.name) == job.runner.as_ref());
        set(
            "runner",
            runner.map_or(
                Value::Null,
                |runner| json!({ "id": runner.id, "name": runner.name, "description": "test runner" }),
            ),
        );
        set("privatePayload", json!({ "videoUUID": job.video, "isNewVideo": true, "deleteInputFileId": 96 }));
        Value::Object(row)
    }
}

impl Runner {
    /// A runner as it goes over the wire.
    pub fn row(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": "test runner",
            "ip": "127.0.0.1",
            "lastContact": iso(self.last_contact),
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.updated_at),
        })
    }
}

fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}
