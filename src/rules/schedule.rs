//! Schedules: each time that one is due becomes an event and what is owed for it, in
//! one transaction. What is done then is a delivery like any other.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::deliver::Shared;
use crate::config::{Schedule, When};
use crate::core::cron::Cron;
use crate::core::event::Origin;
use crate::core::rule_told::fired;
use crate::schedule::{Clock, Wakes};
use crate::store::{Claim, Firing};

/// The store is asked again after so long, if it fails.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What fires one schedule, for each of its instances.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) schedule: Schedule,
    pub(super) shared: Arc<Shared>,
}

impl Timer {
    /// The alarm is set before this returns, so that no time is missed while starting.
    pub(super) async fn keep_firing(
        self,
        clock: Clock,
        mut stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let wakes = clock.wakes(When::Cron(self.schedule.cron.clone()), 0.0).await;
        async move {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = self.fire_at_each(wakes) => {}
            }
        }
    }

    async fn fire_at_each(&self, mut wakes: Wakes) {
        let metrics = self.shared.rules.metrics();
        for origin in self.origins() {
            metrics.begin_runs(&origin.name, &self.schedule.name);
            self.catch_up(&origin).await;
        }
        loop {
            let due = wakes.due();
            wakes.next().await;
            // A jitter of its own each time, so that many daemons don't ask at once.
            tokio::time::sleep(late(self.schedule.jitter)).await;
            for origin in self.origins() {
                metrics.begin_runs(&origin.name, &self.schedule.name);
                self.fire(&origin, due).await;
            }
        }
    }

    /// As they are now: instances come and go.
    fn origins(&self) -> Vec<Origin> {
        self.shared.origins(self.schedule.instance.as_deref())
    }

    /// A run that was missed while nobody watched is made now, once.
    async fn catch_up(&self, origin: &Origin) {
        if !self.schedule.catch_up {
            return;
        }
        let name = &self.schedule.name;
        let Some(owning) = self.shared.rules.owning(name) else { return };
        let since = match self.shared.store.fired_at(name, &origin.name).await {
            Ok(fired) => fired.unwrap_or(owning.added_at),
            Err(error) => {
                tracing::warn!(schedule = %name, error = %anyhow::anyhow!(error), "whether a run was missed can't be read");
                return;
            }
        };
        let now = Timestamp::now();
        if let Some(missed) = last_before(&self.schedule.cron, since, now) {
            tracing::info!(schedule = %name, peertube_instance = %origin.name, %missed, "a run was missed: it is made now");
            self.fire(origin, missed).await;
        }
    }

    async fn fire(&self, origin: &Origin, due: Timestamp) {
        let name = &self.schedule.name;
        let Some(owning) = self.shared.rules.owning(name) else { return };
        let event = fired(origin, name, due);
        let mut claims = self.shared.rules.claims(std::slice::from_ref(&event));
        claims.push(Claim { event: 0, owner: owning.owner.clone() });
        let firing = Firing { schedule: name.clone(), event, claims };
        let mut has_failed = false;
        loop {
            match self.shared.store.fire(&firing).await {
                Ok(fired) => {
                    if let Some(why) = &fired.failed {
                        tracing::warn!(schedule = %name, peertube_instance = %origin.name, why, "a run failed until its next time came");
                        self.shared.rules.metrics().ran(&origin.name, name, false, Timestamp::now());
                    }
                    return self.shared.tell(&fired.committed);
                }
                Err(error) => {
                    if !std::mem::replace(&mut has_failed, true) {
                        tracing::warn!(schedule = %name, error = %anyhow::anyhow!(error), "a schedule waits for the state");
                    }
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}

/// How late one run begins.
fn late(jitter: Duration) -> Duration {
    jitter.mul_f64(fastrand::f64())
}

/// The last time that a line names after `since` and up to `now`. Halved until it is
/// found, for there may be years of seconds between them.
fn last_before(cron: &Cron, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let next = |second| cron.next_after(Timestamp::from_second(second).ok()?).filter(|next| *next <= now);
    let (mut before, mut after) = (since.as_second(), now.as_second());
    let mut last = next(before)?;
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        match next(middle) {
            Some(later) => (last, before) = (later, middle),
            None => after = middle,
        }
    }
    Some(last)
}

#[cfg(test)]
mod tests;
