//! How often we try to sign in. Never more than [`MOST`] times in [`WINDOW`],
//! whatever happens, and after a refusal not before a growing pause has passed. Tokens
//! that should still live are renewed at most [`MOST_FORCED`] times in it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Cause, Pause, Refusal};
use super::pace::{doubled, jittered};

const MOST: usize = 4;
const MOST_FORCED: usize = 8;
const WINDOW: Duration = Duration::from_mins(5);

const FIRST_PAUSE: Duration = Duration::from_mins(5);
const LONGEST_PAUSE: Duration = Duration::from_hours(6);

/// The sign-ins of one account.
#[derive(Debug, Default)]
pub(super) struct SignIns {
    recent: VecDeque<Instant>,
    /// Renewals before their time, because the server refused a token.
    forced: VecDeque<Instant>,
    refused: Option<Refused>,
    /// Another pause: until the next one-time code.
    code_from: Option<Instant>,
    second_code: bool,
}

#[derive(Debug)]
struct Refused {
    refusal: Refusal,
    until: Instant,
    times: u32,
}

impl SignIns {
    /// Whether a refusal or a pause stands in the way, or before a sign-in by
    /// password the number of those before it, of which a visit has one.
    pub(super) fn gate(&mut self, now: Instant, is_sign_in: bool, is_visit: bool) -> Result<(), Cause> {
        if let Some(refused) = self.refused.as_ref().filter(|refused| now < refused.until) {
            return Err(Cause::SignInRefused { refusal: refused.refusal.clone(), asked: false });
        }
        if let Some(left) = self.code_from.and_then(|from| left(from, now)) {
            return Err(Cause::Paused { left, why: Pause::OneTimeCode });
        }
        forget_before_window(&mut self.recent, now);
        let most = if is_visit { 1 } else { MOST };
        match self.recent.front().and_then(|first| left(*first + WINDOW, now)) {
            Some(left) if is_sign_in && self.recent.len() >= most => Err(Cause::Paused { left, why: Pause::SignIns }),
            _ => Ok(()),
        }
    }

    /// Counts a renewal before its time, unless there were too many.
    pub(super) fn gate_forced(&mut self, now: Instant) -> Result<(), Cause> {
        forget_before_window(&mut self.forced, now);
        match self.forced.front().and_then(|first| left(*first + WINDOW, now)) {
            Some(left) if self.forced.len() >= MOST_FORCED => Err(Cause::Paused { left, why: Pause::Renewals }),
            _ => {
                self.forced.push_back(now);
                Ok(())
            }
        }
    }

    /// Counts a sign-in that is about to be sent.
    pub(super) fn spent(&mut self, now: Instant) {
        self.recent.push_back(now);
    }

    /// Notes a refusal; whether it is another than the last one.
    pub(super) fn refused(&mut self, refusal: &Refusal, now: Instant) -> bool {
        let last = self.refused.take();
        let times = last.as_ref().map_or(0, |last| last.times);
        let until = now + jittered(doubled(FIRST_PAUSE, times, LONGEST_PAUSE));
        self.refused = Some(Refused { refusal: refusal.clone(), until, times: times.saturating_add(1) });
        (self.code_from, self.second_code) = (None, false);
        last.is_none_or(|last| last.refusal != *refusal)
    }

    /// A one-time code was wrong, perhaps at the edge of its half minute: whether
    /// the next one may be tried, which is allowed once.
    pub(super) fn may_try_next_code(&mut self, now: Instant, wait: Duration) -> bool {
        let may = !self.second_code;
        if may {
            (self.code_from, self.second_code) = (Some(now + wait), true);
        }
        may
    }

    pub(super) fn succeeded(&mut self) {
        (self.refused, self.code_from, self.second_code) = (None, None, false);
    }
}

fn forget_before_window(times: &mut VecDeque<Instant>, now: Instant) {
    while times.front().is_some_and(|first| now >= *first + WINDOW) {
        times.pop_front();
    }
}

fn left(until: Instant, now: Instant) -> Option<Duration> {
    Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_four_in_any_five_minutes() {
        let mut sign_ins = SignIns::default();
        let mut now = Instant::now();
        let mut sent: Vec<Instant> = Vec::new();
        for _ in 0..1000 {
            if sign_ins.gate(now, true, false).is_ok() {
                sign_ins.spent(now);
                sent.push(now);
            }
            assert!(sign_ins.gate(now, false, false).is_ok(), "a refresh is no sign-in");
            now += Duration::from_secs(fastrand::u64(0..40));
        }
        assert!(sent.len() > MOST);
        assert!(sign_ins.gate(sent[sent.len() - 1], true, true).is_err(), "a visit has one");
        for five in sent.windows(MOST + 1) {
            assert!(five[MOST] - five[0] >= WINDOW);
        }
    }

    #[test]
    fn tokens_that_are_refused_as_soon_as_they_are_given_are_not_renewed_for_ever() {
        let mut sign_ins = SignIns::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let renewed = (0..3600).filter(|second| sign_ins.gate_forced(at(*second)).is_ok()).count();
        assert_eq!(renewed, 12 * MOST_FORCED);
        assert!(matches!(sign_ins.gate_forced(at(3590)), Err(Cause::Paused { why: Pause::Renewals, .. })));
        assert!(sign_ins.gate(at(3590), false, false).is_ok(), "what is due is renewed all the same");
    }

    #[test]
    fn a_refusal_stands_for_a_pause_that_grows_and_is_told_until_it_changes() {
        let mut sign_ins = SignIns::default();
        let mut now = Instant::now();
        let wrong = Refusal::new("invalid_grant", false);
        for (i, minutes) in [5, 10, 20, 40, 80, 160, 320, 360, 360].into_iter().enumerate() {
            let pause = Duration::from_mins(minutes);
            assert_eq!(sign_ins.refused(&wrong, now), i == 0);
            assert!(matches!(
                sign_ins.gate(now + pause.mul_f64(0.79), true, false),
                Err(Cause::SignInRefused { asked: false, .. })
            ));
            now += pause;
            assert!(sign_ins.gate(now, true, false).is_ok());
        }
        assert!(sign_ins.refused(&Refusal::new("access_denied", false), now));
        sign_ins.succeeded();
        assert!(sign_ins.refused(&wrong, now));
        assert!(sign_ins.gate(now + Duration::from_mins(5), true, false).is_ok());
    }

    #[test]
    fn one_more_code_is_tried_and_no_third() {
        let mut sign_ins = SignIns::default();
        let (now, wait) = (Instant::now(), Duration::from_secs(7));
        assert!(sign_ins.may_try_next_code(now, wait));
        assert!(matches!(sign_ins.gate(now, true, false), Err(Cause::Paused { why: Pause::OneTimeCode, .. })));
        assert!(sign_ins.gate(now + wait, true, false).is_ok());
        assert!(!sign_ins.may_try_next_code(now + wait, wait));
    }
}
