use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::*;
use crate::jobs::{ListQuery, Restart, Version};

fn start() -> Timestamp {
    Timestamp::from_millisecond(1_795_000_000_000).unwrap()
}

/// Followed as the product does by default.
fn is_followed(job_type: &str) -> bool {
    let counted = [
        "federate-video",
        "notify",
        "manage-video-torrent",
        "videos-stats",
        "videos-views-stats",
        "transcoding-job-builder",
    ];
    !job_type.starts_with("activitypub-") && !counted.contains(&job_type)
}

/// How many jobs ended in an hour, and how many of them are followed.
fn hour_of(traffic: Traffic, version: Version, seed: u64) -> (Jobs, usize, usize) {
    let mut jobs = Jobs::new(seed, start(), version);
    traffic.fill(&mut jobs, start(), HOUR, seed);
    let delayed = jobs.list(&ListQuery { state: Some("delayed"), ..ListQuery::default() }).unwrap().total;
    assert_eq!(delayed, 12, "recurring jobs stand in delayed");
    jobs.advance_to(start() + SignedDuration::from_hours(1));
    let followed = jobs.ended().iter().filter(|job| is_followed(job.job_type)).count();
    let all = jobs.ended().len();
    (jobs, all, followed)
}

#[test]
fn each_traffic_is_as_busy_as_it_says() {
    for (traffic, all, followed) in [
        (Traffic::Quiet, 50..75, 35..60),
        (Traffic::Mixed, 14_000..16_000, 600..740),
        (Traffic::FederationBursts, 89_000..90_500, 340..430),
        (Traffic::FederationSteady, 36_000..37_500, 300..380),
        (Traffic::TranscodeBacklog, 4_400..4_800, 880..1_120),
        (Traffic::HeavyTranscodes, 11_200..12_600, 4_000..5_400),
    ] {
        let (_, ended, of_followed) = hour_of(traffic, Version::V6_3, 1);
        assert!(all.contains(&ended), "{traffic:?}: {ended} ended");
        assert!(followed.contains(&of_followed), "{traffic:?}: {of_followed} of followed types ended");
    }
}

/// How many of followed types a poll of the first hundred completed and failed each
/// half minute never sees.
fn missed_by_plain_polls(traffic: Traffic, seed: u64) -> (usize, usize) {
    let mut jobs = Jobs::new(seed, start(), Version::V6_3);
    traffic.fill(&mut jobs, start(), HOUR, seed);
    let mut seen = BTreeSet::new();
    for poll in 1..=120 {
        jobs.advance_to(start() + SignedDuration::from_secs(30 * poll));
        for state in ["completed", "failed"] {
            let query = ListQuery { state: Some(state), count: 100, ..ListQuery::default() };
            let listing = jobs.list(&query).unwrap();
            seen.extend(listing.rows.into_iter().map(|row| (row.job_type, row.id, row.created_at)));
        }
    }
    let followed: Vec<_> = jobs.ended().iter().filter(|job| is_followed(job.job_type)).collect();
    let missed = followed.iter().filter(|job| !seen.contains(&(job.job_type, job.id.clone(), job.created_at)));
    (missed.count(), followed.len())
}

#[test]
fn plain_polls_miss_little_of_a_quiet_hour_and_much_of_a_busy_one() {
    assert_eq!(missed_by_plain_polls(Traffic::Quiet, 1).0, 0);
    for (traffic, least) in [
        (Traffic::Mixed, 10),
        (Traffic::FederationBursts, 50),
        (Traffic::FederationSteady, 50),
        (Traffic::TranscodeBacklog, 30),
        (Traffic::HeavyTranscodes, 30),
    ] {
        let (missed, of) = missed_by_plain_polls(traffic, 1);
        assert!(missed * 100 > of * least, "{traffic:?}: only {missed} of {of} missed");
    }
}

#[test]
fn a_backlog_keeps_hundreds_waiting() {
    let (jobs, ..) = hour_of(Traffic::TranscodeBacklog, Version::V8_2, 2);
    let query = ListQuery { state: Some("prioritized"), ..ListQuery::default() };
    let waiting = jobs.list(&query).unwrap().total;
    assert!((50..900).contains(&waiting), "{waiting} wait");
}

