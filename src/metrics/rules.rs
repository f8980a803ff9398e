//! What rules and schedules did and owe: the series of the label `rule`, for each one
//! that is configured from 0 on.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::core::rule::ActionKind;

use super::family::{INSTANCE, seconds};
use super::labels::label;

const BOUNDS: &[f64] = &[0.05, 0.25, 1.0, 5.0, 15.0, 30.0];
/// Script values beyond this many are not shown.
const MOST_VALUES: usize = 64;

/// What became of something that a rule was to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    Ok,
    Retry,
    Dead,
    Limited,
    Deduplicated,
    Stale,
}

impl Delivered {
    const ALL: [Self; 6] = [Self::Ok, Self::Retry, Self::Dead, Self::Limited, Self::Deduplicated, Self::Stale];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Retry => "retry",
            Self::Dead => "dead",
            Self::Limited => "limited",
            Self::Deduplicated => "deduplicated",
            Self::Stale => "stale",
        }
    }
}

/// The vectors of all rules and schedules. Clones share all.
#[derive(Debug, Clone)]
pub struct RuleMetrics {
    deliveries: IntCounterVec,
    duration: HistogramVec,
    pending: IntGaugeVec,
    dead: IntGaugeVec,
    oldest: GaugeVec,
    errors: IntCounterVec,
    runs: IntCounterVec,
    last_success: GaugeVec,
    values: GaugeVec,
    counts: IntCounterVec,
    names: std::sync::Arc<Mutex<Vec<[String; 3]>>>,
}

