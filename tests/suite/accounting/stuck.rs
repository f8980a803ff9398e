//! What was told as stuck, held against what really moved, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use peertube_sim::jobs::{Ended, Jobs, Move, NewFlow, NewJob, Restart, Version};
use serde_json::{Value, json};
use tubewarden::core::event::Origin;
use tubewarden::core::job::{JobType, Pending};
use tubewarden::core::job_told::Told;
use tubewarden::core::view::JobTypeView;

use super::watcher::Watcher;

/// The server's clock is told in whole seconds.
const GRAIN: SignedDuration = SignedDuration::from_secs(1);
/// Polls that a job is sought before it is unaccounted, and one more.
const SOUGHT: usize = 13;

fn moves<'a>(jobs: &'a Jobs, job_type: &'a JobType) -> impl Iterator<Item = &'a Move> {
    jobs.moves().iter().filter(|one| one.job_type == job_type.0)
}

/// Told though it was not so, too early, or once more.
pub(super) fn told_wrongly(watcher: &Watcher, jobs: &Jobs) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut periods = BTreeSet::new();
    for (i, (poll, told)) in watcher.stuck.iter().enumerate() {
        let (from, to) = watcher.spans[*poll];
        let how = told.stuck.unwrap();
        let ended = jobs.ended().iter().find(|ended| {
            ended.job_type == told.job_type.0
                && Some(&ended.id) == told.job_id.as_ref()
                && Some(ended.created_at) == told.created_at
        });
        let mut say = |what: &str| wrong.push(format!("{what}: {told:?}, by the poll {from} to {to}, {ended:?}"));
        if !periods.insert((&told.job_type, &told.job_id, how.state, how.since)) {
            say("twice");
        }
        if ended.is_some_and(|ended| ended.finished_on < from) {
            say("ended");
        }
        let limit = match how.state {
            Pending::Waiting => watcher.policy.stuck_waiting,
            _ => watcher.policy.stuck_active.of(&told.job_type).unwrap(),
        };
        if to.duration_since(how.since) <= limit || told.at > to {
            say("too early");
        }
        if how.state == Pending::Active {
            // Whoever began anew did so while the poll went on.
            let began = ended.and_then(|ended| ended.processed_on);
            if told.processed_at != Some(how.since) || began.is_some_and(|at| at != how.since && at < from) {
                say("began at another time");
            }
            continue;
        }
        // That it was delayed, between two polls, nobody could see.
        let delayed = |ended: &Ended| ended.due_at > how.since + GRAIN;
        let showed = |ended: &Ended| {
            watcher.spans.iter().any(|(from, _)| ended.created_at < *from && *from + GRAIN < ended.due_at)
        };
        if ended.is_some_and(|ended| delayed(ended) && showed(ended)) {
            say("before it was due");
        }
        // What began and ended before a poll could see it need not be on any page.
        let first_seen = watcher.spans.iter().find(|(from, _)| *from > how.since + GRAIN);
        let quiet_from = first_seen.map_or(how.since + GRAIN, |(_, seen)| *seen);
        if moves(jobs, &told.job_type).any(|one| quiet_from < one.at && one.at < from) {
            say("moved");
        }
        let last = moves(jobs, &told.job_type).take_while(|one| one.at < from).last();
        if last.is_some_and(|last| last.active > 0) {
            say("one was active");
        }
        let before = watcher.stuck[..i].iter().rev().find(|(_, before)| is_waiting(before, &told.job_type));
        if let Some((before, _)) = before
            && !moves(jobs, &told.job_type).any(|one| watcher.spans[*before].0 <= one.at && one.at < to)
        {
            say("again though nothing moved");
        }
    }
    wrong
}

