use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Clock, Wakes, phase_of};
use crate::config::When;
use crate::core::cron::Cron;

/// Longer than a test may take on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(20);

/// So short that what ends within it did not wait for a bell.
const AT_ONCE: Duration = Duration::from_millis(200);

fn every(seconds: u64) -> When {
    When::Every(Duration::from_secs(seconds))
}

/// A wait of years, so that nothing but a hand wakes.
fn hardly_ever() -> When {
    When::Cron(Cron::parse("0 0 0 29 2 *", TimeZone::UTC).unwrap())
}

async fn wake(wakes: &mut Wakes) -> Timestamp {
    timeout(PATIENCE, wakes.next()).await.expect("no wake came");
    Timestamp::now()
}

#[tokio::test]
async fn each_second_wakes_about_once_a_second() {
    let clock = Clock::start().await.unwrap();
    let mut wakes = clock.wakes(every(1), 0.7).await;

    let first = wake(&mut wakes).await;
    let began = Instant::now();
    let mut seconds = BTreeSet::from([first.as_second()]);
    for _ in 0..3 {
        seconds.insert(wake(&mut wakes).await.as_second());
    }

    assert_eq!(seconds.len(), 4, "never twice in one second: {seconds:?}");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(2300) && took < Duration::from_millis(5500), "3 wakes took {took:?}");
}

#[tokio::test]
async fn a_cron_line_wakes_at_its_seconds() {
    let clock = Clock::start().await.unwrap();
    let line = Cron::parse("*/2 * * * * *", TimeZone::get("Europe/Paris").unwrap()).unwrap();
    let mut wakes = clock.wakes(When::Cron(line), 0.0).await;

    let started = Timestamp::now();
    let first = wake(&mut wakes).await;
    let second = wake(&mut wakes).await;

    let period = |wake: Timestamp| wake.as_second().div_euclid(2);
    assert!(period(first) > period(started), "it woke at {first}, before an even second");
    assert!(period(second) > period(first), "it woke at {first} and again at {second}");
}

#[tokio::test]
async fn what_wakes_during_a_run_is_one_more_run() {
    let clock = Clock::start().await.unwrap();
    let mut wakes = clock.wakes(every(1), 0.0).await;
    wake(&mut wakes).await;

    // A run over which two seconds pass, and a hand that knocks.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    wakes.hand().wake();
    wakes.hand().wake();

    timeout(AT_ONCE, wakes.next()).await.expect("the wakes during the run were forgotten");
    let more = Timestamp::now();
    let next = wake(&mut wakes).await;
    assert!(next.as_second() > more.as_second(), "one run too many, at {more} and {next}");
}

#[tokio::test]
async fn a_hand_wakes_at_once_and_once() {
    let clock = Clock::start().await.unwrap();
    let mut wakes = clock.wakes(hardly_ever(), 0.0).await;
    let hand = wakes.hand();

    assert!(timeout(AT_ONCE, wakes.next()).await.is_err(), "nobody woke it");

    let waiting = tokio::spawn(async move {
        wake(&mut wakes).await;
        wakes
    });
    hand.wake();
    let mut wakes = waiting.await.unwrap();

    for _ in 0..3 {
        hand.wake();
    }
    timeout(AT_ONCE, wakes.next()).await.expect("the hand was not heard during the run");
    assert!(timeout(AT_ONCE, wakes.next()).await.is_err(), "three knocks are one run");

    drop(wakes);
    hand.wake();
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_no_wake() {
    let clock = Clock::start().await.unwrap();
    let mut wakes = clock.wakes(every(1), 0.0).await;

    let mut woke = 0;
    let began = Instant::now();
    while woke < 2 && began.elapsed() < PATIENCE {
        let given_up = timeout(Duration::from_millis(7), wakes.next()).await.is_err();
        woke += i32::from(!given_up);
    }

    assert_eq!(woke, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_alarms_wake_each_second() {
    wake_a_thousand().await;
}

#[tokio::test]
async fn one_thread_suffices_for_a_thousand_alarms() {
    wake_a_thousand().await;
}

async fn wake_a_thousand() {
    let clock = Clock::start().await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let mut wakes = clock.wakes(every(1), 0.0).await;
        tasks.spawn(async move {
            let first = wake(&mut wakes).await;
            let second = wake(&mut wakes).await;
            assert!(second.as_second() > first.as_second());
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_stopped_clock_wakes_nobody() {
    let clock = Clock::start().await.unwrap();
    let mut wakes = clock.wakes(every(1), 0.0).await;
    wake(&mut wakes).await;

    clock.stop().await;

    wakes.hand().wake();
    let far_beyond = Duration::from_millis(2500);
    assert!(timeout(far_beyond, wakes.next()).await.is_err());
}

#[test]
fn phases_spread_evenly_and_stay() {
    let phases: Vec<f64> = (0..1000).map(|n| phase_of(&format!("tube{n}.example.com"), "jobs")).collect();

    for tenth in 0..10 {
        let lower = f64::from(tenth) / 10.0;
        let here = phases.iter().filter(|phase| (lower..lower + 0.1).contains(*phase)).count();
        assert!((60..140).contains(&here), "{here} of 1,000 phases from {lower} on");
    }
    assert_ne!(phase_of("main", "jobs"), phase_of("main", "videos"));
    assert_ne!(phase_of("ab", "c"), phase_of("a", "bc"));
    assert_eq!((phase_of("main", "jobs") * 1e6) as u32, 342_156, "a restart moves no poll");
}
