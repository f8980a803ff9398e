//! When what scripts set as metrics expires: a value that nobody renews goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::metrics::RuleMetrics;

/// Instance, rule and name, with the time until which the value holds. Clones share all.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(Arc<Mutex<BTreeMap<[String; 3], Timestamp>>>);

impl Values {
    pub(super) fn expire(&self, instance: &str, rule: &str, name: &str, now: Timestamp, ttl: Duration) {
        let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
        let at = now.saturating_add(ttl).unwrap_or(Timestamp::MAX);
        self.lock().insert([instance, rule, name].map(str::to_owned), at);
    }

    /// Takes away what has expired by now.
    pub(super) fn sweep(&self, now: Timestamp, metrics: &RuleMetrics) {
        self.lock().retain(|[instance, rule, name], at| {
            let holds = now < *at;
            if !holds {
                metrics.drop_value(instance, rule, name);
            }
            holds
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[String; 3], Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
