//! Whether the daemon lives, and how that is told in a line. Pure: it is told the time
//! and what is seen.
//!
//! Lateness is measured by the time that passes, and only while it is seen: neither a
//! wall clock that is set nor a machine that slept makes a poll hang.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::core::poll::PollKind;
use crate::poll::{Doing, Vitals};

/// How long a poll may show no sign of life, and as many of its requests' limits: all
/// that goes on between two ends of requests has much shorter limits of its own.
const HUNG_AFTER: Duration = Duration::from_secs(600);
const HUNG_AFTER_REQUESTS: u32 = 40;

/// What is seen at one time.
pub(super) struct Picture<'a> {
    pub(super) state_answers: bool,
    pub(super) polls: &'a [Arc<Vitals>],
}

/// Looks again and again whether something hangs.
pub(super) struct Watcher {
    hung_after: Option<Duration>,
    /// Polls that should have begun, the instant that they missed, and since when that
    /// is seen.
    late: BTreeMap<(usize, PollKind), (Timestamp, Instant)>,
}

impl Watcher {
    pub(super) fn new(hung_after: Option<Duration>) -> Self {
        Self { hung_after, late: BTreeMap::new() }
    }

    /// What hangs, if anything does.
    pub(super) fn look(&mut self, picture: &Picture<'_>, now: Instant, clock: Timestamp) -> Option<String> {
        let mut trouble = (!picture.state_answers).then(|| "the state does not answer".to_owned());
        for (place, vitals) in picture.polls.iter().enumerate() {
            let patience =
                self.hung_after.unwrap_or_else(|| HUNG_AFTER.max(vitals.timeout().saturating_mul(HUNG_AFTER_REQUESTS)));
            for kind in PollKind::ALL {
                let doing = vitals.doing(kind);
                let since = match doing {
                    Doing::Running { since } => Some(since),
                    Doing::Waiting { due } if due <= clock => Some(self.late_since((place, kind), due, now)),
                    Doing::Waiting { .. } | Doing::Queued => None,
                };
                if !matches!(doing, Doing::Waiting { .. }) || since.is_none() {
                    self.late.remove(&(place, kind));
                }
                if since.is_some_and(|since| now.saturating_duration_since(since) > patience) {
                    trouble.get_or_insert_with(|| format!("the poll {kind} of {} hangs", vitals.instance()));
                }
            }
        }
        trouble
    }

    fn late_since(&mut self, poll: (usize, PollKind), due: Timestamp, now: Instant) -> Instant {
        let late = self.late.entry(poll).or_insert((due, now));
        if late.0 != due {
            *late = (due, now);
        }
        late.1
    }
}

/// The line that `systemctl status` shows. It stands until the next one, also when the
/// daemon hangs, so it says when, not how long ago.
pub(super) fn status(picture: &Picture<'_>, trouble: Option<&str>) -> String {
    let down = picture.polls.iter().filter(|vitals| vitals.is_down()).count();
    let mut line = match picture.polls.len() {
        1 => "1 instance".to_owned(),
        many => format!("{many} instances"),
    };
    if down > 0 {
        line += &format!(", {down} down");
    }
    match picture.polls.iter().filter_map(|vitals| vitals.last_ended()).max() {
        Some(at) => line += &format!(", last poll {at:.0}"),
        None => line += ", no poll yet",
    }
    match trouble {
        Some(trouble) => format!("{trouble}; {line}"),
        None => line,
    }
}

#[cfg(test)]
mod tests;
