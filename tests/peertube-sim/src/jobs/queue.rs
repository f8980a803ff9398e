//! The lists of one type of job, in Redis's order. A job stands in exactly one of
//! them, under its `key`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{NewFlow, NewJob, kinds};

/// A place in a list: by score, then by id as Redis does.
pub(super) type Key = (i64, Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Active,
    Completed,
    Failed,
    Waiting,
    Delayed,
    WaitingChildren,
    Prioritized,
}

/// In the order in which a question without a state asks them.
pub(super) const STATES: [State; 7] = [
    State::Active,
    State::Completed,
    State::Failed,
    State::Waiting,
    State::Delayed,
    State::WaitingChildren,
    State::Prioritized,
];

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::WaitingChildren => "waiting-children",
            Self::Prioritized => "prioritized",
        }
    }
}

/// A job that some list shows.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) queue: usize,
    pub(super) id: Arc<str>,
    pub(super) state: State,
    pub(super) key: Key,
    pub(super) created: i64,
    pub(super) due: i64,
    pub(super) processed: Option<i64>,
    pub(super) finished: Option<i64>,
    /// Tells what was planned for this job from what was planned before: plans with
    /// another ticket are void.
    pub(super) ticket: i64,
    pub(super) run: i64,
    pub(super) priority: Option<u64>,
    pub(super) attempts: u32,
    pub(super) attempts_made: u32,
    pub(super) backoff: i64,
    pub(super) fails: u32,
    /// What a failure of its own will say.
    pub(super) failure: Option<Arc<str>>,
    pub(super) error: Option<Arc<str>>,
    pub(super) data: Arc<Value>,
    pub(super) reports_progress: bool,
    /// How far it was when it was last interrupted or ended.
    pub(super) progress: u64,
    pub(super) stalled: bool,
    pub(super) parent: Option<Parent>,
    pub(super) children_left: usize,
    /// The child whose failure it will share when a worker picks it up.
    pub(super) doomed_by: Option<String>,
    pub(super) chain: Option<usize>,
    pub(super) then: Vec<NewFlow>,
    /// Its place in the record of what ended.
    pub(super) ended: Option<usize>,
}

/// The slot is void once the parent has gone.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub(super) slot: usize,
    pub(super) id: Arc<str>,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: &'static str,
    /// The server knows it: workers take of it, and lists show it.
    pub(super) served: bool,
    pub(super) concurrency: usize,
    /// Active jobs that a living worker runs.
    pub(super) running: usize,
    pub(super) last_id: u64,
    pub(super) purged_failed: u64,
    pub(super) completed_kept_for: i64,
    lists: [BTreeMap<Key, usize>; STATES.len()],
}

impl Queue {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            served: true,
            concurrency: kinds::concurrency(name),
            running: 0,
            last_id: 0,
            purged_failed: 0,
            completed_kept_for: kinds::completed_kept_for(name),
            lists: Default::default(),
        }
    }

    pub(super) fn list(&self, state: State) -> &BTreeMap<Key, usize> {
        &self.lists[state as usize]
    }

    pub(super) fn list_mut(&mut self, state: State) -> &mut BTreeMap<Key, usize> {
        &mut self.lists[state as usize]
    }

    pub(super) fn next_id(&mut self) -> Arc<str> {
        self.last_id += 1;
        self.last_id.to_string().into()
    }

    /// Who runs next: those without a priority go first.
    pub(super) fn next(&self) -> Option<usize> {
        let first = |state| self.list(state).first_key_value().map(|(_, slot)| *slot);
        first(State::Waiting).or_else(|| first(State::Prioritized))
    }

    /// As Redis emptied leaves it. Gives what stood in it.
    pub(super) fn empty(&mut self) -> Vec<usize> {
        self.running = 0;
        self.last_id = 0;
        self.lists.iter_mut().flat_map(|list| std::mem::take(list).into_values()).collect()
    }
}

impl Job {
    pub(super) fn new(new: NewJob, queue: usize, id: Arc<str>, created: i64) -> Self {
        let run = super::millis(new.run);
        Self {
            queue,
            state: State::Waiting,
            key: (0, Arc::clone(&id)),
            id,
            created,
            due: created + super::millis(new.delay),
            processed: None,
            finished: None,
            ticket: 0,
            run,
            priority: new.priority,
            attempts: new.attempts.max(1),
            attempts_made: 0,
            backoff: super::millis(new.backoff),
            fails: new.fails,
            failure: new.error,
            error: None,
            data: new.data,
            reports_progress: new.reports_progress,
            progress: 0,
            stalled: false,
            parent: None,
            children_left: 0,
            doomed_by: None,
            chain: None,
            then: new.then,
            ended: None,
        }
    }

    /// How far it has come by `now`.
    pub(super) fn progress_at(&self, now: i64) -> u64 {
        match self.processed {
            Some(processed) if self.state == State::Active && self.reports_progress && !self.stalled => {
                let part = (now - processed).max(0).saturating_mul(100) / self.run.max(1);
                u64::try_from(part).unwrap_or(0).min(99)
            }
            _ => self.progress,
        }
    }
}
