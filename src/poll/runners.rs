//! The poll of remote runners: every job of theirs that ended becomes one event or one
//! count, and a runner that should work and does not, an event.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use super::Instance;
use super::jobs::SETTLED_LAST;
use crate::core::event::Event;
use crate::core::poll::PollKind;
use crate::core::runner::{RunnerJobsPage, RunnerJobsQuery, RunnersPage};
use crate::core::runner_sync::{self, Ask};
use crate::peertube::{Cause, Client, Error, Told as Problem};

/// What is known of the runners of an instance, and which of its jobs were told.
#[derive(Debug)]
pub(super) struct RunnersState {
    pub(super) memory: runner_sync::Memory,
    pub(super) settled: HashSet<i64>,
    pub(super) settled_read: Instant,
}

/// The lists of a real instance.
struct Lists<'a>(&'a Client);

impl Ask for Lists<'_> {
    type Error = Error;

    async fn jobs(&mut self, query: &RunnerJobsQuery) -> Result<RunnerJobsPage, Error> {
        self.0.runner_jobs(query).await
    }

    async fn runners(&mut self, start: u64) -> Result<RunnersPage, Error> {
        self.0.runners(start).await
    }
}

impl Instance {
    pub(super) async fn poll_runners(&self) -> anyhow::Result<()> {
        let mut state = self.runners.lock().await;
        if state.settled_read.elapsed() > SETTLED_LAST {
            state.settled = self.store.settled(&self.origin.name).await?.into_iter().collect();
            state.settled_read = Instant::now();
        }
        let synced = runner_sync::sync(&mut Lists(&self.client), &state.memory, &state.settled, &self.policy).await;
        let outcome = match synced {
            Err(error) if state.memory.is_new() && is_unknown_route(&error) => {
                self.works().has_no_runners = true;
                return Ok(());
            }
            synced => synced?,
        };
        let mut events = self.job_events(&outcome.told).await;
        events.extend(outcome.runners_told.iter().map(|told| told.to_event(&self.origin)));
        events.sort_by_key(|event: &Event| event.time);
        let settled = outcome.settled.iter().map(|fingerprint| (*fingerprint, outcome.at)).collect();
        let (before, after) = (state.memory.to_documents(), outcome.memory.to_documents());
        self.commit(PollKind::Runners, &before, &after, settled, events).await.context("runners")?;
        state.settled.extend(outcome.settled);
        state.memory = outcome.memory;
        let mut works = self.works();
        (works.at_runners, works.has_no_runners) = (state.memory.work(), false);
        self.metrics.runners(Arc::new(state.memory.view().followed_by(&self.policy)));
        Ok(())
    }
}

/// How a server without runners, of before 5.2, answers.
fn is_unknown_route(error: &Error) -> bool {
    matches!(error.cause, Cause::Status { status: 400 | 404, told: Problem::Blank, .. })
}
