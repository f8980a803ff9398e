//! The poll of jobs: every ended job becomes one event or one count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::{Instance, Ran};
use crate::core::event::{Event, Origin};
use crate::core::job::{JobsQuery, JobsReply};
use crate::core::job_sync::{self, Ask, Told};
use crate::core::poll::PollKind;
use crate::core::video::Sought;
use crate::core::video_facts::Facts;
use crate::peertube::{Cause, Client, Error, Role, Told as Problem};

/// Questions for videos that one poll may ask to fill its events.
const MOST_VIDEOS: usize = 25;
/// How long the settled jobs are kept in memory before those long gone are dropped.
const SETTLED_LAST: Duration = Duration::from_secs(24 * 3600);

/// The lists of a real instance.
struct Lists<'a>(&'a Client);

impl Ask for Lists<'_> {
    type Error = Error;

    async fn jobs(&mut self, query: &JobsQuery) -> Result<JobsReply, Error> {
        match self.0.jobs(query).await {
            Ok(page) => Ok(JobsReply::Page(page)),
            // PeerTube's own word, not that of a proxy before it.
            Err(Error { cause: Cause::Status { status: 400, told: Problem::Problem { .. } }, .. })
                if query.job_type.is_some() =>
            {
                Ok(JobsReply::UnknownType)
            }
            Err(error) => Err(error),
        }
    }
}

impl Instance {
    pub(super) async fn poll_jobs(&self) -> anyhow::Result<Ran> {
        if self.role().await? != Some(Role::Administrator) {
            return Ok(Ran::NotAllowed);
        }
        let mut state = self.jobs.lock().await;
        if state.settled_read.elapsed() > SETTLED_LAST {
            state.settled = self.store.settled(&self.origin.name).await?.into_iter().collect();
            state.settled_read = Instant::now();
        }
        let outcome = match job_sync::sync(&mut Lists(&self.client), &state.memory, &state.settled, &self.policy).await
        {
            Ok(outcome) => outcome,
            Err(error) if error.is_forbidden() => {
                self.forget_role();
                return Ok(Ran::NotAllowed);
            }
            Err(error) => return Err(error.into()),
        };
        let videos = self.videos_of(&outcome.told).await;
        let events = outcome.told.iter().map(|told| event(&self.origin, told, &videos)).collect();
        let settled = outcome.settled.iter().map(|fingerprint| (*fingerprint, outcome.at)).collect();
        let (before, after) = (state.memory.to_documents(), outcome.memory.to_documents());
        self.commit(PollKind::Jobs, &before, &after, settled, events).await.context("jobs")?;
        state.settled.extend(outcome.settled);
        state.memory = outcome.memory;
        self.metrics.jobs(Arc::new(state.memory.view()));
        Ok(Ran::Done)
    }

    /// The videos that jobs were about: from memory, or by one question each.
    async fn videos_of(&self, told: &[Told]) -> BTreeMap<String, Value> {
        let mut videos = BTreeMap::new();
        let mut asked = 0;
        for uuid in told.iter().filter_map(|told| told.payload.video_uuid.as_ref()) {
            if videos.contains_key(uuid) {
                continue;
            }
            let known = self.videos.lock().await.facts(uuid).map(Facts::to_value);
            let facts = match known {
                Some(facts) => facts,
                None if asked < MOST_VIDEOS => {
                    asked += 1;
                    match self.client.video(uuid).await {
                        Ok(Sought::Here(row)) => Facts::of(&row).to_value(),
                        // Gone, hidden or out of reach: it can't be known.
                        Ok(Sought::Gone | Sought::Withheld) | Err(_) => Value::Null,
                    }
                }
                None => Value::Null,
            };
            videos.insert(uuid.clone(), facts);
        }
        videos
    }
}

/// A job as an event: what can't be known is null, never absent.
fn event(origin: &Origin, told: &Told, videos: &BTreeMap<String, Value>) -> Event {
    let id = told.job_id.as_deref();
    let video = told.payload.video_uuid.as_ref().and_then(|uuid| videos.get(uuid)).cloned().unwrap_or(Value::Null);
    let data = json!({
        "job_type": told.job_type,
        "job_id": id,
        "created_at": told.created_at,
        "processed_at": told.processed_at,
        "finished_at": told.finished_at,
        "wait_seconds": told.wait_seconds,
        "run_seconds": told.run_seconds,
        "error": told.error,
        "video": video,
        "payload": told.payload,
    });
    let mut data = match data {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    if let Some(missing) = told.missing {
        data.insert("count".to_owned(), missing.count.into());
        data.insert("reason".to_owned(), missing.how.into());
    }
    let subject = id.map_or_else(|| told.job_type.to_string(), |id| format!("{}/{id}", told.job_type));
    let created = told.created_at.map(|at| at.as_millisecond()).unwrap_or_default();
    let how = told.missing.map_or("", |missing| missing.how);
    let what = format!("{subject}/{created}/{how}");
    Event::new(origin, told.kind, &what, Some(subject), told.at, data)
}
