//! Every job is told once, whatever happens: random histories of an instance, polled
//! by the pure core, held against what really happened.

mod set_back;
mod stuck;
mod types;
mod unread;
pub(crate) mod watcher;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use peertube_sim::jobs::{Jobs, Restart, Version};
use peertube_sim::traffic;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use watcher::{Watcher, judge};

/// What befalls both sides of one history.
#[derive(Debug, Clone)]
struct History {
    seed: u64,
    version: bool,
    /// Seconds between two polls.
    every: u64,
    /// Milliseconds between two questions of a poll.
    pause: u64,
    /// For each poll in turn: whether it is missed, cut short, or follows a restart of
    /// the daemon.
    polls: Vec<Fate>,
    server_restart: Option<(u64, bool)>,
    flush: Option<u64>,
    /// From when, and for how long, no worker takes a job.
    pause_workers: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Poll,
    Outage,
    CutShort(u64),
    Restarted,
}

const MINUTES: u64 = 30;

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        20 => Just(Fate::Poll),
        2 => Just(Fate::Outage),
        2 => (0..12_u64).prop_map(Fate::CutShort),
        2 => Just(Fate::Restarted),
    ];
    prop::collection::vec(fate, 1..60)
}

fn histories(with_flush: bool) -> impl Strategy<Value = History> {
    let flush = if with_flush { (1..MINUTES * 60).prop_map(Some).boxed() } else { Just(None).boxed() };
    let restart = prop::option::of((1..MINUTES * 60, any::<bool>()));
    (any::<u64>(), any::<bool>(), 5..90_u64, 0..300_u64, fates(), restart, flush).prop_map(
        |(seed, version, every, pause, polls, server_restart, flush)| History {
            seed,
            version,
            every,
            pause,
            polls,
            server_restart,
            flush,
            pause_workers: None,
        },
    )
}

fn live(history: &History) -> (Jobs, Watcher) {
    let start: Timestamp = "2026-11-24T06:00:00.250Z".parse().unwrap();
    let version = if history.version { Version::V8_2 } else { Version::V6_3 };
    let mut jobs = Jobs::new(history.seed, start, version);
    let period = Duration::from_secs(MINUTES * 60);
    traffic::random(&mut jobs, start, period, history.seed);
    let mut watcher = Watcher::default();
    watcher.policy.stuck_waiting = SignedDuration::from_mins(4);
    watcher.policy.stuck_active.default = SignedDuration::from_mins(5);
    watcher.policy.stuck_active.by_type.clear();
    let pause = Duration::from_millis(history.pause);
    let mut restart = history.server_restart;
    let mut flush = history.flush;
    let end = start + period;
    let mut fates = history.polls.iter().copied().cycle();
    let mut at = start + Duration::from_secs(7);
    let mut calm = 0;
    let mut flushed = false;
    while calm < 45 && at < end + 2 * period {
        jobs.advance_to(at);
        let elapsed = at.duration_since(start).unsigned_abs().as_secs();
        if let Some((when, killed)) = restart
            && elapsed >= when
        {
            restart = None;
            jobs.restart(if killed { Restart::Killed } else { Restart::Graceful }, Duration::from_secs(20));
        }
        // Without anything listed before, nothing could tell that it was emptied.
        let view = watcher.memory.view();
        let listed = view.listed_completed + view.listed_failed > 0;
        if flush.is_some_and(|when| elapsed >= when) && listed {
            flush = None;
            jobs.flush();
            flushed = true;
        }
        let pauses = history.pause_workers.filter(|(from, length)| (*from..from + length).contains(&elapsed));
        if pauses.is_some() {
            jobs.pause()
        } else {
            jobs.resume()
        }
        calm += u32::from(at >= end && flush.is_none() && pauses.is_none());
        // Emptied and grown again beyond what it was, while nobody looked, it could not be
        // told from one that only grew.
        let just_flushed = std::mem::take(&mut flushed);
        let fate = if at < end && !just_flushed { fates.next().unwrap_or(Fate::Poll) } else { Fate::Poll };
        match fate {
            Fate::Poll => assert!(watcher.poll(&mut jobs, pause, None)),
            Fate::Outage => {}
            Fate::CutShort(questions) => {
                watcher.poll(&mut jobs, pause, Some(questions));
            }
            Fate::Restarted => {
                watcher.restart();
                assert!(watcher.poll(&mut jobs, pause, None));
            }
        }
        at = jobs.now() + Duration::from_secs(history.every);
    }
    (jobs, watcher)
}

