//! Cron lines and the instants they mean. A line speaks of civil time in a zone;
//! what it means across a change of the clock is decided here and nowhere else:
//!
//! - A line whose hour is fixed (`9`, `8-18`, `1,2`) runs once for each civil time
//!   that it names: just after the gap if the clock skips that time, and the first
//!   time if the clock shows it twice.
//! - A line whose hour is a wildcard or has a step (`*`, `*/2`) follows elapsed
//!   time: it runs whenever the clock shows a time that it names.
//!
//! The instants of a line are strictly increasing.

mod field;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use field::Field;

/// A six-field cron line (seconds first) in a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    line: String,
    zone: TimeZone,
    seconds: Field,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// Why a text is no cron line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error(
        "a cron line has six fields: second, minute, hour, day of month, month, day of week; this one has {found}{}",
        if *found == 5 { "; put a 0 before it to run at the full minute" } else { "" }
    )]
    Fields { found: usize },
    #[error("{text:?} is no {field}; write {expected}, *, a range a-b, a step /n, or a list of these with commas")]
    Field { field: &'static str, text: String, expected: &'static str },
    #[error("no month named by this cron line has such a day, so it would never run")]
    Never,
}

impl Cron {
    /// Where both the day of month and the day of week are restricted, a day that
    /// satisfies either one counts, as in crontab.
    pub fn parse(line: &str, zone: TimeZone) -> Result<Self, CronError> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [second, minute, hour, day, month, weekday] = fields[..] else {
            return Err(CronError::Fields { found: fields.len() });
        };
        let cron = Self {
            line: fields.join(" "),
            zone,
            seconds: Field::parse(second, &field::SECOND)?,
            minutes: Field::parse(minute, &field::MINUTE)?,
            hours: Field::parse(hour, &field::HOUR)?,
            days: Field::parse(day, &field::DAY)?,
            months: Field::parse(month, &field::MONTH)?,
            weekdays: Field::parse(weekday, &field::WEEKDAY)?,
        };
        if cron.ever_runs() { Ok(cron) } else { Err(CronError::Never) }
    }

    /// The line as it was written, its fields parted by one space.
    pub fn line(&self) -> &str {
        &self.line
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first instant strictly after `instant` at which the line runs. `None`
    /// only near the end of representable time.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        // Offsets and their changes are whole seconds, and so is all that runs. Before
        // 1970 `as_second` has already rounded up.
        let rounded_up = instant.subsec_nanosecond() < 0;
        let mut from = Timestamp::from_second(instant.as_second() + i64::from(!rounded_up)).ok()?;
        loop {
            // From here to the next change of the clock, civil time is plain arithmetic.
            let offset = self.zone.to_offset(from);
            let end = self.zone.following(from).next().map(|change| change.timestamp());
            let mut civil = offset.to_datetime(from);
            if self.hours.is_fixed() {
                match self.clock_change_before(from)? {
                    Change::Skipped { at, civil: skipped } if at == from && self.matches_within(skipped, civil) => {
                        return Some(from);
                    }
                    Change::Repeated { until } => civil = civil.max(until),
                    Change::Skipped { .. } | Change::None => {}
                }
            }
            let next = self.next_match(civil).and_then(|civil| offset.to_timestamp(civil).ok());
            match (next, end) {
                (Some(next), Some(end)) if next < end => return Some(next),
                (_, Some(end)) => from = end,
                (next, None) => return next,
            }
        }
    }

    /// What the last change of the clock, at or before `instant`, did to civil time.
    fn clock_change_before(&self, instant: Timestamp) -> Option<Change> {
        let second = SignedDuration::from_secs(1);
        let Some(change) = self.zone.preceding(instant.checked_add(second).ok()?).next() else {
            return Some(Change::None);
        };
        let at = change.timestamp();
        let old = self.zone.to_offset(at.checked_sub(second).ok()?);
        Some(match old.cmp(&change.offset()) {
            std::cmp::Ordering::Less => Change::Skipped { at, civil: old.to_datetime(at) },
            std::cmp::Ordering::Greater => Change::Repeated { until: old.to_datetime(at) },
            std::cmp::Ordering::Equal => Change::None,
        })
    }

    fn matches_within(&self, start: DateTime, end: DateTime) -> bool {
        self.next_match(start).is_some_and(|civil| civil < end)
    }

    /// The first civil time at or after `from` that the line names.
    fn next_match(&self, from: DateTime) -> Option<DateTime> {
        let today = from.date();
        if self.matches_day(today)
            && let Some(time) = self.next_time(from.time())
        {
            return Some(today.to_datetime(time));
        }
        let mut day = today.tomorrow().ok()?;
        // `parse` saw that some day matches; 29 February comes at the least each eight years.
        while !self.matches_day(day) {
            day = if self.months.contains(day.month()) {
                day.tomorrow().ok()?
            } else {
                day.last_of_month().tomorrow().ok()?
            };
        }
        Some(day.to_datetime(self.next_time(Time::midnight())?))
    }

    fn next_time(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        if self.hours.contains(hour) {
            if self.minutes.contains(minute)
                && let Some(second) = self.seconds.at_or_after(second)
            {
                return Time::new(hour, minute, second, 0).ok();
            }
            if let Some(minute) = self.minutes.at_or_after(minute + 1) {
                return Time::new(hour, minute, self.seconds.first()?, 0).ok();
            }
        }
        Time::new(self.hours.at_or_after(hour + 1)?, self.minutes.first()?, self.seconds.first()?, 0).ok()
    }

    fn matches_day(&self, date: Date) -> bool {
        let day = self.days.contains(date.day());
        let weekday = self.weekdays.contains(date.weekday().to_sunday_zero_offset());
        let either = self.days.is_restricted() && self.weekdays.is_restricted();
        self.months.contains(date.month()) && if either { day || weekday } else { day && weekday }
    }

    fn ever_runs(&self) -> bool {
        let longest = |month: i8| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let a_weekday_is_enough = self.days.is_restricted() && self.weekdays.is_restricted();
        a_weekday_is_enough
            || self.days.first().is_some_and(|day| (1..=12).any(|m| self.months.contains(m) && day <= longest(m)))
    }
}

/// What a change of the clock did to civil time.
enum Change {
    None,
    /// At that instant the clock skipped what lies between `civil` and the new time.
    Skipped {
        at: Timestamp,
        civil: DateTime,
    },
    /// The clock showed for a second time what lies before `until`.
    Repeated {
        until: DateTime,
    },
}

#[cfg(test)]
mod tests;
