//! Tasks in groups that start and end together: the polls of an instance, what a rule
//! does. One that ends without being told to is for the daemon to notice.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::rules::{Signals, Task};

/// Which group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    /// The polls of an instance.
    Instance(String),
    /// What a rule or a schedule does.
    Deed(String),
    /// What fires a schedule.
    Timer(String),
    /// What keeps what is shown true.
    Showing,
}

#[derive(Debug)]
struct Group {
    soon: watch::Sender<bool>,
    now: watch::Sender<bool>,
    /// Ends when all of its tasks have.
    alive: mpsc::Receiver<()>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug, Default)]
pub(super) struct Crew {
    tasks: JoinSet<()>,
    groups: BTreeMap<Unit, Group>,
}

impl Crew {
    /// Starts a group; `tasks` makes them from what tells them to stop.
    pub(super) async fn start(&mut self, unit: Unit, tasks: impl AsyncFnOnce(&Signals) -> Vec<Task>) {
        let ((soon, soon_told), (now, now_told)) = (watch::channel(false), watch::channel(false));
        let (living, alive) = mpsc::channel::<()>(1);
        let tasks = tasks(&Signals { soon: soon_told, now: now_told }).await;
        let spawn = |task: Task| {
            let living = living.clone();
            self.tasks.spawn(async move {
                task.await;
                drop(living);
            })
        };
        let tasks = tasks.into_iter().map(spawn).collect();
        self.groups.insert(unit, Group { soon, now, alive, tasks });
    }

    /// Ends groups: what is under way in them is finished, or after a while dropped.
    pub(super) async fn retire(&mut self, units: &[Unit], grace: Duration, last: Duration) {
        for group in units.iter().filter_map(|unit| self.groups.get(unit)) {
            group.soon.send_replace(true);
        }
        let began = tokio::time::Instant::now();
        for unit in units {
            let Some(group) = self.groups.get_mut(unit) else { continue };
            if tokio::time::timeout_at(began + grace, group.alive.recv()).await.is_err() {
                group.now.send_replace(true);
            }
            if tokio::time::timeout_at(began + grace + last, group.alive.recv()).await.is_err() {
                tracing::warn!(?unit, "what did not end in time is dropped; it will be made anew");
                group.tasks.iter().for_each(AbortHandle::abort);
                group.alive.recv().await;
            }
            self.groups.remove(unit);
        }
    }

    /// Returns when a task ends that was not told to.
    pub(super) async fn watch(&mut self) -> Result<(), JoinError> {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let (id, ended) = match ended {
                Ok((id, ())) => (id, Ok(())),
                Err(error) => (error.id(), Err(error)),
            };
            if self.groups.values().any(|group| group.tasks.iter().any(|task| task.id() == id)) {
                return ended;
            }
        }
        std::future::pending().await
    }

    /// Ends all of it. Whether all ended in time.
    pub(super) async fn stop(&mut self, grace: Duration) -> bool {
        for group in self.groups.values() {
            group.soon.send_replace(true);
            group.now.send_replace(true);
        }
        let tasks = &mut self.tasks;
        let all = async { while tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(grace, all).await.is_ok();
        self.tasks.shutdown().await;
        in_time
    }
}
