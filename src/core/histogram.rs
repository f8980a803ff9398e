//! Histograms that outlive the process: their counts are part of what a poll
//! remembers, so a restart neither loses nor repeats an observation.

use serde::{Deserialize, Serialize};

/// How long jobs run. The last bound is PeerTube's own limit of a transcode.
pub const RUN_BOUNDS: &[f64] = &[
    0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0,
    172_800.0,
];

/// How long jobs wait.
pub const WAIT_BOUNDS: &[f64] =
    &[0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0, 259_200.0];

/// How long a video takes from its creation until it is first ready.
pub const READY_BOUNDS: &[f64] = &[10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0];

/// Observations by upper bound; `counts[i]` are those in the i-th bucket alone,
/// not yet cumulated, and what is above the last bound is only in `total`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: f64,
}

impl Histogram {
    /// Adds one observation in seconds. `bounds` must be the same at each call.
    pub fn observe(&mut self, bounds: &[f64], seconds: f64) {
        self.counts.resize(bounds.len(), 0);
        if let Some(count) = bounds.iter().position(|bound| seconds <= *bound).and_then(|i| self.counts.get_mut(i)) {
            *count += 1;
        }
        self.total += 1;
        self.sum += seconds;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Cumulated counts, one for each of `bounds`.
    pub fn cumulated(&self, bounds: &[f64]) -> Vec<(f64, u64)> {
        let mut below = 0;
        bounds
            .iter()
            .enumerate()
            .map(|(i, bound)| {
                below += self.counts.get(i).copied().unwrap_or(0);
                (*bound, below)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_above_counts_in_the_total_alone() {
        let mut histogram = Histogram::default();
        for seconds in [0.5, 1.0, 1.5, 99.0] {
            histogram.observe(&[1.0, 2.0], seconds);
        }
        assert_eq!(histogram.cumulated(&[1.0, 2.0]), [(1.0, 2), (2.0, 3)]);
        assert_eq!((histogram.total(), histogram.sum()), (4, 102.0));
        assert_eq!(Histogram::default().cumulated(&[1.0]), [(1.0, 0)]);
    }
}
