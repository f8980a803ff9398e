use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

use super::{Cron, CronError};

const ZONES: [&str; 5] = ["Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn cron(line: &str, zone_name: &str) -> Cron {
    Cron::parse(line, zone(zone_name)).unwrap()
}

/// The runs from one local time on, as local times with their offsets.
fn runs(line: &str, zone_name: &str, after: &str, most: usize) -> Vec<String> {
    let cron = cron(line, zone_name);
    let mut instant = zone(zone_name).to_timestamp(after.parse().unwrap()).unwrap();
    let mut runs = Vec::new();
    while runs.len() < most {
        instant = cron.next_after(instant).unwrap();
        runs.push(instant.to_zoned_datetime(zone(zone_name)).strftime("%d %H:%M:%S%:z").to_string());
    }
    runs
}

#[test]
fn lines_run_when_their_fields_say() {
    assert_eq!(
        runs("0 30 9 * * MON-FRI", "UTC", "2026-11-20T00:00", 3),
        ["20 09:30:00+00:00", "23 09:30:00+00:00", "24 09:30:00+00:00"]
    );
    assert_eq!(
        runs("*/25 0 0 1 * ?", "UTC", "2026-11-30T12:00", 4),
        ["01 00:00:00+00:00", "01 00:00:25+00:00", "01 00:00:50+00:00", "01 00:00:00+00:00"]
    );
    assert_eq!(runs("0 0 0 29 2 *", "UTC", "2026-01-01T00:00", 1), ["29 00:00:00+00:00"]);
    // Either day counts where both are restricted, and Sunday is both 0 and 7.
    for sunday in ["0", "7", "sun"] {
        assert_eq!(
            runs(&format!("0 0 0 3 * {sunday}"), "UTC", "2026-11-01T00:00", 3),
            ["03 00:00:00+00:00", "08 00:00:00+00:00", "15 00:00:00+00:00"]
        );
    }
    assert_eq!(
        runs("0 0 0 * * FRI-SUN", "UTC", "2026-11-01T00:00", 3),
        ["06 00:00:00+00:00", "07 00:00:00+00:00", "08 00:00:00+00:00"]
    );
    assert_eq!(
        runs("5/20 0 12 * JAN,Dec *", "UTC", "2026-12-31T12:00:45", 3),
        ["01 12:00:05+00:00", "01 12:00:25+00:00", "01 12:00:45+00:00"]
    );
}

#[test]
fn a_run_lies_strictly_after_the_instant_asked_for() {
    let every_second = cron("* * * * * *", "UTC");
    let next = |text: &str| every_second.next_after(text.parse().unwrap()).unwrap().to_string();
    assert_eq!(next("2026-11-24T00:00:00Z"), "2026-11-24T00:00:01Z");
    assert_eq!(next("2026-11-24T00:00:00.999Z"), "2026-11-24T00:00:01Z");
    assert_eq!(next("1969-12-31T23:59:58.5Z"), "1969-12-31T23:59:59Z");
    assert_eq!(next("1969-12-31T23:59:59.5Z"), "1970-01-01T00:00:00Z");
    assert_eq!(every_second.next_after(Timestamp::MAX), None);
}

