//! The one-shots of tokio-cron-scheduler. At most one pends for any second, whatever
//! the number of alarms that wait for it.
//!
//! The scheduler's queues hold 200 entries, and a task of it that falls behind ends for
//! good, silently. Alarms ask for bells no more than `plan::LOOK_EVERY` seconds
//! ahead, so that even if all pending bells ring together, as after a suspension of the
//! machine, they fit. It is also why a bell nobody waits for any more is left to ring.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use super::Alarm;

/// Seconds after which a bell that has not rung is given up.
const LOST_AFTER: i64 = 120;

pub(super) struct Bells {
    scheduler: JobScheduler,
    pending: Pending,
    stopped: AtomicBool,
}

/// Who waits for which second of Unix time.
type Pending = Arc<Mutex<BTreeMap<i64, Vec<Weak<Alarm>>>>>;

impl Bells {
    pub(super) async fn start() -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        scheduler.start().await?;
        Ok(Self { scheduler, pending: Pending::default(), stopped: AtomicBool::new(false) })
    }

    pub(super) async fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Err(error) = self.scheduler.clone().shutdown().await {
            tracing::debug!(%error, "the scheduler did not stop in order");
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Makes an alarm look at the clock within half a second from the start of `second`.
    /// That fails only if the scheduler does, which the alarm's patience makes good.
    pub(super) async fn ring_at(&self, second: i64, alarm: &Arc<Alarm>) {
        if !self.enlist(second, Arc::downgrade(alarm)) {
            return;
        }
        if let Err(error) = self.add(second).await {
            lock(&self.pending).remove(&second);
            tracing::debug!(%error, second, "the scheduler took no bell");
        }
    }

    /// Whether the alarm is the first that waits for `second`.
    fn enlist(&self, second: i64, alarm: Weak<Alarm>) -> bool {
        let mut pending = lock(&self.pending);
        match pending.entry(second) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(alarm);
                false
            }
            Entry::Vacant(free) => {
                free.insert(vec![alarm]);
                let not_lost = pending.split_off(&second.saturating_sub(LOST_AFTER));
                *pending = not_lost;
                true
            }
        }
    }

    async fn add(&self, second: i64) -> Result<(), JobSchedulerError> {
        let pending = self.pending.clone();
        let mut one_shot = Job::new_one_shot(Duration::ZERO, move |_, _| ring(&pending, second))?;
        // From an instant the scheduler would cut the fraction of a second twice, and ring
        // up to two seconds early. It keeps the second to run at, where 0 means never.
        let mut data = one_shot.job_data()?;
        data.next_tick = u64::try_from(second).unwrap_or(0).max(1);
        one_shot.set_job_data(data)?;
        // The scheduler tells of each one-shot at level info.
        self.scheduler.add(one_shot).with_subscriber(Dispatch::none()).await?;
        Ok(())
    }
}

impl fmt::Debug for Bells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bells").field("pending", &self.pending).field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

fn ring(pending: &Pending, second: i64) {
    let waiting = lock(pending).remove(&second).unwrap_or_default();
    for alarm in waiting.iter().filter_map(Weak::upgrade) {
        alarm.look.notify_one();
    }
}

/// No code panics while it holds the lock.
fn lock(pending: &Pending) -> MutexGuard<'_, BTreeMap<i64, Vec<Weak<Alarm>>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
