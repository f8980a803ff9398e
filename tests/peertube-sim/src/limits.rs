//! The limits on requests, counted in fixed windows of world time for each address.
//! A window begins with its first request, and every request counts, refused or not.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

/// What an instance allows an address.
#[derive(Debug)]
pub struct Limits {
    /// All of the API.
    pub api: Limiter,
    /// `POST /users/token`, on top of it.
    pub token: Limiter,
}

impl Limits {
    /// As PeerTube is delivered.
    pub fn peertube() -> Self {
        Self { api: Limiter::new(50, Duration::from_secs(10)), token: Limiter::new(15, Duration::from_secs(5 * 60)) }
    }

    /// So high that no test meets them.
    pub fn none() -> Self {
        Self {
            api: Limiter::new(u32::MAX, Duration::from_secs(10)),
            token: Limiter::new(u32::MAX, Duration::from_secs(10)),
        }
    }
}

#[derive(Debug)]
pub struct Limiter {
    most: u32,
    window: Duration,
    windows: HashMap<String, (Timestamp, u32)>,
}

impl Limiter {
    pub fn new(most: u32, window: Duration) -> Self {
        Self { most, window, windows: HashMap::new() }
    }

    /// Counts a request.
    pub(crate) fn hit(&mut self, now: Timestamp, address: &str) -> Allowance {
        let fresh = (now + self.window, 0);
        let window = self.windows.entry(address.to_owned()).or_insert(fresh);
        if window.0 <= now {
            *window = fresh;
        }
        window.1 = window.1.saturating_add(1);
        Allowance {
            limit: self.most,
            remaining: self.most.saturating_sub(window.1),
            resets_at: window.0,
            exceeded: window.1 > self.most,
        }
    }
}

/// What an address has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) resets_at: Timestamp,
    pub(crate) exceeded: bool,
}

impl Allowance {
    /// `Retry-After`, in whole seconds, rounded up.
    pub(crate) fn retry_after(self, now: Timestamp) -> i64 {
        let milliseconds = self.resets_at.as_millisecond() - now.as_millisecond();
        (milliseconds + 999).div_euclid(1_000).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_its_first_request_and_refusals_do_not_prolong_it() {
        let start = Timestamp::from_second(1_795_000_000).unwrap();
        let mut limiter = Limiter::new(2, Duration::from_secs(10));

        assert_eq!(limiter.hit(start, "a").remaining, 1);
        assert!(!limiter.hit(start + Duration::from_secs(3), "a").exceeded);
        let third = limiter.hit(start + Duration::from_millis(4_500), "a");
        assert!(third.exceeded);
        assert_eq!(third.retry_after(start + Duration::from_millis(4_500)), 6);
        assert!(!limiter.hit(start, "b").exceeded, "each address has its own");

        assert!(!limiter.hit(start + Duration::from_secs(10), "a").exceeded);
    }
}
