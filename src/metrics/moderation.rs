//! What waits for moderators, as metric families. All labels are closed sets.

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;

use crate::core::view::ModerationView;

use super::family::{Family, seconds};

const PENDING: Family<1> = Family::gauge(
    "peertube_moderation_pending",
    "Reported abuses and requested registrations that wait for a moderator.",
    ["kind"],
);
const OLDEST: Family<1> = Family::gauge(
    "peertube_moderation_oldest_pending_timestamp_seconds",
    "When the one that waits longest was made; absent if none waits.",
    ["kind"],
);

pub(super) fn descs(instance: &str) -> prometheus::Result<Vec<Desc>> {
    Ok(vec![PENDING.desc(instance)?, OLDEST.desc(instance)?])
}

pub(super) fn present(instance: &str, view: &ModerationView) -> Vec<MetricFamily> {
    let counts = view.waiting.iter().map(|(kind, waiting)| ([*kind], waiting.count as f64));
    let oldest = view.waiting.iter().filter_map(|(kind, waiting)| Some(([*kind], seconds(waiting.oldest?))));
    vec![PENDING.samples(instance, counts), OLDEST.samples(instance, oldest)]
}