/// Stuck for longer than the limit and the polls that it takes to see so, and not told.
pub(super) fn not_told(watcher: &Watcher, jobs: &Jobs) -> Vec<String> {
    let mut missing = Vec::new();
    let limit = watcher.policy.stuck_waiting;
    let begins_after = |at: Timestamp| watcher.spans.iter().position(|(from, _)| *from > at);
    for ended in jobs.ended() {
        let name = JobType::from(ended.job_type);
        // A parent waits for its children, and what was tried before may wait elsewhere.
        let is_plain = ended.id.parse::<u64>().is_ok() && ended.error.is_none();
        let Some(began) = ended.processed_on.filter(|_| is_plain) else { continue };
        // Until it began at last, nothing of its type moved since then.
        let quiet: Vec<&Move> = moves(jobs, &name).take_while(|one| one.at < began).collect();
        if quiet.last().is_some_and(|last| last.active > 0) {
            continue;
        }
        let since = quiet.last().map_or(ended.due_at, |last| last.at.max(ended.due_at));
        // A poll sees that it waits. Whoever is gone and not found has perhaps just moved, until
        // it is given up.
        let Some((_, seen)) = begins_after(since).and_then(|poll| watcher.spans.get(poll + SOUGHT)) else { continue };
        let Some(poll) = begins_after(*seen + limit + GRAIN) else { continue };
        // That it was delayed before, the first look can't see.
        let was_so_before = (since + limit).min(ended.created_at + limit) <= watcher.spans[0].1;
        // In a list longer than a page, a type that was never seen waits for its turn.
        let waits = |other: &&Ended| other.due_at < began && other.processed_on.is_none_or(|at| at >= began);
        let is_hidden = quiet.is_empty() && jobs.ended().iter().filter(waits).count() > 100;
        if watcher.spans[poll].1 >= began || was_so_before || is_hidden {
            continue;
        }
        // Once for the type: perhaps of a job that was due before this one.
        let in_period = |told: &Told| quiet.last().is_none_or(|last| told.stuck.unwrap().since + GRAIN >= last.at);
        let is_told = watcher.stuck.iter().any(|(by, told)| *by <= poll && is_waiting(told, &name) && in_period(told));
        if !is_told {
            missing.push(format!("{name} {} stuck from {since} to {began}", ended.id));
        }
    }
    missing.truncate(5);
    missing
}

fn is_waiting(told: &Told, name: &JobType) -> bool {
    told.job_type == *name && told.stuck.is_some_and(|how| how.state == Pending::Waiting)
}

/// A world of a few jobs, polled each 30 seconds.
struct Story {
    jobs: Jobs,
    watcher: Watcher,
}

impl Story {
    fn new() -> Self {
        let jobs = Jobs::new(1, "2026-11-24T06:00:00Z".parse().unwrap(), Version::V8_2);
        Self { jobs, watcher: Watcher::default() }
    }

    /// Polls for so long; what was told as stuck meanwhile.
    fn pass(&mut self, minutes: u64) -> Vec<Told> {
        let before = self.watcher.stuck.len();
        for _ in 0..2 * minutes {
            self.jobs.advance_to(self.jobs.now() + Duration::from_secs(30));
            assert!(self.watcher.poll(&mut self.jobs, Duration::ZERO, None));
            // What is told is remembered.
            self.watcher.restart();
        }
        self.watcher.stuck[before..].iter().map(|(_, told)| told.clone()).collect()
    }

    fn add(&mut self, count: usize, job: &NewJob) {
        for _ in 0..count {
            self.jobs.add(job.clone());
        }
    }