proptest! {
    // The same histories in each run, so that a failure is the change's own. Who looks for
    // others sets PROPTEST_RNG_SEED and PROPTEST_CASES.
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_job_is_told_once_and_counted_right(history in histories(false)) {
        let (jobs, watcher) = live(&history);
        let verdict = judge(&watcher, &jobs);
        prop_assert!(verdict.missed.is_empty(), "missed {verdict:?}");
        prop_assert!(verdict.twice.is_empty(), "twice {verdict:?}");
        prop_assert!(verdict.invented.is_empty(), "invented {verdict:?}");
        prop_assert!(verdict.wrong.is_empty(), "wrong {verdict:?}");
        prop_assert!(verdict.untold_gaps.is_empty(), "untold {verdict:?}");
        prop_assert!(verdict.miscounted.is_empty(), "miscounted {verdict:?}");
        prop_assert_eq!(stuck::told_wrongly(&watcher, &jobs), Vec::<String>::new());
    }

    #[test]
    fn an_emptied_redis_loses_nothing_in_silence(history in histories(true)) {
        let (jobs, watcher) = live(&history);
        let verdict = judge(&watcher, &jobs);
        prop_assert!(verdict.missed.is_empty(), "missed {verdict:?}");
        prop_assert!(verdict.twice.is_empty(), "twice {verdict:?}");
        prop_assert!(verdict.invented.is_empty(), "invented {verdict:?}");
        prop_assert!(verdict.wrong.is_empty(), "wrong {verdict:?}");
        prop_assert!(verdict.untold_gaps.is_empty(), "untold {verdict:?}");
        prop_assert_eq!(stuck::told_wrongly(&watcher, &jobs), Vec::<String>::new());
    }

    #[test]
    fn what_is_stuck_is_told_once_and_nothing_else_is(
        history in histories(false),
        pause in (1..MINUTES * 60, 60..MINUTES * 60),
    ) {
        let (jobs, watcher) = live(&History { pause_workers: Some(pause), ..history });
        prop_assert_eq!(stuck::told_wrongly(&watcher, &jobs), Vec::<String>::new());
        prop_assert_eq!(stuck::not_told(&watcher, &jobs), Vec::<String>::new());
    }
}

/// A server of 6.3 to which nothing happens but work.
fn quiet_server(seed: u64, every: u64, pause: u64, polls: Vec<Fate>) -> History {
    let (server_restart, flush, pause_workers) = (None, None, None);
    History { seed, version: false, every, pause, polls, server_restart, flush, pause_workers }
}

/// Histories that were once told wrong.
#[test]
fn a_burst_amid_the_first_look_adds_nothing_that_was_not() {
    for (seed, pause) in [(2_888_449_763_273_090_276, 274), (15_524_457_137_417_412_781, 36)] {
        let polls = vec![Fate::Poll];
        let history = quiet_server(seed, 5, pause, polls);
        let (jobs, watcher) = live(&history);
        let verdict = judge(&watcher, &jobs);
        assert!(verdict.miscounted.is_empty(), "{verdict:?}");
    }
}

#[test]
fn jobs_made_together_are_found_from_the_other_end_of_their_list() {
    let mut polls = vec![Fate::Poll; 18];
    polls[5] = Fate::CutShort(5);
    polls[16] = Fate::CutShort(6);
    let seed = 15_106_589_911_142_456_162;
    let history = quiet_server(seed, 55, 121, polls);
    let (jobs, watcher) = live(&history);
    let verdict = judge(&watcher, &jobs);
    assert!(verdict.missed.is_empty() && verdict.miscounted.is_empty(), "{verdict:?}");
}

#[test]
fn no_type_waits_for_its_turn_for_ever() {
    let mut polls = vec![Fate::Poll; 32];
    polls[4] = Fate::CutShort(5);
    polls[6..8].fill(Fate::CutShort(5));
    polls[31] = Fate::Outage;
    let seed = 319_900_956_803_434_139;
    let history = quiet_server(seed, 55, 0, polls);
    let (jobs, watcher) = live(&history);
    let verdict = judge(&watcher, &jobs);
    assert!(verdict.missed.is_empty(), "{verdict:?}");
}