#[test]
fn random_work_is_small_and_the_same_for_the_same_seed() {
    let truth = |seed| {
        let mut jobs = Jobs::new(seed, start(), Version::V8_2);
        random(&mut jobs, start(), HOUR, seed);
        jobs.advance_to(start() + SignedDuration::from_hours(2));
        jobs.take_ended()
    };
    for seed in 0..20 {
        let ended = truth(seed);
        assert_eq!(ended, truth(seed));
        assert!((5..8_000).contains(&ended.len()), "{}", ended.len());
    }
}

fn total(jobs: &Jobs, state: Option<&str>) -> usize {
    let listing = jobs.list(&ListQuery { state, count: 0, ..ListQuery::default() }).unwrap();
    listing.total.try_into().unwrap()
}

#[test]
fn whatever_befalls_the_server_every_job_ends_or_is_lost() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let version = rng.choice([Version::QuickStart, Version::V6_3, Version::V8_2]).unwrap();
        let mut jobs = Jobs::new(seed, start(), version);
        random(&mut jobs, start(), HOUR, seed);
        for minute in 1..=60 {
            jobs.advance_to(start() + SignedDuration::from_mins(minute));
            match rng.u32(..100) {
                0 => jobs.flush(),
                1..=2 => jobs.restart(Restart::Graceful, Duration::from_secs(rng.u64(..90))),
                3..=5 => jobs.restart(Restart::Killed, Duration::from_secs(rng.u64(..90))),
                _ => {}
            }
        }
        // Long enough for every retry and heavy tail, short of the next day's purge.
        jobs.advance_to(start() + SignedDuration::from_hours(30));

        for state in ["active", "waiting"] {
            assert_eq!(total(&jobs, Some(state)), 0, "seed {seed}: {state}");
        }
        let delayed = ListQuery { state: Some("delayed"), count: 100, ..ListQuery::default() };
        let delayed = jobs.list(&delayed).unwrap();
        assert!(delayed.rows.iter().all(|row| row.id.starts_with("repeat:")), "seed {seed}");
        let kept = jobs.ended().iter().filter(|job| job.left_at.is_none()).count();
        assert_eq!(total(&jobs, None), kept + delayed.rows.len(), "seed {seed}");
        let keys: BTreeSet<_> = jobs.ended().iter().map(|job| (job.job_type, &job.id, job.created_at)).collect();
        assert_eq!(keys.len(), jobs.ended().len(), "seed {seed}: no key twice");
    }
}

#[test]
fn a_type_alone_is_told_exactly_where_the_reply_covers_its_list() {
    for seed in 0..50 {
        let mut jobs = Jobs::new(seed, start(), Version::V8_2);
        random(&mut jobs, start(), HOUR, seed);
        jobs.advance_to(start() + SignedDuration::from_mins(40));
        for job_type in jobs.types() {
            let alone = ListQuery { state: Some("completed"), job_type: Some(job_type), ..ListQuery::default() };
            let kept = jobs.list(&ListQuery { count: 0, ..alone }).unwrap().total;
            let mut truth: Vec<_> = jobs.ended().iter().filter(|job| job.job_type == *job_type).collect();
            truth.retain(|job| job.left_at.is_none() && !job.outcome.is_failure());
            assert_eq!(kept as usize, truth.len());

            truth.sort_by_key(|job| job.created_at);
            for oldest_first in [false, true] {
                let last = ListQuery { start: kept.saturating_sub(100), count: 100, oldest_first, ..alone };
                let told: Vec<_> = jobs.list(&last).unwrap().rows.iter().map(|row| row.created_at).collect();
                let mut expected: Vec<_> = truth.iter().map(|job| job.created_at).collect();
                if !oldest_first {
                    expected.reverse();
                }
                assert_eq!(told, expected[expected.len().saturating_sub(100)..], "seed {seed}: {job_type}");
            }
        }
    }
}
