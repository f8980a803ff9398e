//! When the instance may be asked again: back-off while it is down, and what it
//! asked for by `Retry-After`. Nothing is sent while a pause lasts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Cause, Pause};

/// `Retry-After` is obeyed up to here: a server's slip must not silence us for days.
const LONGEST_HOLD: Duration = Duration::from_hours(1);

/// Pauses while an instance is down: the first, doubled each time up to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(2), most: Duration::from_mins(1) }
    }
}

/// Whether to ask, shared by all requests to an instance.
#[derive(Debug)]
pub(super) struct Pace {
    backoff: Backoff,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    down_until: Option<Instant>,
    hold_until: Option<Instant>,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Pace {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { backoff, state: Mutex::default() }
    }

    pub(super) fn gate(&self, now: Instant) -> Result<(), Cause> {
        let state = self.state();
        let left = |until: Option<Instant>| until.map(|t| t.saturating_duration_since(now)).filter(|d| !d.is_zero());
        match (left(state.hold_until), left(state.down_until)) {
            (Some(held), down) if Some(held) >= down => Err(Cause::Paused { left: held, why: Pause::Asked }),
            (_, Some(down)) => Err(Cause::Paused { left: down, why: Pause::Down }),
            _ => Ok(()),
        }
    }

    /// A request that was sent at `began` has met an instance that is down. Requests
    /// that were under way together count once.
    pub(super) fn failed(&self, began: Instant, now: Instant) {
        let mut state = self.state();
        if state.last_failure.is_some_and(|last| began < last) {
            return;
        }
        let pause = doubled(self.backoff.first, state.failures, self.backoff.most);
        state.failures = state.failures.saturating_add(1);
        state.last_failure = Some(now);
        state.down_until = Some(now + jittered(pause));
    }

    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        (state.failures, state.down_until) = (0, None);
    }

    /// The instance asked to be left alone for so long.
    pub(super) fn hold(&self, pause: Duration, now: Instant) {
        let until = now + pause.min(LONGEST_HOLD);
        let mut state = self.state();
        state.hold_until = state.hold_until.max(Some(until));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(most)
}

/// Up to a fifth less, so that many clients don't come back at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.8 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(pace: &Pace, now: Instant) -> (Duration, Pause) {
        match pace.gate(now) {
            Err(Cause::Paused { left, why }) => (left, why),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pauses_double_up_to_the_most_and_end_with_the_first_success() {
        let pace = Pace::new(Backoff::default());
        let mut now = Instant::now();
        for around in [2, 4, 8, 16, 32, 60, 60] {
            pace.failed(now, now);
            let (pause, why) = left(&pace, now);
            let around = Duration::from_secs(around);
            assert!(pause >= around.mul_f64(0.8) && pause <= around, "{pause:?} for {around:?}");
            assert_eq!(why, Pause::Down);
            now += pause;
            assert!(pace.gate(now).is_ok());
        }
        pace.succeeded();
        pace.failed(now, now);
        assert!(left(&pace, now).0 <= Duration::from_secs(2));
    }

    #[test]
    fn requests_that_fail_together_count_once() {
        let pace = Pace::new(Backoff::default());
        let began = Instant::now();
        let now = began + Duration::from_secs(1);
        for _ in 0..20 {
            pace.failed(began, now);
        }
        assert!(left(&pace, now).0 <= Duration::from_secs(2));
    }

    #[test]
    fn what_the_server_asked_for_outlives_a_success_and_is_bounded() {
        let pace = Pace::new(Backoff::default());
        let now = Instant::now();
        pace.hold(Duration::from_secs(86_400 * 365), now);
        pace.succeeded();
        assert_eq!(left(&pace, now), (LONGEST_HOLD, Pause::Asked));
        pace.hold(Duration::from_secs(1), now);
        assert_eq!(left(&pace, now).0, LONGEST_HOLD);
        assert!(pace.gate(now + LONGEST_HOLD).is_ok());
    }
}
