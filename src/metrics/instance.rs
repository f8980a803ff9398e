//! Everything measured about one instance, as one collector: registered once, and
//! unregistered with every series it ever had.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::core::event::EventKind;
use crate::core::poll::PollKind;
use crate::core::stats::Stats;
use crate::core::view::{JobsView, ModerationView, RunnersView, UpdatesView, VideosView};

use super::observed::{self, Observed};
use super::own::Own;

/// The handle of one instance's metrics. Clones share all.
#[derive(Debug, Clone)]
pub struct InstanceMetrics {
    registry: Registry,
    instance: Instance,
}

impl InstanceMetrics {
    pub(super) fn new(registry: Registry, instance: Instance) -> Self {
        Self { registry, instance }
    }

    /// The picture of jobs as just committed.
    pub fn jobs(&self, view: Arc<JobsView>) {
        self.instance.observed().set_jobs(view);
    }

    /// The picture of videos as just committed.
    pub fn videos(&self, view: Arc<VideosView>) {
        self.instance.observed().set_videos(view);
    }

    /// The picture of moderation as just committed.
    pub fn moderation(&self, view: Arc<ModerationView>) {
        self.instance.observed().set_moderation(view);
    }

    pub fn updates(&self, view: UpdatesView) {
        self.instance.observed().set_updates(view);
    }

    /// What the instance counted last.
    pub fn stats(&self, stats: Arc<Stats>) {
        self.instance.observed().set_stats(stats);
    }

    /// The picture of remote runners as just committed.
    pub fn runners(&self, view: Arc<RunnersView>) {
        self.instance.observed().set_runners(view);
    }

    /// Whether the last request got an answer as a PeerTube gives it.
    pub fn up(&self, up: bool) {
        self.instance.observed().set_up(up);
    }

    pub fn version(&self, version: &str) {
        self.instance.observed().set_version(version);
    }

    /// Takes that poll's gauges away until it next succeeds. Counters, histograms
    /// and the times of what happened stay.
    pub fn stale(&self, poll: PollKind) {
        self.instance.observed().set_stale(poll);
    }

    /// A request ended: with an HTTP status, or what stands in its place.
    pub fn requested(&self, endpoint: &str, code: &str, took: Duration) {
        self.instance.own().requested(endpoint, code, took);
    }

    /// Rows of an answer could not be read.
    pub fn passed_over(&self, endpoint: &str, rows: u64) {
        self.instance.own().passed_over(endpoint, rows);
    }

    /// A poll ended. A success makes its gauges fresh again.
    pub fn polled(&self, poll: PollKind, ok: bool, took: Duration, at: Timestamp) {
        self.instance.own().polled(poll, ok, took, at);
        if ok {
            self.instance.observed().set_fresh(poll);
        }
    }

    /// Each poll comes with its interval and whether it is switched on.
    pub fn polls(&self, polls: &[(PollKind, Duration, bool)]) {
        self.instance.own().begin(polls);
    }

    pub fn poll_enabled(&self, poll: PollKind, enabled: bool) {
        self.instance.own().poll_enabled(poll, enabled);
    }

    /// New tokens were asked for, by `password` or `refresh_token`.
    pub fn granted(&self, grant: &str, ok: bool) {
        self.instance.own().granted(grant, ok);
    }

    pub fn token_expiry(&self, access: Option<Timestamp>, refresh: Option<Timestamp>) {
        self.instance.own().token_expiry("access", access);
        self.instance.own().token_expiry("refresh", refresh);
    }

    /// `None` without an account.
    pub fn signed_in(&self, signed_in: Option<bool>) {
        self.instance.own().signed_in(signed_in);
    }

    pub fn told(&self, kind: EventKind) {
        self.instance.own().told(kind);
    }

    /// The instance is gone from the configuration, and so are all of its series.
    /// What clones of this handle still tell is no longer shown.
    pub fn remove(self) {
        if let Err(error) = self.registry.unregister(Box::new(self.instance)) {
            tracing::debug!(error = &error as &dyn std::error::Error, "metrics of an instance were removed before");
        }
    }
}

/// The collector: shared by the registry and all handles.
#[derive(Debug, Clone)]
pub(super) struct Instance(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    name: String,
    own: Own,
    observed: Mutex<Observed>,
    observed_descs: Vec<Desc>,
}

impl Instance {
    pub(super) fn new(name: &str, polls: &[(PollKind, Duration, bool)]) -> prometheus::Result<Self> {
        Ok(Self(Arc::new(Parts {
            name: name.to_owned(),
            own: Own::new(name, polls)?,
            observed: Mutex::default(),
            observed_descs: observed::descs(name)?,
        })))
    }

    fn own(&self) -> &Own {
        &self.0.own
    }

    fn observed(&self) -> MutexGuard<'_, Observed> {
        self.0.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Instance {
    fn desc(&self) -> Vec<&Desc> {
        let mut descs = self.own().descs();
        descs.extend(&self.0.observed_descs);
        descs
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.own().families();
        families.extend(self.observed().families(&self.0.name));
        families
    }
}
