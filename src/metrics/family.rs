//! Metric families written down from a picture rather than counted up. A family's
//! labels are part of its type, so a sample can't have too few or too many.

use std::collections::HashMap;

use jiff::Timestamp;
use prometheus::core::Desc;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// The label that every series of an instance carries.
pub(super) const INSTANCE: &str = "peertube_instance";

/// Name, meaning and labels of a family; `peertube_instance` comes on top.
#[derive(Debug)]
pub(super) struct Family<const N: usize> {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    labels: [&'static str; N],
}

/// Observations by upper bound, cumulated.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Distribution {
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) total: u64,
    pub(super) sum: f64,
}

impl<const N: usize> Family<N> {
    pub(super) const fn gauge(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, kind: MetricType::GAUGE, labels }
    }

    pub(super) const fn counter(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, kind: MetricType::COUNTER, labels }
    }

    pub(super) const fn histogram(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, kind: MetricType::HISTOGRAM, labels }
    }

    pub(super) fn desc(&self, instance: &str) -> prometheus::Result<Desc> {
        Desc::new(
            self.name.to_owned(),
            self.help.to_owned(),
            self.labels.iter().map(|label| (*label).to_owned()).collect(),
            HashMap::from([(INSTANCE.to_owned(), instance.to_owned())]),
        )
    }

    /// The family with one sample for each set of label values.
    pub(super) fn samples<'a>(
        &self,
        instance: &str,
        samples: impl IntoIterator<Item = ([&'a str; N], f64)>,
    ) -> MetricFamily {
        self.family(samples.into_iter().map(|(values, value)| {
            let mut metric = self.metric(instance, values);
            if self.kind == MetricType::COUNTER {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            metric
        }))
    }

    /// The family with one histogram for each set of label values.
    pub(super) fn distributions<'a>(
        &self,
        instance: &str,
        distributions: impl IntoIterator<Item = ([&'a str; N], Distribution)>,
    ) -> MetricFamily {
        self.family(distributions.into_iter().map(|(values, distribution)| {
            let mut metric = self.metric(instance, values);
            metric.set_histogram(histogram(&distribution));
            metric
        }))
    }

    fn family(&self, metrics: impl Iterator<Item = Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(metrics.collect());
        family
    }

    fn metric(&self, instance: &str, values: [&str; N]) -> Metric {
        let mut labels: Vec<LabelPair> =
            self.labels.iter().zip(values).map(|(name, value)| pair(name, value)).collect();
        labels.push(pair(INSTANCE, instance));
        labels.sort_by(|a, b| a.name().cmp(b.name()));
        Metric::from_label(labels)
    }
}

/// A time as metrics have it: seconds since the epoch, to the millisecond.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn histogram(distribution: &Distribution) -> Histogram {
    let mut histogram = Histogram::default();
    histogram.set_sample_count(distribution.total);
    histogram.set_sample_sum(distribution.sum);
    let buckets = distribution.buckets.iter().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(*count);
        bucket
    });
    histogram.set_bucket(buckets.collect());
    histogram
}