#[test]
fn a_fixed_hour_that_the_clock_skips_runs_once_just_after() {
    assert_eq!(
        runs("0 45 2 * * *", "Europe/Paris", "2026-03-28T00:00", 3),
        ["28 02:45:00+01:00", "29 03:00:00+02:00", "30 02:45:00+02:00"]
    );
    // Several skipped times, and one that falls where they are moved to, are one run.
    assert_eq!(
        runs("0 */20 2,3 * * *", "Europe/Paris", "2026-03-29T00:00", 4),
        ["29 03:00:00+02:00", "29 03:20:00+02:00", "29 03:40:00+02:00", "30 02:00:00+02:00"]
    );
    assert_eq!(
        runs("0 15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 2),
        ["04 02:30:00+11:00", "05 02:15:00+11:00"]
    );
    // What lies before the gap is not told a second time.
    assert_eq!(runs("0 45 1 * * *", "Europe/Paris", "2026-03-29T00:00", 2), ["29 01:45:00+01:00", "30 01:45:00+02:00"]);
}

#[test]
fn a_fixed_hour_that_the_clock_repeats_runs_the_first_time() {
    assert_eq!(runs("0 30 2 * * *", "Europe/Paris", "2026-10-25T00:00", 2), ["25 02:30:00+02:00", "26 02:30:00+01:00"]);
    assert_eq!(
        runs("0 */30 1,3 * * *", "America/New_York", "2026-11-01T00:00", 5),
        ["01 01:00:00-04:00", "01 01:30:00-04:00", "01 03:00:00-05:00", "01 03:30:00-05:00", "02 01:00:00-05:00"]
    );
    assert_eq!(
        runs("0 45 1 * * *", "Australia/Lord_Howe", "2026-04-05T00:00", 2),
        ["05 01:45:00+11:00", "06 01:45:00+10:30"]
    );
}

#[test]
fn a_wildcard_hour_follows_elapsed_time() {
    assert_eq!(
        runs("0 */20 * * * *", "Europe/Paris", "2026-10-25T02:20", 6),
        [
            "25 02:40:00+02:00",
            "25 02:00:00+01:00",
            "25 02:20:00+01:00",
            "25 02:40:00+01:00",
            "25 03:00:00+01:00",
            "25 03:20:00+01:00"
        ]
    );
    assert_eq!(
        runs("0 30 * * * *", "Europe/Paris", "2026-03-29T00:00", 3),
        ["29 00:30:00+01:00", "29 01:30:00+01:00", "29 03:30:00+02:00"]
    );
    // All hours named one by one are a wildcard too.
    assert_eq!(
        runs("0 0 0-23 * * *", "Europe/Paris", "2026-10-25T01:30", 3),
        ["25 02:00:00+02:00", "25 02:00:00+01:00", "25 03:00:00+01:00"]
    );
}

#[test]
fn what_is_no_cron_line_says_what_was_expected() {
    let error = |line: &str| Cron::parse(line, TimeZone::UTC).unwrap_err().to_string();
    let fields = "a cron line has six fields: second, minute, hour, day of month, month, day of week";
    assert_eq!(error("*/5 * * * *"), format!("{fields}; this one has 5; put a 0 before it to run at the full minute"));
    assert_eq!(error(""), format!("{fields}; this one has 0"));
    let items = "*, a range a-b, a step /n, or a list of these with commas";
    assert_eq!(error("60 * * * * *"), format!("\"60\" is no second; write 0 to 59, {items}"));
    assert_eq!(error("0 0 0 0 * *"), format!("\"0\" is no day of month; write 1 to 31, {items}"));
    for line in [
        "+1 * * * * *",
        "-1 * * * * *",
        ", * * * * *",
        "1,,2 * * * * *",
        "5-1 * * * * *",
        "*/0 * * * * *",
        "*/60 * * * * *",
        "/5 * * * * *",
        "*-5 * * * * *",
        "1-2-3 * * * * *",
        "? * * * * *",
        "0 0 24 * * *",
        "0 0 0 L * *",
        "0 0 0 * 13 *",
        "0 0 0 * MON *",
        "0 0 0 * 1-SUN *",
        "0 0 0 * * 8",
        "0 0 0 * * MON#1",
        "0 0 0 * * MONDAY",
    ] {
        assert!(matches!(Cron::parse(line, TimeZone::UTC), Err(CronError::Field { .. })), "{line}");
    }
    for line in ["0 0 0 30 2 *", "0 0 0 31 2,4,6,9,11 ?"] {
        assert_eq!(Cron::parse(line, TimeZone::UTC), Err(CronError::Never), "{line}");
    }
    assert!(Cron::parse("0 0 0 30 2 MON", TimeZone::UTC).is_ok(), "the weekday is enough");
}

/// One plain field: any, a step, some numbers, or a range.
fn field(first: u8, last: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (2..=last / 2).prop_map(|step| format!("*/{step}")),
        prop::collection::vec(first..=last, 1..4)
            .prop_map(|numbers| { numbers.iter().map(u8::to_string).collect::<Vec<_>>().join(",") }),
        (first..=last, first..=last).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ]
}

