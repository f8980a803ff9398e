//! The poll of jobs: every ended job becomes one event or one count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use super::Instance;
use crate::core::event::Event;
use crate::core::job::{JobsQuery, JobsReply, MOST_TYPES};
use crate::core::job_sync::{self, Ask};
use crate::core::job_told::Told;
use crate::core::poll::PollKind;
use crate::core::video::Sought;
use crate::core::video_facts::Facts;
use crate::peertube::{Cause, Client, Error, Told as Problem};

/// Questions for videos that one poll may ask to fill its events.
const MOST_VIDEOS: usize = 25;
/// How long the settled jobs are kept in memory before those long gone are dropped.
pub(super) const SETTLED_LAST: Duration = Duration::from_secs(24 * 3600);

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
    pub(super) async fn poll_jobs(&self) -> anyhow::Result<()> {
        let mut state = self.jobs.lock().await;
        if state.settled_read.elapsed() > SETTLED_LAST {
            state.settled = self.store.settled(&self.origin.name).await?.into_iter().collect();
            state.settled_read = Instant::now();
        }
        let outcome = job_sync::sync(&mut Lists(&self.client), &state.memory, &state.settled, &self.policy).await?;
        let events = self.job_events(&outcome.told).await;
        let settled = outcome.settled.iter().map(|fingerprint| (*fingerprint, outcome.at)).collect();
        let (before, after) = (state.memory.to_documents(), outcome.memory.to_documents());
        self.commit(PollKind::Jobs, &before, &after, settled, events).await.context("jobs")?;
        if outcome.memory.ignores_type() && !state.memory.ignores_type() {
            let name = &self.origin.name;
            tracing::info!(peertube_instance = %name, "the instance ignores which type of job is asked for, as years ago: all are read");
        }
        if outcome.memory.leaves_types_out() && !state.memory.leaves_types_out() {
            let name = &self.origin.name;
            tracing::warn!(peertube_instance = %name, "the instance shows more than {MOST_TYPES} types of jobs: jobs of the rest are not counted");
        }
        state.settled.extend(outcome.settled);
        state.memory = outcome.memory;
        self.works().own = state.memory.work();
        self.metrics.jobs(Arc::new(state.memory.view().followed_by(&self.policy)));
        Ok(())
    }

    /// Jobs as events, each with what is known of its video.
    pub(super) async fn job_events(&self, told: &[Told]) -> Vec<Event> {
        let videos = self.videos_of(told).await;
        let of = |told: &Told| told.payload.video_uuid.as_ref().and_then(|uuid| videos.get(uuid)).cloned();
        told.iter().map(|told| told.to_event(&self.origin, of(told).unwrap_or(Value::Null))).collect()
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
                        Ok(Sought::Gone | Sought::Withheld | Sought::Unread) | Err(_) => Value::Null,
                    }
                }
                None => Value::Null,
            };
            videos.insert(uuid.clone(), facts);
        }
        videos
    }
}
