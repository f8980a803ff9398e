//! How an instance is opened, by the daemon and by a single round alike.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{self, Config, When};
use crate::core::poll::PollKind;
use crate::core::rights::Needs;
use crate::metrics::{Build, InstanceMetrics, Metrics, MetricsError};
use crate::poll::Instance;
use crate::rules::Rules;
use crate::store::Store;

/// Which program this is.
pub(super) const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    revision: match option_env!("TUBEWARDEN_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    },
};

/// What measures an instance: what did before, if the instance was only changed.
pub(super) fn measured(
    instance: &config::Instance,
    metrics: &Metrics,
    before: Option<InstanceMetrics>,
) -> Result<InstanceMetrics, MetricsError> {
    let has_account = instance.account.is_some();
    let kinds = PollKind::ALL.map(|kind| {
        let is_on = has_account || kind.needs() == Needs::Nothing;
        (kind, interval(instance.polls.when(kind)), is_on)
    });
    match before {
        Some(before) => {
            before.polls(&kinds);
            Ok(before)
        }
        None => metrics.instance(&instance.origin.name, &kinds),
    }
}

pub(super) async fn open(
    instance: &config::Instance,
    config: &Config,
    store: &Arc<Store>,
    metrics: InstanceMetrics,
    rules: &Arc<Rules>,
    rights_last: Option<Duration>,
) -> anyhow::Result<Arc<Instance>> {
    let opened = Instance::open(instance, config, store.clone(), metrics, rules.clone()).await?;
    Ok(Arc::new(match rights_last {
        Some(rights_last) => opened.with_rights_last(rights_last),
        None => opened,
    }))
}

/// How far apart two runs are; of a cron line, the next two.
pub fn interval(when: &When) -> Duration {
    match when {
        When::Every(every) => *every,
        When::Cron(cron) => {
            let first = cron.next_after(Timestamp::now());
            let second = first.and_then(|first| cron.next_after(first));
            first.zip(second).map_or(Duration::ZERO, |(first, second)| second.duration_since(first).unsigned_abs())
        }
    }
}
