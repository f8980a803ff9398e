//! What a daemon should have told, by the simulated instance's own account of what
//! happened, and by the documented defaults of what is told.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::World;
use peertube_sim::jobs::{Ended, Outcome, Version};
use peertube_sim::limits::Limits;
use peertube_sim::traffic::Traffic;
use peertube_sim::videos::What;
use serde_json::Value;

use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::poll::PollKind;

use super::harness::{Scrape, Watch};

/// The ends of jobs.
const ENDS: [EventKind; 4] =
    [EventKind::JobCompleted, EventKind::JobFailed, EventKind::JobCascaded, EventKind::JobCancelled];

/// What an event of a job tells: what, type, id, creation.
pub(super) type Job = (EventKind, String, String, Timestamp);

/// An instance that was busy for a while, at a moment when no job has ended for some
/// seconds: so it is clear what ends after the first look at it.
pub(super) fn busy(seed: u64) -> World {
    busy_from(seed, Timestamp::now() - Duration::from_secs(1_200))
}

/// The same, busy for ten minutes from `start` on.
pub(super) fn busy_from(seed: u64, start: Timestamp) -> World {
    let mut world = World::new(seed, start, Version::V8_2);
    world.limits = Limits::none();
    let period = Duration::from_secs(600);
    Traffic::Mixed.fill(&mut world.jobs, start, period, seed);
    world.advance(period);
    while world.jobs.ended().last().is_some_and(|last| last.finished_on + Duration::from_secs(3) > world.now()) {
        world.advance(Duration::from_secs(1));
    }
    world
}

/// Jobs that are to be told one by one, of those that ended after `since`.
pub(super) fn jobs_to_tell(world: &World, since: Timestamp) -> BTreeMap<Job, usize> {
    let kind = |ended: &Ended| match ended.outcome {
        Outcome::Completed => EventKind::JobCompleted,
        Outcome::Failed => EventKind::JobFailed,
        Outcome::Cascaded => EventKind::JobCascaded,
        Outcome::Cancelled => EventKind::JobCancelled,
    };
    let told = ended_after(world, since).filter(|ended| match ended.outcome {
        Outcome::Completed => !is_only_counted(ended.job_type),
        _ => !ended.job_type.starts_with("activitypub-"),
    });
    tallied(told.map(|ended| (kind(ended), ended.job_type.to_owned(), ended.id.clone(), ended.created_at)))
}

/// The ends of jobs among events.
pub(super) fn jobs_told(events: &[Event]) -> BTreeMap<Job, usize> {
    tallied(events.iter().filter(|event| ENDS.contains(&event.kind)).map(job_of))
}

/// The job that an event is about.
pub(super) fn job_of(event: &Event) -> Job {
    let text = |key: &str| event.data[key].as_str().unwrap_or_default().to_owned();
    (event.kind, text("job_type"), text("job_id"), text("created_at").parse().unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The job that an event in its written form is about, if it tells the end of one.
pub(super) fn job_key(event: &Value) -> Option<Job> {
    let kind = EventKind::parse(event["type"].as_str()?).filter(|kind| ENDS.contains(kind))?;
    let text = |key: &str| Some(event["data"][key].as_str()?.to_owned());
    Some((kind, text("job_type")?, text("job_id")?, text("created_at")?.parse().ok()?))
}

/// Every job by type and by how it ended.
pub(super) fn jobs_to_count(world: &World, since: Timestamp) -> BTreeMap<(String, &'static str), usize> {
    tallied(ended_after(world, since).map(|ended| {
        let how = match ended.outcome {
            Outcome::Completed => "completed",
            Outcome::Failed | Outcome::Cancelled => "failed",
            Outcome::Cascaded => "cascaded",
        };
        (ended.job_type.to_owned(), how)
    }))
}

/// The same, as a scrape has it.
pub(super) fn jobs_counted(scrape: &Scrape) -> BTreeMap<(String, &'static str), usize> {
    let completed = scrape.0.named("peertube_jobs_completed_total").map(|(labels, count)| (labels, "completed", count));
    let failed = scrape.0.named("peertube_jobs_failed_total").map(|(labels, count)| {
        let how = if labels["cascade"] == "true" { "cascaded" } else { "failed" };
        (labels, how, count)
    });
    let all = completed.chain(failed).filter(|(_, _, count)| *count > 0.0);
    all.map(|(labels, how, count)| ((labels["job_type"].clone(), how), count as usize)).collect()
}

/// Local videos that were first published after `since`.
pub(super) fn videos_to_tell(world: &World, since: Timestamp) -> BTreeMap<String, usize> {
    let truth = world.videos.truth().iter();
    let published = truth.filter(|told| told.what == What::Published && told.first && told.local && told.at > since);
    tallied(published.map(|told| told.uuid.clone()))
}

pub(super) fn videos_told(events: &[Event]) -> BTreeMap<String, usize> {
    let published = events.iter().filter(|event| event.kind == EventKind::VideoPublished);
    tallied(published.map(|event| event.subject.clone().unwrap()))
}

/// Polls an instance that stands still until everything of it is known, and no longer
/// than it may take: what the first page of completed jobs hides is asked for in turn,
/// type by type, and what is counted by numbers is exact to the next poll.
pub(super) async fn poll_until_known(
    watch: &Watch,
    jobs: &BTreeMap<Job, usize>,
    counts: &BTreeMap<(String, &'static str), usize>,
) {
    let mut left = 40;
    loop {
        let told = jobs_told(&watch.events().await);
        let counted = jobs_counted(&watch.scrape().await);
        if told == *jobs && counted == *counts {
            return;
        }
        left -= 1;
        assert!(left > 0, "told: {}\ncounted: {}", difference(&told, jobs), difference(&counted, counts));
        watch.poll("main", PollKind::Jobs).await;
    }
}

/// What is missing or too much, in a few lines.
fn difference<K: Ord + std::fmt::Debug>(told: &BTreeMap<K, usize>, truth: &BTreeMap<K, usize>) -> String {
    let all = truth.keys().chain(told.keys().filter(|key| !truth.contains_key(key)));
    let count = |of: &BTreeMap<K, usize>, key: &K| of.get(key).copied().unwrap_or(0);
    let wrong = all.filter(|key| count(told, key) != count(truth, key));
    wrong.map(|key| format!("\n{key:?}: {} instead of {}", count(told, key), count(truth, key))).take(20).collect()
}

fn ended_after(world: &World, since: Timestamp) -> impl Iterator<Item = &Ended> {
    world.jobs.ended().iter().filter(move |ended| ended.finished_on > since)
}

/// The default of `count_only`.
fn is_only_counted(job_type: &str) -> bool {
    let names = [
        "federate-video",
        "notify",
        "manage-video-torrent",
        "videos-stats",
        "videos-views-stats",
        "transcoding-job-builder",
        "actor-keys",
        "build-automatic-tags",
    ];
    job_type.starts_with("activitypub-") || names.contains(&job_type)
}

fn tallied<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut all = BTreeMap::new();
    for key in keys {
        *all.entry(key).or_default() += 1;
    }
    all
}
