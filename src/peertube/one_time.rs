//! One-time codes of two-factor authentication, by the server's clock as far as
//! it is known. The secret is never shown.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Algorithm, Builder, Secret, Totp};

const STEP: u64 = 30;

/// Makes the codes of an account.
pub(super) struct OneTime(Totp);

impl OneTime {
    /// From base32 as people copy it: lower case, spaces and padding are fine.
    /// `None` if it is none.
    pub(super) fn parse(secret: &SecretString) -> Option<Self> {
        let text: String = secret
            .expose_secret()
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let secret = Secret::try_from_base32(text.trim_end_matches('=')).ok().filter(|secret| !secret.is_empty())?;
        // Short secrets are against the letter of the standard, but servers give them.
        let totp = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_step_duration(STEP)
            .with_secret(secret)
            .build_noncompliant();
        Some(Self(totp))
    }

    pub(super) fn code(&self, at: Timestamp) -> SecretString {
        self.0.generate(seconds(at)).to_string().into()
    }
}

impl fmt::Debug for OneTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTime([REDACTED])")
    }
}

/// How long the code of this time is still the right one.
pub(super) fn until_next(at: Timestamp) -> Duration {
    Duration::from_secs(STEP - seconds(at) % STEP)
}

/// How far a server's clock is ahead of ours, by its `Date`, which has whole
/// seconds: on average half a second is cut off.
pub(super) fn ahead(date: Timestamp, ours: Timestamp) -> SignedDuration {
    date.duration_since(ours) + SignedDuration::from_millis(500)
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, cut to six digits.
        let one_time = OneTime::parse(&"gezd gnbv gy3t qojq gezd gnbv gy3t qojq".to_owned().into()).unwrap();
        let code = |second| one_time.code(Timestamp::from_second(second).unwrap()).expose_secret().to_owned();
        assert_eq!(code(59), "287082");
        assert_eq!(code(1_111_111_109), "081804");
        assert_eq!(code(20_000_000_000), "353130");
        assert_eq!(format!("{one_time:?}"), "OneTime([REDACTED])");
    }

    #[test]
    fn what_is_no_base32_is_refused() {
        for text in ["", "   ", "not base32!", "0189"] {
            assert!(OneTime::parse(&text.to_owned().into()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_step_ends_with_its_half_minute() {
        let until = |second| until_next(Timestamp::from_second(second).unwrap()).as_secs();
        assert_eq!((until(0), until(29), until(30), until(59)), (30, 1, 30, 1));
    }
}
