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

async fn wake(wakes: &mut Wakes) {
    timeout(PATIENCE, wakes.next()).await.expect("no wake came");
}

fn seconds_begun_since(then: Timestamp) -> i64 {
    Timestamp::now().as_second() - then.as_second()
}

#[tokio::test]
async fn each_second_wakes_about_once_a_second() {
    let clock = Clock::start().await.unwrap();
    let line = Cron::parse("* * * * * *", TimeZone::get("Europe/Paris").unwrap()).unwrap();

    tokio::join!(three_wakes(&clock, every(1)), three_wakes(&clock, When::Cron(line)));
}

async fn three_wakes(clock: &Clock, when: When) {
    let mut wakes = clock.wakes(when.clone(), 0.7).await;
    let started = Timestamp::now();
    let began = Instant::now();
    for _ in 0..3 {
        wake(&mut wakes).await;
    }

    let took = began.elapsed();
    assert!(seconds_begun_since(started) >= 3, "twice in one second: {when:?} took {took:?}");
    assert!(took < Duration::from_millis(5400), "seconds were left out: {when:?} took {took:?}");
}

#[tokio::test]
async fn what_wakes_during_a_run_is_one_more_run() {
    let clock = Clock::start().await.unwrap();
    let mut wakes = clock.wakes(every(1), 0.0).await;

    // A run over which two seconds pass, and a hand that knocks.
    tokio::time::sleep(Duration::from_millis(2000)).await;
    wakes.hand().wake();
    wakes.hand().wake();

    let run_ended = Timestamp::now();
    timeout(AT_ONCE, wakes.next()).await.expect("the wakes during the run were forgotten");
    wake(&mut wakes).await;
    assert!(seconds_begun_since(run_ended) >= 1, "one run too many");
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

    let woke =
        timeout(PATIENCE, async { while timeout(Duration::from_millis(7), wakes.next()).await.is_err() {} }).await;

    assert!(woke.is_ok(), "no wait of many was long enough");
}

#[tokio::test]
async fn a_thousand_alarms_wake_each_second() {
    let clock = Clock::start().await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let mut wakes = clock.wakes(every(1), 0.0).await;
        tasks.spawn(async move {
            let started = Timestamp::now();
            wake(&mut wakes).await;
            wake(&mut wakes).await;
            assert!(seconds_begun_since(started) >= 2);
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
