use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{LOOK_EVERY, Look, Plan};
use crate::config::When;
use crate::core::cron::Cron;

const HALF_A_SECOND: SignedDuration = SignedDuration::from_millis(500);

fn every(seconds: u64) -> When {
    When::Every(Duration::from_secs(seconds))
}

fn cron(line: &str) -> When {
    When::Cron(Cron::parse(line, TimeZone::get("Europe/Paris").unwrap()).unwrap())
}

fn at(text: &str) -> Timestamp {
    format!("2026-11-20T{text}Z").parse().unwrap()
}

/// What a task sees that looks at its plan each half second.
fn wakes(plan: &mut Plan, from: Timestamp, to: Timestamp) -> Vec<String> {
    let mut now = from;
    let mut wakes = Vec::new();
    while now < to {
        if plan.look(now) == Look::Due {
            wakes.push(now.strftime("%H:%M:%S%.f").to_string());
        }
        now += HALF_A_SECOND;
    }
    wakes
}

#[test]
fn an_interval_wakes_at_its_phase() {
    let mut plan = Plan::new(every(20), 0.25, at("10:00:01.2"));
    assert_eq!(
        wakes(&mut plan, at("10:00:01.2"), at("10:01:00")),
        ["10:00:05.2", "10:00:25.2", "10:00:45.2"],
        "a quarter of the interval after its full multiples, as soon as looks allow"
    );
}

#[test]
fn an_interval_of_one_second_wakes_once_in_each() {
    let mut plan = Plan::new(every(1), 0.9, at("10:00:00"));
    assert_eq!(wakes(&mut plan, at("10:00:00"), at("10:00:04")), ["10:00:01", "10:00:02", "10:00:03"]);
}

#[test]
fn a_cron_line_wakes_at_its_civil_times() {
    let mut plan = Plan::new(cron("0 0,1 11 * * *"), 0.5, at("09:59:00"));
    assert_eq!(wakes(&mut plan, at("09:59:00"), at("10:05:00")), ["10:00:00", "10:01:00"], "Paris is an hour ahead");
}

#[test]
fn what_passed_during_a_slow_run_is_one_wake_and_moves_nothing() {
    let mut plan = Plan::new(every(10), 0.0, at("10:00:00"));
    assert_eq!(plan.look(at("10:00:10")), Look::Due);
    assert_eq!(plan.look(at("10:00:47")), Look::Due, "20, 30 and 40 passed");
    assert_eq!(plan.look(at("10:00:47")), Look::Again { second: at("10:00:50").as_second() });
}

#[test]
fn a_plan_is_looked_at_again_when_due_and_at_least_each_half_minute() {
    let mut plan = Plan::new(cron("0 0 11 * * *"), 0.0, at("09:00:00"));
    assert_eq!(plan.look(at("09:00:00.7")), Look::Again { second: at("09:00:30").as_second() });
    assert_eq!(plan.look(at("09:00:30")), Look::Again { second: at("09:01:00").as_second() });
    assert_eq!(plan.look(at("09:59:31")), Look::Again { second: at("10:00:00").as_second() });
    assert_eq!(plan.look(at("10:00:00.3")), Look::Due);
}

#[test]
fn after_the_machine_slept_what_was_missed_is_one_wake() {
    for when in [every(60), cron("0 * * * * *")] {
        let mut plan = Plan::new(when, 0.0, at("10:00:30"));
        assert_eq!(
            wakes(&mut plan, at("14:20:10"), at("14:22:30")),
            ["14:20:10", "14:21:00", "14:22:00"],
            "at once, then as ever"
        );
    }
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    for when in [every(60), cron("0 * * * * *")] {
        let mut plan = Plan::new(when, 0.0, at("10:00:30"));
        assert_eq!(wakes(&mut plan, at("10:00:30"), at("10:02:10")), ["10:01:00", "10:02:00"]);
        assert_eq!(wakes(&mut plan, at("08:30:10"), at("08:32:30")), ["08:31:00", "08:32:00"]);
    }
}

#[test]
fn a_clock_that_is_corrected_wakes_nobody_twice() {
    let mut plan = Plan::new(every(10), 0.0, at("10:00:05"));
    assert_eq!(plan.look(at("10:00:10.1")), Look::Due);
    assert_eq!(plan.look(at("10:00:09.9")), Look::Again { second: at("10:00:20").as_second() });
    assert_eq!(plan.look(at("10:00:10.2")), Look::Again { second: at("10:00:20").as_second() });
}

#[test]
fn a_line_that_can_run_no_more_never_wakes() {
    let last = Timestamp::MAX - SignedDuration::from_secs(1);
    let mut plan = Plan::new(cron("0 0 0 1 1 *"), 0.0, last);
    assert!(matches!(plan.look(last), Look::Again { .. }));
}

proptest! {
    /// Whatever the interval, the phase and the pauses between two looks, each instant
    /// of the grid is followed by the wake it asks for, and no wake comes without one.
    #[test]
    fn a_wake_comes_exactly_where_an_instant_passed(
        interval in 1_u64..200_000,
        phase in 0.0..1.0,
        start in 0_i64..4_000_000_000,
        pauses in prop::collection::vec(1_i64..90_000, 1..200),
    ) {
        let mut now = Timestamp::from_second(start).unwrap();
        let mut plan = Plan::new(every(interval), phase, now);
        let offset = (interval as f64 * phase) as i64;
        let passed = |now: Timestamp| (now.as_second() - offset).div_euclid(interval as i64);
        for pause in pauses {
            let before = passed(now);
            now += SignedDuration::from_millis(pause);
            match plan.look(now) {
                Look::Due => prop_assert!(passed(now) > before),
                Look::Again { second } => {
                    prop_assert_eq!(passed(now), before);
                    prop_assert!(second > now.as_second() && second <= now.as_second() + LOOK_EVERY);
                }
            }
        }
    }
}
