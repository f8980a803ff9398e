//! Two whole years of cron lines in zones whose clocks change by an hour, by half an
//! hour, and never. What is expected is written out here from the rule alone, minute by
//! minute, with offsets from a table and not from the library that is tested.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Look, Plan};
use crate::config::When;
use crate::core::cron::Cron;

/// A zone: its offset in minutes when the years begin, and from when on it is another.
struct Place {
    zone: &'static str,
    offset: i64,
    changes: &'static [(&'static str, i64)],
}

const PLACES: [Place; 4] = [
    Place {
        zone: "Europe/Paris",
        offset: 60,
        changes: &[
            ("2026-03-29T01:00:00Z", 120),
            ("2026-10-25T01:00:00Z", 60),
            ("2027-03-28T01:00:00Z", 120),
            ("2027-10-31T01:00:00Z", 60),
        ],
    },
    Place {
        zone: "America/New_York",
        offset: -300,
        changes: &[
            ("2026-03-08T07:00:00Z", -240),
            ("2026-11-01T06:00:00Z", -300),
            ("2027-03-14T07:00:00Z", -240),
            ("2027-11-07T06:00:00Z", -300),
        ],
    },
    Place {
        zone: "Australia/Lord_Howe",
        offset: 660,
        changes: &[
            ("2026-04-04T15:00:00Z", 630),
            ("2026-10-03T15:30:00Z", 660),
            ("2027-04-03T15:00:00Z", 630),
            ("2027-10-02T15:30:00Z", 660),
        ],
    },
    Place { zone: "Asia/Kolkata", offset: 330, changes: &[] },
];

/// A line, and the minutes that it names.
struct Line {
    text: &'static str,
    /// Whether its hour follows elapsed time.
    flows: bool,
    minutes: &'static [i64],
    /// All where there are none.
    hours: &'static [i64],
    day: fn(&Day) -> bool,
}

struct Day {
    month: i8,
    day: i8,
    /// From Sunday, 0, on.
    weekday: i64,
}

const ANY: fn(&Day) -> bool = |_| true;
const EVEN: &[i64] = &[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22];

const LINES: [Line; 14] = [
    Line { text: "0 0 0 * * *", flows: false, minutes: &[0], hours: &[0], day: ANY },
    Line { text: "0 0 9 * * *", flows: false, minutes: &[0], hours: &[9], day: ANY },
    Line { text: "0 30 2 * * *", flows: false, minutes: &[30], hours: &[2], day: ANY },
    Line { text: "0 45 1 * * *", flows: false, minutes: &[45], hours: &[1], day: ANY },
    Line { text: "0 15 2 * * *", flows: false, minutes: &[15], hours: &[2], day: ANY },
    Line { text: "0 0 3 * * *", flows: false, minutes: &[0], hours: &[3], day: ANY },
    Line { text: "0 0,30 1-3 * * *", flows: false, minutes: &[0, 30], hours: &[1, 2, 3], day: ANY },
    Line { text: "0 */20 2 * * *", flows: false, minutes: &[0, 20, 40], hours: &[2], day: ANY },
    Line { text: "0 30 2 * * SUN", flows: false, minutes: &[30], hours: &[2], day: |day| day.weekday == 0 },
    Line {
        text: "0 45 1 * * MON-FRI",
        flows: false,
        minutes: &[45],
        hours: &[1],
        day: |day| (1..=5).contains(&day.weekday),
    },
    Line {
        text: "0 30 2 29 2,3,10 *",
        flows: false,
        minutes: &[30],
        hours: &[2],
        day: |day| day.day == 29 && [2, 3, 10].contains(&day.month),
    },
    Line {
        text: "0 15 1 1,31 * SAT",
        flows: false,
        minutes: &[15],
        hours: &[1],
        day: |day| day.day == 1 || day.day == 31 || day.weekday == 6,
    },
    Line { text: "0 */20 * * * *", flows: true, minutes: &[0, 20, 40], hours: &[], day: ANY },
    Line { text: "0 0 */2 * * *", flows: true, minutes: &[0], hours: EVEN, day: ANY },
];

const BEGIN: &str = "2026-01-01T00:00:00Z";
const END: &str = "2028-01-01T00:00:00Z";

fn minute(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second() / 60
}

fn instant(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap()
}

impl Place {
    fn offset_at(&self, minute_of_utc: i64) -> i64 {
        let last = self.changes.iter().rfind(|(from, _)| minute(from) <= minute_of_utc);
        last.map_or(self.offset, |(_, offset)| *offset)
    }

