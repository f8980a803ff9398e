//! Hours of the day in which nothing is sent: `22:00-07:00`, in a zone.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::{Disambiguation, TimeZone};

/// From one time of the day to another, past midnight perhaps.
#[derive(Debug, Clone, PartialEq)]
pub struct Quiet {
    from: Time,
    to: Time,
    zone: TimeZone,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuietError {
    #[error("no span of the day; write it like \"22:00-07:00\"")]
    Form,
    #[error("a span that begins when it ends; write two different times, like \"22:00-07:00\"")]
    Empty,
}

impl Quiet {
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, QuietError> {
        let (from, to) = text.split_once('-').ok_or(QuietError::Form)?;
        let (from, to) = (time(from).ok_or(QuietError::Form)?, time(to).ok_or(QuietError::Form)?);
        if from == to { Err(QuietError::Empty) } else { Ok(Self { from, to, zone }) }
    }

    /// When the quiet hours end that this instant lies in.
    pub fn holds_until(&self, at: Timestamp) -> Option<Timestamp> {
        Some(self.ends_after(at)).filter(|end| *end > at)
    }

    /// The instant itself, or if it lies in the quiet hours, when these end. Where the
    /// clock skips that time, just after the gap; where it shows it twice, at the first.
    pub fn ends_after(&self, at: Timestamp) -> Timestamp {
        let civil = self.zone.to_datetime(at);
        let now = civil.time();
        let spans_midnight = self.from > self.to;
        let is_quiet =
            if spans_midnight { now >= self.from || now < self.to } else { now >= self.from && now < self.to };
        if !is_quiet {
            return at;
        }
        let ends_tomorrow = spans_midnight && now >= self.from;
        let day = if ends_tomorrow { civil.date().tomorrow().unwrap_or(civil.date()) } else { civil.date() };
        let end = DateTime::from_parts(day, self.to);
        let end = self.zone.to_ambiguous_timestamp(end).disambiguate(Disambiguation::Compatible);
        // In the repeated hour an end may lie behind: what is due is due.
        end.unwrap_or(at).max(at)
    }
}

/// `7:05` or `07:05`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str, least| (least..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour, 1) || !digits(minute, 2) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paris(text: &str) -> Quiet {
        Quiet::parse(text, TimeZone::get("Europe/Paris").unwrap()).unwrap()
    }

    fn held(quiet: &Quiet, at: &str) -> String {
        quiet.ends_after(at.parse().unwrap()).to_string()
    }

    #[test]
    fn what_is_due_at_night_is_held_until_the_morning_and_nothing_else_is() {
        let night = paris("22:00-07:00");
        assert_eq!(held(&night, "2026-11-24T20:59:59Z"), "2026-11-24T20:59:59Z");
        assert_eq!(held(&night, "2026-11-24T21:00:00Z"), "2026-11-25T06:00:00Z");
        assert_eq!(held(&night, "2026-11-25T05:59:59Z"), "2026-11-25T06:00:00Z");
        assert_eq!(held(&night, "2026-11-25T06:00:00Z"), "2026-11-25T06:00:00Z");
        let noon = paris("12:00-13:30");
        assert_eq!(held(&noon, "2026-11-24T11:10:00Z"), "2026-11-24T12:30:00Z");
        assert_eq!(held(&noon, "2026-11-24T12:30:00Z"), "2026-11-24T12:30:00Z");
    }

    #[test]
    fn the_morning_is_the_zones_own_also_where_the_clock_changes() {
        // On 29 March 2026 02:00 to 03:00 is skipped, on 25 October it comes twice.
        assert_eq!(held(&paris("22:00-07:00"), "2026-03-28T22:00:00Z"), "2026-03-29T05:00:00Z");
        assert_eq!(held(&paris("22:00-02:30"), "2026-03-28T22:00:00Z"), "2026-03-29T01:30:00Z");
        assert_eq!(held(&paris("22:00-02:30"), "2026-10-24T22:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(held(&paris("22:00-02:30"), "2026-10-25T01:10:00Z"), "2026-10-25T01:10:00Z");
    }

    #[test]
    fn what_is_no_span_of_a_day_is_refused() {
        for text in ["", "22:00", "22-07", "25:00-07:00", "22:0-07:00", "22:60-07:00", "+2:00-07:00"] {
            assert_eq!(Quiet::parse(text, TimeZone::UTC), Err(QuietError::Form), "{text}");
        }
        assert_eq!(Quiet::parse("7:00-07:00", TimeZone::UTC), Err(QuietError::Empty));
        assert!(Quiet::parse(" 7:00 - 8:30 ", TimeZone::UTC).is_ok());
    }
}
