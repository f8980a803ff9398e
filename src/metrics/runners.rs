//! A picture of remote runners as metric families. What their jobs add to the counters
//! of all jobs is in `jobs.rs`.

use std::collections::BTreeMap;

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;

use crate::core::view::RunnersView;

use super::family::{Family, seconds};
use super::labels::Labels;

const JOBS: Family<2> = Family::gauge(
    "peertube_runner_jobs",
    "Jobs of remote runners that have not finished, by state.",
    ["job_type", "state"],
);
const LAST_CONTACT: Family<1> = Family::gauge(
    "peertube_runner_last_contact_timestamp_seconds",
    "When a remote runner last asked for a job or spoke of one; an idle one has no reason to.",
    ["runner"],
);

pub(super) fn descs(instance: &str) -> prometheus::Result<Vec<Desc>> {
    Ok(vec![JOBS.desc(instance)?, LAST_CONTACT.desc(instance)?])
}

/// What is so only as long as the picture is fresh. Of runners without a label of
/// their own, the last contact of any is shown.
pub(super) fn present(instance: &str, view: &RunnersView, types: &Labels, names: &Labels) -> Vec<MetricFamily> {
    let mut jobs: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for (job_type, states) in &view.jobs {
        for (state, count) in states {
            *jobs.entry((types.of(&job_type.0), state.as_str())).or_default() += count;
        }
    }
    let mut contacts = BTreeMap::new();
    for (name, at) in &view.last_contact {
        let last = contacts.entry(names.of(name)).or_insert(*at);
        *last = (*last).max(*at);
    }
    vec![
        JOBS.samples(
            instance,
            jobs.iter().map(|((job_type, state), count)| ([job_type.as_str(), *state], *count as f64)),
        ),
        LAST_CONTACT.samples(instance, contacts.iter().map(|(name, at)| ([name.as_str()], seconds(*at)))),
    ]
}
