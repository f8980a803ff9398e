//! When things recur: the alarms that wake polls. tokio-cron-scheduler is the clock
//! and nothing else; which instant comes next is decided in `plan`.
//!
//! An alarm wakes its task at most once for any number of instants that passed while
//! the task was busy, and never before an instant is due, unless by hand.

mod bells;
mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_cron_scheduler::JobSchedulerError;

use self::bells::Bells;
use self::plan::{Look, Plan};
use crate::config::When;

/// How long after its second a bell is waited for. The scheduler is half a second
/// late by its nature; later than this it has lost the bell, is overwhelmed, or the
/// wall clock was set back.
const GRACE: Duration = Duration::from_millis(1500);

/// A running scheduler. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Bells>);

#[derive(Debug, Error)]
pub enum ClockError {
    #[error("start the scheduler that wakes the polls")]
    Start(#[source] JobSchedulerError),
}

/// The alarm of one task.
#[derive(Debug)]
pub struct Wakes {
    clock: Clock,
    plan: Plan,
    /// The second at which a bell was last asked for, so that none is asked for twice.
    asked: Option<i64>,
    alarm: Arc<Alarm>,
}

/// Wakes a task by hand.
#[derive(Debug, Clone)]
pub struct WakeHandle(Arc<Alarm>);

impl Clock {
    /// Needs a tokio runtime, whose end is also the end of the scheduler's tasks.
    pub async fn start() -> Result<Self, ClockError> {
        Ok(Self(Arc::new(Bells::start().await.map_err(ClockError::Start)?)))
    }

    /// After this no alarm of this clock wakes any more.
    pub async fn stop(&self) {
        self.0.stop().await;
    }

    /// `phase`, from 0 to 1, tells where in its interval an `Every` wakes, so that those
    /// with the same interval spread. The first run, at once, is the caller's.
    pub async fn wakes(&self, when: When, phase: f64) -> Wakes {
        let plan = Plan::new(when, phase, Timestamp::now());
        Wakes { clock: self.clone(), plan, asked: None, alarm: Arc::default() }
    }
}

impl Wakes {
    /// Waits for the next wake. If one or more came since the last, returns at once,
    /// once. A wait that is given up loses no wake.
    pub async fn next(&mut self) {
        loop {
            if self.clock.0.is_stopped() {
                std::future::pending::<()>().await;
            }
            let now = Timestamp::now();
            match self.plan.look(now) {
                Look::Due => {
                    self.alarm.take_by_hand();
                    return;
                }
                Look::Again { .. } if self.alarm.take_by_hand() => return,
                Look::Again { second } => self.wait_until(second, now).await,
            }
        }
    }

    /// The instant at which it wakes next, unless by hand before.
    pub fn due(&self) -> Timestamp {
        self.plan.due()
    }

    pub fn hand(&self) -> WakeHandle {
        WakeHandle(self.alarm.clone())
    }

    /// Waits until there is reason to look at the clock again.
    async fn wait_until(&mut self, second: i64, now: Timestamp) {
        let ahead = second.saturating_mul(1000).saturating_sub(now.as_millisecond());
        let patience = Duration::from_millis(u64::try_from(ahead).unwrap_or(0)) + GRACE;
        let rung = async {
            if self.asked != Some(second) {
                self.asked = Some(second);
                self.clock.0.ring_at(second, &self.alarm).await;
            }
            self.alarm.look.notified().await;
        };
        if tokio::time::timeout(patience, rung).await.is_err() {
            tracing::debug!(second, "the scheduler did not ring in time; looking at the clock without it");
        }
    }
}

impl WakeHandle {
    /// While the task is busy, any number of these are one more run.
    pub fn wake(&self) {
        self.0.by_hand.store(true, Ordering::Release);
        self.0.look.notify_one();
    }
}

/// Where in its interval a poll lies: the same in each run of the program, and evenly
/// spread over names and kinds.
pub fn phase_of(name: &str, kind: &str) -> f64 {
    let hash = Sha256::new().chain_update(name).chain_update([0]).chain_update(kind).finalize();
    let first = hash.iter().take(4).fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
    f64::from(first) / (f64::from(u32::MAX) + 1.0)
}

/// What a bell or a hand reaches of a task that waits. Both only make it look: what it
/// then finds decides whether it wakes, so a bell too many does no harm.
#[derive(Debug, Default)]
struct Alarm {
    look: Notify,
    by_hand: AtomicBool,
}

impl Alarm {
    fn take_by_hand(&self) -> bool {
        self.by_hand.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests;
