//! How the daemon itself fares: its state, and its defects.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::core::fault::Fault;
use crate::panics;

/// Clones share all.
#[derive(Debug, Clone)]
pub struct StateMetrics {
    writable: IntGauge,
    errors: IntCounterVec,
}

impl StateMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let writable = IntGauge::new(
            "tubewarden_state_writable",
            "Whether the state takes what is written, as far as that is known.",
        )?;
        writable.set(1);
        let errors = IntCounterVec::new(
            Opts::new("tubewarden_state_errors_total", "What failed with the state, by what is wrong with it."),
            &["error"],
        )?;
        for fault in Fault::ALL {
            errors.with_label_values(&[fault.as_str()]);
        }
        registry.register(Box::new(writable.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(Panics(panics()?)))?;
        Ok(Self { writable, errors })
    }

    pub fn writable(&self, is_writable: bool) {
        self.writable.set(is_writable.into());
    }

    /// So many failures by now.
    pub fn failures(&self, fault: Fault, count: u64) {
        let errors = self.errors.with_label_values(&[fault.as_str()]);
        errors.inc_by(count.saturating_sub(errors.get()));
    }
}

/// The count of panics, which are told before anything of the metrics is there.
struct Panics(IntCounter);

fn panics() -> prometheus::Result<IntCounter> {
    IntCounter::new("tubewarden_panics_total", "Tasks that panicked, each by a defect of tubewarden.")
}

impl Collector for Panics {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(now) = panics() else { return Vec::new() };
        now.inc_by(panics::count());
        now.collect()
    }
}
