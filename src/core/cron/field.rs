//! One field of a cron line as a set of small numbers, never empty.

use super::CronError;

/// What a field may hold.
pub(super) struct Kind {
    name: &'static str,
    first: i8,
    last: i8,
    /// Names of the numbers from `first` on.
    names: &'static [&'static str],
    /// Days can be left to the other field with `?`.
    may_be_open: bool,
    expected: &'static str,
}

const PLAIN: Kind = Kind { name: "second", first: 0, last: 59, names: &[], may_be_open: false, expected: "0 to 59" };

pub(super) const SECOND: Kind = PLAIN;
pub(super) const MINUTE: Kind = Kind { name: "minute", ..PLAIN };
pub(super) const HOUR: Kind = Kind { name: "hour", last: 23, expected: "0 to 23", ..PLAIN };
pub(super) const DAY: Kind =
    Kind { name: "day of month", first: 1, last: 31, may_be_open: true, expected: "1 to 31", ..PLAIN };
pub(super) const MONTH: Kind = Kind {
    name: "month",
    first: 1,
    last: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    expected: "1 to 12 or JAN to DEC",
    ..PLAIN
};
/// Sunday is both 0 and 7, so that every week's range can be written upwards.
pub(super) const WEEKDAY: Kind = Kind {
    name: "day of week",
    last: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    may_be_open: true,
    expected: "0 to 7 or SUN to SAT",
    ..PLAIN
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    numbers: u64,
    restricted: bool,
    fixed: bool,
}

impl Field {
    pub(super) fn parse(text: &str, kind: &Kind) -> Result<Self, CronError> {
        let wrong = || CronError::Field { field: kind.name, text: text.to_owned(), expected: kind.expected };
        let open = text == "*" || (text == "?" && kind.may_be_open);
        let text = if open { "*" } else { text };
        let mut numbers = 0;
        for part in text.split(',') {
            numbers |= parse_part(part, kind).ok_or_else(wrong)?;
        }
        let full = range(kind.first, kind.last, 1);
        let fixed = !text.contains(['*', '/']) && numbers != full;
        if kind.last == WEEKDAY.last && numbers & (1 << 7) != 0 {
            numbers = (numbers | 1) & !(1 << 7);
        }
        Ok(Self { numbers, restricted: !open, fixed })
    }

    pub(super) fn contains(self, number: i8) -> bool {
        self.numbers & (1 << number) != 0
    }

    pub(super) fn first(self) -> Option<i8> {
        self.at_or_after(0)
    }

    pub(super) fn at_or_after(self, number: i8) -> Option<i8> {
        (number..=59).find(|n| self.contains(*n))
    }

    /// Whether it is anything but a plain `*` or `?`.
    pub(super) fn is_restricted(self) -> bool {
        self.restricted
    }

    /// Whether it names its numbers one by one: no wildcard, no step, not all of them.
    pub(super) fn is_fixed(self) -> bool {
        self.fixed
    }
}

/// `*`, `a`, `a-b`, each with `/step`; a step after a single number counts from
/// there to the end.
fn parse_part(part: &str, kind: &Kind) -> Option<u64> {
    let (span, step) = match part.split_once('/') {
        Some((span, step)) => (span, Some(parse_digits(step).filter(|step| (1..=kind.last).contains(step))?)),
        None => (part, None),
    };
    let (first, last) = match span.split_once('-') {
        _ if span == "*" => (kind.first, kind.last),
        Some((first, last)) => {
            let first = parse_number(first, kind)?;
            let last = parse_number(last, kind)?;
            // A week's range that ends with Sunday by name ends with 7.
            let to_sunday = kind.last == WEEKDAY.last && last == 0 && first > 0;
            (first, if to_sunday { WEEKDAY.last } else { last })
        }
        None => {
            let number = parse_number(span, kind)?;
            (number, if step.is_some() { kind.last } else { number })
        }
    };
    (first <= last).then(|| range(first, last, step.unwrap_or(1)))
}

fn parse_number(text: &str, kind: &Kind) -> Option<i8> {
    let by_name = kind.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match by_name {
        Some(index) => i8::try_from(index).ok().map(|index| kind.first + index),
        None => parse_digits(text).filter(|n| (kind.first..=kind.last).contains(n)),
    }
}

/// Digits alone: `i8` would take a sign too.
fn parse_digits(text: &str) -> Option<i8> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn range(first: i8, last: i8, step: i8) -> u64 {
    (first..=last).filter(|n| (n - first) % step == 0).fold(0, |numbers, n| numbers | 1 << n)
}
