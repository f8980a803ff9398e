use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{last_before, late};
use crate::core::cron::Cron;

fn cron(line: &str, zone: &str) -> Cron {
    Cron::parse(line, TimeZone::get(zone).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One run after another, from the beginning.
fn walked(cron: &Cron, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let mut last = None;
    let mut at = since;
    while let Some(next) = cron.next_after(at).filter(|next| *next <= now) {
        (last, at) = (Some(next), next);
    }
    last
}

#[test]
fn of_what_was_missed_the_last_is_made_up_for() {
    let daily = cron("0 0 9 * * *", "UTC");
    let last = |since, now| last_before(&daily, at(since), at(now));
    assert_eq!(last("2026-11-20T09:00:00Z", "2026-11-24T08:59:59Z"), Some(at("2026-11-23T09:00:00Z")));
    assert_eq!(last("2026-11-20T09:00:00Z", "2026-11-24T09:00:00Z"), Some(at("2026-11-24T09:00:00Z")));
    // What ran is not missed, and what lies ahead is not either.
    assert_eq!(last("2026-11-24T09:00:00Z", "2026-11-24T23:00:00Z"), None);
    assert_eq!(last("2026-11-24T08:00:00Z", "2026-11-24T08:59:59.999Z"), None);
    // A clock that was set back.
    assert_eq!(last("2026-11-24T09:00:00Z", "2026-11-20T12:00:00Z"), None);
    assert_eq!(last("2026-11-24T09:00:00.500Z", "2026-11-24T09:00:00.400Z"), None);
}

#[test]
fn years_of_absence_cost_no_more_than_a_minute() {
    let (since, now) = (at("2016-01-01T00:00:00Z"), at("2026-11-24T11:22:33.5Z"));
    let began = Instant::now();
    for (line, expected) in [
        ("* * * * * *", "2026-11-24T11:22:33Z"),
        ("* * 9 * * *", "2026-11-24T08:59:59Z"),
        ("0 0 0 29 2 *", "2024-02-28T23:00:00Z"),
        ("0 0 0 1 1 *", "2025-12-31T23:00:00Z"),
    ] {
        assert_eq!(last_before(&cron(line, "Europe/Paris"), since, now), Some(at(expected)), "{line}");
    }
    // To walk the seconds would take minutes.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_run_is_late_by_less_than_its_jitter_and_each_time_by_another_time() {
    let jitter = Duration::from_secs(30);
    let delays: BTreeSet<Duration> = (0..1000).map(|_| late(jitter)).collect();
    assert!(delays.iter().all(|delay| *delay < jitter));
    assert!(delays.len() > 900 && delays.iter().any(|delay| *delay > jitter / 2), "{delays:?}");
    assert_eq!(late(Duration::ZERO), Duration::ZERO);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_is_the_one_that_is_found_by_walking(
        line in prop::sample::select(vec![
            "* * * * * *", "*/7 * 2 * * *", "0 */20 * * * *", "0 30 2 * * *", "0 45 1 * * *", "0 15 2 * * *",
            "30 0 */2 * * *", "0 0 9 * * MON", "0 0 0 1 * *",
        ]),
        zone in prop::sample::select(vec!["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
        end in prop::sample::select(vec![
            "2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-11-01T06:00:00Z", "2026-10-03T15:30:00Z",
        ]),
        late in -7_200_000_i64..7_200_000,
        absent in prop_oneof![0_i64..5_000, 0_i64..8_000_000],
        long_absent in 0_i64..80 * 86_400_000,
    ) {
        let cron = cron(line, zone);
        let now = at(end) + SignedDuration::from_millis(late);
        // Lines that run each second are not walked for months.
        let absent = if line.starts_with('0') { absent.max(long_absent) } else { absent };
        let since = now - SignedDuration::from_millis(absent);
        prop_assert_eq!(last_before(&cron, since, now), walked(&cron, since, now), "{} in {}", line, zone);
    }
}