    /// What the clock there shows, minute by minute, as minutes of its own.
    fn shown(&self) -> Vec<i64> {
        let mut shown = Vec::new();
        let mut now = minute(BEGIN);
        for (until, offset_until) in self.changes.iter().map(|(at, _)| minute(at)).chain([minute(END)]).map(|until| {
            let offset = self.offset_at(until - 1);
            (until, offset)
        }) {
            shown.extend((now..until).map(|now| now + offset_until));
            now = until;
        }
        shown
    }
}

impl Line {
    fn names(&self, shown: i64, days: &[Day]) -> bool {
        let (day, of_day) = (shown.div_euclid(1440), shown.rem_euclid(1440));
        let is_at =
            |hour, minute| self.minutes.contains(&minute) && (self.hours.is_empty() || self.hours.contains(&hour));
        is_at(of_day / 60, of_day % 60) && (self.day)(&days[usize::try_from(day - minute(BEGIN) / 1440 + 1).unwrap()])
    }

    /// The rule, in words of its own: what is named runs when it is shown for the first
    /// time, or at the first minute after those that are never shown; what flows runs
    /// whenever it is shown.
    fn expected(&self, shown: &[i64], days: &[Day]) -> Vec<Timestamp> {
        let mut latest = shown[0] - 1;
        let mut expected = Vec::new();
        for (now, shown) in (minute(BEGIN)..).zip(shown) {
            let never_shown = latest + 1..*shown;
            let runs = if self.flows {
                self.names(*shown, days)
            } else {
                let is_first = *shown > latest;
                (is_first && self.names(*shown, days)) || never_shown.into_iter().any(|gone| self.names(gone, days))
            };
            if runs {
                expected.push(instant(now));
            }
            latest = latest.max(*shown);
        }
        expected
    }

    fn plan(&self, place: &Place, now: Timestamp) -> Plan {
        let zone = TimeZone::get(place.zone).unwrap();
        Plan::new(When::Cron(Cron::parse(self.text, zone).unwrap()), 0.0, now)
    }
}

/// From the day before the first one on, for clocks that are ahead and behind.
fn days() -> Vec<Day> {
    let first = jiff::civil::date(2025, 12, 31);
    let of = |date: jiff::civil::Date| {
        let weekday = i64::from(date.weekday().to_sunday_zero_offset());
        Day { month: date.month(), day: date.day(), weekday }
    };
    first.series(jiff::ToSpan::days(1)).take(733).map(of).collect()
}

#[test]
fn in_two_years_every_expected_instant_comes_once_and_none_else() {
    let days = days();
    for place in &PLACES {
        let shown = place.shown();
        for line in &LINES {
            let expected = line.expected(&shown, &days);
            // Just before the first minute, which may be one that runs.
            let mut now = instant(minute(BEGIN)) - SignedDuration::from_millis(1);
            let mut plan = line.plan(place, now);
            let mut found = Vec::new();
            while plan.due() < instant(minute(END)) {
                let due = plan.due();
                assert!(due > now, "{} in {}: {due} is past at {now}", line.text, place.zone);
                now = due - SignedDuration::from_millis(1);
                assert!(matches!(plan.look(now), Look::Again { .. }), "{} in {}: before {due}", line.text, place.zone);
                now = due + SignedDuration::from_millis(400);
                assert_eq!(plan.look(now), Look::Due, "{} in {}: at {due}", line.text, place.zone);
                found.push(due);
            }
            assert_eq!(found, expected, "{} in {}", line.text, place.zone);
            if !line.flows && line.minutes.len() == 1 && line.hours.len() == 1 && line.text.ends_with("* * *") {
                assert!(
                    found.len().abs_diff(730) <= 1,
                    "{} in {}: {} runs in 730 days",
                    line.text,
                    place.zone,
                    found.len()
                );
            }
        }
    }
}

/// A task that looks each second, as the busiest does, around each change of a clock.
#[test]
fn second_by_second_around_each_change_it_is_due_at_those_instants_alone() {
    let days = days();
    for place in &PLACES {
        let shown = place.shown();
        for line in &LINES {
            let expected = line.expected(&shown, &days);
            for (change, _) in place.changes {
                let (begin, end) = (instant(minute(change) - 180), instant(minute(change) + 180));
                let mut plan = line.plan(place, begin);
                let mut now = begin;
                let mut found = Vec::new();
                while now < end {
                    now += SignedDuration::from_secs(1);
                    if plan.look(now) == Look::Due {
                        found.push(now);
                    }
                }
                let expected: Vec<_> = expected.iter().copied().filter(|at| *at > begin && *at <= end).collect();
                assert_eq!(found, expected, "{} in {} around {change}", line.text, place.zone);
            }
        }
    }
}
