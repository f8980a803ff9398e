//! Remote runners and their jobs as PeerTube lists them. Of what goes between the
//! server and a runner only a few harmless fields are ever held in memory.

use jiff::Timestamp;
use serde::Deserialize;

use super::jobs::ErrorText;
use super::scalar::{self, Scalar};
use super::{Listed, Page};
use crate::core::job::{JobType, Payload};
use crate::core::runner::{RunnerJobRow, RunnerJobState, RunnerJobsPage, RunnerRow, RunnersPage};
use crate::peertube::error::Cause;

pub fn runner_jobs(body: &[u8], date: Timestamp) -> Result<Listed<RunnerJobsPage>, Cause> {
    let page: Page<RunnerJob> = Page::read(body)?;
    let (total, unread, passed_over) = (page.total()?, page.unread(), page.passed_over());
    let rows = page.rows.into_iter().map(RunnerJobRow::from).collect();
    Ok(Listed { page: RunnerJobsPage { total, rows, unread, date }, passed_over })
}

pub fn runners(body: &[u8]) -> Result<Listed<RunnersPage>, Cause> {
    let page: Page<Runner> = Page::read(body)?;
    let (total, unread, passed_over) = (page.total()?, page.unread(), page.passed_over());
    let rows = page.rows.into_iter().map(|row| RunnerRow { name: row.name, last_contact: row.last_contact });
    Ok(Listed { page: RunnersPage { total, rows: rows.collect(), unread }, passed_over })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Runner {
    #[serde(deserialize_with = "scalar::id")]
    name: String,
    #[serde(deserialize_with = "scalar::time")]
    last_contact: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunnerJob {
    #[serde(deserialize_with = "scalar::id")]
    uuid: String,
    #[serde(rename = "type", deserialize_with = "scalar::job_type")]
    job_type: JobType,
    state: State,
    #[serde(default)]
    failures: Option<u64>,
    #[serde(default)]
    error: ErrorText,
    #[serde(default, deserialize_with = "scalar::maybe_time")]
    started_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "scalar::maybe_time")]
    finished_at: Option<Timestamp>,
    #[serde(deserialize_with = "scalar::time")]
    created_at: Timestamp,
    #[serde(deserialize_with = "scalar::time")]
    updated_at: Timestamp,
    runner: Option<Named>,
    parent: Option<Parent>,
    payload: Option<RunnersPart>,
    private_payload: Option<ServersPart>,
}

#[derive(Deserialize)]
struct State {
    id: u64,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: Scalar,
}

#[derive(Deserialize)]
struct Parent {
    #[serde(default)]
    uuid: Scalar,
}

/// What the runner is given. Addresses of files are in it too.
#[derive(Deserialize)]
struct RunnersPart {
    output: Option<Output>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    resolution: Scalar,
    #[serde(default)]
    fps: Scalar,
}

/// What the server keeps for itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServersPart {
    #[serde(default, rename = "videoUUID")]
    video_uuid: Scalar,
    #[serde(default)]
    is_new_video: Scalar,
}

impl From<RunnerJob> for RunnerJobRow {
    fn from(job: RunnerJob) -> Self {
        let output = job.payload.and_then(|payload| payload.output);
        let mut payload = Payload::default();
        if let Some(output) = output {
            payload.resolution = output.resolution.as_whole();
            payload.fps = output.fps.as_real();
        }
        if let Some(part) = job.private_payload {
            payload.is_new_video = part.is_new_video.as_flag();
            payload.video_uuid = part.video_uuid.into_text();
        }
        Self {
            uuid: job.uuid,
            job_type: job.job_type,
            state: RunnerJobState::from_id(job.state.id),
            failures: job.failures.unwrap_or(0),
            error: job.error.0,
            started_at: job.started_at,
            finished_at: job.finished_at,
            created_at: job.created_at,
            updated_at: job.updated_at,
            runner: job.runner.and_then(|runner| runner.name.into_text()),
            parent: job.parent.and_then(|parent| parent.uuid.into_text()),
            payload,
        }
    }
}