    fn view(&self, name: &str) -> JobTypeView {
        self.watcher.memory.view().types[&JobType::from(name)].clone()
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// State, count and minute of each.
fn said(told: &[Told]) -> Vec<(&'static str, Option<u64>, i64)> {
    let start: Timestamp = "2026-11-24T06:00:00Z".parse().unwrap();
    let of = |told: &Told| {
        let how = told.stuck.unwrap();
        (how.state.as_str(), how.count, told.at.duration_since(start).as_mins())
    };
    told.iter().map(of).collect()
}

fn id(told: &Told) -> String {
    told.to_event(&Origin { name: "main".into(), url: "https://x".into() }, Value::Null).id
}

#[test]
fn a_type_whose_workers_hang_is_told_once_and_again_after_it_moved() {
    let mut story = Story::new();
    story.pass(1);
    story.jobs.pause();
    let video = json!({ "videoUUID": "a09a616c" });
    story.add(1, &NewJob::new("video-import").data(video));
    assert_eq!(story.pass(10), []);
    story.add(4, &NewJob::new("video-import"));
    assert_eq!(story.pass(20), [], "not for longer than the limit");
    let first = story.pass(60);
    assert_eq!(said(&first), [("waiting", Some(5), 31)]);
    assert_eq!(first[0].payload.video_uuid.as_deref(), Some("a09a616c"));
    assert_eq!(first[0].job_id.as_deref(), Some("1"));
    let since = first[0].stuck.unwrap().since;
    assert_eq!(story.view("video-import").oldest_waiting, Some(since), "the gauge tells the same");

    story.jobs.resume();
    assert_eq!(story.pass(1), []);
    assert_eq!(story.view("video-import").oldest_waiting, None);
    story.jobs.pause();
    story.add(2, &NewJob::new("video-import"));
    let second = story.pass(90);
    assert_eq!(said(&second), [("waiting", Some(2), 122)]);
    assert_ne!(id(&first[0]), id(&second[0]));
    assert_eq!(story.watcher.memory.stuck_at_first(), Some(0));
}

#[test]
fn long_lists_are_told_too_whether_followed_or_only_counted() {
    for (job, count) in [
        (NewJob::new("activitypub-http-unicast"), 300),
        (NewJob::new("email"), 300),
        (NewJob::new("video-import").priority(5), 300),
    ] {
        let mut story = Story::new();
        story.pass(1);
        story.jobs.pause();
        story.add(count, &job);
        assert_eq!(said(&story.pass(60)), [("waiting", Some(300), 31)], "{}", job.job_type);
        let oldest = story.view(job.job_type).oldest_waiting.unwrap();
        assert_eq!(oldest.to_string(), "2026-11-24T06:01:00Z");
    }
}

#[test]
fn a_backlog_that_hides_some_of_its_jobs_is_told_too() {
    let mut story = Story::new();
    story.pass(1);
    story.jobs.pause();
    for turn in 0..1_000_u64 {
        let job = NewJob::new("video-transcoding").priority(100 + turn * 7_919 % 1_000);
        story.jobs.add_flow(job.into());
        story.jobs.advance_to(story.jobs.now() + Duration::from_millis(37));
    }
    let told = story.pass(60);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].stuck.unwrap().count, Some(1_000));
}

#[test]
fn a_job_that_runs_too_long_is_told_once_for_each_start() {
    let mut story = Story::new();
    story.pass(1);
    story.add(1, &NewJob::new("create-user-export").run(minutes(600)));
    story.add(1, &NewJob::new("video-transcoding").run(minutes(600)));
    assert_eq!(story.pass(120), []);
    let first = story.pass(60);
    assert_eq!(said(&first), [("active", None, 121)]);
    assert_eq!(first[0].processed_at, Some(first[0].stuck.unwrap().since));
    assert_eq!(story.view("create-user-export").oldest_active, first[0].processed_at);

    // What is killed runs again from the beginning.
    story.jobs.restart(Restart::Killed, Duration::from_secs(20));
    let second = story.pass(240);
    assert_eq!(said(&second), [("active", None, 301)]);
    assert_ne!(id(&first[0]), id(&second[0]));
    assert_eq!(story.watcher.stuck.len(), 2);
}

#[test]
fn what_was_stuck_at_the_first_look_is_counted_and_not_told() {
    let mut story = Story::new();
    story.add(1, &NewJob::new("create-user-export").run(minutes(600)));
    story.jobs.pause();
    story.add(40, &NewJob::new("video-import"));
    story.add(150, &NewJob::new("activitypub-http-unicast"));
    story.jobs.advance_to(story.jobs.now() + minutes(150));
    assert_eq!(story.pass(200), []);
    assert_eq!(story.watcher.memory.stuck_at_first(), Some(191));
}

#[test]
fn what_waits_by_design_is_never_stuck() {
    let mut story = Story::new();
    story.pass(1);
    story.jobs.add_recurring(minutes(120), NewJob::new("videos-stats"));
    story.add(1, &NewJob::new("video-redundancy").delay(minutes(120)));
    // Each attempt fails at once, and the next is minutes away.
    story.add(1, &NewJob::new("email").backoff(minutes(40)).fails(2));
    // Two parents wait for a job of another type.
    let long = NewJob::new("video-transcoding").run(minutes(180));
    let parent = NewFlow::new(NewJob::new("notify")).child(long);
    story.jobs.add_flow(NewFlow::new(NewJob::new("federate-video")).child(parent));
    assert_eq!(story.pass(300), []);
    assert_eq!(story.view("federate-video").completed, 1);
    assert_eq!(story.view("email").completed, 1);
}
