//! A row that can't be read for long: what it costs, and that it hides no other job.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use peertube_sim::jobs::{Jobs, Version};
use peertube_sim::traffic::Traffic;
use tubewarden::core::job::JobKey;

use super::watcher::{Odd, Watcher, judge};

const SEED: u64 = 5;
const EVERY: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

fn start() -> Timestamp {
    "2026-11-24T06:00:00.250Z".parse().unwrap()
}

fn busy() -> Jobs {
    let mut jobs = Jobs::new(SEED, start(), Version::V8_2);
    Traffic::Mixed.fill(&mut jobs, start(), 150 * MINUTE, SEED);
    jobs
}

fn watch(watcher: &mut Watcher, jobs: &mut Jobs, until: Timestamp) {
    while jobs.now() < until {
        jobs.advance_to(jobs.now() + EVERY);
        assert!(watcher.poll(jobs, Duration::ZERO, None));
    }
}

/// A transcode that ends when the instance was watched for ten minutes, and when.
fn some_job() -> (JobKey, Timestamp) {
    let mut jobs = busy();
    jobs.advance_to(start() + 30 * MINUTE);
    let mut ended = jobs.ended().iter();
    let is_it = |job_type, at: Timestamp| job_type == "video-transcoding" && at > start() + 10 * MINUTE;
    let job = ended.find(|ended| is_it(ended.job_type, ended.finished_on)).unwrap();
    (JobKey { job_type: job.job_type.into(), id: job.id.clone(), created_at: job.created_at }, job.finished_on)
}

/// What was told wrong, but for a job that can't be read.
fn wrong(watcher: &Watcher, jobs: &Jobs) -> Vec<String> {
    let verdict = judge(watcher, jobs);
    let odd = watcher.odd.as_ref().map(|odd| odd.job.id.as_str());
    let missed = verdict.missed.into_iter().filter(|missed| odd.is_none_or(|id| !missed.contains(id)));
    let others = [verdict.twice, verdict.invented, verdict.wrong, verdict.untold_gaps].concat();
    let unaccounted = (verdict.unaccounted > 0).then(|| format!("{} unaccounted", verdict.unaccounted));
    missed.chain(others).chain(unaccounted).collect()
}

/// Whether it shows its type or not, of which depends whose lists are read again.
fn odd(job: &JobKey) -> impl Iterator<Item = Odd> {
    [true, false].into_iter().map(|shows_type| Odd { job: job.clone(), shows_type })
}

#[test]
fn a_row_that_is_never_readable_hides_no_other_and_costs_little() {
    let (job, ended_at) = some_job();
    let (mut jobs, mut plain) = (busy(), Watcher::default());
    watch(&mut plain, &mut jobs, ended_at + 120 * MINUTE);
    for odd in odd(&job) {
        let (mut jobs, mut watcher) = (busy(), Watcher { odd: Some(odd), ..Watcher::default() });
        watch(&mut watcher, &mut jobs, ended_at + 120 * MINUTE);
        assert_eq!(wrong(&watcher, &jobs), Vec::<String>::new());
        assert!(!watcher.told.iter().any(|told| told.job_id.as_ref() == Some(&job.id)));
        let (asked, usual) = (watcher.questions, plain.questions);
        println!("{asked} questions in {} polls instead of {usual}", watcher.polls);
        assert!(asked <= 2 * usual, "{asked} questions instead of {usual}");
    }
}

#[test]
fn a_row_that_can_be_read_within_the_hour_is_told_after_all() {
    let (job, ended_at) = some_job();
    for odd in odd(&job) {
        let (mut jobs, mut watcher) = (busy(), Watcher { odd: Some(odd), ..Watcher::default() });
        let healed_at = ended_at + SignedDuration::from_mins(50);
        watch(&mut watcher, &mut jobs, healed_at);
        assert!(!watcher.told.iter().any(|told| told.job_id.as_ref() == Some(&job.id)));
        watcher.odd = None;
        watch(&mut watcher, &mut jobs, healed_at + 2 * EVERY);
        assert_eq!(watcher.told.iter().filter(|told| told.job_id.as_ref() == Some(&job.id)).count(), 1);
        assert_eq!(wrong(&watcher, &jobs), Vec::<String>::new());
    }
}
