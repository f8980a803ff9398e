//! What exact polling costs, and what plain polling loses, for each kind of traffic:
//! `cargo run --release --example traffic`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that prints a table")]

#[path = "../tests/suite/accounting/watcher.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod watcher;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{Jobs, ListQuery, Version};
use peertube_sim::traffic::Traffic;
use watcher::{Watcher, judge};

const HOUR: Duration = Duration::from_secs(3600);

struct Case {
    name: &'static str,
    traffic: Traffic,
    every: u64,
    outage: Option<u64>,
}

fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    let case = |name, traffic, every, outage| Case { name, traffic, every, outage };
    let cases = [
        case("quiet", Traffic::Quiet, 30, None),
        case("mixed", Traffic::Mixed, 30, None),
        case("federation in bursts of 200", Traffic::FederationBursts, 30, None),
        case("federation 10/s", Traffic::FederationSteady, 30, None),
        case("the same, 10 min outage", Traffic::FederationSteady, 30, Some(10)),
        case("backlog of transcodes", Traffic::TranscodeBacklog, 30, None),
        case("the same at 60 s, 20 min outage", Traffic::TranscodeBacklog, 60, Some(20)),
        case("heavy transcodes", Traffic::HeavyTranscodes, 30, None),
        case("the same, 20 min outage", Traffic::HeavyTranscodes, 30, Some(20)),
    ];
    println!(
        "| an hour of | seed | plain: missed, rows a poll | missed of followed | told twice | unaccounted | counts wrong | questions a poll | rows a poll |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let only = std::env::var("ONLY").ok();
    for case in cases.iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only))) {
        for seed in 1..=seeds {
            run(case, seed);
        }
    }
}

fn run(case: &Case, seed: u64) {
    let start: Timestamp = "2026-11-24T06:00:00.250Z".parse().unwrap();
    let mut jobs = Jobs::new(seed, start, Version::V8_2);

    // Lists as on a server that has run for a while, where that is asked for.
    let warm = if std::env::var_os("WARM").is_some() { HOUR } else { Duration::ZERO };
    case.traffic.fill(&mut jobs, start, warm + HOUR, seed);
    jobs.advance_to(start + warm);
    let end = start + warm + HOUR;
    let mut watcher = Watcher::default();
    let mut plain = Plain::default();
    let outage = case.outage.map(|minutes| {
        let from = start + warm + Duration::from_secs(20 * 60);
        from..from + Duration::from_secs(minutes * 60)
    });
    let mut at = start + warm + Duration::from_secs(30);
    while at < end + Duration::from_secs(600) {
        jobs.advance_to(at);
        if !outage.as_ref().is_some_and(|outage| outage.contains(&at)) {
            plain.poll(&jobs, at < end);
            watcher.poll(&mut jobs, Duration::from_millis(20), None);
        }
        at += Duration::from_secs(case.every);
        if at >= end && jobs.next_at().is_none() {
            break;
        }
    }
    let verdict = judge(&watcher, &jobs);
    let began = watcher.spans[0].1;
    let policy = watcher::policy();
    let plain_missed = jobs
        .ended()
        .iter()
        .filter(|job| job.finished_on >= began && policy.follows(&job.job_type.into()))
        .filter(|job| !plain.seen.contains(&(job.job_type, job.id.clone(), job.created_at)))
        .count();
    let per = |sum: u64| sum as f64 / (watcher.polls - 1) as f64;
    println!(
        "| {} | {seed} | {plain_missed}, {:.0} | {} of {} | {} | {} | {} | {:.1} | {:.0} |",
        case.name,
        plain.rows as f64 / plain.polls as f64,
        verdict.missed.len(),
        verdict.followed,
        verdict.twice.len(),
        verdict.unaccounted,
        verdict.miscounted.len(),
        per(watcher.questions),
        per(watcher.rows),
    );
    if std::env::var_os("DETAILS").is_some() {
        println!("{verdict:?}");
        let mut asked: Vec<_> = watcher.asked.iter().collect();
        asked.sort_by_key(|(_, (_, rows))| std::cmp::Reverse(*rows));
        for (what, (questions, rows)) in asked.into_iter().take(12) {
            println!("    {what}: {:.2} questions, {:.0} rows", per(*questions), per(*rows));
        }
    }
}

/// Polling the first page of completed and of failed jobs.
#[derive(Default)]
struct Plain {
    seen: HashSet<(&'static str, String, Timestamp)>,
    rows: u64,
    polls: u64,
}

impl Plain {
    fn poll(&mut self, jobs: &Jobs, counted: bool) {
        for state in ["failed", "completed"] {
            let query = ListQuery { state: Some(state), count: 100, ..ListQuery::default() };
            let listing = jobs.list(&query).unwrap();
            self.rows += if counted { listing.rows_read } else { 0 };
            self.seen.extend(listing.rows.into_iter().map(|row| (row.job_type, row.id, row.created_at)));
        }
        self.polls += u64::from(counted);
    }
}
