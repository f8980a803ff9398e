//! Lines of the log that clients can cause at will: at most one a minute of each kind.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);

/// One kind of line.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    at: Option<Instant>,
    /// What was kept back since then.
    unsaid: u64,
}

impl Seldom {
    /// Whether it may be said now; if so, how many times it has happened since it was said last.
    pub(super) fn now(&self) -> Option<u64> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.unsaid += 1;
        if said.at.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            return None;
        }
        said.at = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_others_are_summed_up_a_minute_later() {
        let (seldom, begin) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.at(begin), Some(1));
        for seconds in [0, 1, 59] {
            assert_eq!(seldom.at(begin + Duration::from_secs(seconds)), None);
        }
        assert_eq!(seldom.at(begin + EVERY), Some(4));
        assert_eq!(seldom.at(begin + EVERY), None);
    }
}
