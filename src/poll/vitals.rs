//! What shows whether the polls of an instance live: what each of them is doing, and
//! whether the instance is down. Polls write it; who watches over them reads it.
//!
//! A poll that runs is known to go on by its requests: each of those has a time limit,
//! so however slow the instance is and however many pages it has, some request ends.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::core::poll::PollKind;

/// What a poll is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It waits for other runs to end, which are watched themselves.
    Queued,
    /// It runs; that is when it began, or when its last request ended.
    Running { since: Instant },
    /// It waits for the clock.
    Waiting { due: Timestamp },
}

/// The signs of life of one instance's polls.
#[derive(Debug)]
pub struct Vitals {
    instance: String,
    timeout: Duration,
    is_down: AtomicBool,
    signs: Mutex<Signs>,
}

#[derive(Debug)]
struct Signs {
    doing: [Doing; PollKind::ALL.len()],
    last_ended: Option<Timestamp>,
}

tokio::task_local! {
    /// The run that this task is.
    static RUN: (Arc<Vitals>, PollKind);
}

impl Vitals {
    pub(crate) fn new(instance: &str, timeout: Duration, is_down: bool) -> Self {
        let signs = Signs { doing: [Doing::Queued; PollKind::ALL.len()], last_ended: None };
        Self { instance: instance.to_owned(), timeout, is_down: AtomicBool::new(is_down), signs: Mutex::new(signs) }
    }

    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The longest that one request takes.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    pub fn doing(&self, kind: PollKind) -> Doing {
        self.signs().doing[kind as usize]
    }

    /// When a poll of any kind ended last, well or badly.
    pub fn last_ended(&self) -> Option<Timestamp> {
        self.signs().last_ended
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    pub(super) fn waits_for_clock(&self, kind: PollKind, due: Timestamp) {
        self.set(kind, Doing::Waiting { due });
    }

    /// Watches a run, which is to be a task of its own, from its beginning.
    pub(super) async fn of_run<T>(self: Arc<Self>, kind: PollKind, run: impl Future<Output = T>) -> T {
        self.set_running(kind);
        RUN.scope((self, kind), run).await
    }

    pub(crate) fn ended(&self) {
        self.signs().last_ended = Some(Timestamp::now());
    }

    fn set_running(&self, kind: PollKind) {
        self.set(kind, Doing::Running { since: Instant::now() });
    }

    pub(crate) fn set(&self, kind: PollKind, doing: Doing) {
        self.signs().doing[kind as usize] = doing;
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request of the run that this task is has ended. Without a run nothing happens.
pub(super) fn goes_on() {
    let _ = RUN.try_with(|(vitals, kind)| vitals.set_running(*kind));
}

/// Waits until another run lets this one go on, which may take as long as that run.
pub(super) async fn queue<T>(turn: impl Future<Output = T>) -> T {
    let _ = RUN.try_with(|(vitals, kind)| vitals.set(*kind, Doing::Queued));
    let turn = turn.await;
    goes_on();
    turn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vitals() -> Arc<Vitals> {
        Arc::new(Vitals::new("main", Duration::from_secs(15), false))
    }

    #[tokio::test]
    async fn a_run_goes_on_with_each_request_and_another_kind_does_not() {
        let vitals = vitals();
        let run = vitals.clone().of_run(PollKind::Jobs, async {
            let Doing::Running { since: begun } = vitals.doing(PollKind::Jobs) else { panic!("it runs") };
            while begun.elapsed().is_zero() {}
            goes_on();
            let Doing::Running { since } = vitals.doing(PollKind::Jobs) else { panic!("it runs") };
            assert!(since > begun);
        });
        run.await;
        assert_eq!(vitals.doing(PollKind::Videos), Doing::Queued);
        goes_on();
        assert_eq!(vitals.doing(PollKind::Videos), Doing::Queued, "who is no run says nothing");
    }

    #[tokio::test]
    async fn a_run_that_waits_for_another_is_queued_until_it_has_its_turn() {
        let vitals = vitals();
        let run = vitals.clone().of_run(PollKind::Videos, async {
            let turn = async { assert_eq!(vitals.doing(PollKind::Videos), Doing::Queued) };
            queue(turn).await;
            assert!(matches!(vitals.doing(PollKind::Videos), Doing::Running { .. }));
        });
        run.await;
    }
}