impl RuleMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let all = Self {
            deliveries: IntCounterVec::new(
                Opts::new("tubewarden_deliveries_total", "What became of what rules were to act on."),
                &["rule", "action", "result"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new("tubewarden_delivery_duration_seconds", "How long tries took.")
                    .buckets(BOUNDS.to_vec()),
                &["rule", "action"],
            )?,
            pending: IntGaugeVec::new(
                Opts::new("tubewarden_deliveries_pending", "Deliveries that are owed."),
                &["rule"],
            )?,
            dead: IntGaugeVec::new(Opts::new("tubewarden_deliveries_dead", "Deliveries given up."), &["rule"])?,
            oldest: GaugeVec::new(
                Opts::new(
                    "tubewarden_delivery_oldest_pending_timestamp_seconds",
                    "Since when the oldest delivery is owed; absent when there is none.",
                ),
                &["rule"],
            )?,
            errors: IntCounterVec::new(
                Opts::new("tubewarden_rule_errors_total", "Conditions and scripts of a rule that failed."),
                &["rule"],
            )?,
            runs: IntCounterVec::new(
                Opts::new("tubewarden_schedule_runs_total", "Runs of schedules that ended."),
                &[INSTANCE, "schedule", "result"],
            )?,
            last_success: GaugeVec::new(
                Opts::new(
                    "tubewarden_schedule_last_success_timestamp_seconds",
                    "When a schedule last ran with success.",
                ),
                &[INSTANCE, "schedule"],
            )?,
            values: GaugeVec::new(
                Opts::new("tubewarden_script_value", "What a script set."),
                &[INSTANCE, "rule", "name"],
            )?,
            counts: IntCounterVec::new(
                Opts::new("tubewarden_script_count_total", "What a script counted."),
                &[INSTANCE, "rule", "name"],
            )?,
            names: std::sync::Arc::default(),
        };
        registry.register(Box::new(all.deliveries.clone()))?;
        registry.register(Box::new(all.duration.clone()))?;
        registry.register(Box::new(all.pending.clone()))?;
        registry.register(Box::new(all.dead.clone()))?;
        registry.register(Box::new(all.oldest.clone()))?;
        registry.register(Box::new(all.errors.clone()))?;
        registry.register(Box::new(all.runs.clone()))?;
        registry.register(Box::new(all.last_success.clone()))?;
        registry.register(Box::new(all.values.clone()))?;
        registry.register(Box::new(all.counts.clone()))?;
        Ok(all)
    }

    /// Begins to measure a rule or a schedule: what is counted exists at 0.
    pub fn begin(&self, rule: &str, action: ActionKind) {
        for result in Delivered::ALL {
            self.deliveries.with_label_values(&[&label(rule), action.as_str(), result.as_str()]);
        }
        self.duration.with_label_values(&[&label(rule), action.as_str()]);
        self.errors.with_label_values(&[&label(rule)]);
        self.owes(rule, 0, 0, None);
    }

    /// It is gone, and so are its series.
    pub fn end(&self, rule: &str, action: ActionKind) {
        let rule = label(rule);
        // An error says that there is none, which is as wanted.
        for result in Delivered::ALL {
            let _none = self.deliveries.remove_label_values(&[&rule, action.as_str(), result.as_str()]);
        }
        let _none = self.duration.remove_label_values(&[&rule, action.as_str()]);
        let _none = self.errors.remove_label_values(&[&rule]);
    }

    /// There is no such rule any more, and nothing that it owed.
    pub fn owes_no_more(&self, rule: &str) {
        let rule = label(rule);
        for of_rule in [&self.pending, &self.dead] {
            let _none = of_rule.remove_label_values(&[&rule]);
        }
        let _none = self.oldest.remove_label_values(&[&rule]);
    }

    /// Likewise a schedule's runs for an instance.
    pub fn begin_runs(&self, instance: &str, schedule: &str) {
        for result in ["ok", "error"] {
            self.runs.with_label_values(&[&label(instance), &label(schedule), result]);
        }
    }

    pub fn delivered(&self, rule: &str, action: ActionKind, result: Delivered, count: u64) {
        self.deliveries.with_label_values(&[&label(rule), action.as_str(), result.as_str()]).inc_by(count);
    }

    pub fn tried(&self, rule: &str, action: ActionKind, took: Duration) {
        self.duration.with_label_values(&[&label(rule), action.as_str()]).observe(took.as_secs_f64());
    }

    pub fn failed(&self, rule: &str) {
        self.errors.with_label_values(&[&label(rule)]).inc();
    }

    pub fn owes(&self, rule: &str, pending: u64, dead: u64, oldest: Option<Timestamp>) {
        let rule = label(rule);
        self.pending.with_label_values(&[&rule]).set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.dead.with_label_values(&[&rule]).set(i64::try_from(dead).unwrap_or(i64::MAX));
        match oldest {
            Some(at) => self.oldest.with_label_values(&[&rule]).set(seconds(at)),
            // An error here says that there was none, which is as wanted.
            None => drop(self.oldest.remove_label_values(&[&rule])),
        }
    }

    pub fn ran(&self, instance: &str, schedule: &str, ok: bool, at: Timestamp) {
        let (instance, schedule) = (label(instance), label(schedule));
        let result = if ok { "ok" } else { "error" };
        self.runs.with_label_values(&[instance.as_str(), schedule.as_str(), result]).inc();
        if ok {
            self.last_success.with_label_values(&[&instance, &schedule]).set(seconds(at));
        }
    }

    /// A script's own value. Whether there is room for it.
    pub fn set_value(&self, instance: &str, rule: &str, name: &str, value: f64) -> bool {
        let labels = self.admit(instance, rule, name);
        if let Some(labels) = &labels {
            self.values.with_label_values(&labels.each_ref().map(String::as_str)).set(value);
        }
        labels.is_some()
    }

    pub fn drop_value(&self, instance: &str, rule: &str, name: &str) {
        let labels = [instance, rule, name].map(label);
        drop(self.values.remove_label_values(&labels.each_ref().map(String::as_str)));
    }

    pub fn count_value(&self, instance: &str, rule: &str, name: &str, by: u64) -> bool {
        let labels = self.admit(instance, rule, name);
        if let Some(labels) = &labels {
            self.counts.with_label_values(&labels.each_ref().map(String::as_str)).inc_by(by);
        }
        labels.is_some()
    }

    /// Room for each name of each rule, up to a bound for all rules of an instance.
    fn admit(&self, instance: &str, rule: &str, name: &str) -> Option<[String; 3]> {
        let labels = [instance, rule, name].map(label);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(&labels) {
            let of_this = names.iter().filter(|known| known[0] == labels[0]).count();
            if of_this >= MOST_VALUES {
                return None;
            }
            names.push(labels.clone());
        }
        Some(labels)
    }
}
