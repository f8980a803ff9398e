//! All that is measured, and the only place that names the prometheus crate's
//! types. Every series of an instance belongs to that instance's handle, so that
//! they appear together and go together.

mod family;
mod instance;
mod jobs;
mod labels;
mod moderation;
mod observed;
mod openmetrics;
mod own;
mod rules;
mod runners;
mod state;
mod stats;
mod videos;

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Gauge, IntGauge, Opts, Registry, TextEncoder};

use crate::core::poll::PollKind;

use self::instance::Instance;

pub use self::instance::InstanceMetrics;
pub use self::rules::{Delivered, RuleMetrics};
pub use self::state::StateMetrics;

/// Why something could not be measured or shown.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("register the daemon's own metrics")]
    Register(#[source] prometheus::Error),
    #[error("register the metrics of the instance {instance}; two instances must not share a name")]
    RegisterInstance {
        instance: String,
        #[source]
        source: prometheus::Error,
    },
    #[error("write the metrics as text")]
    Encode(#[source] prometheus::Error),
}

/// What was built: labels of `tubewarden_build_info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    pub version: &'static str,
    pub revision: &'static str,
}

/// The formats that a scraper can be answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Every metric of the process. Clones share all.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    rules: RuleMetrics,
    state: StateMetrics,
    reload_successful: IntGauge,
    reload_success_at: Gauge,
}

impl Metrics {
    pub fn new(build: Build) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        register_process(&registry, build).map_err(MetricsError::Register)?;
        let rules = RuleMetrics::new(&registry).map_err(MetricsError::Register)?;
        let state = StateMetrics::new(&registry).map_err(MetricsError::Register)?;
        let (reload_successful, reload_success_at) = register_reload(&registry).map_err(MetricsError::Register)?;
        Ok(Self { registry, rules, state, reload_successful, reload_success_at })
    }

    /// The configuration was read.
    pub fn reloaded(&self, ok: bool, at: Timestamp) {
        self.reload_successful.set(i64::from(ok));
        if ok {
            self.reload_success_at.set(family::seconds(at));
        }
    }

    /// What rules and schedules did and owe.
    pub fn rules(&self) -> &RuleMetrics {
        &self.rules
    }

    /// How the state fares.
    pub fn state(&self) -> &StateMetrics {
        &self.state
    }

    /// Begins to measure an instance: what is counted exists at 0 from here on.
    /// Each poll comes with its interval and whether it is switched on.
    pub fn instance(&self, name: &str, polls: &[(PollKind, Duration, bool)]) -> Result<InstanceMetrics, MetricsError> {
        let failed = |source| MetricsError::RegisterInstance { instance: name.to_owned(), source };
        let instance = Instance::new(name, polls).map_err(failed)?;
        self.registry.register(Box::new(instance.clone())).map_err(failed)?;
        Ok(InstanceMetrics::new(self.registry.clone(), instance))
    }

    /// All metrics, as they are now.
    pub fn render(&self, format: Format) -> Result<String, MetricsError> {
        let families = self.registry.gather();
        match format {
            Format::Text => TextEncoder::new().encode_to_string(&families).map_err(MetricsError::Encode),
            Format::OpenMetrics => Ok(openmetrics::encode(&families)),
        }
    }
}

fn register_reload(registry: &Registry) -> prometheus::Result<(IntGauge, Gauge)> {
    let successful = IntGauge::new(
        "tubewarden_config_last_reload_successful",
        "Whether the configuration was right when it was last read.",
    )?;
    let at = Gauge::new(
        "tubewarden_config_last_reload_success_timestamp_seconds",
        "When a right configuration was last read.",
    )?;
    registry.register(Box::new(successful.clone()))?;
    registry.register(Box::new(at.clone()))?;
    Ok((successful, at))
}

fn register_process(registry: &Registry, build: Build) -> prometheus::Result<()> {
    let info = IntGauge::with_opts(
        Opts::new("tubewarden_build_info", "What runs: the version and the revision that it was built from.")
            .const_label("version", build.version)
            .const_label("revision", build.revision),
    )?;
    info.set(1);
    registry.register(Box::new(info))?;
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(())
}

#[cfg(test)]
mod tests;
