//! A picture of jobs as metric families. Types without a label of their own are
//! summed up, so no job is missing from the sums over all types.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::core::Desc;
use prometheus::proto::MetricFamily;

use crate::core::histogram::{Histogram, RUN_BOUNDS, WAIT_BOUNDS};
use crate::core::job::{JobType, Pending};
use crate::core::view::{JobTypeView, JobsView};

use super::family::{Distribution, Family, seconds};
use super::labels::Labels;

const LISTED: Family<1> = Family::gauge(
    "peertube_jobs_listed",
    "Finished jobs that the instance still keeps in its lists; old ones are purged.",
    ["state"],
);
const PENDING: Family<2> = Family::gauge(
    "peertube_jobs_pending",
    "Jobs that have not finished; each is in one state only.",
    ["job_type", "state"],
);
const COMPLETED: Family<1> = Family::counter(
    "peertube_jobs_completed_total",
    "Jobs that completed, each counted once since tubewarden first ran.",
    ["job_type"],
);
const FAILED: Family<2> = Family::counter(
    "peertube_jobs_failed_total",
    "Jobs that failed, each counted once; cascade tells those that failed only because a child did.",
    ["job_type", "cascade"],
);
const UNACCOUNTED: Family<1> = Family::counter(
    "peertube_jobs_unaccounted_total",
    "Jobs that ended without being found in any list, or were purged unseen.",
    ["job_type"],
);
const RECOVERED: Family<1> = Family::counter(
    "peertube_jobs_recovered_total",
    "Jobs counted as unaccounted that turned up later after all.",
    ["job_type"],
);
const OLDEST_WAITING: Family<1> = Family::gauge(
    "peertube_job_oldest_waiting_timestamp_seconds",
    "When the job that has waited longest was due.",
    ["job_type"],
);
const OLDEST_ACTIVE: Family<1> = Family::gauge(
    "peertube_job_oldest_active_timestamp_seconds",
    "When the job that has run longest was started.",
    ["job_type"],
);
const WAIT: Family<1> = Family::histogram(
    "peertube_job_wait_seconds",
    "How long completed jobs of followed types waited, from due to started.",
    ["job_type"],
);
const RUN: Family<1> = Family::histogram(
    "peertube_job_run_seconds",
    "How long completed jobs of followed types ran, from started to finished.",
    ["job_type"],
);

pub(super) fn descs(instance: &str) -> prometheus::Result<Vec<Desc>> {
    let families = [COMPLETED, UNACCOUNTED, RECOVERED, OLDEST_WAITING, OLDEST_ACTIVE, WAIT, RUN, LISTED];
    let mut descs = vec![PENDING.desc(instance)?, FAILED.desc(instance)?];
    for family in families {
        descs.push(family.desc(instance)?);
    }
    Ok(descs)
}

/// What stays true whatever happens later: how many there were, and how long they
/// took.
pub(super) fn history<'a>(
    instance: &str,
    views: impl IntoIterator<Item = (&'a JobType, &'a JobTypeView)>,
    types: &Labels,
) -> Vec<MetricFamily> {
    let rows = rows(views, types);
    let count = |family: &Family<1>, pick: fn(&JobTypeView) -> u64| {
        family.samples(instance, rows.iter().map(|(label, row)| ([label.as_str()], sum(row, pick))))
    };
    // Of what is not followed nothing will ever be measured: that would be most of a scrape.
    let is_timed = |of: &&JobTypeView| of.is_followed || of.wait.total() + of.run.total() > 0;
    let timed = || rows.iter().filter(|(_, row)| row.iter().any(is_timed)).map(|(label, row)| (label.as_str(), row));
    vec![
        count(&COMPLETED, |of| of.completed),
        count(&UNACCOUNTED, |of| of.unaccounted),
        count(&RECOVERED, |of| of.recovered),
        FAILED.samples(
            instance,
            rows.iter().flat_map(|(label, row)| {
                [
                    ([label.as_str(), "false"], sum(row, |of| of.failed)),
                    ([label.as_str(), "true"], sum(row, |of| of.cascaded)),
                ]
            }),
        ),
        WAIT.distributions(
            instance,
            timed().map(|(label, row)| ([label], distribution(row, WAIT_BOUNDS, |of| &of.wait))),
        ),
        RUN.distributions(instance, timed().map(|(label, row)| ([label], distribution(row, RUN_BOUNDS, |of| &of.run)))),
    ]
}

/// What is so only as long as the picture is fresh.
pub(super) fn present(instance: &str, view: &JobsView, types: &Labels) -> Vec<MetricFamily> {
    let rows = rows(&view.types, types);
    let oldest = |family: &Family<1>, pick: fn(&JobTypeView) -> Option<Timestamp>| {
        let known = rows.iter().filter_map(|(label, row)| {
            row.iter().filter_map(|of| pick(of)).min().map(|at| ([label.as_str()], seconds(at)))
        });
        family.samples(instance, known)
    };
    vec![
        LISTED.samples(
            instance,
            [(["completed"], view.listed_completed as f64), (["failed"], view.listed_failed as f64)],
        ),
        PENDING.samples(
            instance,
            rows.iter().flat_map(|(label, row)| {
                pending(row).into_iter().map(|(state, count)| ([label.as_str(), state.as_str()], count as f64))
            }),
        ),
        oldest(&OLDEST_WAITING, |of| of.oldest_waiting),
        oldest(&OLDEST_ACTIVE, |of| of.oldest_active),
    ]
}

/// By label, all types that are shown under it.
type Rows<'a> = BTreeMap<String, Vec<&'a JobTypeView>>;

fn rows<'a>(views: impl IntoIterator<Item = (&'a JobType, &'a JobTypeView)>, types: &Labels) -> Rows<'a> {
    let mut rows = Rows::new();
    for (job_type, of) in views {
        rows.entry(types.of(&job_type.0)).or_default().push(of);
    }
    rows
}

fn sum(row: &[&JobTypeView], pick: fn(&JobTypeView) -> u64) -> f64 {
    row.iter().map(|of| pick(of)).sum::<u64>() as f64
}

fn pending(row: &[&JobTypeView]) -> BTreeMap<Pending, u64> {
    let mut all = BTreeMap::new();
    for (state, count) in row.iter().flat_map(|of| &of.pending) {
        *all.entry(*state).or_default() += count;
    }
    all
}

fn distribution(row: &[&JobTypeView], bounds: &[f64], pick: fn(&JobTypeView) -> &Histogram) -> Distribution {
    let mut all = Distribution { buckets: bounds.iter().map(|bound| (*bound, 0)).collect(), total: 0, sum: 0.0 };
    for histogram in row.iter().map(|of| pick(of)) {
        for (into, (_, count)) in all.buckets.iter_mut().zip(histogram.cumulated(bounds)) {
            into.1 += count;
        }
        all.total += histogram.total();
        all.sum += histogram.sum();
    }
    all
}
