//! What was last seen of an instance: the source of `peertube_*`. A picture is
//! replaced whole, so a series that is not in it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;

use crate::core::poll::PollKind;
use crate::core::stats::Stats;
use crate::core::view::{JobsView, ModerationView, RunnersView, UpdatesView, VideosView};

use super::family::Family;
use super::labels::{Labels, label};
use super::{jobs, moderation, runners, stats, videos};

const UP: Family<0> = Family::gauge("peertube_up", "Whether the last request to the instance got a proper answer.", []);
const INFO: Family<1> = Family::gauge("peertube_info", "The version that the instance runs.", ["version"]);
const UPDATE: Family<0> = Family::gauge(
    "peertube_update_available",
    "Whether the instance has heard of a newer version of PeerTube than it runs.",
    [],
);
const PLUGIN_UPDATE: Family<1> = Family::gauge(
    "peertube_plugin_update_available",
    "Whether there is a newer version of a plugin or theme than the one installed.",
    ["plugin"],
);

/// The state of one instance's pictures.
#[derive(Debug, Default)]
pub(super) struct Observed {
    up: Option<bool>,
    version: Option<String>,
    jobs: Option<Arc<JobsView>>,
    job_types: Labels,
    videos: Option<Arc<VideosView>>,
    moderation: Option<Arc<ModerationView>>,
    updates: UpdatesView,
    plugins: Labels,
    stats: Option<Arc<Stats>>,
    runners: Option<Arc<RunnersView>>,
    runner_names: Labels,
    stale: BTreeSet<PollKind>,
}

pub(super) fn descs(instance: &str) -> prometheus::Result<Vec<Desc>> {
    let mut descs =
        vec![UP.desc(instance)?, INFO.desc(instance)?, UPDATE.desc(instance)?, PLUGIN_UPDATE.desc(instance)?];
    descs.extend(jobs::descs(instance)?);
    descs.extend(videos::descs(instance)?);
    descs.extend(moderation::descs(instance)?);
    descs.extend(stats::descs(instance)?);
    descs.extend(runners::descs(instance)?);
    Ok(descs)
}

impl Observed {
    pub(super) fn set_up(&mut self, up: bool) {
        self.up = Some(up);
    }

    pub(super) fn set_version(&mut self, version: &str) {
        self.version = Some(label(version));
    }

    pub(super) fn set_jobs(&mut self, view: Arc<JobsView>) {
        for job_type in view.types.keys() {
            self.job_types.admit(&job_type.0);
        }
        self.jobs = Some(view);
    }

    pub(super) fn set_videos(&mut self, view: Arc<VideosView>) {
        self.videos = Some(view);
    }

    pub(super) fn set_moderation(&mut self, view: Arc<ModerationView>) {
        self.moderation = Some(view);
    }

    pub(super) fn set_updates(&mut self, view: UpdatesView) {
        for package in view.plugins.keys() {
            self.plugins.admit(package);
        }
        self.updates = view;
    }

    pub(super) fn set_stats(&mut self, stats: Arc<Stats>) {
        self.stats = Some(stats);
    }

    pub(super) fn set_runners(&mut self, view: Arc<RunnersView>) {
        for job_type in view.types.keys() {
            self.job_types.admit(&job_type.0);
        }
        for name in view.last_contact.keys() {
            self.runner_names.admit(name);
        }
        self.runners = Some(view);
    }

    /// What the poll told of the present is no longer shown, until it succeeds again.
    pub(super) fn set_stale(&mut self, poll: PollKind) {
        self.stale.insert(poll);
    }

    pub(super) fn set_fresh(&mut self, poll: PollKind) {
        self.stale.remove(&poll);
    }

    pub(super) fn families(&self, instance: &str) -> Vec<MetricFamily> {
        let fresh = |poll| !self.stale.contains(&poll);
        let mut families = vec![UP.samples(instance, self.up.map(|up| ([], f64::from(up))))];
        if fresh(PollKind::Config) {
            families.push(INFO.samples(instance, self.version.iter().map(|version| ([version.as_str()], 1.0))));
            families.push(UPDATE.samples(instance, self.updates.server.map(|update| ([], f64::from(update)))));
            families.push(self.plugin_updates(instance));
        }
        // A type that both the instance and its runners work on is one series.
        let own = self.jobs.iter().flat_map(|view| &view.types);
        let remote = self.runners.iter().flat_map(|view| &view.types);
        families.extend(jobs::history(instance, own.chain(remote), &self.job_types));
        if let Some(view) = self.jobs.as_ref().filter(|_| fresh(PollKind::Jobs)) {
            families.extend(jobs::present(instance, view, &self.job_types));
        }
        if let Some(view) = self.runners.as_ref().filter(|_| fresh(PollKind::Runners)) {
            families.extend(runners::present(instance, view, &self.job_types, &self.runner_names));
        }
        if let Some(view) = &self.videos {
            families.extend(videos::history(instance, view));
            if fresh(PollKind::VideosFull) {
                families.push(videos::counts(instance, view));
            }
            if fresh(PollKind::Videos) {
                families.push(videos::passing(instance, view));
            }
        }
        if let Some(view) = self.moderation.as_ref().filter(|_| fresh(PollKind::Moderation)) {
            families.extend(moderation::present(instance, view));
        }
        if let Some(stats) = self.stats.as_ref().filter(|_| fresh(PollKind::Stats)) {
            families.extend(stats::present(instance, stats));
        }
        families
    }

    /// Those that are summed up as other have an update if one of them has.
    fn plugin_updates(&self, instance: &str) -> MetricFamily {
        let mut updates = BTreeMap::<String, bool>::new();
        for (package, update) in &self.updates.plugins {
            *updates.entry(self.plugins.of(package)).or_default() |= update;
        }
        PLUGIN_UPDATE.samples(instance, updates.iter().map(|(plugin, update)| ([plugin.as_str()], f64::from(*update))))
    }
}
