//! Which instant comes next. Pure: it is told the time.
//!
//! Each instant is due once, at a full second of the wall clock. Instants that passed
//! unseen, because the task was busy or the machine slept, are due once together.

use jiff::{SignedDuration, Timestamp};

use crate::config::When;

/// A plan asks to be looked at when this many seconds have passed at the latest, for
/// the wall clock may have been set meanwhile.
pub(super) const LOOK_EVERY: i64 = 30;

/// A wall clock that is set back by less is taken for one that was only corrected, so
/// that an instant that was due just now does not come again.
const CORRECTION: SignedDuration = SignedDuration::from_secs(1);

#[derive(Debug)]
pub(super) struct Plan {
    when: When,
    phase: f64,
    due: Timestamp,
    /// The time at the last look.
    seen: Timestamp,
}

/// What a look at the clock found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Due,
    /// Nothing; look again at this second of Unix time.
    Again {
        second: i64,
    },
}

impl Plan {
    pub(super) fn new(when: When, phase: f64, now: Timestamp) -> Self {
        let due = next_after(&when, phase, now);
        Self { when, phase, due, seen: now }
    }

    pub(super) fn due(&self) -> Timestamp {
        self.due
    }

    pub(super) fn look(&mut self, now: Timestamp) -> Look {
        let set_back = self.seen.duration_since(now) > CORRECTION;
        self.seen = now;
        let due = now >= self.due;
        if due || set_back {
            self.due = next_after(&self.when, self.phase, now);
        }
        if due {
            return Look::Due;
        }
        // Looks fall on the same seconds for all plans, so that they share bells.
        let next_look = (now.as_second().div_euclid(LOOK_EVERY) + 1) * LOOK_EVERY;
        Look::Again { second: self.due.as_second().min(next_look) }
    }
}

/// The first instant strictly after `now`. Those of an `Every` count from 1970, so
/// neither a restart of the program nor a slow run moves them.
fn next_after(when: &When, phase: f64, now: Timestamp) -> Timestamp {
    let next = match when {
        When::Cron(cron) => cron.next_after(now),
        When::Every(interval) => {
            let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1);
            let offset = ((interval as f64 * phase) as i64).clamp(0, interval - 1);
            let now = now.as_second();
            let since_last = now.saturating_sub(offset).rem_euclid(interval);
            Timestamp::from_second((now - since_last).saturating_add(interval)).ok()
        }
    };
    next.unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod years;