/// Instants around the changes of the clock, of any of the zones.
fn near_a_change() -> impl Strategy<Value = Timestamp> {
    const CHANGES: [&str; 6] = [
        "2026-03-29T01:00:00Z", // Paris, forward
        "2026-10-25T01:00:00Z", // and back
        "2026-03-08T07:00:00Z", // New York
        "2026-11-01T06:00:00Z",
        "2026-10-03T15:30:00Z", // Lord Howe, by half an hour
        "2026-04-04T15:00:00Z",
    ];
    (prop::sample::select(&CHANGES[..]), -7200_i64..7200)
        .prop_map(|(change, seconds)| change.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds))
}

fn names(text: &str, number: i8, first: i8, last: i8) -> bool {
    text.split(',').any(|part| match part.split_once(['/', '-']) {
        None => part == "*" || part.parse() == Ok(number),
        Some(("*", step)) => (number - first) % step.parse::<i8>().unwrap() == 0 && number <= last,
        Some((a, b)) => (a.parse::<i8>().unwrap()..=b.parse().unwrap()).contains(&number),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Second by second of local time, written out anew: what a line names is what runs.
    #[test]
    fn runs_agree_with_a_scan_of_local_time(
        second in field(0, 59), minute in field(0, 59), hour in field(0, 23),
        zone_name in prop::sample::select(&ZONES[..]), start in near_a_change(),
    ) {
        let line = format!("{second} {minute} {hour} * * *");
        let cron = cron(&line, zone_name);
        let zone = zone(zone_name);
        let wildcard = hour.contains(['*', '/']) || hour == "0-23";
        let named = |civil: jiff::civil::DateTime| {
            names(&second, civil.second(), 0, 59)
                && names(&minute, civil.minute(), 0, 59)
                && names(&hour, civil.hour(), 0, 23)
        };

        let mut expected = Vec::new();
        for seconds in 1..=3 * 3600 {
            let instant = start + SignedDuration::from_secs(seconds);
            let civil = zone.to_datetime(instant);
            let before = zone.to_datetime(instant - SignedDuration::from_secs(1));
            let skipped = civil.since(before).unwrap().total(jiff::Unit::Second).unwrap() as i64 - 1;
            let shown_before = zone.to_ambiguous_timestamp(civil).earlier().unwrap() < instant;
            let due = if wildcard {
                named(civil)
            } else {
                (named(civil) && !shown_before) || (1..=skipped).any(|s| named(civil - s.seconds()))
            };
            if due {
                expected.push(instant);
            }
        }

        let mut found = Vec::new();
        let mut instant = start;
        while let Some(next) = cron.next_after(instant) {
            prop_assert!(next > instant, "{line}: {next} is not after {instant}");
            if next > start + SignedDuration::from_secs(3 * 3600) {
                break;
            }
            found.push(next);
            instant = next;
        }
        prop_assert_eq!(found, expected, "{} in {}", line, zone_name);
    }

    /// Whatever the clock does, a fixed time of day is one run for each day of the year.
    #[test]
    fn a_fixed_time_of_day_runs_once_a_day(
        hour in 0..24_u8, minute in 0..60_u8, zone_name in prop::sample::select(&ZONES[..]),
    ) {
        let cron = cron(&format!("0 {minute} {hour} * * *"), zone_name);
        let zone = zone(zone_name);
        let mut day = jiff::civil::date(2026, 1, 1);
        let mut instant = zone.to_timestamp(day.yesterday().unwrap().at(23, 59, 59, 0)).unwrap();
        while day.year() == 2026 {
            instant = cron.next_after(instant).unwrap();
            prop_assert_eq!(zone.to_datetime(instant).date(), day);
            day = day.tomorrow().unwrap();
        }
    }

    /// A question in between changes nothing: the answer depends on the instant alone.
    #[test]
    fn the_next_run_is_the_same_from_every_instant_before_it(
        minute in field(0, 59), hour in field(0, 23), zone_name in prop::sample::select(&ZONES[..]),
        start in near_a_change(), share in 0.0..1.0_f64,
    ) {
        let cron = cron(&format!("0 {minute} {hour} * * *"), zone_name);
        let next = cron.next_after(start).unwrap();
        let gap = next.duration_since(start).as_secs_f64() * share;
        let between = start + SignedDuration::from_secs(gap as i64);
        prop_assume!(between < next);
        prop_assert_eq!(cron.next_after(between).unwrap(), next);
    }
}
