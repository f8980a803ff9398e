//! What befalls the queues from outside: restarts, an emptied Redis, cancellations,
//! pauses. No job ends here but a cancelled one.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::engine::Happening;
use super::queue::State;
use super::{Jobs, Lost, Move, Outcome, Version, millis, texts, timestamp};

/// How long the locks of a killed worker outlive it.
const LOCKED_FOR: i64 = 30_000;

/// How the server goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restart {
    /// What is active ends as it would have.
    Graceful,
    /// What is active stays so, its progress frozen, for about 30 seconds, and runs
    /// again from the beginning.
    Killed,
}

/// Why a job can't be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelError {
    /// Before 8.2 there is no such route: 400.
    Unsupported,
    /// 404.
    NotFound,
    /// 409.
    NotActive,
}

impl CancelError {
    pub fn status(self) -> u16 {
        match self {
            Self::Unsupported => 400,
            Self::NotFound => 404,
            Self::NotActive => 409,
        }
    }
}

impl fmt::Display for CancelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "this version can't cancel jobs",
            Self::NotFound => "there is no such job",
            Self::NotActive => "the job is not active",
        })
    }
}

impl std::error::Error for CancelError {}

impl Jobs {
    /// Empties Redis: every list is gone and counters begin at 1 again. Recurring jobs
    /// come back with the next restart only.
    pub fn flush(&mut self) {
        for queue in 0..self.queues.len() {
            for slot in self.queues[queue].empty() {
                if let Some(job) = self.job(slot).filter(|job| job.ended.is_none()) {
                    self.lost.push(Lost {
                        job_type: self.queues[queue].name,
                        id: job.id.to_string(),
                        created_at: timestamp(job.created),
                        lost_at: timestamp(self.now),
                    });
                }
                self.forget(slot);
            }
            let (job_type, at) = (self.queues[queue].name, timestamp(self.now));
            self.moves.push(Move { job_type, at, active: 0 });
        }
        self.chains.iter_mut().for_each(|chain| *chain = None);
    }

    /// The server goes down now and is up after `down_for`; meanwhile no worker takes
    /// a job. When it starts it sets up its recurring jobs beside the old ones.
    pub fn restart(&mut self, how: Restart, down_for: Duration) {
        self.down_until = self.now.saturating_add(millis(down_for));
        if how == Restart::Killed {
            self.kill_workers();
        }
        self.schedule(self.down_until, Happening::Up);
    }

    /// Until when the server is down, if it is.
    pub fn down_until(&self) -> Option<Timestamp> {
        (self.now < self.down_until).then(|| timestamp(self.down_until))
    }

    /// The server's clock is set back. What runs takes as long as it would have; what was
    /// to begin at a certain time begins when the clock shows it.
    pub fn set_back(&mut self, by: Duration) {
        let by = millis(by);
        self.now -= by;
        self.down_until = self.down_until.saturating_sub(by);
        let shifted = std::mem::take(&mut self.agenda).into_iter().map(|mut next| {
            if !matches!(next.what, Happening::Due(_)) {
                next.at -= by;
            }
            next
        });
        self.agenda = shifted.collect();
    }

    /// Cancels an active job.
    pub fn cancel(&mut self, job_type: &str, id: &str) -> Result<(), CancelError> {
        if self.version != Version::V8_2 {
            return Err(CancelError::Unsupported);
        }
        let queue = *self.by_type.get(job_type).ok_or(CancelError::NotFound)?;
        let has_id = |slot: &usize| self.job(*slot).is_some_and(|job| &*job.id == id);
        let active = self.queues[queue].list(State::Active).values().copied().find(has_id);
        match active.filter(|slot| self.job(*slot).is_some_and(|job| !job.stalled)) {
            Some(slot) => {
                self.cancel_slot(slot);
                Ok(())
            }
            None if self.jobs.iter().flatten().any(|job| job.queue == queue && &*job.id == id) => {
                Err(CancelError::NotActive)
            }
            None => Err(CancelError::NotFound),
        }
    }

    /// Cancels the longest running job of a type later, if there is one then.
    pub fn cancel_longest_at(&mut self, at: Timestamp, job_type: &'static str) {
        self.schedule(at.as_millisecond(), Happening::Cancel(job_type));
    }

    /// Workers take no job until [`Jobs::resume`]; those that are active go on. No list
    /// tells of it.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    pub fn resume(&mut self) {
        self.paused = false;
        (0..self.queues.len()).for_each(|queue| self.fill(queue));
    }

    pub(super) fn start_up(&mut self) {
        for (every, job) in self.declared.clone() {
            self.begin_chain(every, job);
        }
        (0..self.queues.len()).for_each(|queue| self.fill(queue));
    }

    pub(super) fn cancel_longest(&mut self, job_type: &'static str) {
        let Some(queue) = self.by_type.get(job_type).filter(|_| self.version == Version::V8_2) else { return };
        let active = self.queues[*queue].list(State::Active).values();
        if let Some(slot) = active.copied().find(|slot| self.job(*slot).is_some_and(|job| !job.stalled)) {
            self.cancel_slot(slot);
        }
    }

    fn cancel_slot(&mut self, slot: usize) {
        let Some(queue) = self.job(slot).map(|job| job.queue) else { return };
        self.plan(slot);
        self.queues[queue].running -= 1;
        if let Some(job) = &mut self.jobs[slot] {
            // What an earlier attempt said gives way.
            job.error = None;
        }
        self.fail(slot, Outcome::Cancelled, texts::cancelled(self.version));
        self.fill(queue);
    }

    fn kill_workers(&mut self) {
        for queue in 0..self.queues.len() {
            self.queues[queue].running = 0;
            let active: Vec<usize> = self.queues[queue].list(State::Active).values().copied().collect();
            for slot in active {
                let progress = self.job(slot).map_or(0, |job| job.progress_at(self.now));
                if let Some(job) = &mut self.jobs[slot] {
                    job.progress = progress;
                    job.stalled = true;
                }
                // Locks run out, then a check each so often finds them.
                let checked = self.rng.i64(0..2_000);
                let plan = self.plan(slot);
                let at = (self.now + LOCKED_FOR).max(self.down_until) + checked;
                self.schedule(at, Happening::TakenBack(plan));
            }
        }
    }
}
